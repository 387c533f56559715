//! A look at a database from outside, for `postrider doctor`: is it whole, how old is its newest event.
//!
//! Reads beside a running server and changes nothing.

use std::path::Path;

use domain::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};

use super::{DATABASE_FILE, backup, connect_for_reading, from_sqlite, refuse_newer};
use crate::StoreError;

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// What SQLite's quick check finds wrong; nothing when all is well.
    pub faults: Vec<String>,
    /// When the newest event was accepted.
    pub newest_event: Option<Timestamp>,
    /// With its log.
    pub bytes: u64,
}

/// Looks at the database of a data directory; `None` when there is none. Reads all of it once.
pub fn inspect(data_dir: &Path) -> Result<Option<Inspection>, StoreError> {
    let path = data_dir.join(DATABASE_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let connection = connect_for_reading(&path)?;
    refuse_newer(&connection)?;
    let faults = backup::faults(&connection, "quick_check")?;
    let newest_event = newest_event(&connection).map_err(from_sqlite)?;
    let bytes = [path, data_dir.join(format!("{DATABASE_FILE}-wal"))]
        .iter()
        .filter_map(|file| std::fs::metadata(file).ok())
        .map(|file| file.len())
        .sum();
    Ok(Some(Inspection { faults, newest_event, bytes }))
}

fn newest_event(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    // Before its first start with this version a database has its events elsewhere.
    if !connection.table_exists(None, "events")? {
        return Ok(None);
    }
    connection
        .query_row("SELECT accepted_at FROM events ORDER BY id DESC LIMIT 1", [], |row| row.get(0))
        .optional()
        .map(|at| at.map(Timestamp::from_ms))
}
