//! Retention: what is old goes, and what something waits for stays with its event.

use domain::delivery::State;
use domain::redrive::{Progress, Source, Wanted};
use domain::{ChannelId, DeliveryId, EventId, Timestamp};

use super::Factory;
use super::fixtures::{EXPIRES_AT, NOW, OTHER_TENANT, TENANT, World, dead, event, later, request, retrying, sent};
use crate::inbox::{InboxEntry, InboxQuery};
use crate::journal::{AttemptQuery, EventQuery, StatsQuery};
use crate::queue::{AcceptRequest, Arrival, Settlement};
use crate::redrives::{NewRedrive, Steer};
use crate::retention::KeptSince;
use crate::{Directory as _, Inbox as _, Journal as _, Queue as _, Redrives as _, Retention as _};

/// Everything before is let go of.
const fn since(at: Timestamp) -> KeptSince {
    let (events, deliveries, attempts) = (Some(at), Some(at), Some(at));
    KeptSince { events, deliveries, attempts, inbox: Some(at), inbox_entries_max: None, sums: Some(at) }
}

/// All slices, however many; more than are ever needed would go round in circles.
async fn retain<F: Factory>(world: &World<'_, F>, kept: KeptSince) -> usize {
    for slices in 1..10_000 {
        if !world.store().retain_slice(kept).await.unwrap() {
            return slices;
        }
    }
    panic!("it goes round in circles");
}

/// Events of an old day, each with a delivery to channel 1, enough for several segments; the newest segment stays open.
async fn old_events<F: Factory>(world: &World<'_, F>, count: usize) -> Vec<Arrival> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.extend(world.post_each(TENANT, 1, 1).await);
    }
    all
}

async fn is_there<F: Factory>(world: &World<'_, F>, event: EventId) -> bool {
    world.store().event(TENANT, event).await.unwrap().is_some()
}

pub async fn old_history_goes_and_young_history_stays<F: Factory>(world: World<'_, F>) {
    let old = old_events(&world, 9).await;
    for arrival in &old {
        world.settle(sent(arrival)).await;
    }
    let late = AcceptRequest { now: later(50_000), ..request(TENANT, vec![event(TENANT, &[2])]) };
    world.accept(late).await;
    assert_eq!(retain(&world, since(NOW)).await, 3 + 1, "the oldest of each kind is looked at");
    assert_eq!(world.store().events(TENANT, EventQuery::newest(100)).await.unwrap().rows.len(), 10);
    assert!(retain(&world, since(later(10_000))).await > 5);
    assert_eq!(retain(&world, since(later(10_000))).await, 1, "nothing is left to do");
    // A segment holds four, and the open one is never old.
    let events: Vec<_> = world.store().events(TENANT, EventQuery::newest(100)).await.unwrap().rows;
    assert_eq!(events.iter().map(|one| one.id.0).collect::<Vec<_>>(), [10, 9]);
    assert_eq!(world.store().kept_from().await.unwrap(), EventId(9));
    assert!(!is_there(&world, old[0].event.id).await && is_there(&world, old[8].event.id).await);
    assert_eq!(world.store().delivery(TENANT, old[0].delivery).await.unwrap(), None);
    assert_eq!(world.list(Some(1), None, 100).await.len(), 1);
    assert_eq!(world.store().attempts(TENANT, AttemptQuery::newest(100)).await.unwrap().rows.len(), 1);
    assert_eq!(world.waiting(2).await.len(), 1);
}

