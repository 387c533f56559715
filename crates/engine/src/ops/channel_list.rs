//! Channels in lists: by cursor, and by page for the faces that count pages.

use std::sync::Arc;

use domain::{ChannelId, TenantId};
use store::journal::{Span, Text};

use super::{ChannelShown, Engine};
use crate::registry::{Listed, LiveChannel, TenantChannels};

/// Which channels to list.
#[derive(Clone, Debug, Default)]
pub struct ChannelFilter {
    pub provider: Option<String>,
    /// Only those of these providers: what a face has words for.
    pub among: Option<&'static [&'static str]>,
    pub is_active: Option<bool>,
    /// What a field of the config says: its key and the whole text.
    pub config: Option<(&'static str, &'static str)>,
    /// Whether Postrider holds its deliveries.
    pub is_paused: Option<bool>,
    /// In the name.
    pub text: Option<Text>,
    /// Without those that a dialect's own settings steer.
    pub hides_managed: bool,
    pub created: Span,
    /// Those never changed are in no span but the whole one.
    pub updated: Span,
}

impl ChannelFilter {
    fn passes(&self, listed: &Listed) -> bool {
        let Listed { live, provider, name, created_at, updated_at, is_active, is_managed } = listed;
        self.provider.as_ref().is_none_or(|wanted| provider == wanted)
            && self.among.is_none_or(|names| names.contains(provider))
            && self.is_active.is_none_or(|wanted| wanted == *is_active)
            && !(self.hides_managed && *is_managed)
            && (self.created == Span::default() || self.created.contains(*created_at))
            && (self.updated == Span::default() || updated_at.is_some_and(|at| self.updated.contains(at)))
            // Only those who ask for more look at the channel itself, which lies elsewhere.
            && self.config.is_none_or(|(key, text)| live.config.text(key) == Some(text))
            && self.is_paused.is_none_or(|is_paused| live.held().is_some() == is_paused)
            && self.text.as_ref().is_none_or(|text| text.is_in_folded(name))
    }
}

/// In which order to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelOrder {
    pub by: OrderBy,
    pub is_descending: bool,
}

/// What decides the order. Equal ones stand in order of id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderBy {
    Id,
    Name,
    CreatedAt,
    /// Those never changed first.
    UpdatedAt,
}

/// Which page of which channels.
#[derive(Clone, Debug)]
pub struct ChannelPageQuery {
    pub filter: ChannelFilter,
    pub order: ChannelOrder,
    /// Rows before the page.
    pub skip: usize,
    pub rows_max: usize,
}

/// One page, and how many rows there are over all pages.
#[derive(Debug)]
pub struct ChannelPage {
    pub rows: Vec<ChannelShown>,
    pub total: usize,
}

impl Engine {
    /// Channels in order of id, those above `after`.
    pub fn channels(
        &self,
        tenant: TenantId,
        filter: &ChannelFilter,
        after: ChannelId,
        rows_max: usize,
    ) -> Vec<ChannelShown> {
        let find = |channels: &TenantChannels| -> Vec<Arc<LiveChannel>> {
            let passing = channels.above(after).filter(|listed| filter.passes(listed));
            passing.take(rows_max).map(|listed| Arc::clone(&listed.live)).collect()
        };
        let found = self.registry.of_tenant(tenant, find).unwrap_or_default();
        found.into_iter().map(|live| self.show(live)).collect()
    }

    /// How many channels there are, counted up to `count_max`.
    pub(super) fn count_channels(&self, tenant: TenantId, filter: &ChannelFilter, count_max: usize) -> usize {
        let count =
            |channels: &TenantChannels| channels.by_id().filter(|listed| filter.passes(listed)).take(count_max).count();
        self.registry.of_tenant(tenant, count).unwrap_or_default()
    }

    /// A page of channels by number. Looks at every channel of the tenant, in memory.
    pub fn channel_page(&self, tenant: TenantId, query: &ChannelPageQuery) -> ChannelPage {
        let found = self.registry.of_tenant(tenant, |channels| Found::among(channels, query)).unwrap_or_default();
        let rows = found.rows.into_iter().map(|live| self.show(live)).collect();
        ChannelPage { rows, total: found.total }
    }
}

/// The channels of a page in order, and how many there are over all pages.
#[derive(Debug, Default)]
struct Found {
    rows: Vec<Arc<LiveChannel>>,
    total: usize,
}

impl Found {
    fn among(channels: &TenantChannels, query: &ChannelPageQuery) -> Self {
        let passes = |listed: &&Listed| query.filter.passes(listed);
        let ChannelOrder { by, is_descending } = query.order;
        match (by, is_descending) {
            (OrderBy::Id, false) => Self::walk(channels.by_id().filter(passes), query),
            (OrderBy::Id, true) => Self::walk(channels.by_id().rev().filter(passes), query),
            (OrderBy::Name, false) => Self::walk(channels.by_name().filter(passes), query),
            (OrderBy::Name, true) => Self::walk(channels.by_name().rev().filter(passes), query),
            (OrderBy::CreatedAt, false) => Self::walk(channels.by_creation().filter(passes), query),
            (OrderBy::CreatedAt, true) => Self::walk(channels.by_creation().rev().filter(passes), query),
            (OrderBy::UpdatedAt, false) => Self::walk(channels.by_change().filter(passes), query),
            (OrderBy::UpdatedAt, true) => Self::walk(channels.by_change().rev().filter(passes), query),
        }
    }

    /// The page of channels that come in order.
    fn walk<'a>(passing: impl Iterator<Item = &'a Listed>, query: &ChannelPageQuery) -> Self {
        let page = query.skip..query.skip.saturating_add(query.rows_max);
        let mut found = Self::default();
        for listed in passing {
            if page.contains(&found.total) {
                found.rows.push(Arc::clone(&listed.live));
            }
            found.total += 1;
        }
        found
    }
}

#[cfg(test)]
mod tests;
