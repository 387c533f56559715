//! A partition whose time is over: marked, and dropped.
//!
//! A delivery settles into the partition that its id belongs to, however late. So a partition of settled deliveries is
//! emptied and stays as long as one of its range waits or is dead, and what settles into it then goes row by row.

use domain::Timestamp;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::super::segments::{Kind, partition};
use super::super::statements::{Connection, execute, query, query_one, query_opt};
use super::super::tx::Tx;
use super::leave;

/// Rows that go in one slice where they go one by one.
const ROWS_MAX: i64 = 1_000;

/// How long everybody may wait for a partition to go, in milliseconds; when it is read for longer, it goes another time.
const LOCK_WAIT_MS: u32 = 100;

/// A partition, and the ids that it may hold.
pub(super) struct Segment {
    kind: Kind,
    number: i64,
    first_id: i64,
    last_id: i64,
}

impl Segment {
    fn table(&self) -> String {
        partition(self.kind, self.number)
    }
}

/// The first partition that is marked.
pub(super) async fn ending(connection: &Connection) -> Result<Option<Segment>, Error> {
    let sql = "SELECT kind, number, first_id, last_id FROM segments WHERE is_ending ORDER BY kind, number LIMIT 1";
    let Some(row) = query_opt(connection, sql, &[]).await? else { return Ok(None) };
    let Some(kind) = Kind::parse(row.try_get(0)?) else { return Ok(None) };
    Ok(Some(Segment { kind, number: row.try_get(1)?, first_id: row.try_get(2)?, last_id: row.try_get(3)? }))
}

/// Looks at the oldest full partition of a kind, and brings it a step nearer to its end when it is old enough. Returns
/// whether there was anything to do.
pub(super) async fn end_oldest(tx: &mut Tx, kind: Kind, since: Timestamp) -> Result<bool, Error> {
    let sql = "SELECT number, last_id, newest_at FROM segments
               WHERE kind = $1 AND last_id < $2 AND NOT is_ending AND NOT is_emptied
               ORDER BY number LIMIT 1";
    let next_id = kind.next_id(&tx.sequences);
    let Some(oldest) = query_opt(&tx.connection, sql, &[&kind.name(), &next_id]).await? else { return Ok(false) };
    let (number, last_id): (i64, i64) = (oldest.try_get(0)?, oldest.try_get(1)?);
    let known = oldest.try_get::<_, Option<i64>>(2)?.map(Timestamp::from_ms);
    if known.is_some_and(|newest| newest >= since) {
        return Ok(false);
    }
    // What is known may have been overtaken by a delivery that settled late.
    if known.is_none() || kind == Kind::Settled {
        let newest = newest_at(&tx.connection, kind, number).await?;
        if known != Some(newest) {
            let sql = "UPDATE segments SET newest_at = $3 WHERE kind = $1 AND number = $2";
            execute(&tx.connection, sql, &[&kind.name(), &number, &newest.as_ms()]).await?;
            return Ok(true);
        }
    }
    if kind == Kind::Events && !leave::copy_live(tx, number, last_id).await? {
        return Ok(true);
    }
    mark(&tx.connection, kind, number).await?;
    Ok(true)
}

async fn mark(connection: &Connection, kind: Kind, number: i64) -> Result<(), Error> {
    let sql = "UPDATE segments SET is_ending = TRUE WHERE kind = $1 AND number = $2";
    execute(connection, sql, &[&kind.name(), &number]).await.map(drop)
}

/// When the newest row of a full partition was written.
async fn newest_at(connection: &Connection, kind: Kind, number: i64) -> Result<Timestamp, Error> {
    let table = partition(kind, number);
    let sql = match kind {
        Kind::Settled => {
            format!("SELECT coalesce((SELECT settled_at FROM {table} ORDER BY settled_at DESC LIMIT 1), 0)")
        }
        Kind::Events => newest_of_each_tenant("accepted_at", &table),
        Kind::Attempts => newest_of_each_tenant("started_at", &table),
    };
    connection.query_one(&sql, &[]).await?.try_get(0).map(Timestamp::from_ms)
}

/// Hops from tenant to tenant along the key. Rows in order of id are in order of time, but for what the clock was turned
/// by.
fn newest_of_each_tenant(column: &str, table: &str) -> String {
    format!(
        "WITH RECURSIVE hop (tenant_id) AS (
             SELECT (SELECT tenant_id FROM {table} ORDER BY tenant_id LIMIT 1)
             UNION ALL
             SELECT (SELECT rest.tenant_id FROM {table} AS rest
                     WHERE rest.tenant_id > hop.tenant_id
                     ORDER BY rest.tenant_id LIMIT 1)
             FROM hop
             WHERE hop.tenant_id IS NOT NULL
         )
         SELECT coalesce(max((SELECT own.{column} FROM {table} AS own
                              WHERE own.tenant_id = hop.tenant_id ORDER BY own.id DESC LIMIT 1)), 0)
         FROM hop
         WHERE tenant_id IS NOT NULL"
    )
}

