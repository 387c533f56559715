//! Whose turn it is: of the tenants that have something to start the one that holds the fewest slots, and of its channels
//! the one that does; among equals whoever has waited longest.
//!
//! A slot is held from the start of a delivery until its result is durable, so whoever keeps slots for long gets fewer
//! turns: what is shared evenly is the time of slots, and no turn is ever charged by a guess. A tenant with a hundred
//! thousand waiting deliveries or a thousand channels has no advantage over one with a single delivery, which holds nothing
//! and comes first (decision 0026).

use std::collections::{BTreeMap, BTreeSet};

use crate::{ChannelId, TenantId};

#[derive(Debug, Default)]
pub(super) struct Turns {
    tenants: Line<TenantId>,
    channels: BTreeMap<TenantId, Line<ChannelId>>,
}

impl Turns {
    /// Lets a channel wait for its turn, unless it does already.
    pub(super) fn enlist(&mut self, tenant: TenantId, channel: ChannelId) {
        if self.channels.entry(tenant).or_default().enlist(channel) {
            self.tenants.enlist(tenant);
        }
    }

    /// The channel whose turn it is; it has no further turn until it is enlisted again.
    pub(super) fn next(&mut self) -> Option<ChannelId> {
        let tenant = self.tenants.take()?;
        let channels = self.channels.get_mut(&tenant)?;
        let channel = channels.take()?;
        if channels.has_waiting() {
            self.tenants.enlist(tenant);
        }
        Some(channel)
    }

    /// A delivery was started, and holds a slot.
    pub(super) fn hold(&mut self, tenant: TenantId, channel: ChannelId) {
        self.tenants.hold(tenant);
        self.channels.entry(tenant).or_default().hold(channel);
    }

    /// Its result is durable.
    pub(super) fn give_back(&mut self, tenant: TenantId, channel: ChannelId) {
        self.tenants.give_back(tenant);
        if let Some(channels) = self.channels.get_mut(&tenant) {
            channels.give_back(channel);
        }
    }
}

/// Those who wait, in order of what they hold.
#[derive(Debug)]
struct Line<K> {
    /// Slots held, by whoever holds any.
    held: BTreeMap<K, usize>,
    /// When each came that waits.
    waiting: BTreeMap<K, u64>,
    /// The same with what they hold, in order.
    order: BTreeSet<(usize, u64, K)>,
    came: u64,
}

impl<K> Default for Line<K> {
    fn default() -> Self {
        Self { held: BTreeMap::new(), waiting: BTreeMap::new(), order: BTreeSet::new(), came: 0 }
    }
}

impl<K: Copy + Ord> Line<K> {
    /// Returns whether it did not wait before.
    fn enlist(&mut self, key: K) -> bool {
        if self.waiting.contains_key(&key) {
            return false;
        }
        self.came += 1;
        self.waiting.insert(key, self.came);
        self.order.insert((self.held_by(key), self.came, key))
    }

    fn take(&mut self) -> Option<K> {
        let (_, _, key) = self.order.pop_first()?;
        self.waiting.remove(&key);
        Some(key)
    }

    fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn held_by(&self, key: K) -> usize {
        self.held.get(&key).copied().unwrap_or(0)
    }

    fn hold(&mut self, key: K) {
        self.set_held(key, self.held_by(key) + 1);
    }

    fn give_back(&mut self, key: K) {
        self.set_held(key, self.held_by(key).saturating_sub(1));
    }

    fn set_held(&mut self, key: K, held: usize) {
        if let Some(came) = self.waiting.get(&key) {
            self.order.remove(&(self.held_by(key), *came, key));
            self.order.insert((held, *came, key));
        }
        if held == 0 {
            self.held.remove(&key);
        } else {
            self.held.insert(key, held);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enlist(turns: &mut Turns, tenant: i64, channel: i64) {
        turns.enlist(TenantId(tenant), ChannelId(channel));
    }

    #[test]
    fn tenants_take_turns_however_many_channels_they_have() {
        let mut turns = Turns::default();
        for channel in 1..=4 {
            enlist(&mut turns, 1, channel);
        }
        enlist(&mut turns, 2, 9);
        let mut order = Vec::new();
        for _ in 0..6 {
            let channel = turns.next().unwrap();
            order.push(channel.0);
            enlist(&mut turns, if channel.0 == 9 { 2 } else { 1 }, channel.0);
        }
        assert_eq!(order, [1, 9, 2, 9, 3, 9]);
    }

    #[test]
    fn whoever_holds_less_comes_first() {
        let mut turns = Turns::default();
        for (tenant, channel) in [(1, 1), (1, 1), (1, 2), (2, 9)] {
            turns.hold(TenantId(tenant), ChannelId(channel));
        }
        for (tenant, channel) in [(1, 1), (1, 2), (2, 9), (3, 7)] {
            enlist(&mut turns, tenant, channel);
        }
        // The third tenant holds nothing, the second one slot, and of the first the second channel holds less.
        assert_eq!(turns.next(), Some(ChannelId(7)));
        turns.give_back(TenantId(1), ChannelId(1));
        turns.give_back(TenantId(1), ChannelId(1));
        turns.give_back(TenantId(1), ChannelId(2));
        assert_eq!(turns.next(), Some(ChannelId(1)), "all is given back while it waits");
        assert_eq!(turns.next(), Some(ChannelId(2)));
        assert_eq!(turns.next(), Some(ChannelId(9)));
        assert_eq!(turns.next(), None);
    }

    #[test]
    fn a_channel_has_one_turn_at_a_time() {
        let mut turns = Turns::default();
        enlist(&mut turns, 1, 1);
        enlist(&mut turns, 1, 1);
        assert_eq!(turns.next(), Some(ChannelId(1)));
        assert_eq!(turns.next(), None);
    }
}
