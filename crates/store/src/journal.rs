//! What happened, for people: events with their verdicts, deliveries, attempts, sums.

use async_trait::async_trait;
use domain::delivery::{Attempt, Delivery, State};
use domain::event::Event;
use domain::outcome::Class;
use domain::routing::{ConfigVersion, Subscription};
use domain::verdict::Verdicts;
use domain::{AttemptId, ChannelId, DeliveryId, EventId, TenantId, Timestamp};

use crate::StoreError;

/// Reads history. Every list is paged, newest first.
#[async_trait]
pub trait Journal: Send + Sync {
    /// An event with its verdicts. `None` when the tenant has no such event.
    async fn event(&self, tenant: TenantId, event: EventId) -> Result<Option<EventRecord>, StoreError>;

    /// The deliveries of an event in order of id, those above `after`, at most `rows_max`.
    async fn deliveries_of(
        &self,
        tenant: TenantId,
        event: EventId,
        after: DeliveryId,
        rows_max: usize,
    ) -> Result<Vec<Delivery>, StoreError>;

    async fn delivery(&self, tenant: TenantId, delivery: DeliveryId) -> Result<Option<Delivery>, StoreError>;

    async fn deliveries(&self, tenant: TenantId, query: DeliveryQuery) -> Result<Vec<Delivery>, StoreError>;

    async fn attempts(&self, tenant: TenantId, query: AttemptQuery) -> Result<Vec<Attempt>, StoreError>;

    /// Sums over everything from the quarter of an hour of `since` on, and what waits now.
    async fn stats(&self, tenant: TenantId, since: Timestamp) -> Result<Stats, StoreError>;

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

/// Which deliveries to list.
#[derive(Clone, Debug)]
pub struct DeliveryQuery {
    pub channel: Option<ChannelId>,
    /// What is held follows from the channels: ask for what waits, channel by channel.
    pub state: Option<StateFilter>,
    /// Only those below; `None` begins at the newest.
    pub before: Option<DeliveryId>,
    pub rows_max: usize,
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
    /// Only those below; `None` begins at the newest.
    pub before: Option<AttemptId>,
    pub rows_max: usize,
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
