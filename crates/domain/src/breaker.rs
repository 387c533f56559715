//! Breakers: a channel that fails holds what it has, tries one now and then, and goes on at a pace when that one gets
//! through.
//!
//! ```text
//! closed --(failures in a row)--> open --(the wait is over)--> probing --(delivered)--> draining --(all delivered)--> closed
//!                                  ^--------------(failed)--------'  '-----(failed)------'
//! ```
//!
//! What counts are deliveries and not tries: one message that a receiver cannot take fails as often as its schedule says
//! and trips nothing. Pure: time and randomness are arguments.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::schedule::jittered;
use crate::{DeliveryId, ReasonCode, Timestamp};

/// The most failures that a rule may ask for.
pub const FAILURES_MAX: u32 = 1000;

/// The longest time of any kind in a rule.
pub const WAIT_MAX: Duration = Duration::from_hours(24);

/// The most deliveries that a rule may let a channel hold.
pub const HELD_MAX: u32 = 10_000_000;

/// In which order a channel that comes back sends what it has held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Drain {
    #[default]
    OldestFirst,
    /// What came last is worth most.
    NewestFirst,
}

impl Drain {
    pub const ALL: [Self; 2] = [Self::OldestFirst, Self::NewestFirst];

    /// The name in the API and the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OldestFirst => "oldest_first",
            Self::NewestFirst => "newest_first",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|drain| drain.name() == text)
    }
}

/// When a channel trips, what it holds meanwhile, and how it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerRule {
    /// So many deliveries in a row have failed: at most [`FAILURES_MAX`]. 0: never.
    pub failures: u32,
    /// For so long, at least: a short outage is left to the retries.
    pub lasting: Duration,
    /// The wait before the first probe; it doubles with each one that fails.
    pub probe_first: Duration,
    /// The longest wait.
    pub probe_max: Duration,
    /// So many deliveries are held, also while the channel is paused: at most [`HELD_MAX`]. `None`: what the operator says.
    pub held_max: Option<u32>,
    /// Those are held that are no older, also while the channel is paused. `None`: what the operator says.
    pub held_for: Option<Duration>,
    pub drain: Drain,
}

impl Default for BreakerRule {
    fn default() -> Self {
        Self {
            failures: 10,
            lasting: Duration::from_secs(60),
            probe_first: Duration::from_secs(30),
            probe_max: Duration::from_secs(10 * 60),
            held_max: None,
            held_for: None,
            drain: Drain::OldestFirst,
        }
    }
}

/// That a channel is tripped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trip {
    /// What the last failure was.
    pub code: ReasonCode,
    /// The same in words; holds no secret.
    pub reason: String,
    pub since: Timestamp,
    /// When the next probe may go.
    pub probe_at: Timestamp,
}

/// How much a channel may send at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    Nothing,
    /// So many requests.
    Some(u32),
    /// What its own settings say.
    Everything,
}

#[derive(Clone, Debug)]
enum Phase {
    /// Which deliveries have failed in a row, and since when.
    Closed {
        failing: BTreeSet<DeliveryId>,
        since: Option<Timestamp>,
    },
    Open {
        probe_at: Timestamp,
    },
    /// One goes; or after that so many do.
    Probing,
    Draining {
        share: u32,
    },
}

/// The breaker of one channel.
#[derive(Clone, Debug)]
pub struct Breaker {
    phase: Phase,
    tripped_at: Timestamp,
    /// How many probes have failed in a row.
    probes_failed: u32,
}

impl Default for Breaker {
    fn default() -> Self {
        let phase = Phase::Closed { failing: BTreeSet::new(), since: None };
        Self { phase, tripped_at: Timestamp::EPOCH, probes_failed: 0 }
    }
}

impl Breaker {
    /// One that was open when the process ended, and may probe then.
    pub fn reopened(since: Timestamp, probe_at: Timestamp) -> Self {
        Self { phase: Phase::Open { probe_at }, tripped_at: since, probes_failed: 0 }
    }

