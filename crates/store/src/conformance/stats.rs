//! Sums: right after every move, and never drifting from what the lists say.

use std::sync::Arc;

use domain::delivery::State;
use domain::event::NewEvent;
use domain::routing::Pattern;
use domain::{ChannelId, TenantId};

use super::Factory;
use super::fixtures::{
    DAY_MS, EXPIRES_AT, NOW, OTHER_TENANT, TENANT, World, content, dead, event, later, request, retrying, sent,
    settings, untried,
};
use crate::directory::ChannelChange;
use crate::journal::{ChannelStats, StateFilter, Stats, StatsQuery};
use crate::queue::{AcceptEvent, AcceptRequest, Arrival, Settlement};
use crate::{Directory as _, Journal as _, Queue as _};

async fn stats<F: Factory>(world: &World<'_, F>) -> Stats {
    world.store().stats(TENANT, StatsQuery::since(NOW)).await.unwrap()
}

pub async fn sums_follow_every_move<F: Factory>(world: World<'_, F>) {
    let mut expected = Stats::default();
    assert_eq!(stats(&world).await, expected);
    let arrivals = world.post_each(TENANT, 7, 5).await;
    expected = Stats { events: 5, pending: 5, waiting: vec![(ChannelId(7), 5, 0)], ..expected };
    assert_eq!(stats(&world).await, expected);
    // It waits without a try: it is pending as before.
    let put_off = Settlement { records: Vec::new(), attempts: 0, ..retrying(&arrivals[0], later(9)) };
    world.settle(put_off).await;
    assert_eq!(stats(&world).await, expected);
    world.settle(retrying(&arrivals[0], later(9))).await;
    expected = Stats { failed_attempts: 1, pending: 4, retrying: 1, waiting: vec![(ChannelId(7), 4, 1)], ..expected };
    assert_eq!(stats(&world).await, expected);
    world.settle(Settlement { tries_before: 1, ..dead(&arrivals[0]) }).await;
    expected = Stats { failed_attempts: 2, retrying: 0, dead: 1, waiting: vec![(ChannelId(7), 4, 0)], ..expected };
    assert_eq!(stats(&world).await, expected);
    world.store().retry(TENANT, arrivals[0].delivery, EXPIRES_AT).await.unwrap();
    expected = Stats { retrying: 1, dead: 0, waiting: vec![(ChannelId(7), 4, 1)], ..expected };
    assert_eq!(stats(&world).await, expected);
    world.settle(Settlement { tries_before: 2, ..sent(&arrivals[0]) }).await;
    world.settle(sent(&arrivals[1])).await;
    expected = Stats { sent: 2, pending: 3, retrying: 0, waiting: vec![(ChannelId(7), 3, 0)], ..expected };
    assert_eq!(stats(&world).await, expected);
    world.settle(untried(&arrivals[2], State::Cancelled)).await;
    world.settle(untried(&arrivals[3], State::Expired)).await;
    expected = Stats { cancelled: 1, expired: 1, pending: 1, waiting: vec![(ChannelId(7), 1, 0)], ..expected };
    assert_eq!(stats(&world).await, expected);
    world.settle(sent(&arrivals[4])).await;
    expected = Stats { sent: 3, pending: 0, waiting: vec![], ..expected };
    assert_eq!(stats(&world).await, expected);
}

pub async fn totals_are_of_every_channel_with_any<F: Factory>(world: World<'_, F>) {
    let check = async |expected: &[(i64, u64, u64, u64)]| {
        let totals = world.store().totals().await.unwrap();
        let totals: Vec<_> = totals.iter().map(|one| (one.channel.0, one.pending, one.retrying, one.dead)).collect();
        assert_eq!(totals, expected);
    };
    check(&[]).await;
    let first = world.post_each(TENANT, 7, 2).await;
    let other = world.post_each(TenantId(TENANT.0 + 1), 9, 1).await;
    check(&[(7, 2, 0, 0), (9, 1, 0, 0)]).await;
    world.settle(retrying(&first[0], later(9))).await;
    world.settle(dead(&first[1])).await;
    world.settle(sent(&other[0])).await;
    check(&[(7, 0, 1, 1)]).await;
}

pub async fn sums_begin_at_a_quarter_of_an_hour<F: Factory>(world: World<'_, F>) {
    let quarter = 15 * 60 * 1000;
    for at in [-1, 0, quarter - 1, quarter, 3 * quarter] {
        world.accept(AcceptRequest { now: later(at), ..request(TENANT, vec![event(TENANT, &[1])]) }).await;
    }
    for (since, expected) in [(-quarter, 5), (-1, 5), (0, 4), (quarter - 1, 4), (quarter, 2), (3 * quarter, 1)] {
        let stats = world.store().stats(TENANT, StatsQuery::since(later(since))).await.unwrap();
        assert_eq!((stats.events, stats.pending), (expected, 5), "since {since}");
    }
}

