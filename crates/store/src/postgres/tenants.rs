//! The end of a tenant in SQL: suspended, resumed, deleted, and erased slice by slice.
//!
//! A deleted tenant is a row with `deleted_at` until nothing else of it is left; so erasing goes on after a restart. What
//! holds rows of tenants is named here, table by table; a test looks through all the tables that there are.

use std::sync::Arc;

use domain::tenant::Tenant;
use domain::{TenantId, Timestamp};
use tokio_postgres::Error;

use super::directory::{TENANT_COLUMNS, read_tenant};
use super::statements::{Connection, execute, limit, query, query_opt};
use super::tx::Tx;

pub(super) async fn suspend(tx: &mut Tx, tenant: TenantId, now: Timestamp) -> Result<Option<Tenant>, Error> {
    tx.sequences.config_version += 1;
    let sql = format!(
        "UPDATE tenants SET suspended_at = COALESCE(suspended_at, $2)
         WHERE id = $1 AND deleted_at IS NULL
         RETURNING {TENANT_COLUMNS}"
    );
    query_opt(&tx.connection, &sql, &[&tenant.0, &now.as_ms()]).await?.map(|row| read_tenant(&row)).transpose()
}

pub(super) async fn resume(tx: &mut Tx, tenant: TenantId) -> Result<Option<Tenant>, Error> {
    tx.sequences.config_version += 1;
    let sql = format!(
        "UPDATE tenants SET suspended_at = NULL
         WHERE id = $1 AND deleted_at IS NULL
         RETURNING {TENANT_COLUMNS}"
    );
    query_opt(&tx.connection, &sql, &[&tenant.0]).await?.map(|row| read_tenant(&row)).transpose()
}

pub(super) async fn delete(tx: &mut Tx, tenant: TenantId, now: Timestamp) -> Result<bool, Error> {
    let sql = "UPDATE tenants SET deleted_at = $2 WHERE id = $1 AND deleted_at IS NULL";
    if execute(&tx.connection, sql, &[&tenant.0, &now.as_ms()]).await? == 0 {
        return Ok(false);
    }
    // At once, because a secret is in use as long as its hash is there.
    execute(&tx.connection, "DELETE FROM api_keys WHERE tenant_id = $1", &[&tenant.0]).await?;
    tx.sequences.config_version += 1;
    Arc::make_mut(&mut tx.gone).insert(tenant);
    Ok(true)
}

/// The tenants that are deleted and not yet erased.
pub(super) async fn gone(connection: &Connection) -> Result<Vec<TenantId>, Error> {
    let sql = "SELECT id FROM tenants WHERE deleted_at IS NOT NULL ORDER BY id";
    query(connection, sql, &[]).await?.iter().map(|row| row.try_get(0).map(TenantId)).collect()
}

/// What a delivery can still come from: erased before everything else, so that nothing new is written while it goes.
const LIVE: [&str; 4] = [
    "DELETE FROM redrives WHERE ctid = ANY (ARRAY (SELECT ctid FROM redrives WHERE tenant_id = $1 LIMIT $2))",
    "DELETE FROM expand WHERE ctid = ANY (ARRAY (SELECT ctid FROM expand WHERE tenant_id = $1 LIMIT $2))",
    "DELETE FROM dead WHERE ctid = ANY (ARRAY (SELECT ctid FROM dead WHERE tenant_id = $1 LIMIT $2))",
    "DELETE FROM queue WHERE ctid = ANY (ARRAY (SELECT ctid FROM queue WHERE tenant_id = $1 LIMIT $2))",
];

/// Sums, ledgers and what was in the making.
const SIDE: [&str; 7] = [
    "DELETE FROM waiting WHERE ctid = ANY (ARRAY (SELECT ctid FROM waiting WHERE tenant_id = $1 LIMIT $2))",
    "DELETE FROM cancellations WHERE ctid = ANY (ARRAY (SELECT ctid FROM cancellations WHERE tenant_id = $1 LIMIT $2))",
    "DELETE FROM digests
     WHERE ctid = ANY (ARRAY (SELECT of_channel.ctid
                              FROM channels
                              CROSS JOIN LATERAL (SELECT ctid FROM digests
                                                  WHERE channel_id = channels.id OFFSET 0) AS of_channel
                              WHERE channels.tenant_id = $1 LIMIT $2))",
    "DELETE FROM idempotency_even
     WHERE ctid = ANY (ARRAY (SELECT ctid FROM idempotency_even WHERE tenant_id = $1 LIMIT $2))",
    "DELETE FROM idempotency_odd
     WHERE ctid = ANY (ARRAY (SELECT ctid FROM idempotency_odd WHERE tenant_id = $1 LIMIT $2))",
    "DELETE FROM counters WHERE ctid = ANY (ARRAY (SELECT ctid FROM counters WHERE tenant_id = $1 LIMIT $2))",
    "DELETE FROM inbox WHERE ctid = ANY (ARRAY (SELECT ctid FROM inbox WHERE tenant_id = $1 LIMIT $2))",
];

