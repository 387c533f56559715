//! The in-app inbox in SQL. The order of functions is that of the trait.
//!
//! Its entries are written by `rows.rs`, with the settlements that bring them.

use async_trait::async_trait;
use domain::{ChannelId, DeliveryId, EventId, TenantId, Timestamp};
use tokio_postgres::{Error, Row};

use super::PostgresStore;
use super::statements::{Connection, Params, from_postgres, limit, query, query_opt, text};
use super::tx::Tx;
use crate::StoreError;
use crate::inbox::{Inbox, InboxEntry, InboxQuery, InboxRow, UNREAD_COUNTED_MAX};

#[async_trait]
impl Inbox for PostgresStore {
    async fn inbox(&self, tenant: TenantId, query: InboxQuery) -> Result<Vec<InboxRow>, StoreError> {
        self.read(move |connection| Box::pin(inbox(connection, tenant, query))).await
    }

    async fn unread(&self, tenant: TenantId, recipient: Option<String>) -> Result<u64, StoreError> {
        self.read(move |connection| Box::pin(unread(connection, tenant, recipient))).await
    }

    async fn mark(
        &self,
        tenant: TenantId,
        entry: DeliveryId,
        read_at: Option<Timestamp>,
    ) -> Result<Option<InboxRow>, StoreError> {
        self.write(1, async move |tx| mark(tx, tenant, entry, read_at).await.map_err(from_postgres)).await
    }

    async fn mark_slice(
        &self,
        tenant: TenantId,
        recipient: Option<String>,
        up_to: DeliveryId,
        read_at: Timestamp,
        rows_max: usize,
    ) -> Result<usize, StoreError> {
        self.write(rows_max, async move |tx| {
            mark_slice(tx, tenant, recipient.as_deref(), up_to, read_at, rows_max).await.map_err(from_postgres)
        })
        .await
    }
}

const COLUMNS: &str = "id, channel_id, event_id, recipient, content, created_at, read_at";

fn read(row: &Row) -> Result<InboxRow, Error> {
    Ok(InboxRow {
        id: DeliveryId(row.try_get(0)?),
        channel: ChannelId(row.try_get(1)?),
        event: EventId(row.try_get(2)?),
        entry: InboxEntry { recipient: row.try_get(3)?, content: row.try_get(4)? },
        created_at: Timestamp::from_ms(row.try_get(5)?),
        read_at: row.try_get::<_, Option<i64>>(6)?.map(Timestamp::from_ms),
    })
}

/// The oldest $3 unread of the tenant $1 up to $2: of one recipient, which is the value at `place`, or of all. Pairs keep
/// PostgreSQL from looking for those of one among those of all.
fn oldest_unread(recipient: Option<&str>, place: &str) -> String {
    let (rows, order) = match recipient {
        None => ("tenant_id = $1".to_owned(), "id"),
        Some(_) => {
            (format!("(tenant_id, recipient) BETWEEN ($1, {place}) AND ($1, {place})"), "tenant_id, recipient, id")
        }
    };
    format!("inbox WHERE {rows} AND id <= $2 AND read_at IS NULL ORDER BY {order} LIMIT $3")
}

/// Asks with these values, and then the recipient where there is one.
async fn query_of(
    connection: &Connection,
    sql: &str,
    values: Params<'_>,
    recipient: Option<&str>,
) -> Result<Vec<Row>, Error> {
    let recipient = recipient.map(text);
    let mut values = values.to_vec();
    if let Some(recipient) = &recipient {
        values.push(recipient);
    }
    query(connection, sql, &values).await
}

async fn inbox(connection: &Connection, tenant: TenantId, query: InboxQuery) -> Result<Vec<InboxRow>, Error> {
    let before = query.before.map_or(i64::MAX, |before| before.0);
    let recipient = query.recipient.as_deref();
    let unread = if query.is_unread_only { " AND read_at IS NULL" } else { "" };
    let (rows, order) = match recipient {
        None => ("tenant_id = $1 AND id < $2", "id DESC"),
        Some(_) => (
            "(tenant_id, recipient, id) < ($1, $4, $2) AND (tenant_id, recipient) >= ($1, $4)",
            "tenant_id DESC, recipient DESC, id DESC",
        ),
    };
    let sql = format!("SELECT {COLUMNS} FROM inbox WHERE {rows}{unread} ORDER BY {order} LIMIT $3");
    let rows = query_of(connection, &sql, &[&tenant.0, &before, &limit(query.rows_max)], recipient).await?;
    rows.iter().map(read).collect()
}

async fn unread(connection: &Connection, tenant: TenantId, recipient: Option<String>) -> Result<u64, Error> {
    // Counting ends at the bound, however much there is.
    let sql = format!("SELECT count(*) FROM (SELECT FROM {}) AS unread", oldest_unread(recipient.as_deref(), "$4"));
    let counted_max = i64::try_from(UNREAD_COUNTED_MAX).unwrap_or(i64::MAX);
    let rows = query_of(connection, &sql, &[&tenant.0, &i64::MAX, &counted_max], recipient.as_deref()).await?;
    let count: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

async fn mark(
    tx: &mut Tx,
    tenant: TenantId,
    entry: DeliveryId,
    read_at: Option<Timestamp>,
) -> Result<Option<InboxRow>, Error> {
    let sql = format!(
        "UPDATE inbox
         SET read_at = CASE WHEN $3::bigint IS NULL THEN NULL ELSE coalesce(read_at, $3) END
         WHERE tenant_id = $1 AND id = $2
         RETURNING {COLUMNS}"
    );
    let read_at = read_at.map(Timestamp::as_ms);
    query_opt(&tx.connection, &sql, &[&tenant.0, &entry.0, &read_at]).await?.map(|row| read(&row)).transpose()
}

async fn mark_slice(
    tx: &mut Tx,
    tenant: TenantId,
    recipient: Option<&str>,
    up_to: DeliveryId,
    read_at: Timestamp,
    rows_max: usize,
) -> Result<usize, Error> {
    let unread = oldest_unread(recipient, "$5");
    let sql =
        format!("UPDATE inbox SET read_at = $4 WHERE ctid = ANY (ARRAY (SELECT ctid FROM {unread})) RETURNING id");
    let values: Params<'_> = &[&tenant.0, &up_to.0, &limit(rows_max), &read_at.as_ms()];
    let marked = query_of(&tx.connection, &sql, values, recipient).await?;
    Ok(marked.len())
}
