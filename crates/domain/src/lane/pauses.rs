//! Pauses: a lane that stands still forgets what it holds, and goes on from the table.

use super::Lanes;
use crate::{ChannelId, DeliveryId};

impl<T> Lanes<T> {
    /// Starts nothing on this channel until [`Lanes::resume`], and forgets what waits: it is safe in the table.
    pub fn pause(&mut self, channel: ChannelId) {
        if let Some(lane) = self.by_channel.get_mut(&channel) {
            lane.is_paused = true;
            self.forget(channel, DeliveryId(0));
        }
    }

    /// Goes on with a paused channel, from the table. What it was asked to wait for is over with the pause.
    pub fn resume(&mut self, channel: ChannelId) {
        if let Some(lane) = self.by_channel.get_mut(&channel)
            && lane.is_paused
        {
            lane.blocked_until = None;
            self.go_on(channel);
        }
    }

    /// Goes on with a channel that stood still for a moment, from the table.
    pub fn go_on(&mut self, channel: ChannelId) {
        if let Some(lane) = self.by_channel.get_mut(&channel)
            && lane.is_paused
        {
            lane.is_paused = false;
            self.hungry.push_back(channel);
        }
    }

    /// Forgets what waits at or below `up_to`; the table may hold more above it. What is under way stays known.
    pub fn forget(&mut self, channel: ChannelId, up_to: DeliveryId) {
        let Some(lane) = self.by_channel.get_mut(&channel) else { return };
        for ready in lane.buffer.drain(..) {
            lane.known.remove(&ready.delivery);
            self.buffered_bytes -= ready.bytes;
        }
        lane.recalled.clear();
        lane.aside.clear();
        lane.order.forget();
        lane.generation += 1;
        lane.is_spilled = true;
        lane.taken_to = up_to;
        lane.backlog = None;
        self.hungry.push_back(channel);
    }

    /// Forgets what waits, and takes it from the table from the newest down; what arrives meanwhile goes before. A lane in
    /// strict order stays in it, and one that stands still has forgotten already. Returns whether it forgot anything.
    pub fn turn_over(&mut self, channel: ChannelId) -> bool {
        let Some(lane) = self.by_channel.get(&channel).filter(|lane| !lane.order.is_fifo && !lane.is_paused) else {
            return false;
        };
        self.forget(channel, lane.taken_to);
        if let Some(lane) = self.by_channel.get_mut(&channel) {
            lane.is_spilled = false;
            lane.backlog = Some(DeliveryId(i64::MAX));
        }
        true
    }
}
