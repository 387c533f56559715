//! What happened, for people: events with their verdicts, deliveries, attempts, sums.

use std::collections::BTreeSet;

use async_trait::async_trait;
use compact_str::CompactString;
use domain::delivery::{Attempt, AttemptResult, Delivery, State};
use domain::event::{Event, Severity};
use domain::outcome::Class;
use domain::routing::{ConfigVersion, Pattern, Subscription};
use domain::verdict::Verdicts;
use domain::{AttemptId, ChannelId, DeliveryId, EventId, TenantId, Timestamp};

use crate::StoreError;

/// Reads history. Every list is paged, newest first.
///
/// A list looks at rows in the order of their ids and at no more than `examined_max` of them for one page, so that a
/// filter which few rows pass costs as little as one that all pass. What a page did not get to is behind its
/// [`Page::next`].
#[async_trait]
pub trait Journal: Send + Sync {
    /// An event with its verdicts. `None` when the tenant has no such event.
    async fn event(&self, tenant: TenantId, event: EventId) -> Result<Option<EventRecord>, StoreError>;

    async fn events(&self, tenant: TenantId, query: EventQuery) -> Result<Page<EventSummary, EventId>, StoreError>;

    /// The deliveries of an event in order of id, those above `after`, at most `rows_max`.
    async fn deliveries_of(
        &self,
        tenant: TenantId,
        event: EventId,
        after: DeliveryId,
        rows_max: usize,
    ) -> Result<Vec<Delivery>, StoreError>;

    /// The delivery of an event to a channel; the event's other deliveries are not read.
    async fn delivery_to(
        &self,
        tenant: TenantId,
        event: EventId,
        channel: ChannelId,
    ) -> Result<Option<Delivery>, StoreError>;

    async fn delivery(&self, tenant: TenantId, delivery: DeliveryId) -> Result<Option<Delivery>, StoreError>;

    async fn deliveries(
        &self,
        tenant: TenantId,
        query: DeliveryQuery,
    ) -> Result<Page<Delivery, DeliveryId>, StoreError>;

    async fn attempts(&self, tenant: TenantId, query: AttemptQuery) -> Result<Page<Attempt, AttemptId>, StoreError>;

    /// A page of attempts by number, newest first, and how many there are over all pages: both within the newest
    /// `examined_max` attempts of the tenant, or of the channel when one is named.
    async fn attempts_page(&self, tenant: TenantId, query: AttemptPageQuery) -> Result<AttemptPage, StoreError>;

    /// Sums over everything from the quarter of an hour of `since` on, and what waits now.
    async fn stats(&self, tenant: TenantId, query: StatsQuery) -> Result<Stats, StoreError>;

    /// The same by channel in order of id, for those that have any.
    async fn stats_by_channel(&self, tenant: TenantId, since: Timestamp) -> Result<Vec<ChannelStats>, StoreError>;

    /// What waits and what is dead now, of every tenant, by channel in order of id, for those that have any. One row is
    /// read for each channel that ever had a delivery, however many deliveries there are.
    async fn totals(&self) -> Result<Vec<ChannelTotals>, StoreError>;

    /// The subscriptions of a tenant's channel that were valid at a version.
    async fn subscriptions_at(
        &self,
        tenant: TenantId,
        channel: ChannelId,
        version: ConfigVersion,
    ) -> Result<Vec<Subscription>, StoreError>;

    /// When a tenant's channel was there, also one that was deleted. `None` when the tenant never had it.
    async fn lifetime(&self, tenant: TenantId, channel: ChannelId) -> Result<Option<Lifetime>, StoreError>;
}

/// When something was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    pub created_at: Timestamp,
    pub deleted_at: Option<Timestamp>,
}

/// An event as it was kept.
#[derive(Clone, Debug)]
pub struct EventRecord {
    pub event: Event,
    pub verdicts: Verdicts,
    /// Deliveries made by now.
    pub deliveries: usize,
    /// Deliveries still to be made.
    pub expanding: usize,
}

