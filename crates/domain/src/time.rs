//! Time as an argument: wall-clock instants in milliseconds, and the clock that callers pass in.

use std::time::Duration;

/// A wall-clock instant in UTC, in whole milliseconds since 1970-01-01. Negative values are before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01.
    pub const EPOCH: Self = Self(0);

    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    pub const fn as_ms(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970-01-01, rounded down.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This instant and `wait` later, at most the largest instant there is. Parts of a millisecond are dropped.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This instant and `wait` earlier.
    #[must_use]
    pub fn before(self, wait: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long from `earlier` to this instant; zero when `earlier` is the later one.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Where time comes from. Production passes the system's clock, the simulator a virtual one.
pub trait Clock: Send + Sync {
    /// Wall-clock time. It may jump in either direction.
    fn now(&self) -> Timestamp;

    /// Time since some fixed point in this process; never goes back. For measuring durations.
    fn monotonic(&self) -> Duration;
}
