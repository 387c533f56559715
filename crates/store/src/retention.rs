//! Retention: what is old goes, a slice at a time, and what still waits keeps its event.

use async_trait::async_trait;
use domain::{EventId, Timestamp};

use crate::StoreError;

/// Lets go of what is old.
#[async_trait]
pub trait Retention: Send + Sync {
    /// Does one slice: a few milliseconds of writing. Returns whether more is left. Nothing that something waits for
    /// goes: neither deliveries that wait or are dead, nor the events that they need.
    async fn retain_slice(&self, kept: KeptSince) -> Result<bool, StoreError>;

    /// Events below are no longer kept, but for those that something waits for.
    async fn kept_from(&self) -> Result<EventId, StoreError>;
}

/// What is older goes; `None` keeps a kind for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptSince {
    pub events: Option<Timestamp>,
    /// Deliveries that are sent, cancelled or expired.
    pub deliveries: Option<Timestamp>,
    pub attempts: Option<Timestamp>,
    pub inbox: Option<Timestamp>,
    /// Of each recipient of a tenant only so many of the newest inbox entries stay.
    pub inbox_entries_max: Option<usize>,
    /// Sums, and redrives that are over.
    pub sums: Option<Timestamp>,
}

impl KeptSince {
    /// Since when something of the past may still be asked for by its channel; `None` when something is kept for ever.
    pub fn past(&self) -> Option<Timestamp> {
        let kinds = [self.events, self.deliveries, self.attempts];
        kinds.into_iter().collect::<Option<Vec<_>>>()?.into_iter().min()
    }
}
