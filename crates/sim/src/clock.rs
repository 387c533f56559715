//! Virtual time: it moves when a world says so, and its wall clock can be turned.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use domain::{Clock, Timestamp};

/// Two minutes before the end of a UTC day, so that simulations cross days and quarters of an hour.
const START_MS: i64 = 20_370 * 24 * 3600 * 1000 - 120_000;

/// The clock of a world.
#[derive(Debug, Default)]
pub(crate) struct VirtualClock {
    elapsed_us: AtomicU64,
    /// How far the wall clock is ahead.
    ahead_ms: AtomicI64,
}

impl VirtualClock {
    pub(crate) fn elapsed_us(&self) -> u64 {
        self.elapsed_us.load(Ordering::Relaxed)
    }

    /// Moves time on to this moment, unless it is past.
    pub(crate) fn advance_to(&self, at_us: u64) {
        self.elapsed_us.fetch_max(at_us, Ordering::Relaxed);
    }

    /// Turns the wall clock.
    pub(crate) fn turn(&self, by_ms: i64) {
        self.ahead_ms.fetch_add(by_ms, Ordering::Relaxed);
    }

    /// When it will be this time on the wall.
    pub(crate) fn elapsed_at(&self, at: Timestamp) -> u64 {
        let ms = at.as_ms().saturating_sub(START_MS).saturating_sub(self.ahead_ms.load(Ordering::Relaxed));
        u64::try_from(ms).unwrap_or(0).saturating_mul(1000)
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let elapsed_ms = i64::try_from(self.elapsed_us() / 1000).unwrap_or(i64::MAX);
        Timestamp::from_ms(START_MS + elapsed_ms + self.ahead_ms.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.elapsed_us())
    }
}

/// In microseconds, as worlds count.
pub(crate) fn us(wait: Duration) -> u64 {
    u64::try_from(wait.as_micros()).unwrap_or(u64::MAX)
}

/// The second of Unix time at this moment of a world whose wall clock was never turned.
pub(crate) fn seconds_at(elapsed_us: u64) -> u64 {
    u64::try_from(START_MS / 1000).unwrap_or(0) + elapsed_us / 1_000_000
}
