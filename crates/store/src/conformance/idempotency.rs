//! Idempotency keys: what a repeat is told, what a reused key is refused, and when a key is forgotten.

use domain::{ChannelId, DeliveryId, TenantId};

use super::Factory;
use super::fixtures::{DAY_MS, OTHER_TENANT, TENANT, World, event, key, later, request};
use crate::journal::StatsQuery;
use crate::queue::{AcceptAnswer, AcceptEvent, AcceptRequest, AcceptedEvent, IdempotencyKey};
use crate::{Journal as _, Queue as _};

/// An event with a key of its own.
fn keyed(tenant: TenantId, key: IdempotencyKey) -> AcceptEvent {
    AcceptEvent { key: Some(key), ..event(tenant, &[1, 2]) }
}

/// A request with one event, so much after the beginning of the case's day.
fn single(key: IdempotencyKey, after_ms: i64) -> AcceptRequest {
    AcceptRequest { now: later(after_ms), ..request(TENANT, vec![keyed(TENANT, key)]) }
}

fn as_repeat(events: &[AcceptedEvent]) -> Vec<AcceptedEvent> {
    events.iter().map(|event| AcceptedEvent { is_repeat: true, ..event.clone() }).collect()
}

async fn events_kept<F: Factory>(world: &World<'_, F>) -> u64 {
    world.store().stats(TENANT, StatsQuery::since(later(-DAY_MS))).await.unwrap().events
}

pub async fn a_header_key_covers_the_array<F: Factory>(mut world: World<'_, F>) {
    let array = |body| {
        let events = vec![event(TENANT, &[1]), event(TENANT, &[]), event(TENANT, &[2, 3])];
        AcceptRequest { key: Some(key(1, body)), ..request(TENANT, events) }
    };
    let first = world.accept(array(1)).await;
    assert_eq!(world.heard().len(), 3);
    assert!(first.iter().all(|event| !event.is_repeat));
    // Something in between, so that ids alone do not make the answer.
    world.post(TENANT, &[9]).await;
    world.heard();
    assert_eq!(world.accept(array(1)).await, as_repeat(&first));
    assert_eq!(world.store().accept(array(2)).await.unwrap(), AcceptAnswer::KeyReused(None));
    world.reopen().await;
    assert_eq!(world.accept(array(1)).await, as_repeat(&first));
    assert!(world.heard().is_empty());
    assert_eq!(events_kept(&world).await, 4);
}

pub async fn field_keys_cover_single_events<F: Factory>(world: World<'_, F>) {
    let pair = || request(TENANT, vec![keyed(TENANT, key(1, 1)), keyed(TENANT, key(2, 2))]);
    let first = world.accept(pair()).await;
    world.heard();
    assert_eq!(world.accept(pair()).await, as_repeat(&first));
    let swapped = request(TENANT, vec![keyed(TENANT, key(2, 2)), keyed(TENANT, key(1, 1))]);
    let reversed: Vec<_> = first.iter().rev().cloned().collect();
    assert_eq!(world.accept(swapped).await, as_repeat(&reversed));
    assert!(world.heard().is_empty());
}

pub async fn repeats_and_new_events_mix<F: Factory>(world: World<'_, F>) {
    let old = world.accept(single(key(1, 1), 0)).await;
    world.heard();
    let events = vec![event(TENANT, &[5]), keyed(TENANT, key(1, 1)), keyed(TENANT, key(2, 2)), event(TENANT, &[6])];
    let mixed = world.accept(request(TENANT, events)).await;
    assert_eq!(mixed[1..2], as_repeat(&old));
    assert_eq!(mixed.iter().map(|event| event.is_repeat).collect::<Vec<_>>(), [false, true, false, false]);
    let heard: Vec<_> = world.heard().iter().map(|arrival| arrival.channel).collect();
    assert_eq!(heard, [5, 1, 2, 6].map(ChannelId));
    assert_eq!(events_kept(&world).await, 4);
}

pub async fn a_key_may_come_twice_in_one_request<F: Factory>(world: World<'_, F>) {
    let same = request(TENANT, vec![keyed(TENANT, key(1, 1)), keyed(TENANT, key(1, 1))]);
    let kept = world.accept(same).await;
    assert_eq!(kept[1..], as_repeat(&kept[..1]));
    assert_eq!(world.heard().len(), 2);
    let different = request(TENANT, vec![keyed(TENANT, key(2, 1)), keyed(TENANT, key(2, 2))]);
    assert_eq!(world.store().accept(different).await.unwrap(), AcceptAnswer::KeyReused(Some(1)));
    assert_eq!(events_kept(&world).await, 1);
}

