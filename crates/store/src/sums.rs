//! Sums that every backend keeps beside the rows: what happened, and what waits.

use std::sync::Arc;

use domain::{ChannelId, TenantId, Timestamp};

/// Counters are kept by the quarter of an hour.
const BUCKET_MS: i64 = 15 * 60 * 1000;

/// The quarter of an hour of a time, by its number since 1970.
pub(crate) fn bucket_of(at: Timestamp) -> i64 {
    at.as_ms().div_euclid(BUCKET_MS)
}

/// A sum of `counters` by its key: tenant, quarter of an hour, channel, event type, status.
pub(crate) type CountKey = (TenantId, i64, ChannelId, Arc<str>, &'static str);

/// How many more (or fewer) deliveries of a channel wait, or are dead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shift {
    pub pending: i64,
    pub retrying: i64,
    pub dead: i64,
}
