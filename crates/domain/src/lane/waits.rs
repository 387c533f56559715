//! What holds a waiting delivery back, for people who ask. Nothing is decided by it.

use super::{Lanes, meters::Obstacle};
use crate::{ChannelId, DeliveryId, Timestamp};

/// What holds a delivery back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The provider asked for a pause, until then.
    Provider(Timestamp),
    /// A rate has no room, until then; `None`: until something is answered.
    RateLimit(Option<Timestamp>),
    /// Something older of its channel has to settle first.
    Predecessor,
}

impl<T> Lanes<T> {
    /// What holds back a delivery of this channel that is not under way; `None`: what is before it, or nothing.
    pub fn waits_for(&self, channel: ChannelId, delivery: DeliveryId, now: Timestamp) -> Option<Wait> {
        let lane = self.by_channel.get(&channel)?;
        if let Some(until) = lane.blocked_until.filter(|until| *until > now) {
            return Some(Wait::Provider(until));
        }
        if lane.order.is_fifo {
            let in_memory = lane.buffer.iter().map(|ready| ready.delivery).chain(lane.recalled.iter().copied());
            let has_older = in_memory.chain(lane.order.oldest_later()).any(|other| other < delivery);
            if has_older || lane.under_way() > 0 {
                return Some(Wait::Predecessor);
            }
        }
        self.meters.obstacle(channel, now).map(|obstacle| match obstacle {
            Obstacle::Asked(until) => Wait::Provider(until),
            Obstacle::Rate(until) => Wait::RateLimit(until),
        })
    }
}
