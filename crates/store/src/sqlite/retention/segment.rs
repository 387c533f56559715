//! A segment whose time is over: marked, emptied, dropped.

use domain::Timestamp;
use domain::ids::ID_MAX;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::segments::{Kind, table};
use super::super::writer::Tx;
use super::{leave, newest_at};

/// Rows, and bytes of the large column, that go in one slice.
const ROWS_MAX: i64 = 1_000;
const BYTES_MAX: i64 = 1 << 20;

/// The first segment that is marked.
pub(super) fn ending(connection: &Connection) -> rusqlite::Result<Option<(Kind, i64)>> {
    let found: Option<(String, i64)> = connection
        .prepare_cached("SELECT kind, number FROM segments WHERE is_ending = 1 ORDER BY kind, number LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(found.and_then(|(name, number)| Some((Kind::parse(&name)?, number))))
}

/// Looks at the oldest closed segment of a kind, and brings it a step nearer to its end when it is old enough. Returns
/// whether there was anything to do.
pub(super) fn end_oldest(tx: &mut Tx<'_>, kind: Kind, since: Timestamp) -> rusqlite::Result<bool> {
    let oldest: Option<(i64, i64, Option<i64>)> = tx
        .connection
        .prepare_cached(
            "SELECT number, last_id, newest_at FROM segments
             WHERE kind = ?1 AND last_id < ?2 AND is_ending = 0
             ORDER BY number LIMIT 1",
        )?
        .query_row(params![kind.name(), ID_MAX], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((number, last_id, newest)) = oldest else { return Ok(false) };
    let Some(newest) = newest else {
        let newest = newest_at(tx.connection, kind, &table(kind, number))?;
        tx.connection
            .prepare_cached("UPDATE segments SET newest_at = ?3 WHERE kind = ?1 AND number = ?2")?
            .execute(params![kind.name(), number, newest.as_ms()])?;
        return Ok(true);
    };
    if Timestamp::from_ms(newest) >= since {
        return Ok(false);
    }
    if kind == Kind::Events && !leave::copy_live(tx, number, last_id)? {
        return Ok(true);
    }
    tx.connection
        .prepare_cached("UPDATE segments SET is_ending = 1 WHERE kind = ?1 AND number = ?2")?
        .execute(params![kind.name(), number])?;
    Ok(true)
}

/// Gives back a slice of a marked segment, first its indexes, and in the end the table itself.
pub(super) fn take_away(connection: &Connection, kind: Kind, number: i64) -> rusqlite::Result<()> {
    let table = table(kind, number);
    let indexes: i64 = connection
        .prepare_cached("SELECT indexes FROM segments WHERE kind = ?1 AND number = ?2")?
        .query_row(params![kind.name(), number], |row| row.get(0))?;
    if indexes > 0 {
        for built in 0..indexes {
            connection.execute_batch(&format!("DROP INDEX {table}_{built}"))?;
        }
        return connection
            .prepare_cached("UPDATE segments SET indexes = 0 WHERE kind = ?1 AND number = ?2")?
            .execute(params![kind.name(), number])
            .map(drop);
    }
    let first: i64 =
        connection.query_row(&format!("SELECT COALESCE(MIN(id), 0) FROM {table}"), [], |row| row.get(0))?;
    let slice = front(connection, kind, &table)?;
    if kind == Kind::Events {
        forget_expanded(connection, first, slice.last)?;
    }
    if slice.is_all {
        connection.execute_batch(&format!("DROP TABLE {table}"))?;
        return connection
            .prepare_cached("DELETE FROM segments WHERE kind = ?1 AND number = ?2")?
            .execute(params![kind.name(), number])
            .map(drop);
    }
    connection.execute(&format!("DELETE FROM {table} WHERE id <= ?1"), [slice.last]).map(drop)
}

/// The rows at the front of a table that go together.
struct Front {
    last: i64,
    /// There are no others.
    is_all: bool,
}

fn front(connection: &Connection, kind: Kind, table: &str) -> rusqlite::Result<Front> {
    let size = match kind {
        Kind::Events => "length(data)",
        Kind::Settled => "length(note)",
        Kind::Attempts => "length(body)",
    };
    let mut statement = connection.prepare(&format!("SELECT id, {size} FROM {table} ORDER BY id"))?;
    let mut rows = statement.query([])?;
    let (mut count, mut bytes, mut last) = (0, 0, 0);
    while let Some(row) = rows.next()? {
        if count == ROWS_MAX || bytes >= BYTES_MAX {
            return Ok(Front { last, is_all: false });
        }
        (last, count) = (row.get(0)?, count + 1);
        bytes += row.get::<_, i64>(1)?;
    }
    Ok(Front { last, is_all: true })
}

/// The deliveries of events that were not made with them, unless the event itself is kept.
fn forget_expanded(connection: &Connection, first: i64, last: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM expanded
             WHERE event_id >= ?1 AND event_id <= ?2
               AND NOT EXISTS (SELECT 1 FROM kept_events WHERE kept_events.id = expanded.event_id)",
        )?
        .execute([first, last])
        .map(drop)
}
