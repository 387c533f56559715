//! Fan-outs beyond one transaction: expanded in slices after the answer, nothing lost and nothing doubled.

use domain::{DeliveryId, EventId};

use super::Factory;
use super::fixtures::{NOW, TENANT, World, event, key, request};
use crate::journal::StatsQuery;
use crate::queue::{AcceptEvent, EVENT_DELIVERIES_MAX};
use crate::{Journal as _, Queue as _};

const CHANNELS: usize = 2350;

fn channels() -> Vec<i64> {
    (1..=i64::try_from(CHANNELS).unwrap()).map(|number| number * 2).collect()
}

/// Expands everything, in slices of `rows`. Returns how many slices it took.
async fn expand_all<F: Factory>(world: &World<'_, F>, rows: usize) -> usize {
    let mut slices = 1;
    while world.store().expand(rows).await.unwrap() {
        slices += 1;
        assert!(slices < 1000, "it never ends");
    }
    slices
}

/// Every channel got one delivery, in order, told by the announcements, the journal and the queue alike.
async fn check_whole<F: Factory>(world: &World<'_, F>, event: EventId, announced: &[(DeliveryId, i64)]) {
    assert_eq!(announced.iter().map(|(_, channel)| *channel).collect::<Vec<_>>(), channels());
    assert!(announced.is_sorted_by(|left, right| left.0 < right.0));
    let record = world.store().event(TENANT, event).await.unwrap().unwrap();
    assert_eq!((record.deliveries, record.expanding), (CHANNELS, 0));
    let mut read = Vec::new();
    loop {
        let after = read.last().map_or(DeliveryId(0), |(id, _)| *id);
        let page = world.store().deliveries_of(TENANT, event, after, 700).await.unwrap();
        if page.is_empty() {
            break;
        }
        read.extend(page.iter().map(|delivery| (delivery.id, delivery.channel.0)));
    }
    assert_eq!(read, announced);
    let stats = world.store().stats(TENANT, StatsQuery::since(NOW)).await.unwrap();
    assert_eq!((stats.events, stats.pending), (1, CHANNELS as u64));
}

fn announced<F: Factory>(world: &World<'_, F>) -> Vec<(DeliveryId, i64)> {
    world.heard().iter().map(|arrival| (arrival.delivery, arrival.channel.0)).collect()
}

pub async fn a_large_fan_out_is_expanded_in_slices<F: Factory>(world: World<'_, F>) {
    assert!(!world.store().expand(100).await.unwrap());
    let kept = world.post(TENANT, &channels()).await;
    assert_eq!((kept.deliveries.len(), kept.expanding), (EVENT_DELIVERIES_MAX, CHANNELS - EVENT_DELIVERIES_MAX));
    let record = world.store().event(TENANT, kept.id).await.unwrap().unwrap();
    assert_eq!((record.deliveries, record.expanding), (EVENT_DELIVERIES_MAX, CHANNELS - EVENT_DELIVERIES_MAX));
    assert!(world.store().expand(400).await.unwrap());
    let record = world.store().event(TENANT, kept.id).await.unwrap().unwrap();
    assert_eq!((record.deliveries, record.expanding), (1400, 950));
    assert_eq!(expand_all(&world, 400).await, 3);
    check_whole(&world, kept.id, &announced(&world)).await;
}

pub async fn a_reopen_in_the_middle_loses_and_doubles_nothing<F: Factory>(mut world: World<'_, F>) {
    let kept = world.post(TENANT, &channels()).await;
    world.reopen().await;
    assert!(world.store().expand(333).await.unwrap());
    world.reopen().await;
    expand_all(&world, 333).await;
    world.reopen().await;
    assert!(!world.store().expand(333).await.unwrap());
    check_whole(&world, kept.id, &announced(&world)).await;
}

pub async fn several_fan_outs_are_expanded_in_turn<F: Factory>(world: World<'_, F>) {
    let wide: Vec<_> = (1..=1100).collect();
    let kept = world.accept(request(TENANT, vec![event(TENANT, &wide), event(TENANT, &wide)])).await;
    assert_eq!(kept.iter().map(|event| event.expanding).collect::<Vec<_>>(), [100, 100]);
    world.heard();
    assert_eq!(expand_all(&world, 60).await, 4);
    let events: Vec<_> = world.heard().iter().map(|arrival| arrival.event.id).collect();
    assert_eq!(events, [vec![kept[0].id; 100], vec![kept[1].id; 100]].concat());
    assert_eq!(world.waiting(1100).await.len(), 2);
}

pub async fn a_repeat_tells_what_is_still_expanding<F: Factory>(world: World<'_, F>) {
    let keyed = || request(TENANT, vec![AcceptEvent { key: Some(key(1, 1)), ..event(TENANT, &channels()) }]);
    let first = world.accept(keyed()).await.remove(0);
    world.store().expand(350).await.unwrap();
    let repeat = world.accept(keyed()).await.remove(0);
    assert_eq!((repeat.id, repeat.is_repeat, repeat.expanding), (first.id, true, 1000));
    assert_eq!(repeat.deliveries, first.deliveries);
}