/// Drops a marked partition, after what belongs to its rows. Returns false when it is read and has to wait.
pub(super) async fn take_away(tx: &Tx, ending: &Segment) -> Result<bool, Error> {
    let (connection, table) = (&tx.connection, ending.table());
    let key: (&str, i64) = (ending.kind.name(), ending.number);
    if ending.kind == Kind::Settled && has_live(connection, ending).await? {
        let is_empty = alone(connection, &format!("TRUNCATE {table}")).await?;
        if is_empty {
            let sql = "UPDATE segments SET is_ending = FALSE, is_emptied = TRUE WHERE kind = $1 AND number = $2";
            execute(connection, sql, &[&key.0, &key.1]).await?;
        }
        return Ok(is_empty);
    }
    if ending.kind == Kind::Events && forget_expanded(connection, ending).await? {
        return Ok(true);
    }
    // Whoever reads what waits reads its events next, in the same view. No such view may be older than the copies of the
    // events, and those were made before the mark.
    let first = if ending.kind == Kind::Events { "LOCK TABLE queue IN ACCESS EXCLUSIVE MODE; " } else { "" };
    let is_gone = alone(connection, &format!("{first}DROP TABLE {table}")).await?;
    if is_gone {
        execute(connection, "DELETE FROM segments WHERE kind = $1 AND number = $2", &[&key.0, &key.1]).await?;
    }
    Ok(is_gone)
}

/// Does what needs a table for itself. Returns whether it was to be had.
async fn alone(connection: &Connection, work: &str) -> Result<bool, Error> {
    let done = connection
        .batch_execute(&format!("SAVEPOINT alone; SET LOCAL lock_timeout = {LOCK_WAIT_MS}; {work}; RELEASE alone"))
        .await;
    match done {
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
            connection.batch_execute("ROLLBACK TO alone; RELEASE alone").await?;
            Ok(false)
        }
        done => done.map(|()| true),
    }
}

/// Whether a delivery of this range waits or is dead, and so may settle into it.
async fn has_live(connection: &Connection, segment: &Segment) -> Result<bool, Error> {
    // The queue has no index of deliveries alone: tenants are hopped through, one look-up each.
    let sql = "WITH RECURSIVE hop (tenant_id) AS (
                   SELECT (SELECT tenant_id FROM queue ORDER BY tenant_id LIMIT 1)
                   UNION ALL
                   SELECT (SELECT queue.tenant_id FROM queue
                           WHERE queue.tenant_id > hop.tenant_id
                           ORDER BY queue.tenant_id LIMIT 1)
                   FROM hop
                   WHERE hop.tenant_id IS NOT NULL
               )
               SELECT (SELECT delivery_id FROM dead
                       WHERE delivery_id BETWEEN $1 AND $2
                       ORDER BY delivery_id LIMIT 1) IS NOT NULL
                   OR EXISTS (SELECT FROM hop
                              WHERE (SELECT delivery_id FROM queue
                                     WHERE queue.tenant_id = hop.tenant_id AND delivery_id BETWEEN $1 AND $2
                                     ORDER BY delivery_id LIMIT 1) IS NOT NULL)";
    query_one(connection, sql, &[&segment.first_id, &segment.last_id]).await?.try_get(0)
}

/// A slice of the deliveries of events that were not made with them, unless the event itself is kept. Returns whether
/// more may be left.
async fn forget_expanded(connection: &Connection, segment: &Segment) -> Result<bool, Error> {
    let sql = "DELETE FROM expanded
               WHERE ctid = ANY (ARRAY (SELECT ctid FROM expanded
                                        WHERE event_id BETWEEN $1 AND $2
                                          AND (SELECT id FROM kept_events
                                               WHERE kept_events.id = expanded.event_id
                                               LIMIT 1) IS NULL
                                        LIMIT $3))";
    let gone = execute(connection, sql, &[&segment.first_id, &segment.last_id, &ROWS_MAX]).await?;
    Ok(i64::try_from(gone).unwrap_or(i64::MAX) >= ROWS_MAX)
}

/// Lets go of what settled late into partitions that were emptied, and marks those that nothing settles into any more.
/// Returns whether there was anything to do.
pub(super) async fn thin_emptied(connection: &Connection, since: Timestamp) -> Result<bool, Error> {
    let sql = "SELECT number, first_id, last_id FROM segments
               WHERE kind = 'settled' AND is_emptied AND NOT is_ending
               ORDER BY number";
    for row in query(connection, sql, &[]).await? {
        let emptied = Segment {
            kind: Kind::Settled,
            number: row.try_get(0)?,
            first_id: row.try_get(1)?,
            last_id: row.try_get(2)?,
        };
        let table = emptied.table();
        let sql = format!(
            "DELETE FROM {table}
             WHERE ctid = ANY (ARRAY (SELECT ctid FROM {table} WHERE settled_at < $1 LIMIT $2))"
        );
        if connection.execute(&sql, &[&since.as_ms(), &ROWS_MAX]).await? > 0 {
            return Ok(true);
        }
        let is_empty = format!("SELECT NOT EXISTS (SELECT FROM {table})");
        let is_empty: bool = connection.query_one(&is_empty, &[]).await?.try_get(0)?;
        if is_empty && !has_live(connection, &emptied).await? {
            mark(connection, Kind::Settled, emptied.number).await?;
            return Ok(true);
        }
    }
    Ok(false)
}
