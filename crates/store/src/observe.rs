//! What a store tells about its own work, for figures: commits and errors, and what was counted in them.
//!
//! Nothing here is kept or read back. Whoever listens must be quick: the writer waits for it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use domain::Clock;

/// Hears what a store does.
pub trait Observer: Send + Sync {
    /// A batch is durable.
    fn committed(&self, commit: &Commit);

    /// A call was carried out, or could not be. One call is one statement or a few.
    fn called(&self);

    /// A call could not be carried out.
    fn failed(&self);
}

/// One batch that was committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// About how many rows it wrote, as its jobs estimate them.
    pub rows: usize,
    /// From the beginning of the transaction to its end on the disk.
    pub took: Duration,
    /// What was counted in it: `event`, the final state of a delivery, or `failed` for an attempt; and how often.
    pub counts: Vec<(&'static str, u64)>,
}

/// An observer, and the clock that it is told durations by.
#[derive(Clone)]
pub struct Observed {
    pub observer: Arc<dyn Observer>,
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observed")
    }
}
