//! Channels in lists: by cursor, and by page for the faces that count pages.

use std::cmp::Ordering;
use std::sync::Arc;

use domain::{ChannelId, TenantId};
use store::journal::{Span, Text};

use super::{ChannelShown, Engine};
use crate::registry::LiveChannel;

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
    fn passes(&self, live: &LiveChannel) -> bool {
        let settings = &live.channel.settings;
        self.provider.as_ref().is_none_or(|provider| settings.provider == *provider)
            && self.among.is_none_or(|names| names.contains(&settings.provider.as_str()))
            && self.config.is_none_or(|(key, text)| live.config.text(key) == Some(text))
            && self.is_active.is_none_or(|is_active| settings.is_active == is_active)
            && self.is_paused.is_none_or(|is_paused| live.held().is_some() == is_paused)
            && !(self.hides_managed && settings.is_managed)
            && self.created.contains(live.channel.created_at)
            && (self.updated == Span::default() || live.channel.updated_at.is_some_and(|at| self.updated.contains(at)))
            && self.text.as_ref().is_none_or(|text| text.is_in(&settings.name))
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

impl ChannelOrder {
    fn compare(self, one: &LiveChannel, other: &LiveChannel) -> Ordering {
        let (one, other) = (&one.channel, &other.channel);
        let by_id = one.id.cmp(&other.id);
        let order = match self.by {
            OrderBy::Id => by_id,
            OrderBy::Name => one.settings.name.cmp(&other.settings.name).then(by_id),
            OrderBy::CreatedAt => one.created_at.cmp(&other.created_at).then(by_id),
            OrderBy::UpdatedAt => one.updated_at.cmp(&other.updated_at).then(by_id),
        };
        if self.is_descending { order.reverse() } else { order }
    }
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
        let passes = |live: &LiveChannel| filter.passes(live);
        self.registry.channels_that(tenant, after, rows_max, passes).into_iter().map(|live| self.show(live)).collect()
    }

    /// How many channels there are. Looks at every channel of the tenant, in memory.
    pub(super) fn count_channels(&self, tenant: TenantId, filter: &ChannelFilter) -> usize {
        self.registry.channels_that(tenant, ChannelId(0), usize::MAX, |live| filter.passes(live)).len()
    }

    /// A page of channels by number. Looks at every channel of the tenant, in memory.
    pub fn channel_page(&self, tenant: TenantId, query: &ChannelPageQuery) -> ChannelPage {
        let passes = |live: &LiveChannel| query.filter.passes(live);
        let mut rows = self.registry.channels_that(tenant, ChannelId(0), usize::MAX, passes);
        let total = rows.len();
        let page = page_of(&mut rows, query);
        ChannelPage { rows: page.iter().map(|live| self.show(Arc::clone(live))).collect(), total }
    }
}

/// The rows of the page in order. Sorts no more than it must: a tenant may have a hundred thousand channels.
fn page_of<'a>(rows: &'a mut [Arc<LiveChannel>], query: &ChannelPageQuery) -> &'a [Arc<LiveChannel>] {
    let total = rows.len();
    let (from, to) = (query.skip.min(total), query.skip.saturating_add(query.rows_max).min(total));
    if from == to {
        return &[];
    }
    match query.order {
        // As they come.
        ChannelOrder { by: OrderBy::Id, is_descending: false } => {}
        ChannelOrder { by: OrderBy::Id, is_descending: true } => rows.reverse(),
        order => {
            let compare = |one: &Arc<LiveChannel>, other: &Arc<LiveChannel>| order.compare(one, other);
            let mut wanted = &mut rows[..];
            if to < total {
                wanted = wanted.select_nth_unstable_by(to, compare).0;
            }
            if from > 0 {
                wanted.select_nth_unstable_by(from, compare);
            }
            rows[from..to].sort_unstable_by(compare);
        }
    }
    &rows[from..to]
}
