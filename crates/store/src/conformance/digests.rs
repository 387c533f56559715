//! Digests: sealed whole or not at all, and moved as one from then on.

use std::sync::Arc;

use domain::delivery::State;
use domain::outcome::Outcome;
use domain::{ChannelId, DeliveryId, DigestId, Timestamp};

use super::Factory;
use super::fixtures::{
    DAY_MS, EXPIRES_AT, NOW, OTHER_TENANT, TENANT, World, later, over, retrying, sent, settlement, untried, wait,
};
use crate::digest::{DigestMember, NewDigest};
use crate::journal::{AttemptQuery, StateFilter, StatsQuery};
use crate::queue::{Arrival, RetryAnswer, Settlement, Waiting};
use crate::{Directory as _, Journal as _, Queue as _};

/// A digest of these deliveries that lives a day longer than they do.
pub fn digest_of(arrivals: &[Arrival]) -> NewDigest {
    let member = |arrival: &Arrival| DigestMember {
        delivery: arrival.delivery,
        event: arrival.event.id,
        event_type: Arc::clone(&arrival.event.content.event_type),
        created_at: arrival.created_at,
    };
    NewDigest {
        tenant: TENANT,
        channel: arrivals[0].channel,
        key: "acme".to_owned(),
        opened_at: NOW,
        closes_at: later(1000),
        sealed_at: NOW,
        expires_at: later(2 * DAY_MS),
        members: arrivals.iter().map(member).collect(),
        body: "{\"what\": \"is sent\"}".to_owned(),
    }
}

async fn sealed<F: Factory>(world: &World<'_, F>, arrivals: &[Arrival]) -> DigestId {
    world.store().seal_digest(digest_of(arrivals)).await.unwrap().expect("sealed")
}

/// The same settlement for each delivery of a digest.
fn each(arrivals: &[Arrival], digest: DigestId, one: impl Fn(&Arrival) -> Settlement) -> Arc<[Settlement]> {
    arrivals.iter().map(|arrival| Settlement { digest: Some(digest), ..one(arrival) }).collect()
}

async fn these<F: Factory>(world: &World<'_, F>, arrivals: &[Arrival], now: i64) -> Vec<Waiting> {
    let deliveries = arrivals.iter().map(|arrival| arrival.delivery).collect();
    world.store().waiting_these(arrivals[0].channel, deliveries, later(now)).await.unwrap()
}

pub async fn a_sealed_digest_is_read_with_what_it_sends<F: Factory>(mut world: World<'_, F>) {
    let arrivals = world.post_each(TENANT, 1, 3).await;
    let digest = sealed(&world, &arrivals[..2]).await;
    world.reopen().await;
    let all = world.store().waiting_after(ChannelId(1), DeliveryId(0), NOW, 10).await.unwrap();
    let seen: Vec<_> = all.iter().map(|row| (row.digest, row.event.is_some(), row.sealed.is_some())).collect();
    assert_eq!(seen, [(Some(digest), false, false), (Some(digest), false, false), (None, true, false)]);
    assert_eq!((all[0].expires_at, all[2].expires_at), (later(2 * DAY_MS), EXPIRES_AT));
    assert_eq!((all[0].due_at, all[2].due_at), (NOW, Timestamp::EPOCH));

    let rows = these(&world, &arrivals, 0).await;
    let read = rows[1].sealed.as_ref().expect("what it sends");
    let asked = digest_of(&arrivals[..2]);
    assert_eq!((read.id, &read.members, &read.body), (digest, &asked.members, &asked.body));
    assert_eq!(read.sealed_at, asked.sealed_at);
    assert_eq!(rows[1].event.as_ref().unwrap().id, arrivals[1].event.id);
    assert!(rows[2].sealed.is_none());
    let shown = world.delivery(arrivals[0].delivery).await;
    assert_eq!((shown.state, shown.digest), (State::Pending, Some(digest)));
    assert_eq!(world.delivery(arrivals[2].delivery).await.digest, None);
}

pub async fn a_digest_is_sealed_whole_or_not_at_all<F: Factory>(world: World<'_, F>) {
    let arrivals = world.post_each(TENANT, 1, 5).await;
    let first = sealed(&world, &arrivals[..2]).await;
    world.settle(sent(&arrivals[2])).await;
    world.settle(retrying(&arrivals[3], NOW)).await;
    // One is in another digest, one is over, one was tried.
    for other in 1..=3 {
        let wanted = [arrivals[other].clone(), arrivals[4].clone()];
        assert_eq!(world.store().seal_digest(digest_of(&wanted)).await.unwrap(), None);
        let foreign = NewDigest { tenant: OTHER_TENANT, ..digest_of(&arrivals[4..]) };
        assert_eq!(world.store().seal_digest(foreign).await.unwrap(), None);
        let left = world.delivery(arrivals[4].delivery).await;
        assert_eq!((left.digest, left.expires_at), (None, EXPIRES_AT));
    }
    assert!(sealed(&world, &arrivals[4..]).await > first);
}

