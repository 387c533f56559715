//! Rates and shares: what holds lanes back, and that nothing waits longer than it has to.

use proptest::prelude::*;

use super::*;
use crate::budget::ScopedRate;
use crate::channel::{RateLimit, RatePeriod};

/// Long after everything that counts as used at the start.
const LATER: Timestamp = Timestamp::from_ms(NOW.as_ms() + 3_600_000);

const SECOND: Duration = Duration::from_secs(1);

fn rate(scope: u64, count: u32, window: Duration) -> ScopedRate {
    ScopedRate { scope: ScopeId(scope), count, window }
}

fn metered(tenant: i64, metering: Metering) -> LaneRules {
    LaneRules { metering, ..rules(tenant, 8) }
}

/// Lanes with room for everything.
fn lanes() -> Lanes<i64> {
    lanes_since(NOW)
}

fn lanes_since(started_at: Timestamp) -> Lanes<i64> {
    let bounds = Bounds { unsettled_max: 1000, lane_items_max: 20_000, buffered_bytes_max: 1 << 30, ..BOUNDS };
    Lanes::new(bounds, started_at)
}

fn fill(lanes: &mut Lanes<i64>, channel: i64, ids: std::ops::RangeInclusive<i64>) {
    for id in ids {
        lanes.arrive(ChannelId(channel), Ready { delivery: DeliveryId(id), bytes: 1, item: id }, LATER);
    }
}

/// Sends everything, each start answered after the next of these times; the channel and time of each.
fn send_all(lanes: &mut Lanes<i64>, took_ms: &[i64]) -> Vec<(ChannelId, i64)> {
    let mut now = LATER;
    let mut sent = Vec::new();
    let mut under_way: BTreeSet<(i64, i64, ChannelId)> = BTreeSet::new();
    loop {
        lanes.advance(now);
        while let Some(start) = lanes.start_next(now) {
            let took_ms = took_ms[sent.len() % took_ms.len()];
            under_way.insert((now.as_ms() + took_ms, start.item, start.channel));
            sent.push((start.channel, now.as_ms()));
        }
        let answer = under_way.first().map(|(at, ..)| *at);
        let wake = lanes.wake_at().map(Timestamp::as_ms);
        let Some(next) = answer.into_iter().chain(wake).min() else { return sent };
        now = Timestamp::from_ms(next.max(now.as_ms()));
        while let Some((at, item, channel)) = under_way.first().copied()
            && at <= now.as_ms()
        {
            under_way.pop_first();
            lanes.answered(channel, SENT, now);
            lanes.settled(channel, DeliveryId(item), None, now);
        }
    }
}

fn most_in_a_window(times: &[i64], window: Duration) -> usize {
    let length = i64::try_from(window.as_millis()).unwrap();
    let mut first = 0;
    let within = |(place, at): (usize, &i64)| {
        while times[first] <= at - length {
            first += 1;
        }
        place - first + 1
    };
    times.iter().enumerate().map(within).max().unwrap_or(0)
}

#[test]
fn an_owners_rate_spaces_starts_and_the_rest_waits() {
    let mut lanes = lanes();
    let limit = RateLimit { count: 2, per: RatePeriod::Second, burst: Some(3) };
    lanes.open(ChannelId(1), &metered(1, Metering { rate_limit: Some(limit), ..Metering::default() }), LATER);
    fill(&mut lanes, 1, 1..=6);
    let times: Vec<i64> = send_all(&mut lanes, &[5]).into_iter().map(|(_, at)| at - LATER.as_ms()).collect();
    assert_eq!(times, [0, 0, 0, 500, 1000, 1500]);
}

#[test]
fn a_new_channel_has_its_burst_and_an_old_one_has_it_later() {
    let limit = RateLimit { count: 3, per: RatePeriod::Minute, burst: None };
    let check = |is_new: bool, expected: [i64; 5]| {
        let mut lanes = lanes_since(LATER);
        let rules = metered(1, Metering { rate_limit: Some(limit), is_new, ..Metering::default() });
        lanes.open(ChannelId(1), &rules, LATER);
        fill(&mut lanes, 1, 1..=5);
        let times: Vec<i64> = send_all(&mut lanes, &[5]).into_iter().map(|(_, at)| at - LATER.as_ms()).collect();
        assert_eq!(times, expected, "{is_new}");
    };
    check(true, [0, 0, 0, 20_000, 40_000]);
    check(false, [20_000, 40_000, 60_000, 80_000, 100_000]);
}