pub async fn each_kind_has_its_own_time<F: Factory>(world: World<'_, F>) {
    for arrival in old_events(&world, 9).await {
        world.settle(sent(&arrival)).await;
    }
    retain(&world, KeptSince { events: Some(later(10_000)), ..KeptSince::default() }).await;
    assert_eq!(world.store().events(TENANT, EventQuery::newest(100)).await.unwrap().rows.len(), 1);
    assert_eq!(world.list(None, None, 100).await.len(), 9);
    assert_eq!(world.store().attempts(TENANT, AttemptQuery::newest(100)).await.unwrap().rows.len(), 9);
    assert_eq!(world.list(None, None, 100).await[8].event_type, "invoice.paid", "they know it themselves");
    retain(&world, KeptSince { attempts: Some(later(10_000)), ..KeptSince::default() }).await;
    assert_eq!(world.store().attempts(TENANT, AttemptQuery::newest(100)).await.unwrap().rows.len(), 1);
    retain(&world, KeptSince { deliveries: Some(later(10_000)), ..KeptSince::default() }).await;
    assert_eq!(world.list(None, None, 100).await.len(), 1);
    assert_eq!(retain(&world, KeptSince::default()).await, 1);
}

pub async fn what_waits_or_is_dead_keeps_its_event<F: Factory>(mut world: World<'_, F>) {
    let old = old_events(&world, 9).await;
    world.settle(dead(&old[1])).await;
    world.settle(retrying(&old[2], later(5_000))).await;
    for arrival in [&old[0], &old[4], &old[5], &old[6], &old[7], &old[8]] {
        world.settle(sent(arrival)).await;
    }
    // The fourth still waits for its first try.
    retain(&world, since(later(10_000))).await;
    world.reopen().await;
    assert!(!is_there(&world, old[0].event.id).await);
    for arrival in &old[1..4] {
        assert!(is_there(&world, arrival.event.id).await, "{}", arrival.event.id);
        assert_eq!(world.delivery(arrival.delivery).await.event_type, "invoice.paid");
    }
    let waiting = world.store().waiting_after(ChannelId(1), DeliveryId(0), later(9_000), 10).await.unwrap();
    assert_eq!(waiting.iter().map(|one| one.delivery).collect::<Vec<_>>(), [old[2].delivery, old[3].delivery]);
    assert!(
        waiting.iter().all(|one| one.event.as_ref().is_some_and(|event| &*event.content.data == "{\"amount\":100}"))
    );
    world.store().retry(TENANT, old[1].delivery, EXPIRES_AT).await.unwrap();
    assert_eq!(world.waiting(1).await.len(), 3);

    // When nothing waits any more, the event goes too.
    world.settle(Settlement { tries_before: 1, ..sent(&old[1]) }).await;
    retain(&world, since(later(10_000))).await;
    assert!(!is_there(&world, old[1].event.id).await && is_there(&world, old[2].event.id).await);
}

pub async fn a_fan_out_in_the_making_keeps_its_event<F: Factory>(world: World<'_, F>) {
    let wide: Vec<_> = (1..=1003).collect();
    let event = world.post(TENANT, &wide).await.id;
    world.store().expand(1).await.unwrap();
    old_events(&world, 8).await;
    retain(&world, since(later(10_000))).await;
    assert!(is_there(&world, event).await);
    while world.store().expand(1).await.unwrap() {}
    assert_eq!(world.waiting(1003).await.len(), 1);
    assert_eq!(world.store().deliveries_of(TENANT, event, DeliveryId(1000), 10).await.unwrap().len(), 3);
}

