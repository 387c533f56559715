//! A look at a database from outside, for `postrider doctor` and before a start: which server, how much is there, how old
//! is its newest event.
//!
//! Reads beside a running server and changes nothing.

use domain::Timestamp;
use tokio_postgres::Error;

use super::session;
use super::statements::{Connection, from_postgres};
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

/// Looks at a database; `None` when no Postrider has used it yet.
pub async fn inspect(target: &Target) -> Result<Option<Inspection>, StoreError> {
    let connection = session::connect_to_look(target).await?;
    if session::schema_version(&connection).await.map_err(from_postgres)? == 0 {
        return Ok(None);
    }
    session::refuse_newer(&connection).await?;
    look(&connection).await.map(Some).map_err(from_postgres)
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
