//! A look at a database from outside, for `postrider doctor`, `postrider bench` and before a start: which server, how much
//! is there, how old is its newest event.
//!
//! Reads beside a running server and changes nothing.

use domain::Timestamp;
use tokio_postgres::Error;

use super::session;
use super::statements::{Connection, from_postgres, unsigned};
use super::target::Target;
use crate::StoreError;

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Which PostgreSQL it is.
    pub server: String,
    /// When the newest event was accepted.
    pub newest_event: Option<Timestamp>,
    pub bytes: u64,
    /// Whether it holds what only its key can read.
    pub has_channels: bool,
}

/// What the tables hold whose rows come and go all the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveTables {
    /// Versions of rows that nobody can see any more and that were not swept yet, as PostgreSQL counts them.
    pub dead_rows: u64,
    pub table_bytes: u64,
    pub index_bytes: u64,
}

/// Looks at a database; `None` when no Postrider has used it yet.
pub async fn inspect(target: &Target) -> Result<Option<Inspection>, StoreError> {
    let connection = session::connect_to_look(target).await?;
    if session::schema_version(&connection).await.map_err(from_postgres)? == 0 {
        return Ok(None);
    }
    session::refuse_newer(&connection).await?;
    look(&connection).await.map(Some).map_err(from_postgres)
}

/// Looks at the live tables of a database that Postrider has used.
pub async fn live_tables(target: &Target) -> Result<LiveTables, StoreError> {
    let connection = session::connect_to_look(target).await?;
    sum_live_tables(&connection).await.map_err(from_postgres)
}

async fn sum_live_tables(connection: &Connection) -> Result<LiveTables, Error> {
    let sql = "SELECT coalesce(sum(n_dead_tup), 0)::bigint, coalesce(sum(pg_table_size(relid)), 0)::bigint,
                      coalesce(sum(pg_indexes_size(relid)), 0)::bigint
               FROM pg_stat_user_tables
               WHERE schemaname = current_schema()
                 AND relname IN ('queue', 'dead', 'digests', 'waiting', 'counters', 'sequences', 'expand', 'expanded',
                                 'cancellations', 'idempotency_even', 'idempotency_odd')";
    let row = connection.query_one(sql, &[]).await?;
    Ok(LiveTables { dead_rows: unsigned(&row, 0)?, table_bytes: unsigned(&row, 1)?, index_bytes: unsigned(&row, 2)? })
}

async fn look(connection: &Connection) -> Result<Inspection, Error> {
    // The newest event of all is found by its number, in the one partition that can hold it.
    let sql = "SELECT current_setting('server_version'), pg_database_size(current_database()),
                      EXISTS (SELECT FROM channels WHERE deleted_at IS NULL),
                      (SELECT accepted_at FROM events
                       WHERE tenant_id IN (SELECT id FROM tenants) AND id = (SELECT event - 1 FROM sequences))";
    let row = connection.query_one(sql, &[]).await?;
    Ok(Inspection {
        server: row.try_get(0)?,
        bytes: u64::try_from(row.try_get::<_, i64>(1)?).unwrap_or(0),
        has_channels: row.try_get(2)?,
        newest_event: row.try_get::<_, Option<i64>>(3)?.map(Timestamp::from_ms),
    })
}
