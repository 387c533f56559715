//! A segment whose time is over: marked, then given back a slice at a time.

use domain::Timestamp;
use rusqlite::{Connection, params};

use super::super::segments::{self, Kind, Segment};
use super::super::tx::Tx;
use super::{leave, newest_at};

/// Rows, and bytes of the large column, that go in one slice.
const ROWS_MAX: i64 = 1_000;
const BYTES_MAX: i64 = 1 << 20;

/// Looks at the oldest closed segment of a kind, and brings it a step nearer to its end when it is old enough. Returns
/// whether there was anything to do.
pub(super) fn end_oldest(tx: &mut Tx<'_>, kind: Kind, since: Timestamp) -> rusqlite::Result<bool> {
    let Some(oldest) = segments::oldest_closed(tx.connection, kind)? else { return Ok(false) };
    let Some(newest) = oldest.newest_at else {
        let newest = newest_at(tx.connection, &oldest)?;
        tx.connection
            .prepare_cached("UPDATE segments SET newest_at = ?3 WHERE kind = ?1 AND number = ?2")?
            .execute(params![kind.name(), oldest.number, newest.as_ms()])?;
        return Ok(true);
    };
    if newest >= since {
        return Ok(false);
    }
    if kind == Kind::Events && !leave::copy_live(tx, &oldest)? {
        return Ok(true);
    }
    tx.connection
        .prepare_cached("UPDATE segments SET is_ending = 1 WHERE kind = ?1 AND number = ?2")?
        .execute(params![kind.name(), oldest.number])?;
    Ok(true)
}

/// Gives back a slice of a marked segment: first its look-ups, then its rows from the front, and in the end the segment.
/// Returns how many rows it was.
pub(super) fn take_away(connection: &Connection, segment: &Segment) -> rusqlite::Result<usize> {
    if segments::take_lookup(connection, segment)? {
        return Ok(0);
    }
    let front = front(connection, segment)?;
    if segment.kind == Kind::Events {
        forget_expanded(connection, front.first, front.last)?;
    }
    let sql = format!("DELETE FROM {} WHERE {}", segment.kind.name(), segment.kind.rows());
    let rows = connection.prepare_cached(&sql)?.execute([segment.number, front.first, front.last])?;
    if front.is_all {
        connection
            .prepare_cached("DELETE FROM segments WHERE kind = ?1 AND number = ?2")?
            .execute(params![segment.kind.name(), segment.number])?;
    }
    Ok(rows)
}

/// The rows at the front of a segment that go together.
struct Front {
    first: i64,
    last: i64,
    /// There are no others.
    is_all: bool,
}

fn front(connection: &Connection, segment: &Segment) -> rusqlite::Result<Front> {
    let size = match segment.kind {
        Kind::Events => "octet_length(data)",
        Kind::Settled => "octet_length(note)",
        Kind::Attempts => "octet_length(body)",
    };
    let (table, rows) = (segment.kind.name(), segment.kind.rows());
    let mut statement =
        connection.prepare_cached(&format!("SELECT id, {size} FROM {table} WHERE {rows} ORDER BY id"))?;
    let mut rows = statement.query(segment.bounds())?;
    let mut front = Front { first: segment.first_id, last: segment.last_id, is_all: true };
    let (mut count, mut bytes, mut last) = (0, 0, 0);
    while let Some(row) = rows.next()? {
        if count == 0 {
            front.first = row.get(0)?;
        }
        if count == ROWS_MAX || bytes >= BYTES_MAX {
            return Ok(Front { last, is_all: false, ..front });
        }
        (last, count) = (row.get(0)?, count + 1);
        bytes += row.get::<_, i64>(1)?;
    }
    Ok(front)
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
