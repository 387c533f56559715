//! Bounds on what channels hold that fail or are paused: what is beyond goes, the oldest first, with a verdict.
//!
//! The store knows how much waits; here is counted how much may still come before it has to be asked again. So a bound is
//! exceeded by no more than what is accepted while the oldest go.

use std::collections::BTreeMap;

use domain::{ChannelId, Timestamp};
use store::queue::{HeldBounds, Trimmed};

use super::{Dispatcher, Work};
use crate::registry::LiveChannel;

/// How many more deliveries each channel that holds may take, as far as is known.
#[derive(Debug, Default)]
pub(super) struct Held {
    room: BTreeMap<ChannelId, u64>,
}

impl Held {
    /// Whether the channel holds what it has.
    pub(super) fn holds(&self, channel: ChannelId) -> bool {
        self.room.contains_key(&channel)
    }

    /// The channel is no more.
    pub(super) fn forget(&mut self, channel: ChannelId) {
        self.room.remove(&channel);
    }
}

impl LiveChannel {
    /// What the channel may hold now.
    pub(crate) fn held_bounds(&self, now: Timestamp) -> HeldBounds {
        let held_long = |age: &std::time::Duration| {
            // Nothing was held for longer than the channel is.
            self.holding().is_some_and(|hold| now.since(hold.since()) >= *age)
        };
        HeldBounds { count_max: self.held_max, kept_since: self.held_for.filter(held_long).map(|age| now.before(age)) }
    }
}

impl Dispatcher {
    /// A channel fails or is paused from now on: it holds what it has, within bounds.
    pub(super) fn begin_hold(&mut self, channel: ChannelId) {
        self.held.room.insert(channel, 0);
        self.work.insert(Work::Trim(channel));
    }

    /// A channel goes on, unless something else holds it.
    pub(super) fn end_hold(&mut self, channel: ChannelId) {
        let is_paused = self.registry.channel(channel).is_some_and(|live| live.channel.pause.is_some());
        if !is_paused && !self.breakers.is_tripped(channel) {
            self.held.room.remove(&channel);
        }
    }

    /// One more delivery waits for a channel.
    pub(super) fn holds_more(&mut self, channel: ChannelId) {
        let Some(room) = self.held.room.get_mut(&channel) else { return };
        match room.checked_sub(1) {
            Some(left) => *room = left,
            None => drop(self.work.insert(Work::Trim(channel))),
        }
    }

    /// A dead letter waits again, and with it all of its digest: the store knows how many these are.
    pub(super) fn holds_again(&mut self, channel: ChannelId) {
        if self.held.holds(channel) {
            self.work.insert(Work::Trim(channel));
        }
    }

    /// A delivery that was under way waits again. While it was, no trim could let it go.
    pub(super) fn waits_again(&mut self, channel: ChannelId) {
        if self.held.room.get(&channel) == Some(&0) {
            self.work.insert(Work::Trim(channel));
        }
    }

    /// Whether a channel that holds is within its bounds, as far as is known: nothing of it is to go now.
    pub fn is_within_bounds(&self, channel: ChannelId) -> bool {
        let trim = Work::Trim(channel);
        !self.work.contains(&trim) && !self.work_under_way.contains(&trim) && self.lanes.under_way_count(channel) == 0
    }

    /// Looks for what is held for too long on the channels whose owners bound that.
    pub(super) fn trim_old(&mut self) {
        let is_bounded =
            |channel: &&ChannelId| self.registry.channel(**channel).is_some_and(|live| live.held_for.is_some());
        let due: Vec<Work> = self.held.room.keys().filter(is_bounded).map(|channel| Work::Trim(*channel)).collect();
        self.work.extend(due);
    }

    /// Whether a trim is still to be done. While it is, the lane stands still: what goes must not start.
    pub(super) fn begin_trim(&mut self, channel: ChannelId) -> bool {
        let is_due = self.held.room.contains_key(&channel);
        if is_due && !self.paused.contains(&channel) {
            self.lanes.pause(channel);
            self.digests.forget(channel);
        }
        is_due
    }

    /// A slice of a trim was done; `None`: the store failed.
    pub(super) fn trimmed(&mut self, channel: ChannelId, trimmed: Option<Trimmed>, now: Timestamp) {
        self.work_under_way.remove(&Work::Trim(channel));
        match trimmed {
            Some(Trimmed { has_more: false, waiting }) => {
                let count_max = self.registry.channel(channel).map_or(0, |live| live.held_max);
                if let Some(room) = self.held.room.get_mut(&channel) {
                    *room = count_max.saturating_sub(waiting);
                }
            }
            Some(Trimmed { has_more: true, .. }) => drop(self.work.insert(Work::Trim(channel))),
            None => {
                self.work.insert(Work::Trim(channel));
                self.rest(now);
            }
        }
        if !self.paused.contains(&channel) {
            self.lanes.go_on(channel);
        }
    }
}
