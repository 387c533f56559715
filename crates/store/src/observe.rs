//! What a store tells about its own work, for figures: commits, upkeep and errors, and what was counted in them.
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

    /// A piece of upkeep is done, for which the writer had no time for anybody else.
    fn held(&self, hold: &Hold);

    /// A call was carried out, or could not be. One call is one statement or a few.
    fn called(&self);

    /// A call could not be carried out.
    fn failed(&self);
}

/// A piece of upkeep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    pub work: Upkeep,
    /// Rows that it wrote, or let go of.
    pub rows: usize,
    pub took: Duration,
}

/// What the writer does in between, for nobody in particular.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Upkeep {
    /// Folds the log into the database.
    Fold,
    /// Writes the look-ups of a closed segment.
    Index,
    /// Lets go of a slice of what is old, inside a batch.
    Retain,
}

impl Upkeep {
    pub const ALL: [Self; 3] = [Self::Fold, Self::Index, Self::Retain];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Fold => "fold",
            Self::Index => "index",
            Self::Retain => "retain",
        }
    }
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

impl Observed {
    /// Does a piece of upkeep and tells how long it took. `rows` says of its result how many rows it was, `None` when there
    /// was nothing to do.
    pub fn timed<T, E>(
        observed: Option<&Self>,
        work: Upkeep,
        rows: impl FnOnce(&T) -> Option<usize>,
        piece: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let Some(observed) = observed else { return piece() };
        let begun = observed.clock.monotonic();
        let done = piece()?;
        if let Some(rows) = rows(&done) {
            let took = observed.clock.monotonic().saturating_sub(begun);
            observed.observer.held(&Hold { work, rows, took });
        }
        Ok(done)
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observed")
    }
}