    pub fn share(&self) -> Share {
        match self.phase {
            Phase::Closed { .. } => Share::Everything,
            Phase::Open { .. } => Share::Nothing,
            Phase::Probing => Share::Some(1),
            Phase::Draining { share } => Share::Some(share),
        }
    }

    /// Whether it is closed and nothing has failed.
    pub fn is_idle(&self) -> bool {
        matches!(&self.phase, Phase::Closed { failing, .. } if failing.is_empty())
    }

    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed { .. })
    }

    /// Since when it is tripped, and when the next probe may go; `None` when it is closed.
    pub fn trip(&self, code: ReasonCode, reason: &str) -> Option<Trip> {
        let probe_at = match self.phase {
            Phase::Closed { .. } => return None,
            Phase::Open { probe_at } => probe_at,
            Phase::Probing | Phase::Draining { .. } => self.tripped_at,
        };
        Some(Trip { code, reason: reason.to_owned(), since: self.tripped_at, probe_at })
    }

    /// A delivery failed in a way that may pass.
    pub fn failed(&mut self, rule: &BreakerRule, delivery: DeliveryId, now: Timestamp, random: u64) {
        match &mut self.phase {
            Phase::Closed { failing, since } => {
                // More than the rule asks for need not be told apart.
                if failing.len() < rule.failures as usize {
                    failing.insert(delivery);
                }
                let begun = *since.get_or_insert(now);
                let is_due = failing.len() >= rule.failures as usize && now.since(begun) >= rule.lasting;
                if rule.failures > 0 && is_due {
                    self.tripped_at = now;
                    self.probes_failed = 0;
                    self.open(rule, now, random);
                }
            }
            // What was under way when it opened says nothing new.
            Phase::Open { .. } => {}
            Phase::Probing | Phase::Draining { .. } => {
                self.probes_failed += 1;
                self.open(rule, now, random);
            }
        }
    }

    /// A delivery got through, or was answered in a way that only a receiver in order answers. `concurrency` is the
    /// channel's own.
    pub fn answered(&mut self, concurrency: u32) {
        match &mut self.phase {
            Phase::Closed { failing, since } => {
                failing.clear();
                *since = None;
            }
            // Sent before it opened.
            Phase::Open { .. } => {}
            Phase::Probing => self.phase = Phase::Draining { share: 2 },
            Phase::Draining { share } => *share = share.saturating_mul(2),
        }
        if matches!(self.phase, Phase::Draining { share } if share >= concurrency) {
            *self = Self::default();
        }
    }

    /// Time moves on. Returns whether a probe may go from now on.
    pub fn advance(&mut self, now: Timestamp) -> bool {
        let is_due = matches!(self.phase, Phase::Open { probe_at } if probe_at <= now);
        if is_due {
            self.phase = Phase::Probing;
        }
        is_due
    }

    fn open(&mut self, rule: &BreakerRule, now: Timestamp, random: u64) {
        let wait = rule.probe_first.saturating_mul(1 << self.probes_failed.min(16)).min(rule.probe_max);
        self.phase = Phase::Open { probe_at: now.after(jittered(wait, random)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: BreakerRule = BreakerRule {
        failures: 3,
        lasting: Duration::from_secs(10),
        probe_first: Duration::from_secs(30),
        probe_max: Duration::from_secs(100),
        held_max: None,
        held_for: None,
        drain: Drain::OldestFirst,
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_ms(1_700_000_000_000 + seconds * 1000)
    }

    /// Fails these deliveries, a second apart from then on. Randomness that makes waits as long as they get.
    fn fail(breaker: &mut Breaker, deliveries: &[i64], from: i64) {
        for (delivery, second) in deliveries.iter().zip(from..) {
            let half_us = 50_000_000;
            let most = u64::try_from(RULE.probe_first.as_micros()).unwrap() / 2;
            breaker.failed(&RULE, DeliveryId(*delivery), at(second), if most < half_us { most } else { half_us });
        }
    }

    fn tripped() -> Breaker {
        let mut breaker = Breaker::default();
        fail(&mut breaker, &[1, 2, 3], 0);
        fail(&mut breaker, &[4], 10);
        breaker
    }

    #[test]
    fn deliveries_in_a_row_that_fail_for_long_enough_trip_it() {
        let check = |deliveries: &[i64], last_at: i64, trips: bool| {
            let mut breaker = Breaker::default();
            let (last, first) = deliveries.split_last().unwrap();
            fail(&mut breaker, first, 0);
            fail(&mut breaker, &[*last], last_at);
            assert_eq!(!breaker.is_closed(), trips, "{deliveries:?} {last_at}");
        };
        check(&[1, 2, 3], 10, true);
        check(&[1, 2, 3], 9, false);
        check(&[1, 2, 1, 2, 1, 1, 1, 1, 2, 2], 60, false);
        let mut mixed = Breaker::default();
        fail(&mut mixed, &[1, 2], 0);
        mixed.answered(8);
        fail(&mut mixed, &[3, 4], 20);
        assert!(mixed.is_closed(), "not in a row");
        let mut never = Breaker::default();
        let off = BreakerRule { failures: 0, ..RULE };
        (0..100).for_each(|second| never.failed(&off, DeliveryId(second), at(second), 0));
        assert!(never.is_closed());
    }

    #[test]
    fn it_holds_probes_and_drains_at_a_pace() {
        let mut breaker = tripped();
        assert_eq!(breaker.share(), Share::Nothing);
        let trip = breaker.trip(ReasonCode::AnsweredWithFailure, "HTTP 503").unwrap();
        assert_eq!((trip.since, trip.reason.as_str()), (at(10), "HTTP 503"));
        assert!(trip.probe_at > at(24) && trip.probe_at <= at(40));
        assert!(!breaker.advance(at(24)));
        assert!(breaker.advance(at(40)) && !breaker.advance(at(40)));
        let mut shares = vec![breaker.share()];
        for _ in 0..3 {
            breaker.answered(8);
            shares.push(breaker.share());
        }
        assert_eq!(shares, [Share::Some(1), Share::Some(2), Share::Some(4), Share::Everything]);
        assert_eq!(breaker.trip(ReasonCode::NotReached, ""), None);
    }

    #[test]
    fn probes_that_fail_are_further_and_further_apart() {
        let mut breaker = tripped();
        let mut waits = Vec::new();
        let mut now = at(10);
        for _ in 0..4 {
            let probe_at = breaker.trip(ReasonCode::NotReached, "").unwrap().probe_at;
            waits.push(probe_at.since(now).as_secs());
            now = probe_at;
            assert!(breaker.advance(now));
            breaker.failed(&RULE, DeliveryId(9), now, 0);
        }
        assert_eq!(waits[1..], [30, 50, 50], "half of 60, and of the longest");
        assert_eq!(breaker.trip(ReasonCode::NotReached, "").unwrap().since, at(10), "it is one trip");
    }

    #[test]
    fn what_was_under_way_when_it_opened_changes_nothing() {
        let mut breaker = tripped();
        let before = breaker.trip(ReasonCode::NotReached, "").unwrap();
        fail(&mut breaker, &[7, 8, 9], 11);
        breaker.answered(8);
        assert_eq!(breaker.trip(ReasonCode::NotReached, "").unwrap(), before);
    }

    #[test]
    fn a_failure_while_it_drains_opens_it_again() {
        let mut breaker = tripped();
        breaker.advance(at(40));
        breaker.answered(8);
        fail(&mut breaker, &[5], 41);
        assert_eq!(breaker.share(), Share::Nothing);
    }

    #[test]
    fn a_channel_that_sends_one_at_a_time_is_closed_by_one() {
        let mut breaker = tripped();
        breaker.advance(at(40));
        breaker.answered(1);
        assert!(breaker.is_closed());
    }

    #[test]
    fn one_that_was_open_at_the_end_goes_on() {
        let mut breaker = Breaker::reopened(at(3), at(40));
        let trip = breaker.trip(ReasonCode::NotReached, "").unwrap();
        assert_eq!((breaker.share(), trip.since, trip.probe_at), (Share::Nothing, at(3), at(40)));
        assert!(breaker.advance(at(40)));
        breaker.answered(1);
        assert!(breaker.is_closed());
    }
}