#[test]
fn a_new_channel_has_its_burst_once_whatever_its_owner_changes() {
    let mut lanes = lanes_since(LATER);
    let rules = |count: Option<u32>| {
        let rate_limit = count.map(|count| RateLimit { count, per: RatePeriod::Minute, burst: None });
        metered(1, Metering { rate_limit, is_new: true, ..Metering::default() })
    };
    lanes.open(ChannelId(1), &rules(Some(3)), LATER);
    for count in [None, Some(2)] {
        lanes.open(ChannelId(1), &rules(count), LATER);
    }
    fill(&mut lanes, 1, 1..=2);
    let times: Vec<i64> = send_all(&mut lanes, &[5]).into_iter().map(|(_, at)| at - LATER.as_ms()).collect();
    assert_eq!(times, [30_000, 60_000]);
}

#[test]
fn a_burst_of_ten_thousand_keeps_to_shared_rates() {
    // A bot with 40 chats of two tenants: one a second each, thirty a second together.
    let mut lanes = lanes();
    for channel in 1..=40 {
        let rates = vec![rate(100 + u64::try_from(channel).unwrap(), 1, SECOND), rate(1, 30, SECOND)];
        lanes.open(ChannelId(channel), &metered(channel % 2, Metering { rates, ..Metering::default() }), LATER);
        fill(&mut lanes, channel, channel * 1000..=channel * 1000 + 249);
    }
    let sent = send_all(&mut lanes, &[3, 250, 40, 900, 7]);
    assert_eq!(sent.len(), 10_000);
    let all: Vec<i64> = sent.iter().map(|(_, at)| *at).collect();
    assert!(most_in_a_window(&all, SECOND) <= 30);
    for channel in 1..=40 {
        let own: Vec<i64> = sent.iter().filter(|(one, _)| *one == ChannelId(channel)).map(|(_, at)| *at).collect();
        assert!(own.len() == 250 && most_in_a_window(&own, SECOND) <= 1);
    }
    let took_s = (all.last().unwrap() - LATER.as_ms()) / 1000;
    assert!(took_s < 600, "the rate is used: {took_s} s");
}

#[test]
fn a_scope_that_is_blocked_holds_its_lanes_and_no_others() {
    let mut lanes = lanes();
    let bot =
        |scopes: &[u64]| Metering { scopes: scopes.iter().map(|id| ScopeId(*id)).collect(), ..Metering::default() };
    lanes.open(ChannelId(1), &metered(1, bot(&[7, 9])), LATER);
    lanes.open(ChannelId(2), &metered(2, bot(&[7])), LATER);
    lanes.open(ChannelId(3), &metered(2, bot(&[8])), LATER);
    let until = LATER.after(30 * SECOND);
    lanes.block_scope(ScopeId(7), until);
    (1..=3).for_each(|channel| fill(&mut lanes, channel, channel..=channel));
    let mut sent = send_all(&mut lanes, &[5]);
    sent.sort_unstable();
    let at = [(1, until), (2, until), (3, LATER)];
    assert_eq!(sent, at.map(|(channel, at)| (ChannelId(channel), at.as_ms())));
}

#[test]
fn a_channel_that_moves_to_another_scope_is_counted_there() {
    let mut lanes = lanes();
    let of = |scope: u64| Metering { rates: vec![rate(scope, 1, SECOND)], ..Metering::default() };
    lanes.open(ChannelId(1), &metered(1, of(1)), LATER);
    lanes.open(ChannelId(2), &metered(1, of(2)), LATER);
    fill(&mut lanes, 1, 1..=1);
    fill(&mut lanes, 2, 2..=2);
    assert_eq!(lanes.start_next(LATER).unwrap().item, 1);
    // It is still under way, and counts where its channel is.
    lanes.open(ChannelId(1), &metered(1, of(2)), LATER);
    assert!(lanes.start_next(LATER).is_none());
    lanes.answered(ChannelId(1), SENT, LATER);
    let at = lanes.wake_at().expect("it waits for a time");
    lanes.advance(at);
    assert_eq!(lanes.start_next(at).unwrap().item, 2);
    // Without a rate it waits for nothing.
    lanes.open(ChannelId(2), &rules(1, 8), LATER);
    fill(&mut lanes, 2, 3..=3);
    assert_eq!(lanes.start_next(LATER).unwrap().item, 3);
}

