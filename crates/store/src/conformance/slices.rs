//! Cancelling and expiring what waits, slice by slice.

use domain::delivery::State;
use domain::{ChannelId, DeliveryId, ReasonCode};

use super::Factory;
use super::fixtures::{EXPIRES_AT, NOW, TENANT, World, dead, event, later, request, retrying, sent, settings};
use crate::directory::ChannelChange;
use crate::journal::StateFilter;
use crate::queue::{AcceptEvent, Arrival, Cancellation, HeldBounds, Settlement, Trimmed};
use crate::{Directory as _, Queue as _};

/// Orders what waits for a channel cancelled, as switching it off does.
async fn order<F: Factory>(world: &World<'_, F>, channel: ChannelId, reason: &str) -> DeliveryId {
    let change = ChannelChange {
        tenant: TENANT,
        channel,
        settings: settings(),
        routes: None,
        resumes: false,
        cancels: Some(reason.to_owned()),
    };
    world.store().update_channel(change, NOW).await.unwrap().unwrap().cancelled_up_to.unwrap()
}

async fn cancel<F: Factory>(world: &World<'_, F>, channel: ChannelId, under_way: &[DeliveryId], rows: usize) -> bool {
    world.store().cancel_slice(channel, under_way.to_vec(), later(2000), rows).await.unwrap()
}

async fn expire<F: Factory>(world: &World<'_, F>, under_way: &[DeliveryId], rows: usize) -> bool {
    world.store().expire_slice(ChannelId(1), under_way.to_vec(), EXPIRES_AT, rows).await.unwrap()
}

async fn orders<F: Factory>(world: &World<'_, F>) -> Vec<Cancellation> {
    world.store().cancellations().await.unwrap()
}

fn ids(arrivals: &[Arrival]) -> Vec<DeliveryId> {
    arrivals.iter().map(|arrival| arrival.delivery).collect()
}

pub async fn a_cancellation_is_carried_out_in_slices<F: Factory>(world: World<'_, F>) {
    let channel = world.own_channel().await;
    let old = world.post_each(TENANT, channel.0, 7).await;
    let other = world.post_each(TENANT, 500, 1).await;
    world.settle(retrying(&old[1], later(60_000))).await;
    let up_to = order(&world, channel, "the channel was switched off").await;
    assert_eq!(up_to, other[0].delivery);
    let reason = "the channel was switched off".to_owned();
    let code = ReasonCode::ChannelSwitchedOff;
    assert_eq!(orders(&world).await, [Cancellation { channel, up_to, code, reason }]);
    let young = world.post_each(TENANT, channel.0, 2).await;
    assert!(cancel(&world, channel, &[], 3).await);
    assert_eq!(world.waiting(channel.0).await.len(), 6);
    assert!(cancel(&world, channel, &[], 3).await);
    assert!(!cancel(&world, channel, &[], 3).await);
    assert_eq!(orders(&world).await, []);
    assert!(!cancel(&world, channel, &[], 3).await);
    assert_eq!(world.waiting(channel.0).await, ids(&young));
    assert_eq!(world.waiting(500).await, ids(&other));
    for arrival in &old {
        let read = world.delivery(arrival.delivery).await;
        assert_eq!((read.state, read.settled_at), (State::Cancelled, Some(later(2000))));
        assert_eq!((read.reason.as_str(), read.event_type.as_str()), ("the channel was switched off", "invoice.paid"));
        assert_eq!(read.attempts, u32::from(arrival.delivery == old[1].delivery));
    }
}

pub async fn what_is_under_way_is_not_cancelled<F: Factory>(world: World<'_, F>) {
    let channel = world.own_channel().await;
    let arrivals = world.post_each(TENANT, channel.0, 6).await;
    order(&world, channel, "off").await;
    let under_way = [arrivals[0].delivery, arrivals[2].delivery, arrivals[5].delivery];
    assert!(cancel(&world, channel, &under_way, 2).await);
    // The rest is under way: nothing more can be done, and the order stands.
    assert!(!cancel(&world, channel, &under_way, 2).await);
    assert_eq!(world.waiting(channel.0).await, under_way);
    assert_eq!(orders(&world).await.len(), 1);
    world.settle(sent(&arrivals[0])).await;
    world.settle(retrying(&arrivals[2], later(5000))).await;
    assert!(!cancel(&world, channel, &under_way[2..], 2).await);
    assert_eq!(world.waiting(channel.0).await, under_way[2..]);
    assert_eq!(orders(&world).await.len(), 1);
    world.settle(dead(&arrivals[5])).await;
    assert!(!cancel(&world, channel, &[], 2).await);
    assert_eq!(orders(&world).await, []);
    let states = [State::Sent, State::Cancelled, State::Cancelled, State::Cancelled, State::Cancelled, State::Dead];
    for (arrival, state) in arrivals.iter().zip(states) {
        assert_eq!(world.delivery(arrival.delivery).await.state, state);
    }
}

pub async fn a_cancellation_survives_a_reopen<F: Factory>(mut world: World<'_, F>) {
    let channel = world.own_channel().await;
    world.post_each(TENANT, channel.0, 5).await;
    order(&world, channel, "off").await;
    assert!(cancel(&world, channel, &[], 2).await);
    let before = orders(&world).await;
    world.reopen().await;
    assert_eq!(orders(&world).await, before);
    assert!(cancel(&world, channel, &[], 2).await);
    assert!(!cancel(&world, channel, &[], 2).await);
    assert_eq!(orders(&world).await, []);
    assert_eq!(world.list(None, Some(StateFilter::Settled(State::Cancelled)), 10).await.len(), 5);
}

