//! The channels in memory: found by id, and walked in order.
//!
//! A tenant may have a hundred thousand channels, and people page through them. So each order that a list goes by is
//! kept, and a change costs what finding its places costs. What stands in them is small ([`Listed`]).
//!
//! Nothing else holds channels by id, so the orders cannot come apart. Which channels a list shows is asked in `ops`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use domain::{ChannelId, TenantId, Timestamp};
use store::journal::Folded;

use super::LiveChannel;

/// The channels of all tenants.
#[derive(Default)]
pub(super) struct Channels {
    all: BTreeMap<ChannelId, Arc<LiveChannel>>,
    by_tenant: BTreeMap<TenantId, TenantChannels>,
}

impl Channels {
    pub(super) fn get(&self, channel: ChannelId) -> Option<&Arc<LiveChannel>> {
        self.all.get(&channel)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<LiveChannel>> {
        self.all.values()
    }

    /// The channels of a tenant; `None` when it has none.
    pub(super) fn of_tenant(&self, tenant: TenantId) -> Option<&TenantChannels> {
        self.by_tenant.get(&tenant)
    }

    /// Takes a channel as it is now. A channel stays its tenant's.
    pub(super) fn put(&mut self, live: Arc<LiveChannel>) {
        let before = self.all.insert(live.channel.id, Arc::clone(&live));
        let of_tenant = self.by_tenant.entry(live.channel.tenant).or_default();
        if let Some(before) = before {
            of_tenant.remove(before);
        }
        of_tenant.insert(live);
    }

    pub(super) fn remove(&mut self, channel: ChannelId) -> Option<Arc<LiveChannel>> {
        let gone = self.all.remove(&channel)?;
        let tenant = gone.channel.tenant;
        if let Some(of_tenant) = self.by_tenant.get_mut(&tenant) {
            of_tenant.remove(Arc::clone(&gone));
            if of_tenant.ids.is_empty() {
                self.by_tenant.remove(&tenant);
            }
        }
        Some(gone)
    }

    /// Forgets the channels of a tenant. Gives their ids.
    pub(super) fn remove_tenant(&mut self, tenant: TenantId) -> Vec<ChannelId> {
        let gone = self.by_tenant.remove(&tenant).unwrap_or_default();
        let ids: Vec<ChannelId> = gone.ids.into_keys().collect();
        for id in &ids {
            self.all.remove(id);
        }
        ids
    }
}

/// A channel in an order, with what almost every list asks of it: a walk reads these, which lie side by side, and no
/// channel.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) live: Arc<LiveChannel>,
    pub(crate) provider: &'static str,
    /// Its name, as a search reads it.
    pub(crate) name: Folded,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Option<Timestamp>,
    pub(crate) is_active: bool,
    pub(crate) is_managed: bool,
}

impl Listed {
    fn new(live: Arc<LiveChannel>) -> Self {
        let channel = &live.channel;
        Self {
            provider: live.provider.0.spec().name,
            name: Folded::new(&channel.settings.name),
            created_at: channel.created_at,
            updated_at: channel.updated_at,
            is_active: channel.settings.is_active,
            is_managed: channel.settings.is_managed,
            live,
        }
    }
}

/// The channels of one tenant, in each order that lists go by. Equal ones stand in order of id in each.
#[derive(Debug, Default)]
pub(crate) struct TenantChannels {
    ids: BTreeMap<ChannelId, Listed>,
    names: BTreeSet<ByName>,
    created: BTreeMap<(Timestamp, ChannelId), Listed>,
    changed: BTreeMap<(Option<Timestamp>, ChannelId), Listed>,
}

impl TenantChannels {
    fn insert(&mut self, live: Arc<LiveChannel>) {
        let (id, listed) = (live.channel.id, Listed::new(live));
        self.created.insert((listed.created_at, id), listed.clone());
        self.changed.insert((listed.updated_at, id), listed.clone());
        self.names.insert(ByName(listed.clone()));
        self.ids.insert(id, listed);
    }

    /// Takes a channel out, given as it was put in.
    fn remove(&mut self, live: Arc<LiveChannel>) {
        let channel = &live.channel;
        self.ids.remove(&channel.id);
        self.created.remove(&(channel.created_at, channel.id));
        self.changed.remove(&(channel.updated_at, channel.id));
        self.names.remove(&ByName(Listed::new(live)));
    }

    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(crate) fn by_id(&self) -> impl DoubleEndedIterator<Item = &Listed> {
        self.ids.values()
    }

    /// In order of id, those above `after`.
    pub(crate) fn above(&self, after: ChannelId) -> impl Iterator<Item = &Listed> {
        self.ids.range((Bound::Excluded(after), Bound::Unbounded)).map(|(_, listed)| listed)
    }

    pub(crate) fn by_name(&self) -> impl DoubleEndedIterator<Item = &Listed> {
        self.names.iter().map(|ByName(listed)| listed)
    }

    pub(crate) fn by_creation(&self) -> impl DoubleEndedIterator<Item = &Listed> {
        self.created.values()
    }

    /// Those never changed first.
    pub(crate) fn by_change(&self) -> impl DoubleEndedIterator<Item = &Listed> {
        self.changed.values()
    }
}

/// A channel whose place is that of its name. What a live channel is called never changes: a change is another one.
#[derive(Debug)]
struct ByName(Listed);

impl ByName {
    fn key(&self) -> (&str, ChannelId) {
        let channel = &self.0.live.channel;
        (&channel.settings.name, channel.id)
    }
}

impl Ord for ByName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for ByName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for ByName {}
