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
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::directory::{SUBSCRIPTION_COLUMNS, read_subscription};
use super::segments::{self, Kind, Segment};
use super::{SqliteStore, from_sqlite};
use crate::StoreError;
use crate::journal::{
    AttemptPage, AttemptPageQuery, AttemptQuery, ChannelStats, ChannelTotals, DeliveryQuery, EventQuery, EventRecord,
    EventSummary, Journal, Lifetime, Page, Stats, StatsQuery,
};

pub(super) use deliveries::{DEAD_COLUMNS, complete, delivery, newest_to, read_dead, settled};

/// Rows that a list reads at a time. Enough for most pages, and no more than is worth reading in vain.
const CHUNK: usize = 64;

#[async_trait]
impl Journal for SqliteStore {
    async fn event(&self, tenant: TenantId, event: EventId) -> Result<Option<EventRecord>, StoreError> {
        self.read(move |connection| events::event(connection, tenant, event).map_err(from_sqlite)).await
    }

    async fn events(&self, tenant: TenantId, query: EventQuery) -> Result<Page<EventSummary, EventId>, StoreError> {
        self.read(move |connection| events::events(connection, tenant, &query).map_err(from_sqlite)).await
    }

    async fn deliveries_of(
        &self,
        tenant: TenantId,
        event: EventId,
        after: DeliveryId,
        rows_max: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.read(move |connection| {
            deliveries::deliveries_of(connection, tenant, event, after, rows_max).map_err(from_sqlite)
        })
        .await
    }

    async fn delivery_to(
        &self,
        tenant: TenantId,
        event: EventId,
        channel: ChannelId,
    ) -> Result<Option<Delivery>, StoreError> {
        self.read(move |connection| deliveries::delivery_to(connection, tenant, event, channel).map_err(from_sqlite))
            .await
    }

    async fn delivery(&self, tenant: TenantId, delivery: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        self.read(move |connection| deliveries::delivery(connection, tenant, delivery).map_err(from_sqlite)).await
    }

    async fn deliveries(
        &self,
        tenant: TenantId,
        query: DeliveryQuery,
    ) -> Result<Page<Delivery, DeliveryId>, StoreError> {
        self.read(move |connection| deliveries::deliveries(connection, tenant, &query).map_err(from_sqlite)).await
    }

    async fn attempts(&self, tenant: TenantId, query: AttemptQuery) -> Result<Page<Attempt, AttemptId>, StoreError> {
        self.read(move |connection| attempts::attempts(connection, tenant, &query).map_err(from_sqlite)).await
    }

    async fn attempts_page(&self, tenant: TenantId, query: AttemptPageQuery) -> Result<AttemptPage, StoreError> {
        self.read(move |connection| attempts_page::attempts_page(connection, tenant, &query).map_err(from_sqlite)).await
    }

    async fn stats(&self, tenant: TenantId, query: StatsQuery) -> Result<Stats, StoreError> {
        self.read(move |connection| stats::stats(connection, tenant, &query).map_err(from_sqlite)).await
    }

    async fn stats_by_channel(&self, tenant: TenantId, since: Timestamp) -> Result<Vec<ChannelStats>, StoreError> {
        self.read(move |connection| stats::stats_by_channel(connection, tenant, since).map_err(from_sqlite)).await
    }

    async fn totals(&self) -> Result<Vec<ChannelTotals>, StoreError> {
        self.read(|connection| stats::totals(connection).map_err(from_sqlite)).await
    }

    async fn subscriptions_at(
        &self,
        tenant: TenantId,
        channel: ChannelId,
        version: ConfigVersion,
    ) -> Result<Vec<Subscription>, StoreError> {
        self.read(move |connection| subscriptions_at(connection, tenant, channel, version).map_err(from_sqlite)).await
    }

    async fn lifetime(&self, tenant: TenantId, channel: ChannelId) -> Result<Option<Lifetime>, StoreError> {
        self.read(move |connection| lifetime(connection, tenant, channel).map_err(from_sqlite)).await
    }
}

/// How far a list goes: where it begins, and when the page is over.
#[derive(Clone, Copy)]
struct Bounds {
    before: i64,
    rows_max: usize,
    examined_max: usize,
}

/// Examines a kind of history whose segments are in order of id, newest first, until the page is full or enough was
/// examined. `read` gives the rows of a segment below an id, newest first: at least [`CHUNK`] of them when there are so
/// many. To look into a segment counts as a row, so that a list which finds nothing ends as well.
fn newest_first<T>(
    connection: &Connection,
    kind: Kind,
    bounds: Bounds,
    read: impl Fn(&Segment, i64) -> rusqlite::Result<Vec<(i64, T)>>,
    is_wanted: impl Fn(&T) -> bool,
) -> rusqlite::Result<Page<T, i64>> {
    let mut rows = Vec::new();
    let mut examined = 0;
    for segment in segments::list(connection, kind, 0, bounds.before)? {
        let mut below = bounds.before.min(segment.last_id.saturating_add(1));
        if examined >= bounds.examined_max {
            return Ok(Page { rows, next: Some(below) });
        }
        examined += 1;
        loop {
            let chunk = read(&segment, below)?;
            let is_last = chunk.len() < CHUNK;
            for (id, row) in chunk {
                below = id;
                examined += 1;
                if is_wanted(&row) {
                    rows.push(row);
                }
                if rows.len() >= bounds.rows_max || examined >= bounds.examined_max {
                    return Ok(Page { rows, next: Some(below) });
                }
            }
            if is_last {
                break;
            }
        }
    }
    Ok(Page { rows, next: None })
}

fn subscriptions_at(
    connection: &Connection,
    tenant: TenantId,
    channel: ChannelId,
    version: ConfigVersion,
) -> rusqlite::Result<Vec<Subscription>> {
    let sql = format!(
        "SELECT {SUBSCRIPTION_COLUMNS} FROM subscriptions
         WHERE channel_id = ?2 AND tenant_id = ?1 AND valid_from <= ?3 AND (valid_to IS NULL OR valid_to > ?3)
         ORDER BY valid_from, id"
    );
    connection.prepare_cached(&sql)?.query_map(params![tenant.0, channel.0, version.0], read_subscription)?.collect()
}

fn lifetime(connection: &Connection, tenant: TenantId, channel: ChannelId) -> rusqlite::Result<Option<Lifetime>> {
    let read = |row: &Row<'_>| {
        let deleted_at: Option<i64> = row.get(1)?;
        Ok(Lifetime { created_at: Timestamp::from_ms(row.get(0)?), deleted_at: deleted_at.map(Timestamp::from_ms) })
    };
    connection
        .prepare_cached("SELECT created_at, deleted_at FROM channels WHERE id = ?2 AND +tenant_id = ?1")?
        .query_row([tenant.0, channel.0], read)
        .optional()
}