/// An event in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSummary {
    pub id: EventId,
    pub event_type: String,
    pub occurred_at: Timestamp,
    pub accepted_at: Timestamp,
    pub severity: Option<Severity>,
    /// Deliveries made, and those still to be made.
    pub deliveries: usize,
}

/// One page of a list, newest first. It may be short, even empty, and still have a `next`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, I> {
    pub rows: Vec<T>,
    /// The `before` of the next page. `None`: there is none.
    pub next: Option<I>,
}

/// A span of time: from `since`, and before `until`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

impl Span {
    pub fn contains(&self, at: Timestamp) -> bool {
        self.since.is_none_or(|since| since <= at) && self.until.is_none_or(|until| at < until)
    }
}

/// The longest text that may be searched for, in characters.
pub const TEXT_CHARS_MAX: usize = 200;

/// A text to search for, in whatever case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// `None` unless it has 1 to [`TEXT_CHARS_MAX`] characters.
    pub fn new(text: &str) -> Option<Self> {
        (1..=TEXT_CHARS_MAX).contains(&text.chars().count()).then(|| Self(text.to_lowercase()))
    }

    pub fn is_in(&self, text: &str) -> bool {
        text.to_lowercase().contains(&self.0)
    }

    pub fn is_in_folded(&self, text: &Folded) -> bool {
        text.0.contains(&self.0)
    }
}

/// A text in lower case, for where many are searched again and again. One of up to 24 bytes lies where this does: a search
/// of a hundred thousand would spend its time on the way to others.
#[derive(Clone, Debug)]
pub struct Folded(CompactString);

impl Folded {
    pub fn new(text: &str) -> Self {
        Self(CompactString::from(text.to_lowercase()))
    }
}

/// Which events to list.
#[derive(Clone, Debug)]
pub struct EventQuery {
    pub event_types: Option<Pattern>,
    pub severity: Option<Severity>,
    pub accepted: Span,
    /// In the data.
    pub text: Option<Text>,
    /// Only those below; `None` begins at the newest.
    pub before: Option<EventId>,
    pub rows_max: usize,
    pub examined_max: usize,
}

impl EventQuery {
    /// The newest, however many rows that takes.
    pub const fn newest(rows_max: usize) -> Self {
        Self {
            event_types: None,
            severity: None,
            accepted: Span { since: None, until: None },
            text: None,
            before: None,
            rows_max,
            examined_max: usize::MAX,
        }
    }
}

/// Which deliveries to list.
#[derive(Clone, Debug)]
pub struct DeliveryQuery {
    pub channel: Option<ChannelId>,
    /// What is held follows from the channels: ask for what waits, channel by channel.
    pub state: Option<StateFilter>,
    pub event_types: Option<Pattern>,
    pub event: Option<EventId>,
    pub created: Span,
    /// In the reason as it is kept.
    pub text: Option<Text>,
    /// Only those below; `None` begins at the newest.
    pub before: Option<DeliveryId>,
    pub rows_max: usize,
    pub examined_max: usize,
}

impl DeliveryQuery {
    /// The newest, however many rows that takes.
    pub const fn newest(rows_max: usize) -> Self {
        Self {
            channel: None,
            state: None,
            event_types: None,
            event: None,
            created: Span { since: None, until: None },
            text: None,
            before: None,
            rows_max,
            examined_max: usize::MAX,
        }
    }
}

/// Which states to list; each is one source of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateFilter {
    /// Waits for its first attempt.
    Pending,
    /// Waits for a later attempt.
    Retrying,
    /// Either of both.
    Waiting,
    Dead,
    /// One of the final states of history: sent, cancelled or expired.
    Settled(State),
}

