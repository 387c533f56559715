//! Segments: stretches of history of bounded size.
//!
//! History of a kind is one table, written at its end and let go of at its beginning. The newest segment is open; a full
//! one is closed, and its look-ups are made beside the writer, which writes them between two commits ([`lookup`]). So
//! writing history costs the same however much there is, and nothing that is written ever changes the schema, which every
//! reader would have to read again.

mod former;
mod leaves;
mod lookup;
mod making;
mod purge;

use domain::Timestamp;
use domain::ids::ID_MAX;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use super::from_sqlite;
use super::retention::Leaving;
use crate::StoreError;
use purge::Purged;

#[cfg(test)]
pub(super) use lookup::entries_of;
pub(super) use lookup::{Lookup, Order, Search};
pub(super) use making::{Made, make_one as make_lookups, take_one as take_lookup};

/// Rows in a segment. A segment without look-ups is read through, which takes some milliseconds; a list looks into every
/// segment that may hold something, so there should not be too many.
pub(super) const ROWS_MAX: u64 = 8_192;

/// Closed segments that may lack look-ups before the writer asks for them after every batch: two of each kind, which a list
/// reads through in some milliseconds.
const LACKING_MAX: usize = 6;

/// What a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Events,
    Settled,
    Attempts,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Events, Self::Settled, Self::Attempts];

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text)
    }

    /// Also the name of its table.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Settled => "settled",
            Self::Attempts => "attempts",
        }
    }

    /// Whether rows are written in order of id, so that a segment is a range of ids. Settled deliveries are not; their rows
    /// say in which segment they are.
    pub(super) const fn is_in_order(self) -> bool {
        matches!(self, Self::Events | Self::Attempts)
    }

    /// The condition for the rows of one segment: ?1 is its number, ?2 and ?3 its first and last id.
    pub(super) const fn rows(self) -> &'static str {
        if self.is_in_order() { "?1 > 0 AND id >= ?2 AND id <= ?3" } else { "segment = ?1 AND id >= ?2 AND id <= ?3" }
    }

    /// The condition for rows whose ids are known to be of the segment ?1.
    const fn of_segment(self) -> &'static str {
        if self.is_in_order() { "?1 > 0" } else { "segment = ?1" }
    }
}

/// The open segment of one kind.
#[derive(Clone, Copy, Debug)]
struct Open {
    number: i64,
    first_id: i64,
    rows: u64,
}

/// The open segments, as the writer knows them.
#[derive(Clone, Debug)]
pub(super) struct Segments {
    open: [Open; 3],
    rows_max: u64,
    /// How many closed segments lack look-ups; more than there are when one has gone since without.
    lacking: usize,
    /// How often rows of closed segments were erased since the start: what was made of them before is void.
    erasures: u64,
    /// How far the tenant that is being erased is gone. After a start it is looked for again from the beginning.
    purged: Purged,
    /// How far retention has looked through what goes next.
    leaving: Leaving,
}

impl Segments {
    pub(super) fn open(connection: &Connection, rows_max: u64) -> Result<Self, StoreError> {
        former::move_all(connection).map_err(from_sqlite)?;
        let load = |kind| in_transaction(connection, |connection| load_open(connection, kind)).map_err(from_sqlite);
        let open = [load(Kind::Events)?, load(Kind::Settled)?, load(Kind::Attempts)?];
        let lacking = making::count_lacking(connection).map_err(from_sqlite)?;
        Ok(Self { open, rows_max, lacking, erasures: 0, purged: Purged::default(), leaving: Leaving::default() })
    }

    /// Whether a closed segment lacks look-ups.
    pub(super) const fn is_lacking(&self) -> bool {
        self.lacking > 0
    }

    /// Whether look-ups are made more slowly than segments are closed.
    pub(super) const fn is_behind(&self) -> bool {
        self.lacking > LACKING_MAX
    }

