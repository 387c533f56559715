//! The terms of the talk with the lanes: what they are told, what they ask for and what they hand out.

use std::time::Duration;

use super::Metering;
use crate::channel::CONCURRENCY_DEFAULT;
use crate::{ChannelId, DeliveryId, TenantId, Timestamp};

/// How much may be in memory and under way.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Deliveries started and not durably settled, over all lanes.
    pub unsettled_max: usize,
    /// Deliveries buffered in one lane.
    pub lane_items_max: usize,
    /// Bytes of payload buffered over all lanes; a payload shared by several deliveries counts for each. A lane that has
    /// nothing buffered takes one delivery beyond it, and one in strict order what it waits for.
    pub buffered_bytes_max: usize,
    /// Deliveries asked for in one load.
    pub load_items_max: usize,
}

/// A delivery whose content is in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready<T> {
    pub delivery: DeliveryId,
    /// What it counts against [`Bounds::buffered_bytes_max`].
    pub bytes: usize,
    pub item: T,
}

/// A request to read from the queue table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    pub channel: ChannelId,
    pub what: LoadWhat,
    pub items_max: usize,
    pub(super) generation: u32,
}

/// Which rows to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadWhat {
    /// In order of id, those above this one.
    After(DeliveryId),
    /// From the newest down, those below this one.
    Before(DeliveryId),
    /// These, as far as they still wait.
    These(Vec<DeliveryId>),
}

/// What a [`Load`] found.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// Rows that may start now, in the order asked for.
    pub ready: Vec<Ready<T>>,
    /// Rows that are due later.
    pub later: Vec<(DeliveryId, Timestamp)>,
    /// The last row that was looked at; `None` when there was none.
    pub reached: Option<DeliveryId>,
    /// The newest row that was looked at.
    pub newest: Option<DeliveryId>,
    /// Whether the table held nothing beyond `reached`.
    pub is_drained: bool,
}

/// What is due and not started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueNow {
    /// Since when the oldest is due of those in memory.
    pub buffered: Option<Timestamp>,
    /// Rows of the queue table that may be due for longer: of an `After`, the first.
    pub in_table: Vec<(ChannelId, LoadWhat)>,
}

/// What is in memory and not started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buffered {
    /// Deliveries of the lane that has the most.
    pub most_of_a_lane: usize,
    /// Over all lanes.
    pub bytes: usize,
}

/// A delivery that is to start now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start<T> {
    pub channel: ChannelId,
    pub delivery: DeliveryId,
    pub item: T,
}

/// What a channel's lane keeps to.
#[derive(Clone, Debug)]
pub struct LaneRules {
    pub tenant: TenantId,
    /// Requests under way at a time.
    pub concurrency: u32,
    /// Strict order, one at a time.
    pub is_fifo: bool,
    pub metering: Metering,
}

impl LaneRules {
    /// For what is left of a channel that is gone.
    pub fn of_nobody() -> Self {
        Self { tenant: TenantId(0), concurrency: CONCURRENCY_DEFAULT, is_fifo: false, metering: Metering::default() }
    }
}

/// What came of a start.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// Requests that were sent for it; 0: it was not sent after all.
    pub requests: u32,
    /// From the first request to the last answer.
    pub took: Duration,
}
