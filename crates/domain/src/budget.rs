//! Budgets: how much may be sent now, and when more may be.
//!
//! Two kinds, because they answer for different things. A [`Budget`] keeps the rate of a provider, which looks at every
//! window of time: it remembers when each message was answered, and until then counts it as being sent, so that however
//! long requests take no window at the receiver holds more than it allows. A [`Bucket`] keeps the rate that an owner
//! chose, of which only the pace counts: it is one number.
//!
//! Integer arithmetic; time is an argument. A clock that goes back makes nothing wait longer than a window.
//!
//! What was sent before this process started is not known. So each kind begins as if its rate had been used: the short
//! windows wholly, those up to a minute evenly, and only longer ones begin anew (decision 0012).

use std::collections::VecDeque;
use std::time::Duration;

use crate::channel::RateLimit;
use crate::{ScopeId, Timestamp};

/// So many messages in any window, over all channels of a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScopedRate {
    pub scope: ScopeId,
    pub count: u32,
    pub window: Duration,
}

/// When something may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Free {
    Now,
    At(Timestamp),
    /// Everything is under way; what is answered makes room in time.
    OnceAnswered,
}

/// Windows up to this are taken as used when a process starts: nobody notices so short a wait.
const SHORT: Duration = Duration::from_secs(5);

/// Longer windows than this begin anew when a process starts: spread evenly, a limit for a day would let hardly anything
/// through for a day.
const LONG: Duration = Duration::from_secs(60);

/// A provider's rates of one scope.
#[derive(Clone, Debug)]
pub struct Budget {
    /// How many in how many milliseconds.
    windows: Vec<(u32, i64)>,
    under_way: u32,
    /// When what was sent lately was answered, oldest first; as much as the longest window can hold.
    answered: VecDeque<Timestamp>,
    /// What the provider asked for beyond its rates.
    blocked_until: Option<Timestamp>,
}

impl Budget {
    /// A budget of a process that started then. Without rates it only blocks.
    pub fn new(rates: &[ScopedRate], started_at: Timestamp) -> Self {
        let windows = rates.iter().map(|rate| (rate.count.max(1), ms(rate.window))).collect();
        let mut budget = Self { windows, under_way: 0, answered: VecDeque::new(), blocked_until: None };
        budget.answered = budget.as_if_used(started_at);
        budget
    }

    /// What may have been sent before the process started.
    fn as_if_used(&self, started_at: Timestamp) -> VecDeque<Timestamp> {
        let is_known = |(_, length): &&(u32, i64)| *length <= ms(LONG);
        let mut used: Vec<Timestamp> = Vec::new();
        for (count, length) in self.windows.iter().filter(is_known) {
            let at = |place: i64| match length {
                _ if *length <= ms(SHORT) => started_at.as_ms(),
                _ => started_at.as_ms() - length + length * place / i64::from(*count),
            };
            let already = used.iter().filter(|at| at.as_ms() > started_at.as_ms() - length).count();
            let missing = i64::from(*count) - i64::try_from(already).unwrap_or(i64::MAX);
            used.extend((1..=missing).map(|place| Timestamp::from_ms(at(place))));
            used.sort_unstable();
        }
        used.into()
    }

    /// When the next may be sent.
    pub fn free(&mut self, now: Timestamp) -> Free {
        self.forgive(now);
        if let Some(until) = self.blocked_until {
            if until > now {
                return Free::At(until);
            }
            self.blocked_until = None;
        }
        let mut at = now;
        for (count, length) in &self.windows {
            let since = Timestamp::from_ms(now.as_ms().saturating_sub(*length));
            let first = self.answered.partition_point(|answered| *answered <= since);
            let used = self.under_way as usize + (self.answered.len() - first);
            let Some(over) = used.checked_sub(*count as usize) else { continue };
            let Some(ends) = self.answered.get(first + over) else { return Free::OnceAnswered };
            at = at.max(Timestamp::from_ms(ends.as_ms() + length));
        }
        if at > now { Free::At(at) } else { Free::Now }
    }

    /// Something is being sent.
    pub fn start(&mut self, messages: u32) {
        self.under_way += messages;
    }

