//! What is not in partitions: inbox entries, sums, redrives that are over, and configuration that nothing speaks of any
//! more.

use domain::Timestamp;
use tokio_postgres::Error;

use super::super::statements::{Connection, execute, limit, query, query_one};
use super::super::tx::BUCKET_MS;
use crate::retention::KeptSince;

pub(super) async fn slice(connection: &Connection, kept: &KeptSince, rows_max: usize) -> Result<bool, Error> {
    let rows_max = limit(rows_max);
    let mut gone = 0;
    for tenant in tenants(connection).await? {
        if let Some(since) = kept.inbox {
            gone += oldest(connection, &INBOX, tenant, since, rows_max).await?;
        }
        if let Some(since) = kept.sums {
            gone += oldest(connection, &REDRIVES, tenant, since, rows_max).await?;
            let sql = "DELETE FROM counters
                       WHERE (tenant_id, bucket, channel_id, event_type, status)
                             IN (SELECT tenant_id, bucket, channel_id, event_type, status FROM counters
                                 WHERE tenant_id = $1 AND bucket < $2 LIMIT $3)";
            let bucket = since.as_ms().div_euclid(BUCKET_MS);
            gone += execute(connection, sql, &[&tenant, &bucket, &rows_max]).await?;
        }
        if gone >= rows_max.unsigned_abs() {
            return Ok(true);
        }
    }
    gone += configuration(connection, kept, rows_max).await?;
    Ok(gone > 0)
}

async fn tenants(connection: &Connection) -> Result<Vec<i64>, Error> {
    query(connection, "SELECT id FROM tenants ORDER BY id", &[]).await?.iter().map(|row| row.try_get(0)).collect()
}

/// A table whose rows of a tenant are in order of time when they are in order of id.
struct InOrder {
    /// The id of the newest of the oldest rows that are too old: of the tenant $1, before $2, at most $3.
    find: &'static str,
    /// Lets go of the rows of tenant $1 up to $2.
    delete: &'static str,
}

const INBOX: InOrder = InOrder {
    find: "SELECT max(id)
           FROM (SELECT id, created_at FROM inbox WHERE tenant_id = $1 ORDER BY id LIMIT $3) AS oldest
           WHERE created_at < $2",
    delete: "DELETE FROM inbox WHERE tenant_id = $1 AND id <= $2",
};

const REDRIVES: InOrder = InOrder {
    find: "SELECT max(id)
           FROM (SELECT id, ended_at FROM redrives WHERE tenant_id = $1 ORDER BY id LIMIT $3) AS oldest
           WHERE ended_at < $2",
    delete: "DELETE FROM redrives WHERE tenant_id = $1 AND id <= $2 AND ended_at IS NOT NULL",
};

async fn oldest(
    connection: &Connection,
    table: &InOrder,
    tenant: i64,
    since: Timestamp,
    rows_max: i64,
) -> Result<u64, Error> {
    let found = query_one(connection, table.find, &[&tenant, &since.as_ms(), &rows_max]).await?;
    match found.try_get::<_, Option<i64>>(0)? {
        Some(last) => execute(connection, table.delete, &[&tenant, &last]).await,
        None => Ok(0),
    }
}

/// Subscriptions that ended before the oldest event that is kept, and then channels that were deleted before all of what
/// is kept.
async fn configuration(connection: &Connection, kept: &KeptSince, rows_max: i64) -> Result<u64, Error> {
    let Some(past) = kept.past() else { return Ok(0) };
    let sql = "DELETE FROM subscriptions
               WHERE id = ANY (ARRAY (SELECT subscriptions.id
                                      FROM channels JOIN subscriptions ON subscriptions.channel_id = channels.id
                                      WHERE channels.deleted_at < $1 LIMIT $2))";
    let gone = execute(connection, sql, &[&past.as_ms(), &rows_max]).await?;
    if gone > 0 {
        return Ok(gone);
    }
    let sql = "DELETE FROM channels
               WHERE id = ANY (ARRAY (SELECT id FROM channels
                                      WHERE deleted_at < $1
                                        AND NOT EXISTS (SELECT FROM queue WHERE queue.channel_id = channels.id)
                                        AND NOT EXISTS (SELECT FROM dead WHERE dead.channel_id = channels.id)
                                        AND NOT EXISTS (SELECT FROM cancellations
                                                        WHERE cancellations.channel_id = channels.id)
                                      LIMIT $2))";
    execute(connection, sql, &[&past.as_ms(), &rows_max]).await
}
