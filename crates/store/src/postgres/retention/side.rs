//! What is not in partitions: inbox entries, sums, redrives that are over, and configuration that nothing speaks of any
//! more.

use tokio_postgres::Error;

use super::super::statements::{Connection, execute, limit, query};
use crate::retention::KeptSince;
use crate::sums::bucket_of;

pub(super) async fn slice(connection: &Connection, kept: &KeptSince, rows_max: usize) -> Result<bool, Error> {
    let rows_max = limit(rows_max);
    let mut gone = 0;
    for tenant in tenants(connection).await? {
        if let Some(since) = kept.inbox {
            gone += execute(connection, INBOX, &[&tenant, &since.as_ms(), &rows_max]).await?;
        }
        if let Some(since) = kept.sums {
            gone += execute(connection, REDRIVES, &[&tenant, &since.as_ms(), &rows_max]).await?;
            let sql = "DELETE FROM counters
                       WHERE ctid = ANY (ARRAY (SELECT ctid FROM counters
                                                WHERE tenant_id = $1 AND bucket < $2 LIMIT $3))";
            let bucket = bucket_of(since);
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

// Rows of a tenant are in order of time when they are in order of id: the oldest of $1, at most $3, and of these the ones
// before $2.

const INBOX: &str = "DELETE FROM inbox
    WHERE ctid = ANY (ARRAY (SELECT ctid
                             FROM (SELECT ctid, created_at FROM inbox WHERE tenant_id = $1 ORDER BY id LIMIT $3) AS oldest
                             WHERE created_at < $2))";

const REDRIVES: &str = "DELETE FROM redrives
    WHERE ctid = ANY (ARRAY (SELECT ctid
                             FROM (SELECT ctid, ended_at FROM redrives WHERE tenant_id = $1 ORDER BY id LIMIT $3) AS oldest
                             WHERE ended_at < $2))";

/// Subscriptions that ended before the oldest event that is kept, and then channels that were deleted before all of what
/// is kept.
async fn configuration(connection: &Connection, kept: &KeptSince, rows_max: i64) -> Result<u64, Error> {
    let Some(past) = kept.past() else { return Ok(0) };
    let sql = "DELETE FROM subscriptions
               WHERE ctid = ANY (ARRAY (SELECT of_channel.ctid
                                        FROM channels
                                        CROSS JOIN LATERAL (SELECT ctid FROM subscriptions
                                                            WHERE channel_id = channels.id OFFSET 0) AS of_channel
                                        WHERE channels.deleted_at < $1 LIMIT $2))";
    let gone = execute(connection, sql, &[&past.as_ms(), &rows_max]).await?;
    if gone > 0 {
        return Ok(gone);
    }
    let sql = "DELETE FROM channels
               WHERE ctid = ANY (ARRAY (SELECT ctid FROM channels
                                        WHERE deleted_at < $1
                                          AND (SELECT delivery_id FROM queue
                                               WHERE queue.channel_id = channels.id LIMIT 1) IS NULL
                                          AND (SELECT delivery_id FROM dead
                                               WHERE dead.channel_id = channels.id LIMIT 1) IS NULL
                                          AND (SELECT up_to FROM cancellations
                                               WHERE cancellations.channel_id = channels.id) IS NULL
                                        LIMIT $2))";
    execute(connection, sql, &[&past.as_ms(), &rows_max]).await
}