pub async fn sums_agree_with_the_lists<F: Factory>(mut world: World<'_, F>) {
    let channel = world.own_channel().await;
    let ends: [fn(&Arrival) -> Settlement; 5] = [
        sent,
        dead,
        |arrival| retrying(arrival, later(9)),
        |arrival| untried(arrival, State::Expired),
        |arrival| untried(arrival, State::Dead),
    ];
    for round in 0..12 {
        let arrivals = world.post_each(TENANT, if round % 3 == 0 { channel.0 } else { 500 + round }, 3).await;
        let end = ends[usize::try_from(round).unwrap() % ends.len()];
        world.store().settle(arrivals.iter().skip(1).map(end).collect()).await.unwrap();
        if round % 2 == 0 {
            world.store().retry(TENANT, arrivals[1].delivery, EXPIRES_AT).await.unwrap();
        }
    }
    let settings = settings();
    let cancels = Some("off".to_owned());
    let change = ChannelChange { tenant: TENANT, channel, settings, routes: None, resumes: false, cancels };
    world.store().update_channel(change, NOW).await.unwrap();
    while world.store().cancel_slice(channel, vec![], NOW, 2).await.unwrap() {}
    while world.store().expire_slice(ChannelId(501), vec![], EXPIRES_AT, 1).await.unwrap() {}
    world.reopen().await;
    let stats = stats(&world).await;
    let mut counted = Vec::new();
    for filter in [
        StateFilter::Pending,
        StateFilter::Retrying,
        StateFilter::Dead,
        StateFilter::Settled(State::Sent),
        StateFilter::Settled(State::Cancelled),
        StateFilter::Settled(State::Expired),
    ] {
        counted.push(world.list(None, Some(filter), 100).await.len() as u64);
    }
    assert_eq!(counted, [stats.pending, stats.retrying, stats.dead, stats.sent, stats.cancelled, stats.expired]);
    assert!(counted.iter().all(|count| *count > 0), "{counted:?}");
    assert_eq!(counted.iter().sum::<u64>(), stats.events);
    let waiting: Vec<_> = world.store().waiting_channels().await.unwrap();
    assert_eq!(stats.waiting.iter().map(|(channel, _, _)| *channel).collect::<Vec<_>>(), waiting);
    for (channel, pending, retrying) in stats.waiting {
        assert_eq!(world.waiting(channel.0).await.len() as u64, pending + retrying, "{channel}");
    }
}

pub async fn sums_are_narrowed_to_a_channel_or_a_type<F: Factory>(world: World<'_, F>) {
    let mut arrivals = Vec::new();
    for (event_type, channel) in [("a.b", 1), ("a.b", 2), ("a_b", 1), ("a.c", 1), ("postrider.test", 2)] {
        let content = Arc::new(NewEvent { event_type: event_type.into(), ..content(TENANT) });
        world.accept(request(TENANT, vec![AcceptEvent { content, ..event(TENANT, &[channel]) }])).await;
        arrivals.extend(world.heard());
    }
    for arrival in &arrivals[..3] {
        world.settle(sent(arrival)).await;
    }
    let check = async |channel: Option<i64>, pattern: Option<&str>, expected: (u64, u64, u64)| {
        let query = StatsQuery {
            channel: channel.map(ChannelId),
            event_types: pattern.map(|pattern| Pattern::parse(pattern).unwrap()),
            ..StatsQuery::since(NOW)
        };
        let stats = world.store().stats(TENANT, query).await.unwrap();
        assert_eq!((stats.events, stats.sent, stats.pending), expected, "{channel:?} {pattern:?}");
        assert_eq!(stats.waiting.iter().map(|(_, pending, _)| pending).sum::<u64>(), stats.pending);
    };
    check(None, None, (5, 3, 2)).await;
    check(Some(1), None, (0, 2, 1)).await;
    check(Some(2), None, (0, 1, 1)).await;
    check(Some(3), None, (0, 0, 0)).await;
    check(None, Some("a.b"), (1 + 1, 2, 0)).await;
    // A dot is a dot, and nothing is a wildcard.
    check(None, Some("a.*"), (3, 2, 0)).await;
    check(None, Some("a_b"), (1, 1, 0)).await;
    check(None, Some("*"), (4, 3, 0)).await;
    check(Some(1), Some("a.*"), (0, 1, 0)).await;
    // Another tenant's channel is none of ours.
    let foreign = StatsQuery { channel: Some(ChannelId(1)), ..StatsQuery::since(NOW) };
    assert_eq!(world.store().stats(OTHER_TENANT, foreign).await.unwrap(), Stats::default());
}

pub async fn sums_are_told_by_channel<F: Factory>(world: World<'_, F>) {
    assert_eq!(world.store().stats_by_channel(TENANT, NOW).await.unwrap(), []);
    let first = world.post_each(TENANT, 1, 4).await;
    let second = world.post_each(TENANT, 2, 2).await;
    world.post_each(OTHER_TENANT, 3, 1).await;
    world.settle(sent(&first[0])).await;
    world.settle(dead(&first[1])).await;
    world.settle(retrying(&first[2], later(9))).await;
    for arrival in &second {
        world.settle(untried(arrival, State::Cancelled)).await;
    }
    let nothing = |channel| ChannelStats { channel, sent: 0, failed_attempts: 0, pending: 0, retrying: 0, dead: 0 };
    let one = ChannelStats { sent: 1, failed_attempts: 2, pending: 1, retrying: 1, dead: 1, ..nothing(ChannelId(1)) };
    assert_eq!(world.store().stats_by_channel(TENANT, NOW).await.unwrap(), [one]);
    // What waits and what is dead is told however long ago it began.
    let later_on = ChannelStats { sent: 0, failed_attempts: 0, ..one };
    assert_eq!(world.store().stats_by_channel(TENANT, later(DAY_MS)).await.unwrap(), [later_on]);
    let pending = ChannelStats { pending: 1, ..nothing(ChannelId(3)) };
    assert_eq!(world.store().stats_by_channel(OTHER_TENANT, NOW).await.unwrap(), [pending]);
}
