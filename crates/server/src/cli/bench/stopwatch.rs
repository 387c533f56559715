//! The bench's one source of time: nanoseconds since the bench began, never going back.
//!
//! The load, the receiver and the pacing all read the same stopwatch, so a stamp that travelled through the server can
//! be compared with the time of its arrival.

use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(clippy::disallowed_methods, reason = "the bench measures real time and has no other source of it")]
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since the start.
    pub(super) fn ns(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The time since `earlier_ns`, a former [`Stopwatch::ns`].
    pub(super) fn since(self, earlier_ns: u64) -> Duration {
        Duration::from_nanos(self.ns().saturating_sub(earlier_ns))
    }
}
