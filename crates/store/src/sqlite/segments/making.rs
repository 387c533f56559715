//! Making the look-ups of closed segments.
//!
//! A closed segment never changes, so its rows can be read and put in order beside the writer, which then has a few dozen rows
//! to write. When a tenant is erased rows do go, and what was read before is void.

use domain::ids::ID_MAX;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::leaves::{Entry, Leaf, cut};
use super::lookup::Lookup;
use super::{COLUMNS, Kind, Segment};

/// The look-ups of a segment, all of them, ready to be written.
pub(in crate::sqlite) struct Made {
    kind: Kind,
    number: i64,
    leaves: Vec<(Lookup, Vec<Leaf>)>,
    /// Rows of the segment.
    pub(super) rows: usize,
}

/// Makes the look-ups of a closed segment that lacks them; `None` when none does.
pub(in crate::sqlite) fn make_one(connection: &Connection) -> rusqlite::Result<Option<Made>> {
    for kind in Kind::ALL {
        if let Some(segment) = lacking(connection, kind)? {
            return make(connection, &segment).map(Some);
        }
    }
    Ok(None)
}

fn make(connection: &Connection, segment: &Segment) -> rusqlite::Result<Made> {
    let kind = segment.kind;
    let lookups = kind.lookups();
    let columns: Vec<_> = lookups.iter().map(|lookup| lookup.column()).collect();
    let sql = format!("SELECT id, {} FROM {} WHERE {}", columns.join(", "), kind.name(), kind.rows());
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(segment.bounds())?;
    let mut entries = vec![Vec::new(); lookups.len()];
    while let Some(row) = rows.next()? {
        let found = row.get(0)?;
        for (column, entries) in entries.iter_mut().enumerate() {
            entries.push(Entry { sought: row.get(column + 1)?, found });
        }
    }
    let rows = entries.first().map_or(0, Vec::len);
    let leaves = lookups.iter().copied().zip(entries.into_iter().map(cut)).collect();
    Ok(Made { kind, number: segment.number, leaves, rows })
}

/// Writes them. Returns whether the segment still lacked them.
pub(super) fn keep(connection: &Connection, made: &Made) -> rusqlite::Result<bool> {
    let all = i64::try_from(made.leaves.len()).unwrap_or(0);
    let lacked = connection
        .prepare_cached(
            "UPDATE segments SET indexes = ?3 WHERE kind = ?1 AND number = ?2 AND indexes = 0 AND is_ending = 0",
        )?
        .execute(params![made.kind.name(), made.number, all])?;
    if lacked == 0 {
        return Ok(false);
    }
    for (lookup, leaves) in &made.leaves {
        let sql =
            format!("INSERT INTO {} (segment, sought, found, rest) VALUES (?1, ?2, ?3, ?4)", lookup.table(made.kind));
        let mut statement = connection.prepare_cached(&sql)?;
        for leaf in leaves {
            statement.execute(params![made.number, leaf.first.sought, leaf.first.found, leaf.rest])?;
        }
    }
    Ok(true)
}

/// How many closed segments lack look-ups.
pub(super) fn count_lacking(connection: &Connection) -> rusqlite::Result<usize> {
    let sql = format!(
        "SELECT COUNT(*) FROM segments INDEXED BY segments_closed
         WHERE kind = ?1 AND last_id < {ID_MAX} AND indexes = 0 AND is_ending = 0"
    );
    let mut lacking = 0;
    for kind in Kind::ALL {
        let count: i64 = connection.query_row(&sql, [kind.name()], |row| row.get(0))?;
        lacking += usize::try_from(count).unwrap_or(0);
    }
    Ok(lacking)
}

fn lacking(connection: &Connection, kind: Kind) -> rusqlite::Result<Option<Segment>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM segments INDEXED BY segments_closed
         WHERE kind = ?1 AND last_id < {ID_MAX} AND indexes = 0 AND is_ending = 0
         LIMIT 1"
    );
    let read = |row: &Row<'_>| Segment::read(kind, row);
    connection.prepare_cached(&sql)?.query_row([kind.name()], read).optional()
}

/// Takes one look-up of a segment away. Returns whether it had one.
pub(in crate::sqlite) fn take_one(connection: &Connection, segment: &Segment) -> rusqlite::Result<bool> {
    let Some(lookup) = segment.lookups().last() else { return Ok(false) };
    // A whole segment's part stands together, so it is small however many rows it has.
    take(connection, segment, *lookup)?;
    connection
        .prepare_cached("UPDATE segments SET indexes = indexes - 1 WHERE kind = ?1 AND number = ?2")?
        .execute(params![segment.kind.name(), segment.number])?;
    Ok(true)
}

/// Takes all look-ups of a segment away, so that they are made again. Returns whether it had any.
pub(super) fn take_all(connection: &Connection, segment: &Segment) -> rusqlite::Result<bool> {
    for lookup in segment.lookups() {
        take(connection, segment, *lookup)?;
    }
    let taken = connection
        .prepare_cached("UPDATE segments SET indexes = 0 WHERE kind = ?1 AND number = ?2 AND indexes > 0")?
        .execute(params![segment.kind.name(), segment.number])?;
    Ok(taken > 0)
}

fn take(connection: &Connection, segment: &Segment, lookup: Lookup) -> rusqlite::Result<()> {
    let sql = format!("DELETE FROM {} WHERE segment = ?1", lookup.table(segment.kind));
    connection.prepare_cached(&sql)?.execute([segment.number]).map(drop)
}
