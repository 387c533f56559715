//! Budgets against what receivers and owners count, for any times that requests take.

use proptest::prelude::*;

use super::*;
use crate::channel::RatePeriod;

const START: Timestamp = Timestamp::from_ms(1_700_000_000_000);

/// Long after every window of a new budget.
const LATER: Timestamp = Timestamp::from_ms(START.as_ms() + 3_600_000);

fn rates(windows: &[(u32, u64)]) -> Vec<ScopedRate> {
    let rate = |(count, window_ms): &(u32, u64)| ScopedRate {
        scope: ScopeId(1),
        count: *count,
        window: Duration::from_millis(*window_ms),
    };
    windows.iter().map(rate).collect()
}

/// Sends as early as the budget lets it, each request taking the next of these times; when each arrived, which is
/// somewhere between its start and its answer.
fn send(budget: &mut Budget, from: Timestamp, took: &[(i64, i64)], at_a_time: usize) -> Vec<i64> {
    let mut arrivals = Vec::new();
    let mut under_way: Vec<i64> = Vec::new();
    let mut now = from;
    for (way_ms, back_ms) in took {
        loop {
            let free = if under_way.len() < at_a_time { budget.free(now) } else { Free::OnceAnswered };
            let next_answer = under_way.iter().min().copied();
            match free {
                Free::Now => break,
                Free::At(at) if next_answer.is_none_or(|answer| at.as_ms() < answer) => {
                    assert!(at > now, "time moves on");
                    now = at;
                }
                Free::At(_) | Free::OnceAnswered => {
                    let answer = next_answer.expect("something is under way that is waited for");
                    let place = under_way.iter().position(|at| *at == answer).unwrap();
                    under_way.swap_remove(place);
                    now = Timestamp::from_ms(answer.max(now.as_ms()));
                    budget.answer(1, now);
                }
            }
        }
        budget.start(1);
        arrivals.push(now.as_ms() + way_ms);
        under_way.push(now.as_ms() + way_ms + back_ms);
    }
    arrivals.sort_unstable();
    arrivals
}

fn most_in_a_window(arrivals: &[i64], window_ms: u64) -> usize {
    let length = i64::try_from(window_ms).unwrap();
    let within = |(place, end): (usize, &i64)| arrivals[..=place].iter().filter(|at| **at > end - length).count();
    arrivals.iter().enumerate().map(within).max().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_window_holds_more_than_it_allows(
        windows in prop::collection::vec((1u32..6, 1u64..3_000), 1..4),
        took in prop::collection::vec((0i64..900, 0i64..900), 1..80),
        at_a_time in 1usize..9,
    ) {
        let mut budget = Budget::new(&rates(&windows), START);
        let arrivals = send(&mut budget, LATER, &took, at_a_time);
        prop_assert_eq!(arrivals.len(), took.len(), "nothing is dropped");
        for (count, window_ms) in windows {
            prop_assert!(most_in_a_window(&arrivals, window_ms) <= count as usize);
        }
    }

    #[test]
    fn an_owners_rate_is_kept_and_used(
        count in 1u32..2_000,
        burst in prop::option::of(1u32..50),
        gaps in prop::collection::vec(0i64..50, 1..200),
    ) {
        let limit = RateLimit { count, per: RatePeriod::Second, burst };
        let mut bucket = Bucket::new(limit, START);
        let mut now = LATER;
        let mut sent = Vec::new();
        for gap in gaps {
            now = Timestamp::from_ms(now.as_ms() + gap);
            if let Free::At(at) = bucket.free(now) {
                prop_assert!(at > now);
                now = at;
                prop_assert_eq!(bucket.free(now), Free::Now);
            }
            bucket.take(1, now);
            sent.push(now.as_ms());
        }
        let burst = i64::from(burst.unwrap_or(count));
        for (first, from) in sent.iter().enumerate() {
            for (last, to) in sent.iter().enumerate().skip(first) {
                let most = burst + (to - from) * i64::from(count) / 1000;
                prop_assert!(i64::try_from(last - first).unwrap() < most.max(burst) + 1);
            }
        }
    }
}