    /// Closes what is full and opens its successor.
    pub(super) fn rotate_full(&mut self, connection: &Connection) -> Result<(), StoreError> {
        for kind in Kind::ALL {
            let open = &mut self.open[kind as usize];
            if open.rows >= self.rows_max {
                if is_empty(connection, kind, open).map_err(from_sqlite)? {
                    // Its rows were erased with their tenant: it is as good as new.
                    open.rows = 0;
                    continue;
                }
                *open = rotate(connection, kind, open).map_err(from_sqlite)?;
                self.lacking += 1;
            }
        }
        Ok(())
    }

    /// How far retention has looked through what goes next.
    pub(super) const fn leaving_mut(&mut self) -> &mut Leaving {
        &mut self.leaving
    }

    /// Counts a row, which the caller writes, and says in which segment it is.
    pub(super) const fn add(&mut self, kind: Kind) -> i64 {
        let open = &mut self.open[kind as usize];
        open.rows += 1;
        open.number
    }

    /// How often rows of closed segments were erased. Look-ups that were made at another number are void.
    pub(super) const fn erasures(&self) -> u64 {
        self.erasures
    }

    /// Writes the look-ups of a segment, which were made when there had been so many `erasures`; `None`: none lacked any.
    /// Returns how many rows the segment has.
    pub(super) fn keep_lookups(
        &mut self,
        connection: &Connection,
        made: Option<&Made>,
        erasures: u64,
    ) -> Result<usize, StoreError> {
        let Some(made) = made else {
            self.lacking = 0;
            return Ok(0);
        };
        if erasures != self.erasures {
            return Ok(0);
        }
        let lacked = in_transaction(connection, |connection| making::keep(connection, made)).map_err(from_sqlite)?;
        self.lacking = self.lacking.saturating_sub(usize::from(lacked));
        Ok(if lacked { made.rows } else { 0 })
    }

    /// Makes and writes the look-ups of one segment. Returns how many rows it has; `None` when none lacks any.
    pub(super) fn index_one(&mut self, connection: &Connection) -> Result<Option<usize>, StoreError> {
        if !self.is_lacking() {
            return Ok(None);
        }
        let made = make_lookups(connection).map_err(from_sqlite)?;
        let rows = self.keep_lookups(connection, made.as_ref(), self.erasures)?;
        Ok(made.map(|_| rows))
    }
}

/// Commits what `work` did, or nothing of it.
fn in_transaction<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let result = work(&transaction)?;
    transaction.commit()?;
    Ok(result)
}

fn load_open(connection: &Connection, kind: Kind) -> rusqlite::Result<Open> {
    let open: Option<(i64, i64)> = connection
        .query_row(
            "SELECT number, first_id FROM segments WHERE kind = ?1 AND last_id = ?2",
            params![kind.name(), ID_MAX],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((number, first_id)) = open else { return create(connection, kind, 1, 0) };
    let sql = format!("SELECT COUNT(*) FROM {} WHERE {}", kind.name(), kind.rows());
    let rows: i64 = connection.query_row(&sql, [number, first_id, ID_MAX], |row| row.get(0))?;
    Ok(Open { number, first_id, rows: u64::try_from(rows).unwrap_or(0) })
}

fn create(connection: &Connection, kind: Kind, number: i64, first_id: i64) -> rusqlite::Result<Open> {
    connection
        .prepare_cached("INSERT INTO segments (kind, number, first_id, last_id, form) VALUES (?1, ?2, ?3, ?4, 0)")?
        .execute(params![kind.name(), number, first_id, ID_MAX])?;
    Ok(Open { number, first_id, rows: 0 })
}

/// Notes the ids that the full segment holds, by which readers find it, and opens the next one.
fn rotate(connection: &Connection, kind: Kind, full: &Open) -> rusqlite::Result<Open> {
    let sql = format!("SELECT MIN(id), MAX(id) FROM {} WHERE {}", kind.name(), kind.rows());
    let (first, last): (i64, i64) = connection
        .prepare_cached(&sql)?
        .query_row([full.number, full.first_id, ID_MAX], |row| Ok((row.get(0)?, row.get(1)?)))?;
    connection
        .prepare_cached("UPDATE segments SET first_id = ?3, last_id = ?4, rows = ?5 WHERE kind = ?1 AND number = ?2")?
        .execute(params![kind.name(), full.number, first, last, i64::try_from(full.rows).unwrap_or(i64::MAX)])?;
    create(connection, kind, full.number + 1, if kind.is_in_order() { last + 1 } else { 0 })
}

fn is_empty(connection: &Connection, kind: Kind, open: &Open) -> rusqlite::Result<bool> {
    let sql = format!("SELECT NOT EXISTS (SELECT 1 FROM {} WHERE {})", kind.name(), kind.rows());
    connection.prepare_cached(&sql)?.query_row([open.number, open.first_id, ID_MAX], |row| row.get(0))
}

/// A segment as it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub kind: Kind,
    pub number: i64,
    /// The smallest id that it may hold.
    pub first_id: i64,
    /// The largest id that it may hold.
    pub last_id: i64,
    /// How many of its look-ups are written.
    lookups: usize,
    /// When its newest row was written, as far as that is known.
    pub newest_at: Option<Timestamp>,
}

