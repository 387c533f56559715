//! What a lane has taken and does not start by itself: deliveries that are, or will be, part of a digest.
//!
//! The lane knows them by id alone, so that it takes none of them a second time from the table. Whoever set them aside
//! brings them back or says what became of them.

use super::{Lanes, Load};
use crate::{ChannelId, DeliveryId};

/// Deliveries that one lane sets aside; with more it leaves the rest to the table. More than are collected for one channel
/// ([`COLLECTED_MAX`](crate::digest::COLLECTED_MAX)), so that there is room for digests that are on their way.
pub(super) const ASIDE_MAX: usize = 10_000;

impl<T> Lanes<T> {
    /// Takes a delivery that was just accepted, and sets it aside. Returns whether it did: else it is left to the table.
    pub fn arrive_aside(&mut self, channel: ChannelId, delivery: DeliveryId) -> bool {
        let Some(lane) = self.by_channel.get_mut(&channel) else { return false };
        if delivery <= lane.taken_to {
            return false;
        }
        if lane.is_spilled || lane.aside.len() >= ASIDE_MAX {
            lane.is_spilled = true;
            lane.missed_during_load = true;
            self.hungry.push_back(channel);
            return false;
        }
        lane.taken_to = delivery;
        lane.aside.insert(delivery)
    }

    /// Whether a load found a delivery that the lane does not have, and that was not settled meanwhile. To be asked before
    /// the lane is given what was [`loaded`](Lanes::loaded).
    pub fn is_news(&self, load: &Load, delivery: DeliveryId) -> bool {
        self.by_channel.get(&load.channel).is_some_and(|lane| {
            load.generation == lane.generation
                && !lane.known.contains(&delivery)
                && !lane.aside.contains(&delivery)
                && !lane.settled_during_load.contains(&delivery)
        })
    }

    /// Sets a delivery aside that a load found and that is news.
    pub fn set_aside(&mut self, channel: ChannelId, delivery: DeliveryId) {
        if let Some(lane) = self.by_channel.get_mut(&channel) {
            lane.aside.insert(delivery);
        }
    }

    /// Reads a delivery that was set aside, to start it.
    pub fn bring_back(&mut self, channel: ChannelId, delivery: DeliveryId) {
        if let Some(lane) = self.by_channel.get_mut(&channel) {
            lane.aside.remove(&delivery);
            self.recall(channel, delivery);
        }
    }

    /// What became of a delivery that was set aside is durable, and it is over.
    pub fn release(&mut self, channel: ChannelId, delivery: DeliveryId) {
        let is_full = self.is_full();
        let Some(lane) = self.by_channel.get_mut(&channel) else { return };
        lane.aside.remove(&delivery);
        if lane.is_loading {
            lane.settled_during_load.insert(delivery);
        }
        if lane.wants_load(&self.bounds, is_full) {
            self.hungry.push_back(channel);
        }
    }

    /// Whether the lane is about to hear of more that waits already: what is merged now would be merged with too little.
    pub fn is_reading(&self, channel: ChannelId) -> bool {
        self.by_channel
            .get(&channel)
            .is_some_and(|lane| lane.is_loading || (lane.has_more() && lane.wants_load(&self.bounds, self.is_full())))
    }
}
