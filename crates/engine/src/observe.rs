//! What the engine tells about its work, for figures and traces. Nothing is kept here, and nothing decides by it.

use std::time::Duration;

use domain::quotas::Quota;
use domain::{Timestamp, TraceContext};

use crate::dispatch::announce::Moment;
use crate::dispatch::attempt::Answered;

/// Hears what the engine does. It must be quick: it is on the way of every event and every delivery.
pub trait Observer: Send + Sync {
    /// A request with events was committed, or could not be.
    fn committed(&self, commit: &Commit);

    /// A try is over. It is not written down yet.
    fn attempted(&self, answered: &Answered);

    /// A channel has tripped, recovered or been paused, or given up a delivery. The store may not know of it yet.
    fn moved(&self, moment: &Moment);

    /// A quota of a tenant had no room for what was asked.
    fn refused(&self, quota: Quota);

    /// So many deliveries are started and not durably settled.
    fn in_flight(&self, deliveries: usize);
}

/// Keeping the events of one request, from the side of who waits for it.
#[derive(Clone, Copy, Debug)]
pub struct Commit {
    /// The trace of the first event.
    pub trace: Option<TraceContext>,
    pub events: usize,
    pub begun_at: Timestamp,
    pub took: Duration,
    pub is_kept: bool,
}