pub async fn a_digest_settles_together<F: Factory>(world: World<'_, F>) {
    let arrivals = world.post_each(TENANT, 1, 3).await;
    let digest = sealed(&world, &arrivals).await;
    world.store().settle(each(&arrivals, digest, |one| retrying(one, later(5000)))).await.unwrap();
    let early = these(&world, &arrivals[..1], 4999).await.remove(0);
    assert_eq!((early.digest, early.event.is_some(), early.sealed.is_some()), (Some(digest), false, false));
    assert!(these(&world, &arrivals[..1], 5000).await[0].sealed.is_some());
    let last = each(&arrivals, digest, |one| Settlement { tries_before: 1, ..sent(one) });
    world.store().settle(Arc::clone(&last)).await.unwrap();
    world.store().settle(last).await.unwrap();
    for arrival in &arrivals {
        let shown = world.delivery(arrival.delivery).await;
        assert_eq!((shown.state, shown.digest, shown.event), (State::Sent, Some(digest), arrival.event.id));
        let query = AttemptQuery { delivery: Some(arrival.delivery), ..AttemptQuery::newest(10) };
        let attempts = world.store().attempts(TENANT, query).await.unwrap().rows;
        assert_eq!(attempts.iter().map(|one| one.digest).collect::<Vec<_>>(), [Some(digest), Some(digest)]);
    }
    let stats = world.store().stats(TENANT, StatsQuery::since(NOW)).await.unwrap();
    assert_eq!((stats.sent, stats.pending, stats.retrying, stats.failed_attempts), (3, 0, 0, 3));
}

pub async fn a_digest_is_retried_together<F: Factory>(world: World<'_, F>) {
    let arrivals = world.post_each(TENANT, 1, 3).await;
    let digest = sealed(&world, &arrivals[..2]).await;
    let dead = |one: &Arrival| settlement(one, Outcome::retry("no"), over(State::Dead));
    world.store().settle(each(&arrivals[..2], digest, dead)).await.unwrap();
    assert_eq!(world.list(Some(1), Some(StateFilter::Dead), 10).await[0].digest, Some(digest));
    let due = Some(RetryAnswer::Due(ChannelId(1)));
    assert_eq!(world.store().retry(TENANT, arrivals[1].delivery, later(3 * DAY_MS)).await.unwrap(), due);
    let rows = these(&world, &arrivals[..2], 0).await;
    let seen: Vec<_> = rows.iter().map(|row| (row.digest, row.attempts, row.tries, row.expires_at)).collect();
    assert_eq!(seen, [(Some(digest), 0, 1, later(3 * DAY_MS)); 2]);
    assert_eq!(rows[0].sealed.as_ref().unwrap().body, digest_of(&arrivals).body);

    let waits =
        |one: &Arrival| Settlement { tries_before: 1, ..settlement(one, Outcome::retry("no"), wait(later(9000))) };
    world.store().settle(each(&arrivals[..2], digest, waits)).await.unwrap();
    assert_eq!(world.store().retry(TENANT, arrivals[1].delivery, later(3 * DAY_MS)).await.unwrap(), due);
    assert!(these(&world, &arrivals[..2], 0).await.iter().all(|row| row.sealed.is_some()));
    let stats = world.store().stats(TENANT, StatsQuery::since(NOW)).await.unwrap();
    assert_eq!((stats.dead, stats.pending, stats.retrying), (0, 1, 2));
}

pub async fn a_digest_ends_together<F: Factory>(world: World<'_, F>) {
    let channel = world.own_channel().await;
    let arrivals = world.post_each(TENANT, channel.0, 6).await;
    let [first, second] = [sealed(&world, &arrivals[..3]).await, sealed(&world, &arrivals[3..]).await];
    // A slice of one row takes the whole digest of that row.
    assert!(world.store().expire_slice(channel, vec![], later(2 * DAY_MS), 1).await.unwrap());
    for (arrival, digest) in arrivals.iter().zip([first, first, first, second, second, second]) {
        let shown = world.delivery(arrival.delivery).await;
        let expected = if digest == first { State::Expired } else { State::Pending };
        assert_eq!((shown.state, shown.digest), (expected, Some(digest)));
    }
    world.store().delete_channel(TENANT, channel, NOW).await.unwrap();
    world.store().cancel_slice(channel, vec![], NOW, 1).await.unwrap();
    assert_eq!(world.list(Some(channel.0), Some(StateFilter::Settled(State::Cancelled)), 10).await.len(), 3);
    assert_eq!(world.waiting(channel.0).await, []);
    let settled = each(&arrivals, first, |one| untried(one, State::Expired));
    world.store().settle(settled).await.unwrap();
    let stats = world.store().stats(TENANT, StatsQuery::since(NOW)).await.unwrap();
    assert_eq!((stats.expired, stats.cancelled, stats.pending), (3, 3, 0));
}
