//! What is read from the queue table, and how much of it is kept in memory.
//!
//! Nobody knows how large what waits is before it is read. So few lanes read at a time, and what a load found is kept as far
//! as it fits; the rest is read again when there is room. A lane that has nothing in memory takes one delivery however full
//! that is, so that whoever has little that waits never stands behind those who have much.

use std::collections::{BTreeSet, VecDeque};

use super::{Bounds, Buffered, Lanes, LoadWhat, Loaded};
use crate::{ChannelId, DeliveryId};

/// Loads under way at a time. What they find is beside the bounds until it is looked at; and it is more than any store
/// answers at once.
const LOADS_MAX: usize = 16;

/// Rows asked for when the memory is full: of more, most would be read in vain.
const FULL_ITEMS: usize = 1;

/// Lanes that may want a load, in the order in which they came; one may stand here in vain.
#[derive(Debug, Default)]
pub(super) struct Hungry {
    line: VecDeque<ChannelId>,
    listed: BTreeSet<ChannelId>,
    loading: usize,
}

impl Hungry {
    pub(super) fn push_back(&mut self, channel: ChannelId) {
        if self.listed.insert(channel) {
            self.line.push_back(channel);
        }
    }

    /// The next one, if one more may load.
    pub(super) fn next(&mut self) -> Option<ChannelId> {
        let channel = if self.loading < LOADS_MAX { self.line.pop_front()? } else { return None };
        self.listed.remove(&channel);
        Some(channel)
    }

    pub(super) fn begin_load(&mut self) {
        self.loading += 1;
    }

    pub(super) fn end_load(&mut self) {
        self.loading -= 1;
    }
}

/// How much of what a lane reads has found room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fitting {
    /// Of its last load something was left. It has no more room before it has started what it took.
    was_cut: bool,
    /// Rows that are worth to be asked for.
    items: usize,
}

impl Default for Fitting {
    fn default() -> Self {
        Self { was_cut: false, items: usize::MAX }
    }
}

impl Fitting {
    /// How many deliveries a lane may have in memory and still read more.
    pub(super) fn refill_at(self, bounds: &Bounds, is_full: bool) -> usize {
        if is_full || self.was_cut { 0 } else { bounds.lane_items_max / 2 }
    }

    /// How many rows a load asks for.
    pub(super) fn items_of_load(self, bounds: &Bounds, is_full: bool) -> usize {
        if is_full { FULL_ITEMS } else { self.items.min(bounds.load_items_max) }
    }

    /// So many rows of a load were taken.
    pub(super) fn loaded(&mut self, taken: usize, was_cut: bool) {
        self.was_cut = was_cut;
        self.items = if was_cut { taken.max(1) } else { self.items.saturating_mul(2) };
    }
}

impl<T> Lanes<T> {
    /// Whether all bytes are used that there are for payloads.
    pub(super) fn is_full(&self) -> bool {
        self.buffered_bytes >= self.bounds.buffered_bytes_max
    }

    /// What is in memory and not started, counted one by one.
    pub fn buffered(&self) -> Buffered {
        let mut buffered = Buffered::default();
        for lane in self.by_channel.values() {
            buffered.most_of_a_lane = buffered.most_of_a_lane.max(lane.buffer.len());
            buffered.bytes += lane.buffer.iter().map(|ready| ready.bytes).sum::<usize>();
        }
        buffered
    }
}

impl<T> Loaded<T> {
    /// Keeps what fits, and the first of it in any case where `takes_one` says so. The rest is as if it had not been looked
    /// at, and is returned; `None`: all fits.
    pub(super) fn cut(&mut self, read: &LoadWhat, room: usize, takes_one: bool) -> Option<Vec<DeliveryId>> {
        let mut bytes = 0;
        let fits = |(place, size): (usize, usize)| {
            bytes += size;
            bytes <= room || (place == 0 && takes_one)
        };
        let kept = self.ready.iter().map(|ready| ready.bytes).enumerate().map(fits).take_while(|fits| *fits).count();
        let left: Vec<DeliveryId> = self.ready.drain(kept..).map(|ready| ready.delivery).collect();
        let first = left.first().copied()?;
        match read {
            LoadWhat::These(_) => return Some(left),
            LoadWhat::After(_) => {
                self.later.retain(|(delivery, _)| *delivery < first);
                self.reached = Some(DeliveryId(first.0 - 1));
            }
            LoadWhat::Before(_) => {
                self.later.retain(|(delivery, _)| *delivery > first);
                self.reached = Some(DeliveryId(first.0 + 1));
            }
        }
        self.is_drained = false;
        Some(left)
    }
}