#[test]
fn slow_channels_share_half_of_the_slots() {
    let mut lanes = Lanes::new(Bounds { unsettled_max: 20, lane_items_max: 100, ..BOUNDS }, NOW);
    for channel in 1..=5 {
        lanes.open(ChannelId(channel), &rules(1, 8), NOW);
        fill(&mut lanes, channel, channel * 100..=channel * 100 + 19);
    }
    let started: Vec<_> = std::iter::from_fn(|| lanes.start_next(NOW)).collect();
    assert_eq!(started.len(), 10, "nobody has answered yet");
    // The first channel answers, quickly; the others never do.
    let quick = started.iter().find(|start| start.channel == ChannelId(1)).unwrap();
    lanes.answered(quick.channel, SENT, NOW);
    lanes.settled(quick.channel, quick.delivery, None, NOW);
    let more: Vec<_> = std::iter::from_fn(|| lanes.start_next(NOW)).collect();
    let of_quick = more.iter().filter(|start| start.channel == ChannelId(1)).count();
    assert!(of_quick >= 5, "{of_quick} of {}", more.len());
    let held = |channel: i64| lanes.in_flight(ChannelId(channel));
    assert_eq!((2..=5).map(held).sum::<usize>(), 10);
    // When it turns out slow it is counted with them, and nothing of it starts beyond their share.
    for start in started.iter().chain(&more).filter(|start| start.channel == ChannelId(1)) {
        if start.delivery != quick.delivery {
            lanes.answered(start.channel, Answer { requests: 1, took: 20 * SECOND }, NOW);
            lanes.settled(start.channel, start.delivery, None, NOW);
        }
    }
    assert!(lanes.start_next(NOW).is_none());
    let slow = started.iter().find(|start| start.channel == ChannelId(2)).unwrap();
    lanes.answered(slow.channel, Answer { requests: 1, took: 20 * SECOND }, NOW);
    lanes.settled(slow.channel, slow.delivery, None, NOW);
    assert!(lanes.start_next(NOW).is_some(), "a slot is free again");
    assert!(lanes.start_next(NOW).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_rates_everything_is_sent_and_no_window_breached(
        channels in prop::collection::vec(
            (prop::collection::vec((0u64..4, 1u32..5, 1u64..2_000), 0..3), prop::option::of(1u32..20), 0i64..40),
            1..6,
        ),
        took_ms in prop::collection::vec(0i64..1_500, 1..20),
    ) {
        let mut lanes = lanes();
        let mut expected = 0;
        // A scope has one set of rates, whoever is in it.
        let mut rates: BTreeMap<u64, (u32, Duration)> = BTreeMap::new();
        let mut members: BTreeMap<u64, BTreeSet<ChannelId>> = BTreeMap::new();
        for (number, (scopes, limit, items)) in (1..).zip(&channels) {
            let rate_limit = limit.map(|count| RateLimit { count, per: RatePeriod::Second, burst: None });
            let mut metering = Metering { rate_limit, ..Metering::default() };
            for (scope, count, window_ms) in scopes {
                let (count, window) = *rates.entry(*scope).or_insert((*count, Duration::from_millis(*window_ms)));
                if members.entry(*scope).or_default().insert(ChannelId(number)) {
                    metering.rates.push(rate(*scope, count, window));
                }
            }
            lanes.open(ChannelId(number), &metered(number % 2, metering), LATER);
            fill(&mut lanes, number, number * 1000..=number * 1000 + items - 1);
            expected += usize::try_from(*items).unwrap();
        }
        let sent = send_all(&mut lanes, &took_ms);
        prop_assert_eq!(sent.len(), expected);
        for (scope, (count, window)) in rates {
            let own: Vec<i64> =
                sent.iter().filter(|(channel, _)| members[&scope].contains(channel)).map(|(_, at)| *at).collect();
            prop_assert!(most_in_a_window(&own, window) <= count as usize);
        }
    }
}