pub async fn a_reused_key_keeps_nothing<F: Factory>(world: World<'_, F>) {
    world.accept(single(key(1, 1), 0)).await;
    world.heard();
    let events = vec![keyed(TENANT, key(2, 2)), event(TENANT, &[7]), keyed(TENANT, key(1, 9))];
    let reused = request(TENANT, events);
    assert_eq!(world.store().accept(reused).await.unwrap(), AcceptAnswer::KeyReused(Some(2)));
    assert!(world.heard().is_empty());
    assert_eq!(events_kept(&world).await, 1);
    assert_eq!(world.waiting(7).await, []);
    // The key that came with it is still free.
    let fresh = world.accept(single(key(2, 5), 0)).await;
    assert!(!fresh[0].is_repeat);
}

pub async fn keys_belong_to_a_tenant<F: Factory>(world: World<'_, F>) {
    let mine = world.accept(single(key(1, 1), 0)).await;
    let theirs = world.accept(request(OTHER_TENANT, vec![keyed(OTHER_TENANT, key(1, 2))])).await;
    assert!(!theirs[0].is_repeat);
    assert_ne!(mine[0].id, theirs[0].id);
}

pub async fn one_request_may_hold_events_of_several_tenants<F: Factory>(world: World<'_, F>) {
    let theirs = world.accept(request(OTHER_TENANT, vec![keyed(OTHER_TENANT, key(1, 2))])).await;
    // The same key stands for other bodies of other tenants, also within one request.
    let events = vec![keyed(TENANT, key(1, 1)), keyed(OTHER_TENANT, key(1, 2)), event(OTHER_TENANT, &[9])];
    let kept = world.accept(request(TENANT, events)).await;
    assert_eq!(kept[1..2], as_repeat(&theirs));
    assert!(!kept[0].is_repeat);
    let event_of = async |tenant, id| world.store().event(tenant, id).await.unwrap().is_some();
    assert!(event_of(TENANT, kept[0].id).await && !event_of(OTHER_TENANT, kept[0].id).await);
    assert!(event_of(OTHER_TENANT, kept[2].id).await && !event_of(TENANT, kept[2].id).await);
    let delivery = kept[2].deliveries[0].0;
    assert!(world.store().delivery(OTHER_TENANT, delivery).await.unwrap().is_some());
    assert!(world.store().delivery(TENANT, delivery).await.unwrap().is_none());
    assert_eq!(
        world
            .store()
            .stats(OTHER_TENANT, crate::journal::StatsQuery::since(super::fixtures::NOW))
            .await
            .unwrap()
            .events,
        2
    );
}

pub async fn keys_are_forgotten_after_a_day<F: Factory>(world: World<'_, F>) {
    for (number, start) in (1..).zip([0, 1000, DAY_MS / 2, DAY_MS - 1]) {
        let first = world.accept(single(key(number, 1), start)).await;
        assert!(!first[0].is_repeat, "{start}");
        assert_eq!(world.accept(single(key(number, 1), start + DAY_MS - 1)).await, as_repeat(&first), "{start}");
        let again = world.accept(single(key(number, 2), start + DAY_MS)).await;
        assert!(!again[0].is_repeat, "{start}");
        // The key stands for the newer event now.
        assert_eq!(world.accept(single(key(number, 2), start + DAY_MS + 1)).await, as_repeat(&again), "{start}");
    }
}

pub async fn keys_outlive_the_turn_of_the_tables<F: Factory>(mut world: World<'_, F>) {
    // Keys of day 0 and of day 2 take the same table. A key of early day 2 must live past the one of late day 0.
    let hour = DAY_MS / 24;
    world.accept(single(key(1, 1), 23 * hour)).await;
    let early = world.accept(single(key(2, 1), 2 * DAY_MS + hour)).await;
    world.reopen().await;
    world.accept(single(key(3, 1), 2 * DAY_MS + 23 * hour + hour / 2)).await;
    assert_eq!(world.accept(single(key(2, 1), 3 * DAY_MS)).await, as_repeat(&early));
    // Day 3 begins the other table and leaves this one alone.
    world.accept(single(key(4, 1), 3 * DAY_MS)).await;
    assert_eq!(world.accept(single(key(2, 1), 3 * DAY_MS + hour - 1)).await, as_repeat(&early));
    let page = world.store().deliveries_of(TENANT, early[0].id, DeliveryId(0), 10).await.unwrap();
    assert_eq!(page.len(), 2);
}

pub async fn keys_outlive_a_clock_that_goes_back<F: Factory>(world: World<'_, F>) {
    let first = world.accept(single(key(1, 1), 2 * DAY_MS)).await;
    for (number, at) in (10..).zip([DAY_MS, 0, -3 * DAY_MS, 2 * DAY_MS]) {
        world.accept(single(key(number, 1), at)).await;
        assert_eq!(world.accept(single(key(1, 1), at)).await, as_repeat(&first), "{at}");
    }
}
