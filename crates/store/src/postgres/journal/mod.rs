//! History in SQL, one file for each thing that is read. The order of functions is that of the trait.

mod attempts;
mod attempts_page;
mod deliveries;
mod events;
mod stats;

use async_trait::async_trait;
use domain::delivery::{Attempt, Delivery};
use domain::routing::{ConfigVersion, Subscription};
use domain::{AttemptId, ChannelId, DeliveryId, EventId, TenantId, Timestamp};
use tokio_postgres::{Error, Row};

use super::PostgresStore;
use super::statements::{Connection, query, query_opt};
use super::subscriptions::{SUBSCRIPTION_COLUMNS, read_subscription};
use crate::StoreError;
use crate::journal::{
    AttemptPage, AttemptPageQuery, AttemptQuery, ChannelStats, ChannelTotals, DeliveryQuery, EventQuery, EventRecord,
    EventSummary, Journal, Lifetime, Page, Stats, StatsQuery,
};

pub(super) use deliveries::{DEAD_COLUMNS, newest_to_each, read_dead, settled, these};

/// Rows that a list reads at a time. More than with SQLite, because each time is a trip over a network.
const CHUNK: usize = 256;

#[async_trait]
impl Journal for PostgresStore {
    async fn event(&self, tenant: TenantId, event: EventId) -> Result<Option<EventRecord>, StoreError> {
        self.read(move |connection| Box::pin(events::event(connection, tenant, event))).await
    }

    async fn events(&self, tenant: TenantId, query: EventQuery) -> Result<Page<EventSummary, EventId>, StoreError> {
        self.read(move |connection| Box::pin(events::events(connection, tenant, query))).await
    }

    async fn deliveries_of(
        &self,
        tenant: TenantId,
        event: EventId,
        after: DeliveryId,
        rows_max: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.read(move |connection| Box::pin(deliveries::deliveries_of(connection, tenant, event, after, rows_max)))
            .await
    }

    async fn delivery_to(
        &self,
        tenant: TenantId,
        event: EventId,
        channel: ChannelId,
    ) -> Result<Option<Delivery>, StoreError> {
        self.read(move |connection| Box::pin(deliveries::delivery_to(connection, tenant, event, channel))).await
    }

    async fn delivery(&self, tenant: TenantId, delivery: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        self.read(move |connection| Box::pin(deliveries::delivery(connection, tenant, delivery))).await
    }

    async fn deliveries(
        &self,
        tenant: TenantId,
        query: DeliveryQuery,
    ) -> Result<Page<Delivery, DeliveryId>, StoreError> {
        self.read(move |connection| Box::pin(deliveries::deliveries(connection, tenant, query))).await
    }

    async fn attempts(&self, tenant: TenantId, query: AttemptQuery) -> Result<Page<Attempt, AttemptId>, StoreError> {
        self.read(move |connection| Box::pin(attempts::attempts(connection, tenant, query))).await
    }

    async fn attempts_page(&self, tenant: TenantId, query: AttemptPageQuery) -> Result<AttemptPage, StoreError> {
        self.read(move |connection| Box::pin(attempts_page::attempts_page(connection, tenant, query))).await
    }

    async fn stats(&self, tenant: TenantId, query: StatsQuery) -> Result<Stats, StoreError> {
        self.read(move |connection| Box::pin(stats::stats(connection, tenant, query))).await
    }

    async fn stats_by_channel(&self, tenant: TenantId, since: Timestamp) -> Result<Vec<ChannelStats>, StoreError> {
        self.read(move |connection| Box::pin(stats::stats_by_channel(connection, tenant, since))).await
    }

    async fn totals(&self) -> Result<Vec<ChannelTotals>, StoreError> {
        self.read(|connection| Box::pin(stats::totals(connection))).await
    }

    async fn subscriptions_at(
        &self,
        tenant: TenantId,
        channel: ChannelId,
        version: ConfigVersion,
    ) -> Result<Vec<Subscription>, StoreError> {
        self.read(move |connection| Box::pin(subscriptions_at(connection, tenant, channel, version))).await
    }

    async fn lifetime(&self, tenant: TenantId, channel: ChannelId) -> Result<Option<Lifetime>, StoreError> {
        self.read(move |connection| Box::pin(lifetime(connection, tenant, channel))).await
    }
}

/// A page that is being filled: how far it may look, and where it stands.
struct Filling<T> {
    below: i64,
    rows: Vec<T>,
    rows_max: usize,
    examined: usize,
    examined_max: usize,
}

impl<T> Filling<T> {
    const fn new(before: i64, rows_max: usize, examined_max: usize) -> Self {
        Self { below: before, rows: Vec::new(), rows_max, examined: 0, examined_max }
    }

    /// Examines a row. Returns whether the page is over with it.
    fn take(&mut self, id: i64, row: T, is_wanted: impl Fn(&T) -> bool) -> bool {
        self.below = id;
        self.examined += 1;
        if is_wanted(&row) {
            self.rows.push(row);
        }
        self.rows.len() >= self.rows_max || self.examined >= self.examined_max
    }

    /// Examines a chunk of what is below, newest first. Gives the page when it is over, and itself when there is more.
    fn take_chunk(mut self, chunk: Vec<(i64, T)>, is_wanted: impl Fn(&T) -> bool) -> Result<Page<T, i64>, Self> {
        let is_last = chunk.len() < CHUNK;
        for (id, row) in chunk {
            if self.take(id, row, &is_wanted) {
                return Ok(Page { rows: self.rows, next: Some(self.below) });
            }
        }
        if is_last { Ok(Page { rows: self.rows, next: None }) } else { Err(self) }
    }
}

async fn subscriptions_at(
    connection: &Connection,
    tenant: TenantId,
    channel: ChannelId,
    version: ConfigVersion,
) -> Result<Vec<Subscription>, Error> {
    let sql = format!(
        "SELECT {SUBSCRIPTION_COLUMNS} FROM subscriptions
         WHERE channel_id = $2 AND tenant_id = $1 AND valid_from <= $3 AND (valid_to IS NULL OR valid_to > $3)
         ORDER BY valid_from, id"
    );
    let rows = query(connection, &sql, &[&tenant.0, &channel.0, &version.0]).await?;
    rows.iter().map(read_subscription).collect()
}

async fn lifetime(connection: &Connection, tenant: TenantId, channel: ChannelId) -> Result<Option<Lifetime>, Error> {
    let read = |row: Row| {
        let deleted_at: Option<i64> = row.try_get(1)?;
        let created_at = Timestamp::from_ms(row.try_get(0)?);
        Ok(Lifetime { created_at, deleted_at: deleted_at.map(Timestamp::from_ms) })
    };
    let sql = "SELECT created_at, deleted_at FROM channels WHERE id = $2 AND tenant_id = $1";
    query_opt(connection, sql, &[&tenant.0, &channel.0]).await?.map(read).transpose()
}
