//! Quotas: how much a tenant may bring and have, so that none of them fills what all of them share.
//!
//! Pure: what was counted and what time it is are arguments. Who counts, and what is said to whom, is the engine's.

use std::time::Duration;

use crate::Timestamp;

/// The largest bound: JSON carries it exactly everywhere.
pub const BOUND_MAX: u64 = 1 << 53;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// One thing that is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quota {
    /// Events that are accepted in a minute of the clock.
    EventsPerMinute,
    /// Events that are accepted in a day, which begins at midnight UTC.
    EventsPerDay,
    /// Deliveries that wait, for whatever reason.
    DeliveriesWaiting,
    Channels,
}

impl Quota {
    pub const ALL: [Self; 4] = [Self::EventsPerMinute, Self::EventsPerDay, Self::DeliveriesWaiting, Self::Channels];

    pub const fn name(self) -> &'static str {
        match self {
            Self::EventsPerMinute => "events_per_minute",
            Self::EventsPerDay => "events_per_day",
            Self::DeliveriesWaiting => "deliveries_waiting",
            Self::Channels => "channels",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|quota| quota.name() == text)
    }
}

/// What is set for each quota: a bound, 0 for none, or nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotas([Option<u64>; Quota::ALL.len()]);

impl Quotas {
    pub const fn get(&self, quota: Quota) -> Option<u64> {
        self.0[quota as usize]
    }

    /// The same with another value for one quota.
    #[must_use]
    pub const fn with(mut self, quota: Quota, value: Option<u64>) -> Self {
        self.0[quota as usize] = value;
        self
    }

    /// What holds: these, and the others where these say nothing.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        let both = Quota::ALL.map(|quota| self.get(quota).or(others.get(quota)));
        Self(both)
    }

    /// The bound that is in force; `None` when there is none.
    pub fn bound(&self, quota: Quota) -> Option<u64> {
        self.get(quota).filter(|bound| *bound > 0)
    }
}

/// A quota that would be exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    pub quota: Quota,
    pub bound: u64,
    pub used: u64,
    /// When there may be room again; `None` where time alone makes none.
    pub after: Option<Duration>,
}

/// The events of a tenant, counted in the windows of its quotas.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventCounts {
    minute: Window,
    day: Window,
}

/// A stretch of time, by its number since 1970, and what was counted in it.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    number: i64,
    count: u64,
}

impl Window {
    fn count_at(&self, number: i64) -> u64 {
        if self.number == number { self.count } else { 0 }
    }

    fn add(&mut self, number: i64, events: u64) {
        *self = Self { number, count: self.count_at(number) + events };
    }

    fn give_back(&mut self, number: i64, events: u64) {
        if self.number == number {
            self.count = self.count.saturating_sub(events);
        }
    }
}

/// When the day of a time began.
pub const fn day_of(now: Timestamp) -> Timestamp {
    Timestamp::from_ms(now.as_ms().div_euclid(DAY_MS) * DAY_MS)
}

impl EventCounts {
    /// Counting that begins in the middle of a day, in which so many events were accepted before.
    pub fn since(day_before: u64, now: Timestamp) -> Self {
        Self { minute: Window::default(), day: Window { number: now.as_ms().div_euclid(DAY_MS), count: day_before } }
    }

    /// Counts events, unless a quota has no room for all of them.
    pub fn take(&mut self, quotas: &Quotas, events: u64, now: Timestamp) -> Result<(), Exceeded> {
        let windows = [(Quota::EventsPerMinute, &self.minute, MINUTE_MS), (Quota::EventsPerDay, &self.day, DAY_MS)];
        for (quota, window, length_ms) in windows {
            let used = window.count_at(now.as_ms().div_euclid(length_ms));
            if let Some(bound) = quotas.bound(quota)
                && used.saturating_add(events) > bound
            {
                let left_ms = length_ms - now.as_ms().rem_euclid(length_ms);
                let after = Duration::from_millis(left_ms.unsigned_abs());
                return Err(Exceeded { quota, bound, used, after: Some(after) });
            }
        }
        self.minute.add(now.as_ms().div_euclid(MINUTE_MS), events);
        self.day.add(now.as_ms().div_euclid(DAY_MS), events);
        Ok(())
    }

    /// Takes back what was counted at `then` and not accepted after all.
    pub fn give_back(&mut self, events: u64, then: Timestamp) {
        self.minute.give_back(then.as_ms().div_euclid(MINUTE_MS), events);
        self.day.give_back(then.as_ms().div_euclid(DAY_MS), events);
    }

    /// Events of the present minute.
    pub fn of_minute(&self, now: Timestamp) -> u64 {
        self.minute.count_at(now.as_ms().div_euclid(MINUTE_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten seconds before a minute ends, five hours before the day does.
    const NOON: Timestamp = Timestamp::from_ms(1_800_000_000_000 / DAY_MS * DAY_MS + 19 * 60 * MINUTE_MS - 10_000);

    fn later(ms: i64) -> Timestamp {
        Timestamp::from_ms(NOON.as_ms() + ms)
    }

    #[test]
    fn a_tenants_own_quota_goes_before_the_servers_and_zero_is_none() {
        let servers = Quotas::default().with(Quota::Channels, Some(5)).with(Quota::EventsPerDay, Some(100));
        let check = |own: Option<u64>, expected: Option<u64>| {
            let quotas = Quotas::default().with(Quota::Channels, own).or(servers);
            assert_eq!(quotas.bound(Quota::Channels), expected, "{own:?}");
            assert_eq!(quotas.bound(Quota::EventsPerDay), Some(100));
        };
        check(None, Some(5));
        check(Some(7), Some(7));
        check(Some(0), None);
    }

    #[test]
    fn windows_are_those_of_the_clock() {
        let quotas = Quotas::default().with(Quota::EventsPerMinute, Some(3)).with(Quota::EventsPerDay, Some(6));
        let mut counts = EventCounts::since(1, NOON);
        let mut check = |at: i64, events: u64, expected: Option<(Quota, u64, u64)>| {
            let refused = counts.take(&quotas, events, later(at)).err();
            let told = refused.map(|one| (one.quota, one.used, one.after.map_or(0, |after| after.as_secs())));
            assert_eq!(told, expected, "{events} at {at}");
        };
        check(0, 2, None);
        check(1, 2, Some((Quota::EventsPerMinute, 2, 9)));
        check(2, 1, None);
        check(10_000, 3, Some((Quota::EventsPerDay, 4, 5 * 3600)));
        check(10_000, 2, None);
        check(5 * 3_600_000 + 10_000, 3, None);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_in_its_own_window() {
        let quotas = Quotas::default().with(Quota::EventsPerMinute, Some(2));
        let mut counts = EventCounts::default();
        counts.take(&quotas, 2, NOON).unwrap();
        counts.give_back(1, NOON);
        assert_eq!(counts.of_minute(NOON), 1);
        counts.take(&quotas, 2, later(10_000)).unwrap();
        counts.give_back(1, NOON);
        assert_eq!(counts.of_minute(later(10_000)), 2);
    }
}
