//! What retention leaves of partitions: gone, emptied, or there as long as somebody reads them.

use domain::{ChannelId, DeliveryId, EventId};

use super::super::session;
use super::{OneDatabase, block_on, cluster};
use crate::conformance::fixtures::{EXPIRES_AT, NOW, TENANT, World, dead, event, later, request, sent};
use crate::queue::Settlement;
use crate::retention::KeptSince;
use crate::{Directory as _, Journal as _, Queue as _, Retention as _};

/// All slices, with everything before `later(10_000)` too old.
async fn retain(world: &World<'_, OneDatabase>) {
    let at = Some(later(10_000));
    let kept = KeptSince { events: at, deliveries: at, attempts: at, inbox: at, inbox_entries_max: None, sums: at };
    for _ in 0..1000 {
        if !world.store().retain_slice(kept).await.unwrap() {
            return;
        }
    }
    panic!("it goes round in circles");
}

/// The first partition of a kind: `None` when it is gone, else its rows.
fn rows_of_first(database: &OneDatabase, kind: &str) -> Option<u64> {
    let known = format!("SELECT to_regclass('{kind}_1') IS NOT NULL");
    let is_there = cluster().ask(&database.name, &known).unwrap();
    let count = || cluster().ask(&database.name, &format!("SELECT count(*) FROM {kind}_1")).unwrap();
    (is_there.trim() == "t").then(|| count().trim().parse().unwrap())
}

#[test]
fn a_partition_of_settled_deliveries_is_there_until_the_last_is_over() {
    let database = OneDatabase::new();
    block_on(async {
        let world = World::open(&database).await;
        let mut old = Vec::new();
        for _ in 0..9 {
            old.extend(world.post_each(TENANT, 1, 1).await);
        }
        world.settle(dead(&old[1])).await;
        for arrival in old.iter().filter(|arrival| arrival.delivery != old[1].delivery) {
            world.settle(sent(arrival)).await;
        }
        let rows = |kind| rows_of_first(&database, kind);
        assert_eq!((rows("events"), rows("settled"), rows("attempts")), (Some(8), Some(7), Some(8)));
        retain(&world).await;
        assert_eq!((rows("events"), rows("settled"), rows("attempts")), (None, Some(0), None));
        // It settles late, into its own partition, and is young there.
        world.store().retry(TENANT, old[1].delivery, EXPIRES_AT).await.unwrap();
        let late = Settlement { tries_before: 1, settled_at: later(20_000), ..sent(&old[1]) };
        world.settle(late).await;
        retain(&world).await;
        assert_eq!(rows("settled"), Some(1));
        assert_eq!(world.delivery(old[1].delivery).await.settled_at, Some(later(20_000)));
        let at = Some(later(30_000));
        while world.store().retain_slice(KeptSince { deliveries: at, ..KeptSince::default() }).await.unwrap() {}
        assert_eq!(rows("settled"), None);
    });
}

#[test]
fn a_partition_that_is_read_goes_later() {
    let database = OneDatabase::new();
    block_on(async {
        let world = World::open(&database).await;
        for _ in 0..9 {
            world.post(TENANT, &[]).await;
        }
        let reader = session::connect_to_look(&database.options().target).await.unwrap();
        reader.batch_execute("BEGIN; SELECT count(*) FROM events").await.unwrap();
        retain(&world).await;
        assert_eq!(rows_of_first(&database, "events"), Some(8));
        assert_eq!(world.store().kept_from().await.unwrap(), EventId(9));
        // What is accepted meanwhile is kept.
        world.post(TENANT, &[1]).await;
        reader.batch_execute("COMMIT").await.unwrap();
        retain(&world).await;
        assert_eq!(rows_of_first(&database, "events"), None);
        assert_eq!(world.waiting(1).await.len(), 1);
    });
}

#[test]
fn a_fan_out_in_the_making_outlives_a_large_partition() {
    let database = OneDatabase::new();
    block_on(async {
        let world = World::open(&database).await;
        let wide: Vec<_> = (1..=1003).collect();
        let kept = world.post(TENANT, &wide).await.id;
        world.store().expand(1).await.unwrap();
        world.accept(request(TENANT, (0..1010).map(|_| event(TENANT, &[])).collect())).await;
        // More events than one slice looks at.
        assert_eq!(rows_of_first(&database, "events"), Some(1008));
        retain(&world).await;
        assert_eq!(rows_of_first(&database, "events"), None);
        while world.store().expand(1).await.unwrap() {}
        let made = world.store().deliveries_of(TENANT, kept, DeliveryId(1000), 10).await.unwrap();
        assert_eq!(made.iter().map(|one| one.channel).collect::<Vec<_>>(), [1001, 1002, 1003].map(ChannelId));
        assert!(made.iter().all(|one| one.event_type == "invoice.paid"));
        assert_eq!(world.store().event(TENANT, kept).await.unwrap().unwrap().deliveries, 1003);
    });
}

#[test]
fn what_outlives_its_partition_goes_with_its_tenant() {
    let database = OneDatabase::new();
    block_on(async {
        let world = World::open(&database).await;
        world.own_channel().await;
        for _ in 0..9 {
            world.post(TENANT, &[1]).await;
        }
        retain(&world).await;
        let kept = || cluster().ask(&database.name, "SELECT count(*) FROM kept_events").unwrap().trim().to_owned();
        assert_eq!(kept(), "8");
        world.store().delete_tenant(TENANT, NOW).await.unwrap();
        while world.store().purge_slice(3).await.unwrap() {}
        assert_eq!(kept(), "0");
    });
}