/// History, the oldest first. Partitions have places of their own, so it goes up to an id. What belongs to an event and
/// names no tenant goes first.
const HISTORY: [&str; 6] = [
    "DELETE FROM expanded
     WHERE event_id = ANY (ARRAY (SELECT id FROM kept_events
                              WHERE tenant_id BETWEEN $1 AND $1 ORDER BY tenant_id, id LIMIT $2))",
    "DELETE FROM kept_events
     WHERE ctid = ANY (ARRAY (SELECT ctid FROM kept_events
                              WHERE tenant_id BETWEEN $1 AND $1 ORDER BY tenant_id, id LIMIT $2))",
    "DELETE FROM expanded
     WHERE event_id = ANY (ARRAY (SELECT id FROM events WHERE tenant_id = $1 ORDER BY id LIMIT $2))",
    "DELETE FROM events
     WHERE (tenant_id, id)
           BETWEEN ($1, 0)
           AND ($1, (SELECT max(id) FROM (SELECT id FROM events WHERE tenant_id = $1 ORDER BY id LIMIT $2) AS oldest))",
    "DELETE FROM settled
     WHERE (tenant_id, id)
           BETWEEN ($1, 0)
           AND ($1, (SELECT max(id) FROM (SELECT id FROM settled WHERE tenant_id = $1 ORDER BY id LIMIT $2) AS oldest))",
    "DELETE FROM attempts
     WHERE (tenant_id, id)
           BETWEEN ($1, 0)
           AND ($1, (SELECT max(id) FROM (SELECT id FROM attempts WHERE tenant_id = $1 ORDER BY id LIMIT $2) AS oldest))",
];

/// Configuration, in the order in which one table refers to the other.
const CONFIGURATION: [&str; 5] = [
    "DELETE FROM subscriptions
     WHERE ctid = ANY (ARRAY (SELECT of_channel.ctid
                              FROM channels
                              CROSS JOIN LATERAL (SELECT ctid FROM subscriptions
                                                  WHERE channel_id = channels.id OFFSET 0) AS of_channel
                              WHERE channels.tenant_id = $1 LIMIT $2))",
    "DELETE FROM channels WHERE ctid = ANY (ARRAY (SELECT ctid FROM channels WHERE tenant_id = $1 LIMIT $2))",
    "DELETE FROM event_types WHERE ctid = ANY (ARRAY (SELECT ctid FROM event_types WHERE tenant_id = $1 LIMIT $2))",
    "DELETE FROM dialect_settings
     WHERE ctid = ANY (ARRAY (SELECT ctid FROM dialect_settings WHERE tenant_id = $1 LIMIT $2))",
    "DELETE FROM api_keys WHERE ctid = ANY (ARRAY (SELECT ctid FROM api_keys WHERE tenant_id = $1 LIMIT $2))",
];

pub(super) async fn purge_slice(tx: &mut Tx, rows_max: usize) -> Result<bool, Error> {
    let Some(tenant) = gone(&tx.connection).await?.first().copied() else { return Ok(false) };
    // What other jobs of this batch counted is written at its end: come back when it can be seen.
    if tx.has_counted(tenant) {
        return Ok(true);
    }
    for statements in [&LIVE[..], &SIDE, &HISTORY, &CONFIGURATION] {
        if erase(&tx.connection, statements, tenant, rows_max).await? > 0 {
            return Ok(true);
        }
    }
    execute(&tx.connection, "DELETE FROM tenants WHERE id = $1", &[&tenant.0]).await?;
    Ok(true)
}

/// Carries out statements until they have erased `rows_max` rows; how many it were.
async fn erase(
    connection: &Connection,
    statements: &[&str],
    tenant: TenantId,
    rows_max: usize,
) -> Result<usize, Error> {
    let mut erased = 0;
    for sql in statements {
        let left = rows_max.saturating_sub(erased);
        let rows = execute(connection, sql, &[&tenant.0, &limit(left)]).await?;
        erased += usize::try_from(rows).unwrap_or(usize::MAX);
        if erased >= rows_max {
            break;
        }
    }
    Ok(erased)
}
