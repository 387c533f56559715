//! What is not in segments: inbox entries, sums, redrives that are over, and configuration that nothing speaks of any
//! more.

use domain::Timestamp;
use rusqlite::{Connection, params};

use crate::retention::KeptSince;
use crate::sums::bucket_of;

pub(super) fn slice(connection: &Connection, kept: &KeptSince, rows_max: usize) -> rusqlite::Result<bool> {
    let limit = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let mut gone = 0;
    for tenant in tenants(connection)? {
        if let Some(since) = kept.inbox {
            gone += oldest(connection, &INBOX, tenant, since, limit)?;
        }
        if let Some(since) = kept.sums {
            gone += oldest(connection, &REDRIVES, tenant, since, limit)?;
            gone += connection
                .prepare_cached(
                    "DELETE FROM counters
                     WHERE (tenant_id, bucket, channel_id, event_type, status)
                           IN (SELECT tenant_id, bucket, channel_id, event_type, status FROM counters
                               WHERE tenant_id = ?1 AND bucket < ?2 LIMIT ?3)",
                )?
                .execute(params![tenant, bucket_of(since), limit])?;
        }
        if gone >= rows_max {
            return Ok(true);
        }
    }
    gone += configuration(connection, kept, limit)?;
    Ok(gone > 0)
}

fn tenants(connection: &Connection) -> rusqlite::Result<Vec<i64>> {
    connection.prepare_cached("SELECT id FROM tenants ORDER BY id")?.query_map([], |row| row.get(0))?.collect()
}

/// A table whose rows of a tenant are in order of time when they are in order of id.
struct InOrder {
    /// The id of the newest of the oldest rows that are too old: of the tenant ?1, before ?2, at most ?3.
    find: &'static str,
    /// Lets go of the rows of tenant ?1 up to ?2.
    delete: &'static str,
}

const INBOX: InOrder = InOrder {
    find: "SELECT MAX(id) FROM (SELECT id, created_at FROM inbox WHERE tenant_id = ?1 ORDER BY id LIMIT ?3)
           WHERE created_at < ?2",
    delete: "DELETE FROM inbox WHERE tenant_id = ?1 AND id <= ?2",
};

const REDRIVES: InOrder = InOrder {
    find: "SELECT MAX(id) FROM (SELECT id, ended_at FROM redrives WHERE tenant_id = ?1 ORDER BY id LIMIT ?3)
           WHERE ended_at < ?2",
    delete: "DELETE FROM redrives WHERE id IN (SELECT id FROM redrives WHERE tenant_id = ?1 AND id <= ?2)
                                    AND ended_at IS NOT NULL",
};

fn oldest(
    connection: &Connection,
    table: &InOrder,
    tenant: i64,
    since: Timestamp,
    limit: i64,
) -> rusqlite::Result<usize> {
    let last: Option<i64> =
        connection.prepare_cached(table.find)?.query_row(params![tenant, since.as_ms(), limit], |row| row.get(0))?;
    match last {
        Some(last) => connection.prepare_cached(table.delete)?.execute([tenant, last]),
        None => Ok(0),
    }
}

/// Subscriptions that ended before the oldest event that is kept, and then channels that were deleted before all of what
/// is kept.
fn configuration(connection: &Connection, kept: &KeptSince, limit: i64) -> rusqlite::Result<usize> {
    let Some(past) = kept.past() else { return Ok(0) };
    let gone = connection
        .prepare_cached(
            "DELETE FROM subscriptions
             WHERE id IN (SELECT subscriptions.id
                          FROM channels JOIN subscriptions ON subscriptions.channel_id = channels.id
                          WHERE channels.deleted_at < ?1 LIMIT ?2)",
        )?
        .execute([past.as_ms(), limit])?;
    if gone > 0 {
        return Ok(gone);
    }
    connection
        .prepare_cached(
            "DELETE FROM channels
             WHERE id IN (SELECT id FROM channels
                          WHERE deleted_at < ?1
                            AND NOT EXISTS (SELECT 1 FROM queue WHERE queue.channel_id = channels.id)
                            AND NOT EXISTS (SELECT 1 FROM dead WHERE dead.channel_id = channels.id)
                            AND NOT EXISTS (SELECT 1 FROM cancellations WHERE cancellations.channel_id = channels.id)
                          LIMIT ?2)",
        )?
        .execute([past.as_ms(), limit])
}
