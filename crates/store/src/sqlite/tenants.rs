//! The end of a tenant in SQL: suspended, resumed, deleted, and erased slice by slice.
//!
//! A deleted tenant is a row with `deleted_at` until nothing else of it is left; so erasing goes on after a restart. What
//! holds rows of tenants is named here, table by table; a test looks through all the tables that there are.

use std::sync::Arc;

use domain::{TenantId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::directory::{TENANT_COLUMNS, read_tenant};
use super::tx::Tx;
use domain::tenant::Tenant;

pub(super) fn suspend(tx: &mut Tx<'_>, tenant: TenantId, now: Timestamp) -> rusqlite::Result<Option<Tenant>> {
    tx.sequences.config_version += 1;
    let sql = format!(
        "UPDATE tenants SET suspended_at = COALESCE(suspended_at, ?2)
         WHERE id = ?1 AND deleted_at IS NULL
         RETURNING {TENANT_COLUMNS}"
    );
    tx.connection.prepare_cached(&sql)?.query_row([tenant.0, now.as_ms()], read_tenant).optional()
}

pub(super) fn resume(tx: &mut Tx<'_>, tenant: TenantId) -> rusqlite::Result<Option<Tenant>> {
    tx.sequences.config_version += 1;
    let sql = format!(
        "UPDATE tenants SET suspended_at = NULL
         WHERE id = ?1 AND deleted_at IS NULL
         RETURNING {TENANT_COLUMNS}"
    );
    tx.connection.prepare_cached(&sql)?.query_row([tenant.0], read_tenant).optional()
}

pub(super) fn delete(tx: &mut Tx<'_>, tenant: TenantId, now: Timestamp) -> rusqlite::Result<bool> {
    let deleted = tx
        .connection
        .execute("UPDATE tenants SET deleted_at = ?2 WHERE id = ?1 AND deleted_at IS NULL", [tenant.0, now.as_ms()])?;
    if deleted == 0 {
        return Ok(false);
    }
    // At once, because a secret is in use as long as its hash is there.
    tx.connection.execute("DELETE FROM api_keys WHERE tenant_id = ?1", [tenant.0])?;
    tx.sequences.config_version += 1;
    Arc::make_mut(tx.gone).insert(tenant);
    Ok(true)
}

/// The tenants that are deleted and not yet erased.
pub(super) fn gone(connection: &Connection) -> rusqlite::Result<Vec<TenantId>> {
    connection
        .prepare_cached("SELECT id FROM tenants WHERE deleted_at IS NOT NULL ORDER BY id")?
        .query_map([], |row| row.get(0).map(TenantId))?
        .collect()
}

/// What a delivery can still come from: erased before everything else, so that nothing new is written while it goes.
const LIVE: [&str; 4] = [
    "DELETE FROM redrives WHERE id IN (SELECT id FROM redrives WHERE tenant_id = ?1 LIMIT ?2)",
    "DELETE FROM expand WHERE event_id IN (SELECT event_id FROM expand WHERE tenant_id = ?1 LIMIT ?2)",
    "DELETE FROM dead WHERE delivery_id IN (SELECT delivery_id FROM dead WHERE tenant_id = ?1 LIMIT ?2)",
    "DELETE FROM queue
     WHERE (channel_id, delivery_id) IN (SELECT channel_id, delivery_id FROM queue WHERE tenant_id = ?1 LIMIT ?2)",
];

/// Sums, ledgers and what was in the making.
const SIDE: [&str; 9] = [
    "DELETE FROM expanded
     WHERE (event_id, first_delivery)
           IN (SELECT expanded.event_id, expanded.first_delivery
               FROM kept_events JOIN expanded ON expanded.event_id = kept_events.id
               WHERE kept_events.tenant_id = ?1 LIMIT ?2)",
    "DELETE FROM kept_events WHERE id IN (SELECT id FROM kept_events WHERE tenant_id = ?1 LIMIT ?2)",
    "DELETE FROM waiting WHERE channel_id IN (SELECT channel_id FROM waiting WHERE tenant_id = ?1 LIMIT ?2)",
    "DELETE FROM cancellations
     WHERE channel_id IN (SELECT channel_id FROM cancellations WHERE tenant_id = ?1 LIMIT ?2)",
    "DELETE FROM digests
     WHERE id IN (SELECT digests.id
                  FROM channels JOIN digests ON digests.channel_id = channels.id
                  WHERE channels.tenant_id = ?1 LIMIT ?2)",
    "DELETE FROM idempotency_even
     WHERE tenant_id = ?1
       AND key_hash IN (SELECT key_hash FROM idempotency_even WHERE tenant_id = ?1 LIMIT ?2)",
    "DELETE FROM idempotency_odd
     WHERE tenant_id = ?1
       AND key_hash IN (SELECT key_hash FROM idempotency_odd WHERE tenant_id = ?1 LIMIT ?2)",
    "DELETE FROM counters
     WHERE (tenant_id, bucket, channel_id, event_type, status)
           IN (SELECT tenant_id, bucket, channel_id, event_type, status FROM counters WHERE tenant_id = ?1 LIMIT ?2)",
    "DELETE FROM inbox WHERE tenant_id = ?1 AND id IN (SELECT id FROM inbox WHERE tenant_id = ?1 LIMIT ?2)",
];

/// Configuration, in the order in which one table refers to the other.
const CONFIGURATION: [&str; 5] = [
    "DELETE FROM subscriptions
     WHERE id IN (SELECT subscriptions.id
                  FROM channels JOIN subscriptions ON subscriptions.channel_id = channels.id
                  WHERE channels.tenant_id = ?1 LIMIT ?2)",
    "DELETE FROM channels WHERE id IN (SELECT id FROM channels WHERE tenant_id = ?1 LIMIT ?2)",
    "DELETE FROM event_types
     WHERE tenant_id = ?1 AND type IN (SELECT type FROM event_types WHERE tenant_id = ?1 LIMIT ?2)",
    "DELETE FROM dialect_settings
     WHERE tenant_id = ?1
       AND dialect IN (SELECT dialect FROM dialect_settings WHERE tenant_id = ?1 LIMIT ?2)",
    "DELETE FROM api_keys WHERE id IN (SELECT id FROM api_keys WHERE tenant_id = ?1 LIMIT ?2)",
];

pub(super) fn purge_slice(tx: &mut Tx<'_>, rows_max: usize) -> rusqlite::Result<bool> {
    let Some(tenant) = gone(tx.connection)?.first().copied() else { return Ok(false) };
    // What other jobs of this batch counted is written at its end: come back when it can be seen.
    if tx.has_counted(tenant) || erase(tx.connection, &LIVE, tenant, rows_max)? > 0 {
        return Ok(true);
    }
    if erase(tx.connection, &SIDE, tenant, rows_max)? > 0 || !tx.segments.purge(tx.connection, tenant, rows_max)? {
        return Ok(true);
    }
    if erase(tx.connection, &CONFIGURATION, tenant, rows_max)? == 0 {
        tx.connection.prepare_cached("DELETE FROM tenants WHERE id = ?1")?.execute([tenant.0])?;
    }
    Ok(true)
}

/// Carries out statements until they have erased `rows_max` rows; how many it were.
fn erase(connection: &Connection, statements: &[&str], tenant: TenantId, rows_max: usize) -> rusqlite::Result<usize> {
    let mut erased = 0;
    for sql in statements {
        let left = i64::try_from(rows_max - erased).unwrap_or(i64::MAX);
        erased += connection.prepare_cached(sql)?.execute(params![tenant.0, left])?;
        if erased >= rows_max {
            break;
        }
    }
    Ok(erased)
}