/// Which attempts to list.
#[derive(Clone, Debug)]
pub struct AttemptQuery {
    pub delivery: Option<DeliveryId>,
    pub channel: Option<ChannelId>,
    pub class: Option<Class>,
    pub event_types: Option<Pattern>,
    pub event: Option<EventId>,
    pub provider: Option<String>,
    /// The provider's status.
    pub code: Option<u16>,
    pub started: Span,
    /// In the reason or the answer.
    pub text: Option<Text>,
    /// Only those below; `None` begins at the newest.
    pub before: Option<AttemptId>,
    pub rows_max: usize,
    pub examined_max: usize,
}

impl AttemptQuery {
    /// The newest, however many rows that takes.
    pub const fn newest(rows_max: usize) -> Self {
        Self {
            delivery: None,
            channel: None,
            class: None,
            event_types: None,
            event: None,
            provider: None,
            code: None,
            started: Span { since: None, until: None },
            text: None,
            before: None,
            rows_max,
            examined_max: usize::MAX,
        }
    }
}

/// Which page of which attempts.
#[derive(Clone, Debug)]
pub struct AttemptPageQuery {
    pub channel: Option<ChannelId>,
    /// Without those to these channels.
    pub except: BTreeSet<ChannelId>,
    /// To any of these providers.
    pub providers: BTreeSet<String>,
    pub event_type: Option<String>,
    pub result: Option<AttemptResult>,
    /// Rows before the page.
    pub skip: usize,
    pub rows_max: usize,
    pub examined_max: usize,
}

/// One page of attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptPage {
    pub rows: Vec<Attempt>,
    /// Rows over all pages.
    pub total: usize,
}

/// What to sum up.
#[derive(Clone, Debug)]
pub struct StatsQuery {
    pub since: Timestamp,
    /// Events belong to no channel: with one, their sum is 0.
    pub channel: Option<ChannelId>,
    /// What waits is not counted by type: with one, those sums are 0.
    pub event_types: Option<Pattern>,
}

impl StatsQuery {
    /// Everything of the tenant.
    pub const fn since(since: Timestamp) -> Self {
        Self { since, channel: None, event_types: None }
    }
}

/// Sums of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelStats {
    pub channel: ChannelId,
    pub sent: u64,
    /// Attempts that failed, not deliveries.
    pub failed_attempts: u64,
    /// Waiting now.
    pub pending: u64,
    pub retrying: u64,
    /// Dead letters now.
    pub dead: u64,
}

/// What waits for a channel, and what is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelTotals {
    pub channel: ChannelId,
    pub pending: u64,
    pub retrying: u64,
    pub dead: u64,
}

/// Sums of a tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub events: u64,
    pub sent: u64,
    /// Attempts that failed, not deliveries.
    pub failed_attempts: u64,
    pub cancelled: u64,
    pub expired: u64,
    /// Waiting now.
    pub pending: u64,
    pub retrying: u64,
    /// Waiting now, by channel in order of id, for those that have any: pending and retrying.
    pub waiting: Vec<(ChannelId, u64, u64)>,
    /// Dead letters now.
    pub dead: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_in_whatever_case() {
        let check = |text: &str, within: &str, is_in: bool| {
            let (found, text) = (Text::new(text).unwrap(), text.to_lowercase());
            assert_eq!(found.is_in(within), is_in, "{text:?} in {within:?}");
            assert_eq!(found.is_in_folded(&Folded::new(within)), is_in, "{text:?} in {within:?}, folded");
        };
        check("alert", "Alert Tim Security", true);
        check("SECURITY", "Alert Tim Security", true);
        check("m s", "Alert Tim Security", true);
        check("alert tim security!", "Alert Tim Security", false);
        check("alerts", "Alert", false);
        check("a", "", false);
        check("żółw", "ŻÓŁW i przyjaciele", true);
        check("ŻÓŁW", "zolw", false);
        check("i p", "ŻÓŁW I Przyjaciele", true);
        // The sign for Kelvin is a k in lower case.
        check("\u{212a}", "disk", true);
    }
}
