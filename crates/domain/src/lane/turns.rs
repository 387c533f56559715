//! Whose turn it is: round robin over tenants, and for each tenant over its channels.
//!
//! A delivery costs one turn whatever its size, so a tenant with ten thousand waiting deliveries or a thousand
//! channels gets as many starts as a tenant with one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{ChannelId, TenantId};

#[derive(Debug, Default)]
pub(super) struct Turns {
    tenants: VecDeque<TenantId>,
    channels: BTreeMap<TenantId, VecDeque<ChannelId>>,
    listed: BTreeSet<ChannelId>,
}

impl Turns {
    /// Puts a channel at the end of its tenant's order, unless it has a turn coming.
    pub(super) fn enlist(&mut self, tenant: TenantId, channel: ChannelId) {
        if !self.listed.insert(channel) {
            return;
        }
        let channels = self.channels.entry(tenant).or_default();
        if channels.is_empty() {
            self.tenants.push_back(tenant);
        }
        channels.push_back(channel);
    }

    /// The channel whose turn it is; it has no further turn until it is enlisted again.
    pub(super) fn next(&mut self) -> Option<ChannelId> {
        let tenant = self.tenants.pop_front()?;
        let channels = self.channels.get_mut(&tenant)?;
        let channel = channels.pop_front()?;
        self.listed.remove(&channel);
        if !channels.is_empty() {
            self.tenants.push_back(tenant);
        }
        Some(channel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_take_turns_however_many_channels_they_have() {
        let mut turns = Turns::default();
        for channel in 1..=4 {
            turns.enlist(TenantId(1), ChannelId(channel));
        }
        turns.enlist(TenantId(2), ChannelId(9));
        let mut order = Vec::new();
        for _ in 0..6 {
            let channel = turns.next().unwrap();
            order.push(channel.0);
            turns.enlist(TenantId(if channel.0 == 9 { 2 } else { 1 }), channel);
        }
        assert_eq!(order, [1, 9, 2, 9, 3, 9]);
    }

    #[test]
    fn a_channel_has_one_turn_at_a_time() {
        let mut turns = Turns::default();
        turns.enlist(TenantId(1), ChannelId(1));
        turns.enlist(TenantId(1), ChannelId(1));
        assert_eq!(turns.next(), Some(ChannelId(1)));
        assert_eq!(turns.next(), None);
    }
}