pub async fn a_newer_cancellation_widens_the_older<F: Factory>(world: World<'_, F>) {
    let channel = world.own_channel().await;
    world.post_each(TENANT, channel.0, 1).await;
    order(&world, channel, "first").await;
    world.post_each(TENANT, channel.0, 1).await;
    let up_to = order(&world, channel, "second").await;
    let code = ReasonCode::ChannelSwitchedOff;
    assert_eq!(orders(&world).await, [Cancellation { channel, up_to, code, reason: "second".to_owned() }]);
    assert!(!cancel(&world, channel, &[], 2).await);
    assert_eq!(world.waiting(channel.0).await, []);
    assert_eq!(orders(&world).await, []);
}

pub async fn what_is_over_expires_in_slices<F: Factory>(world: World<'_, F>) {
    let arrivals = world.post_each(TENANT, 1, 5).await;
    let late = AcceptEvent { deliveries: vec![young(1)], ..event(TENANT, &[]) };
    world.accept(request(TENANT, vec![late])).await;
    let young = world.heard();
    assert!(!world.store().expire_slice(ChannelId(1), vec![], later(1), 10).await.unwrap());
    assert_eq!(world.waiting(1).await.len(), 6);
    world.settle(retrying(&arrivals[0], later(60_000))).await;
    assert!(expire(&world, &[], 2).await);
    assert!(expire(&world, &[], 2).await);
    assert!(!expire(&world, &[], 2).await);
    assert_eq!(world.waiting(1).await, ids(&young));
    for arrival in &arrivals {
        let read = world.delivery(arrival.delivery).await;
        assert_eq!(
            (read.state, read.code, read.settled_at),
            (State::Expired, ReasonCode::ExpiredHeld, Some(EXPIRES_AT))
        );
        assert!(read.reason.contains("time-to-live"), "{}", read.reason);
    }
    // Exactly one slice's worth leaves nothing.
    world.post_each(TENANT, 1, 2).await;
    assert!(!expire(&world, &[], 2).await);
    assert_eq!(world.waiting(1).await, ids(&young));
}

fn young(channel: i64) -> crate::queue::NewDelivery {
    crate::queue::NewDelivery { channel: ChannelId(channel), expires_at: later(super::fixtures::DAY_MS * 9) }
}

pub async fn a_long_lived_delivery_in_front_blocks_nothing<F: Factory>(world: World<'_, F>) {
    let arrivals = world.post_each(TENANT, 1, 3).await;
    world.settle(dead(&arrivals[0])).await;
    world.store().retry(TENANT, arrivals[0].delivery, young(1).expires_at).await.unwrap();
    assert!(!expire(&world, &[], 5).await);
    assert_eq!(world.waiting(1).await, ids(&arrivals[..1]));
}

pub async fn what_is_under_way_does_not_expire<F: Factory>(world: World<'_, F>) {
    let arrivals = world.post_each(TENANT, 1, 5).await;
    let under_way = [arrivals[0].delivery, arrivals[3].delivery];
    assert!(expire(&world, &under_way, 2).await);
    assert!(!expire(&world, &under_way, 2).await);
    assert_eq!(world.waiting(1).await, under_way);
    world.settle(Settlement { settled_at: EXPIRES_AT, ..sent(&arrivals[0]) }).await;
    assert!(!expire(&world, &[], 2).await);
    assert_eq!(world.waiting(1).await, []);
    assert_eq!(world.delivery(arrivals[0].delivery).await.state, State::Sent);
}

async fn trim<F: Factory>(world: &World<'_, F>, under_way: &[DeliveryId], bounds: HeldBounds, rows: usize) -> Trimmed {
    world.store().trim_slice(ChannelId(1), under_way.to_vec(), bounds, later(9), rows).await.unwrap()
}

pub async fn what_is_held_beyond_the_count_expires_oldest_first<F: Factory>(world: World<'_, F>) {
    let arrivals = world.post_each(TENANT, 1, 7).await;
    let bounds = HeldBounds { count_max: 3, kept_since: None };
    world.settle(retrying(&arrivals[1], later(60_000))).await;
    let under_way = [arrivals[0].delivery];
    assert_eq!(trim(&world, &under_way, bounds, 2).await, Trimmed { has_more: true, waiting: 5 });
    assert_eq!(trim(&world, &under_way, bounds, 2).await, Trimmed { has_more: false, waiting: 3 });
    assert_eq!(trim(&world, &under_way, bounds, 2).await, Trimmed { has_more: false, waiting: 3 });
    let left: Vec<_> = [0, 5, 6].map(|place: usize| arrivals[place].delivery).into();
    assert_eq!(world.waiting(1).await, left);
    for arrival in &arrivals[1..5] {
        let read = world.delivery(arrival.delivery).await;
        assert_eq!((read.state, read.code, read.settled_at), (State::Expired, ReasonCode::HeldTooMany, Some(later(9))));
        assert!(read.reason.contains("oldest"), "{}", read.reason);
    }
}

pub async fn what_is_held_for_too_long_expires<F: Factory>(world: World<'_, F>) {
    let old = world.post_each(TENANT, 1, 3).await;
    let accepted_at = old[0].created_at;
    let keeps =
        |ms: i64| HeldBounds { count_max: 100, kept_since: Some(domain::Timestamp::from_ms(accepted_at.as_ms() + ms)) };
    assert_eq!(trim(&world, &[], keeps(0), 10).await, Trimmed { has_more: false, waiting: 3 });
    assert_eq!(trim(&world, &[], keeps(1), 2).await, Trimmed { has_more: true, waiting: 1 });
    assert_eq!(trim(&world, &[], keeps(1), 2).await, Trimmed { has_more: false, waiting: 0 });
    assert_eq!(world.delivery(old[0].delivery).await.code, ReasonCode::HeldTooLong);
}