pub async fn entries_sums_and_orders_go_with_time<F: Factory>(world: World<'_, F>) {
    world.own_channel().await;
    let arrivals = world.post_each(TENANT, 1, 2).await;
    let entry = |recipient: &str| InboxEntry { recipient: recipient.to_owned(), content: "{}".to_owned() };
    for (arrival, at) in arrivals.iter().zip([later(1_000), later(3_600_000)]) {
        world.settle(Settlement { inbox: vec![entry("ada")], settled_at: at, ..sent(arrival) }).await;
    }
    let new = NewRedrive { source: Source::Dead, wanted: Wanted::default(), pace: 1 };
    let ended = world.store().begin_redrive(TENANT, new.clone(), NOW).await.unwrap().unwrap();
    let steer = Steer { to: Progress::Cancelled, note: String::new(), now: later(1) };
    world.store().steer_redrive(TENANT, ended.id, steer).await.unwrap();
    let open = world.store().begin_redrive(TENANT, new, NOW).await.unwrap().unwrap();
    let sum = async || world.store().stats(TENANT, StatsQuery::since(NOW)).await.unwrap().sent;
    assert_eq!(sum().await, 2);
    retain(&world, since(later(3_000_000))).await;
    let query = InboxQuery { recipient: None, is_unread_only: false, before: None, rows_max: 10 };
    assert_eq!(world.store().inbox(TENANT, query).await.unwrap().len(), 1);
    assert_eq!(sum().await, 1, "a quarter of an hour goes whole");
    assert_eq!(world.store().redrives(TENANT, None, 10).await.unwrap(), [open]);
}

pub async fn an_inbox_keeps_its_newest_entries<F: Factory>(world: World<'_, F>) {
    let arrivals = world.post_each(TENANT, 1, 6).await;
    let others = world.post_each(OTHER_TENANT, 2, 2).await;
    let entry = |recipient: &str| InboxEntry { recipient: recipient.to_owned(), content: "{}".to_owned() };
    for (arrival, recipient) in arrivals.iter().zip(["ada", "ada", "bob", "ada", "", "ada"]) {
        world.settle(Settlement { inbox: vec![entry(recipient)], ..sent(arrival) }).await;
    }
    for arrival in &others {
        world.settle(Settlement { inbox: vec![entry("ada")], ..sent(arrival) }).await;
    }
    let ids = async |tenant, recipient: &str| {
        let recipient = Some(recipient.to_owned());
        let query = InboxQuery { recipient, is_unread_only: false, before: None, rows_max: 10 };
        world.store().inbox(tenant, query).await.unwrap().into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    let bound = |max| KeptSince { inbox_entries_max: Some(max), ..KeptSince::default() };
    retain(&world, bound(4)).await;
    assert_eq!(ids(TENANT, "ada").await.len(), 4, "it is not over the bound");
    // Twice: a round begins anew when it is over.
    for max in [3, 2] {
        retain(&world, bound(max)).await;
        assert_eq!(ids(TENANT, "ada").await.len(), max);
    }
    assert_eq!(ids(TENANT, "ada").await, [arrivals[5].delivery, arrivals[3].delivery]);
    assert_eq!((ids(TENANT, "bob").await.len(), ids(TENANT, "").await.len()), (1, 1));
    assert_eq!(ids(OTHER_TENANT, "ada").await.len(), 2, "each tenant has its own");
}

pub async fn a_deleted_channel_is_forgotten_when_nothing_speaks_of_it<F: Factory>(world: World<'_, F>) {
    let channel = world.own_channel().await;
    let other = world.create_channel(TENANT, &["*"]).await.channel.id;
    let arrivals = world.post_each(TENANT, channel.0, 1).await;
    world.settle(dead(&arrivals[0])).await;
    world.store().delete_channel(TENANT, channel, NOW).await.unwrap();
    world.store().cancel_slice(channel, vec![], NOW, 10).await.unwrap();
    let is_known = async |channel| world.store().lifetime(TENANT, channel).await.unwrap().is_some();
    retain(&world, since(NOW)).await;
    assert!(is_known(channel).await, "it is not old enough");
    retain(&world, since(later(10_000))).await;
    assert!(is_known(channel).await, "a dead letter speaks of it");
    world.store().retry(TENANT, arrivals[0].delivery, EXPIRES_AT).await.unwrap();
    world.settle(Settlement { tries_before: 1, ..sent(&arrivals[0]) }).await;
    retain(&world, since(later(10_000))).await;
    assert!(!is_known(channel).await);
    assert!(is_known(other).await);
    assert_eq!(world.delivery(arrivals[0].delivery).await.state, State::Sent);
}