#[test]
fn what_a_provider_asks_for_comes_before_its_rates() {
    let mut budget = Budget::new(&[], START);
    assert_eq!(budget.free(START), Free::Now);
    let until = START.after(Duration::from_secs(7));
    budget.block(until);
    budget.block(START.after(Duration::from_secs(1)));
    assert_eq!(budget.free(START), Free::At(until));
    assert_eq!(budget.free(until), Free::Now);
    assert_eq!(budget.free(START), Free::Now, "for good, also when the clock goes back");
}

#[test]
fn a_start_is_no_way_around_a_rate() {
    let second = Duration::from_secs(1);
    // A second's worth is gone, a minute's is spread, an hour's begins anew.
    let mut short = Budget::new(&rates(&[(2, 1000)]), START);
    assert_eq!(short.free(START), Free::At(START.after(second)));
    let mut even = Budget::new(&rates(&[(20, 60_000)]), START);
    assert_eq!(even.free(START), Free::At(START.after(3 * second)));
    even.start(1);
    even.answer(1, START.after(3 * second));
    assert_eq!(even.free(START.after(3 * second)), Free::At(START.after(6 * second)));
    assert_eq!(Budget::new(&rates(&[(100, 3_600_000)]), START).free(START), Free::Now);
    let hourly = RateLimit { count: 10, per: RatePeriod::Hour, burst: None };
    assert_eq!(Bucket::new(hourly, START).free(START), Free::At(START.after(60 * second)));
    assert_eq!(Bucket::new(hourly, START).free(LATER), Free::Now);
}

#[test]
fn a_full_bucket_has_one_burst() {
    let mut bucket = Bucket::full(RateLimit { count: 3, per: RatePeriod::Minute, burst: None }, START);
    for _ in 0..3 {
        assert_eq!(bucket.free(START), Free::Now);
        bucket.take(1, START);
    }
    assert_eq!(bucket.free(START), Free::At(START.after(Duration::from_secs(20))));
}

#[test]
fn what_was_not_sent_is_given_back() {
    let mut budget = Budget::new(&rates(&[(1, 1000)]), START);
    budget.start(1);
    assert_eq!(budget.free(LATER), Free::OnceAnswered);
    budget.answer(0, LATER);
    assert_eq!(budget.free(LATER), Free::Now);
    let mut bucket = Bucket::new(RateLimit { count: 1, per: RatePeriod::Second, burst: None }, START);
    let full = bucket;
    bucket.take(1, LATER);
    assert_ne!(bucket.free(LATER), Free::Now);
    bucket.give_back();
    assert_eq!(bucket.free(LATER), Free::Now);
    assert_eq!(full.limit(), bucket.limit());
}

#[test]
fn more_requests_than_were_asked_for_are_owed() {
    let mut budget = Budget::new(&rates(&[(2, 1000)]), START);
    budget.start(1);
    budget.answer(4, LATER);
    // The first two of them have to leave the window first.
    assert_eq!(budget.free(LATER), Free::At(Timestamp::from_ms(LATER.as_ms() + 1001)));
    let mut bucket = Bucket::new(RateLimit { count: 1, per: RatePeriod::Second, burst: Some(1) }, START);
    bucket.take(3, LATER);
    assert_eq!(bucket.free(LATER), Free::At(LATER.after(Duration::from_secs(3))));
}

#[test]
fn a_clock_that_goes_back_costs_at_most_a_window() {
    let mut budget = Budget::new(&rates(&[(1, 1000)]), START);
    budget.start(1);
    budget.answer(1, LATER);
    assert_eq!(budget.free(START), Free::At(Timestamp::from_ms(START.as_ms() + 1001)));
    let mut bucket = Bucket::new(RateLimit { count: 1, per: RatePeriod::Second, burst: None }, START);
    assert_eq!(bucket.free(LATER), Free::Now);
    bucket.take(1, LATER);
    assert_eq!(bucket.free(START), Free::At(START.after(Duration::from_secs(1))));
}

#[test]
fn only_what_a_window_may_hold_is_remembered() {
    let mut budget = Budget::new(&rates(&[(3, 1000), (5, 10_000)]), START);
    for _ in 0..100 {
        budget.start(1);
        budget.answer(1, LATER);
    }
    assert!(budget.answered.len() <= 6, "{}", budget.answered.len());
    assert!(!budget.is_idle(LATER) && budget.is_idle(LATER.after(Duration::from_secs(11))));
}