/// What [`Segment::read`] reads.
const COLUMNS: &str = "number, first_id, last_id, indexes, newest_at";

impl Segment {
    fn read(kind: Kind, row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            kind,
            number: row.get(0)?,
            first_id: row.get(1)?,
            last_id: row.get(2)?,
            lookups: usize::try_from(row.get::<_, i64>(3)?).unwrap_or(0),
            newest_at: row.get::<_, Option<i64>>(4)?.map(Timestamp::from_ms),
        })
    }

    /// The values of [`Kind::rows`].
    pub(super) const fn bounds(&self) -> [i64; 3] {
        [self.number, self.first_id, self.last_id]
    }
}

/// The segments of a kind, newest first, whose ids may reach down to `at_least` and up to `at_most`.
pub(super) fn list(connection: &Connection, kind: Kind, at_least: i64, at_most: i64) -> rusqlite::Result<Vec<Segment>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM segments
         WHERE kind = ?1 AND +last_id >= ?2 AND first_id <= ?3 AND is_ending = 0
         ORDER BY number DESC"
    );
    connection
        .prepare_cached(&sql)?
        .query_map(params![kind.name(), at_least, at_most], |row| Segment::read(kind, row))?
        .collect()
}

/// The oldest closed segment of a kind that is not about to go.
pub(super) fn oldest_closed(connection: &Connection, kind: Kind) -> rusqlite::Result<Option<Segment>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM segments
         WHERE kind = ?1 AND last_id < ?2 AND is_ending = 0
         ORDER BY number LIMIT 1"
    );
    connection.prepare_cached(&sql)?.query_row(params![kind.name(), ID_MAX], |row| Segment::read(kind, row)).optional()
}

/// The first segment that is about to go.
pub(super) fn ending(connection: &Connection) -> rusqlite::Result<Option<Segment>> {
    let sql = format!(
        "SELECT {COLUMNS}, kind FROM segments INDEXED BY segments_ending
         WHERE is_ending = 1 ORDER BY kind, number LIMIT 1"
    );
    let read = |row: &Row<'_>| Segment::read(Kind::parse(row.get_ref(5)?.as_str()?).unwrap_or(Kind::Events), row);
    connection.prepare_cached(&sql)?.query_row([], read).optional()
}

/// Where events are that have outlived their segment.
pub(super) const KEPT_EVENTS: &str = "kept_events";

/// The condition for the event ?1 in the table of events: it is not about to go with its segment.
pub(super) const THIS_EVENT: &str = "id = ?1
     AND NOT EXISTS (SELECT 1 FROM segments
                     WHERE kind = 'events' AND is_ending = 1 AND first_id <= ?1 AND last_id >= ?1)";
