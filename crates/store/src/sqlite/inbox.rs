//! The in-app inbox in SQL. The order of functions is that of the trait.

use async_trait::async_trait;
use domain::{ChannelId, DeliveryId, EventId, TenantId, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};

use super::tx::Tx;
use super::{SqliteStore, from_sqlite};
use crate::StoreError;
use crate::inbox::{Inbox, InboxEntry, InboxQuery, InboxRow, UNREAD_COUNTED_MAX};
use crate::queue::Settlement;

#[async_trait]
impl Inbox for SqliteStore {
    async fn inbox(&self, tenant: TenantId, query: InboxQuery) -> Result<Vec<InboxRow>, StoreError> {
        self.read(move |connection| inbox(connection, tenant, &query).map_err(from_sqlite)).await
    }

    async fn unread(&self, tenant: TenantId, recipient: Option<String>) -> Result<u64, StoreError> {
        self.read(move |connection| unread(connection, tenant, recipient).map_err(from_sqlite)).await
    }

    async fn mark(
        &self,
        tenant: TenantId,
        entry: DeliveryId,
        read_at: Option<Timestamp>,
    ) -> Result<Option<InboxRow>, StoreError> {
        self.write(1, move |tx| mark(tx, tenant, entry, read_at).map_err(from_sqlite)).await
    }

    async fn mark_slice(
        &self,
        tenant: TenantId,
        recipient: Option<String>,
        up_to: DeliveryId,
        read_at: Timestamp,
        rows_max: usize,
    ) -> Result<usize, StoreError> {
        self.write(rows_max, move |tx| {
            mark_slice(tx, tenant, recipient.as_deref(), up_to, read_at, rows_max).map_err(from_sqlite)
        })
        .await
    }
}

/// Writes the entries of a settlement that took effect. One that is there already stays: a delivery that was settled
/// under another number brings it a second time.
pub(super) fn insert(tx: &Tx<'_>, settlement: &Settlement) -> rusqlite::Result<()> {
    for InboxEntry { recipient, content } in &settlement.inbox {
        tx.connection
            .prepare_cached(
                "INSERT OR IGNORE INTO inbox (tenant_id, id, channel_id, event_id, recipient, content, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                settlement.tenant.0,
                settlement.delivery.0,
                settlement.channel.0,
                settlement.event.0,
                recipient,
                content,
                settlement.settled_at.as_ms(),
            ])?;
    }
    Ok(())
}

const COLUMNS: &str = "id, channel_id, event_id, recipient, content, created_at, read_at";

fn read(row: &Row<'_>) -> rusqlite::Result<InboxRow> {
    Ok(InboxRow {
        id: DeliveryId(row.get(0)?),
        channel: ChannelId(row.get(1)?),
        event: EventId(row.get(2)?),
        entry: InboxEntry { recipient: row.get(3)?, content: row.get(4)? },
        created_at: Timestamp::from_ms(row.get(5)?),
        read_at: row.get::<_, Option<i64>>(6)?.map(Timestamp::from_ms),
    })
}

/// The condition of a list and its values: tenant, bound of the id and, when there is one, the recipient.
fn condition(tenant: TenantId, recipient: Option<String>, id: (&str, i64)) -> (String, Vec<Value>) {
    let (comparison, bound) = id;
    let mut condition = format!("tenant_id = ?1 AND id {comparison} ?2");
    let mut values: Vec<Value> = vec![tenant.0.into(), bound.into()];
    if let Some(recipient) = recipient {
        condition.push_str(" AND recipient = ?3");
        values.push(recipient.into());
    }
    (condition, values)
}

fn inbox(connection: &Connection, tenant: TenantId, query: &InboxQuery) -> rusqlite::Result<Vec<InboxRow>> {
    let before = query.before.map_or(i64::MAX, |before| before.0);
    let (condition, values) = condition(tenant, query.recipient.clone(), ("<", before));
    let unread = if query.is_unread_only { " AND read_at IS NULL" } else { "" };
    let limit = i64::try_from(query.rows_max).unwrap_or(i64::MAX);
    let sql = format!("SELECT {COLUMNS} FROM inbox WHERE {condition}{unread} ORDER BY id DESC LIMIT {limit}");
    connection.prepare_cached(&sql)?.query_map(params_from_iter(values), read)?.collect()
}

fn unread(connection: &Connection, tenant: TenantId, recipient: Option<String>) -> rusqlite::Result<u64> {
    let (condition, values) = condition(tenant, recipient, (">", 0));
    // Counting ends at the bound, however much there is.
    let sql = format!(
        "SELECT COUNT(*)
         FROM (SELECT 1 FROM inbox WHERE {condition} AND read_at IS NULL LIMIT {UNREAD_COUNTED_MAX})"
    );
    let count: i64 = connection.prepare_cached(&sql)?.query_row(params_from_iter(values), |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

fn mark(
    tx: &Tx<'_>,
    tenant: TenantId,
    entry: DeliveryId,
    read_at: Option<Timestamp>,
) -> rusqlite::Result<Option<InboxRow>> {
    let sql = format!(
        "UPDATE inbox
         SET read_at = CASE WHEN ?3 IS NULL THEN NULL ELSE coalesce(read_at, ?3) END
         WHERE tenant_id = ?1 AND id = ?2
         RETURNING {COLUMNS}"
    );
    let read_at = read_at.map(Timestamp::as_ms);
    tx.connection.prepare_cached(&sql)?.query_row(params![tenant.0, entry.0, read_at], read).optional()
}

fn mark_slice(
    tx: &Tx<'_>,
    tenant: TenantId,
    recipient: Option<&str>,
    up_to: DeliveryId,
    read_at: Timestamp,
    rows_max: usize,
) -> rusqlite::Result<usize> {
    let (condition, mut values) = condition(tenant, recipient.map(ToOwned::to_owned), ("<=", up_to.0));
    values.push(read_at.as_ms().into());
    let sql = format!(
        "UPDATE inbox SET read_at = ?{}
         WHERE tenant_id = ?1
           AND id IN (SELECT id FROM inbox WHERE {condition} AND read_at IS NULL LIMIT {})",
        values.len(),
        i64::try_from(rows_max).unwrap_or(i64::MAX),
    );
    tx.connection.prepare_cached(&sql)?.execute(params_from_iter(values))
}