    /// Something that was being sent is answered, after so many requests; none when it was not sent after all.
    pub fn answer(&mut self, requests: u32, now: Timestamp) {
        self.under_way = self.under_way.saturating_sub(1);
        if self.windows.is_empty() {
            return;
        }
        // Times are cut to milliseconds: the answer may have come up to one later.
        let at = Timestamp::from_ms(now.as_ms() + 1).max(self.answered.back().copied().unwrap_or(now));
        let kept = self.windows.iter().map(|(count, _)| *count as usize).max().unwrap_or(0) + requests as usize;
        self.answered.extend((0..requests).map(|_| at));
        let surplus = self.answered.len().saturating_sub(kept);
        self.answered.drain(..surplus);
    }

    /// The provider wants nothing before then.
    pub fn block(&mut self, until: Timestamp) {
        self.blocked_until = Some(self.blocked_until.map_or(until, |earlier| earlier.max(until)));
    }

    /// Until when the provider wants nothing, beyond its rates.
    pub fn blocked_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.blocked_until.filter(|until| *until > now)
    }

    /// Whether nothing is to be remembered any more.
    pub fn is_idle(&mut self, now: Timestamp) -> bool {
        let longest = self.windows.iter().map(|(_, length)| *length).max().unwrap_or(0);
        let last = self.answered.back().map_or(i64::MIN, |at| at.as_ms().saturating_add(longest));
        self.under_way == 0 && last <= now.as_ms() && self.blocked_until.is_none_or(|until| until <= now)
    }

    /// After the clock went back, what it put into the future is taken as of now.
    fn forgive(&mut self, now: Timestamp) {
        let latest = Timestamp::from_ms(now.as_ms() + 1);
        for at in self.answered.iter_mut().rev() {
            if *at <= latest {
                break;
            }
            *at = latest;
        }
    }
}

/// The rate that an owner chose: a bucket that fills at its pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    limit: RateLimit,
    /// Between two messages, in nanoseconds, rounded up.
    pace_ns: i64,
    /// How far ahead of its pace it may be.
    burst_ns: i64,
    /// When the bucket will be full, in nanoseconds since 1970.
    full_at_ns: i64,
    /// The last time that it was asked.
    seen_ns: i64,
}

const NS_PER_MS: i64 = 1_000_000;

impl Bucket {
    /// An empty bucket of a process that started then. However slow its pace, the first message need not wait longer
    /// than a minute.
    pub fn new(limit: RateLimit, started_at: Timestamp) -> Self {
        let period_ns = ms(limit.per.length()) * NS_PER_MS;
        let count = i64::from(limit.count.max(1));
        let pace_ns = (period_ns + count - 1) / count;
        let burst_ns = pace_ns.saturating_mul(i64::from(limit.burst.unwrap_or(limit.count).max(1)));
        let start_ns = started_at.as_ms().saturating_mul(NS_PER_MS);
        let first_ns = pace_ns.min(ms(LONG) * NS_PER_MS);
        let full_at_ns = start_ns.saturating_add(burst_ns - pace_ns).saturating_add(first_ns);
        Self { limit, pace_ns, burst_ns, full_at_ns, seen_ns: start_ns }
    }

    /// A full bucket: nothing was sent before.
    pub fn full(limit: RateLimit, now: Timestamp) -> Self {
        let empty = Self::new(limit, now);
        Self { full_at_ns: empty.seen_ns, ..empty }
    }

    pub fn limit(&self) -> RateLimit {
        self.limit
    }

    /// When the next may be sent.
    pub fn free(&mut self, now: Timestamp) -> Free {
        let now_ns = now.as_ms().saturating_mul(NS_PER_MS);
        // When the clock goes back, it goes with it.
        let back_ns = self.seen_ns.saturating_sub(now_ns).max(0);
        self.full_at_ns = self.full_at_ns.saturating_sub(back_ns);
        self.seen_ns = now_ns;
        let free_at_ns = self.full_at_ns.saturating_sub(self.burst_ns - self.pace_ns);
        if free_at_ns <= now_ns {
            return Free::Now;
        }
        Free::At(Timestamp::from_ms(free_at_ns / NS_PER_MS + i64::from(free_at_ns % NS_PER_MS > 0)))
    }

    /// So many are sent. More than are free make the next ones wait longer.
    pub fn take(&mut self, messages: u32, now: Timestamp) {
        let now_ns = now.as_ms().saturating_mul(NS_PER_MS);
        let taken_ns = self.pace_ns.saturating_mul(i64::from(messages));
        self.full_at_ns = self.full_at_ns.max(now_ns).saturating_add(taken_ns);
    }

    /// One that was taken was not sent after all.
    pub fn give_back(&mut self) {
        self.full_at_ns = self.full_at_ns.saturating_sub(self.pace_ns);
    }
}

fn ms(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
