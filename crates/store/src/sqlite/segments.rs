//! Segments: history in tables of bounded size.
//!
//! The newest segment of a kind is open and has no index but its key, so that writing history costs the same however
//! much there is. A full one is closed, and the writer gives it its indexes between two commits, one at a time.
//! Old history goes by dropping whole segments.

use std::sync::Arc;

use domain::ids::ID_MAX;
use domain::{TenantId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

use super::from_sqlite;
use super::retention::Leaving;
use crate::StoreError;

/// Rows in a segment. The writer builds one index over so many rows between two commits, and whoever posts an event
/// meanwhile waits for it: with 32,768 rows the writer was seen busy for 15 to 28 ms at a time,
/// which an index most likely explains. Much smaller
/// segments would make the schema long, which every reader reads again after each new one.
pub(super) const ROWS_MAX: u64 = 8_192;

/// Events with their place in the producer's trace.
const FORM_WITH_TRACE: i64 = 2;

/// Attempts that say whether the delivery was given up with them.
const FORM_WITH_GAVE_UP: i64 = 2;

/// Settled deliveries whose reason has a code.
const FORM_WITH_REASON_CODE: i64 = 2;

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

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Settled => "settled",
            Self::Attempts => "attempts",
        }
    }

    const fn columns(self) -> &'static str {
        match self {
            Self::Events => {
                "id             INTEGER PRIMARY KEY,
                 tenant_id      INTEGER NOT NULL,
                 type           TEXT    NOT NULL,
                 data           TEXT    NOT NULL,
                 occurred_at    INTEGER NOT NULL,
                 severity       TEXT,
                 accepted_at    INTEGER NOT NULL,
                 explicit       BLOB,
                 config_version INTEGER NOT NULL,
                 first_delivery INTEGER NOT NULL,
                 channels       BLOB    NOT NULL,
                 skipped        BLOB    NOT NULL,
                 skipped_more   INTEGER NOT NULL,
                 trace          BLOB"
            }
            Self::Settled => {
                "id           INTEGER PRIMARY KEY,
                 tenant_id    INTEGER NOT NULL,
                 channel_id   INTEGER NOT NULL,
                 event_id     INTEGER NOT NULL,
                 event_type   TEXT    NOT NULL,
                 state        TEXT    NOT NULL,
                 attempts     INTEGER NOT NULL,
                 created_at   INTEGER NOT NULL,
                 expires_at   INTEGER NOT NULL,
                 settled_at   INTEGER NOT NULL,
                 note         TEXT    NOT NULL,
                 digest_id    INTEGER,
                 reason_code  TEXT"
            }
            Self::Attempts => {
                "id           INTEGER PRIMARY KEY,
                 delivery_id  INTEGER NOT NULL,
                 tenant_id    INTEGER NOT NULL,
                 channel_id   INTEGER NOT NULL,
                 event_id     INTEGER NOT NULL,
                 provider     TEXT    NOT NULL,
                 event_type   TEXT    NOT NULL,
                 number       INTEGER NOT NULL,
                 step         INTEGER NOT NULL,
                 class        TEXT    NOT NULL,
                 scope        TEXT    NOT NULL,
                 code         INTEGER,
                 hint_ms      INTEGER,
                 reference    TEXT,
                 note         TEXT    NOT NULL,
                 body         TEXT    NOT NULL,
                 started_at   INTEGER NOT NULL,
                 duration_ms  INTEGER NOT NULL,
                 digest_id    INTEGER,
                 gave_up   INTEGER NOT NULL DEFAULT 0"
            }
        }
    }

    /// The form that a new segment has: its columns. A form differs from the one before by columns at the end.
    const fn form(self) -> i64 {
        match self {
            Self::Events => FORM_WITH_TRACE,
            Self::Attempts => FORM_WITH_GAVE_UP,
            Self::Settled => FORM_WITH_REASON_CODE,
        }
    }

    /// The columns that a form adds to the one before.
    const fn added(self, form: i64) -> &'static [&'static str] {
        match (self, form) {
            (Self::Events, FORM_WITH_TRACE) => &["trace BLOB"],
            (Self::Attempts, FORM_WITH_GAVE_UP) => &["gave_up INTEGER NOT NULL DEFAULT 0"],
            (Self::Settled, FORM_WITH_REASON_CODE) => &["reason_code TEXT"],
            _ => &[],
        }
    }

    /// Whether rows are written in order of id, so that one segment alone can hold an id. Settled deliveries are not.
    pub(super) const fn is_in_order(self) -> bool {
        matches!(self, Self::Events | Self::Attempts)
    }

    /// The indexes of a closed segment, in the order that they are built.
    const fn indexes(self) -> &'static [&'static str] {
        match self {
            Self::Events => &["tenant_id, id"],
            Self::Settled => &["tenant_id, id", "channel_id, id"],
            Self::Attempts => &["delivery_id", "channel_id, id", "tenant_id, id"],
        }
    }
}

/// The open segment of one kind.
#[derive(Clone, Debug)]
struct Open {
    number: i64,
    rows: u64,
    insert_sql: Arc<str>,
}

/// The open segments, as the writer knows them.
#[derive(Clone, Debug)]
pub(super) struct Segments {
    open: [Open; 3],
    rows_max: u64,
    /// Whether a closed segment may still lack an index.
    has_unindexed: bool,
    /// How far the tenant that is being erased is gone. After a start it is looked for again from the beginning.
    purged: Purged,
    /// How far retention has looked through what goes next.
    leaving: Leaving,
}

/// The last segment that has nothing of a tenant any more, in order of kind and number.
#[derive(Clone, Copy, Debug, Default)]
struct Purged {
    tenant: TenantId,
    kind: usize,
    number: i64,
}

/// Segments looked into by one slice of a purge.
const PURGE_LOOK_MAX: i64 = 64;

/// Events erased by one slice are fewer than rows of other kinds: a payload may fill many pages.
const PURGE_EVENTS_DIVISOR: i64 = 10;

impl Segments {
    pub(super) fn open(connection: &Connection, rows_max: u64) -> Result<Self, StoreError> {
        let load = |kind| in_transaction(connection, |connection| load_open(connection, kind)).map_err(from_sqlite);
        let open = [load(Kind::Events)?, load(Kind::Settled)?, load(Kind::Attempts)?];
        Ok(Self { open, rows_max, has_unindexed: true, purged: Purged::default(), leaving: Leaving::default() })
    }

    /// Closes what is full and opens its successor.
    pub(super) fn rotate_full(&mut self, connection: &Connection) -> Result<(), StoreError> {
        for kind in Kind::ALL {
            let open = &mut self.open[kind as usize];
            if open.rows >= self.rows_max {
                if is_empty(connection, kind, open.number).map_err(from_sqlite)? {
                    // Its rows were erased with their tenant: it is as good as new.
                    open.rows = 0;
                    continue;
                }
                *open = rotate(connection, kind, open).map_err(from_sqlite)?;
                self.has_unindexed = true;
            }
        }
        Ok(())
    }

    /// How far retention has looked through what goes next.
    pub(super) const fn leaving_mut(&mut self) -> &mut Leaving {
        &mut self.leaving
    }

    /// The statement that writes a row into the open segment; the caller writes exactly one with it.
    pub(super) fn insert_sql(&mut self, kind: Kind) -> &str {
        let open = &mut self.open[kind as usize];
        open.rows += 1;
        &open.insert_sql
    }

    /// Erases a slice of a tenant's history. Returns whether nothing of it is left. Nothing may be written for the tenant
    /// any more, so a segment that was gone through stays clean. A segment that is left empty stays, as a place for no
    /// ids.
    pub(super) fn purge(
        &mut self,
        connection: &Connection,
        tenant: TenantId,
        rows_max: usize,
    ) -> rusqlite::Result<bool> {
        if self.purged.tenant != tenant {
            self.purged = Purged { tenant, ..Purged::default() };
        }
        let mut rows_left = i64::try_from(rows_max).unwrap_or(i64::MAX);
        let mut looks_left = PURGE_LOOK_MAX;
        for (position, kind) in Kind::ALL.into_iter().enumerate().skip(self.purged.kind) {
            if position > self.purged.kind {
                self.purged = Purged { kind: position, number: 0, ..self.purged };
            }
            for number in numbers_after(connection, kind, self.purged.number, looks_left)? {
                let erased = erase(connection, kind, number, tenant, rows_left)?;
                looks_left -= 1;
                rows_left -= erased.rows;
                if erased.has_more || rows_left <= 0 {
                    return Ok(false);
                }
                self.purged.number = number;
            }
            if looks_left == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Builds one index that a closed segment lacks. Returns whether more may be lacking.
    pub(super) fn index_one(&mut self, connection: &Connection) -> Result<bool, StoreError> {
        if !self.has_unindexed {
            return Ok(false);
        }
        self.has_unindexed = in_transaction(connection, build_one_index).map_err(from_sqlite)?;
        Ok(self.has_unindexed)
    }
}

pub(super) fn table(kind: Kind, number: i64) -> String {
    format!("{}_{number}", kind.name())
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
            "SELECT number, form FROM segments WHERE kind = ?1 AND last_id = ?2",
            params![kind.name(), ID_MAX],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((number, form)) = open else { return create(connection, kind, 1, 0) };
    bring_up_to_date(connection, kind, number, form)?;
    let rows: i64 =
        connection.query_row(&format!("SELECT COUNT(*) FROM {}", table(kind, number)), [], |row| row.get(0))?;
    Ok(Open { number, rows: u64::try_from(rows).unwrap_or(0), insert_sql: insert_sql(kind, number) })
}

/// Gives a segment that an older version has opened the columns that it lacks. Closed ones stay as they are: there may be
/// thousands, and readers ask for the form of each.
fn bring_up_to_date(connection: &Connection, kind: Kind, number: i64, form: i64) -> rusqlite::Result<()> {
    let table = table(kind, number);
    for column in (form + 1..=kind.form()).flat_map(|form| kind.added(form)) {
        connection.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {column}"))?;
    }
    connection
        .execute(
            "UPDATE segments SET form = ?3 WHERE kind = ?1 AND number = ?2",
            params![kind.name(), number, kind.form()],
        )
        .map(drop)
}

fn create(connection: &Connection, kind: Kind, number: i64, first_id: i64) -> rusqlite::Result<Open> {
    let table = table(kind, number);
    connection.execute_batch(&format!("CREATE TABLE {table} ({}) STRICT", kind.columns()))?;
    connection.execute(
        "INSERT INTO segments (kind, number, first_id, last_id, form) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![kind.name(), number, first_id, ID_MAX, kind.form()],
    )?;
    Ok(Open { number, rows: 0, insert_sql: insert_sql(kind, number) })
}

fn insert_sql(kind: Kind, number: i64) -> Arc<str> {
    let columns = kind.columns().lines().count();
    let places = vec!["?"; columns].join(", ");
    format!("INSERT INTO {} VALUES ({places})", table(kind, number)).into()
}

/// Notes the ids that the full segment holds, by which readers find it, and opens the next one.
fn rotate(connection: &Connection, kind: Kind, full: &Open) -> rusqlite::Result<Open> {
    let sql = format!(
        "UPDATE segments
         SET first_id = (SELECT MIN(id) FROM {0}), last_id = (SELECT MAX(id) FROM {0}), rows = ?3
         WHERE kind = ?1 AND number = ?2
         RETURNING last_id",
        table(kind, full.number)
    );
    let rows = i64::try_from(full.rows).unwrap_or(i64::MAX);
    let last_id: i64 = connection.query_row(&sql, params![kind.name(), full.number, rows], |row| row.get(0))?;
    create(connection, kind, full.number + 1, if kind.is_in_order() { last_id + 1 } else { 0 })
}

fn is_empty(connection: &Connection, kind: Kind, number: i64) -> rusqlite::Result<bool> {
    let sql = format!("SELECT MAX(id) FROM {}", table(kind, number));
    connection.query_row(&sql, [], |row| row.get(0)).map(|last: Option<i64>| last.is_none())
}

/// The segments of a kind beyond one, in order of number.
fn numbers_after(connection: &Connection, kind: Kind, after: i64, rows_max: i64) -> rusqlite::Result<Vec<i64>> {
    connection
        .prepare_cached("SELECT number FROM segments WHERE kind = ?1 AND number > ?2 ORDER BY number LIMIT ?3")?
        .query_map(params![kind.name(), after, rows_max], |row| row.get(0))?
        .collect()
}

/// What became of a tenant's rows in one segment.
struct Erased {
    rows: i64,
    has_more: bool,
}

/// Erases at most `rows_max` rows of a tenant. What belongs to an event and names no tenant goes with it.
fn erase(
    connection: &Connection,
    kind: Kind,
    number: i64,
    tenant: TenantId,
    rows_max: i64,
) -> rusqlite::Result<Erased> {
    let limit = if kind == Kind::Events { (rows_max / PURGE_EVENTS_DIVISOR).max(1) } else { rows_max };
    let table = table(kind, number);
    let oldest = format!("SELECT id FROM {table} WHERE tenant_id = ?1 ORDER BY id LIMIT ?2");
    if kind == Kind::Events {
        let sql = format!("DELETE FROM expanded WHERE event_id IN ({oldest})");
        connection.execute(&sql, [tenant.0, limit])?;
    }
    let erased = connection.execute(&format!("DELETE FROM {table} WHERE id IN ({oldest})"), [tenant.0, limit])?;
    let rows = i64::try_from(erased).unwrap_or(i64::MAX);
    Ok(Erased { rows, has_more: rows == limit })
}

fn build_one_index(connection: &Connection) -> rusqlite::Result<bool> {
    for kind in Kind::ALL {
        let lacking: Option<(i64, usize)> = connection
            .query_row(
                "SELECT number, indexes FROM segments
                 WHERE kind = ?1 AND last_id < ?2 AND indexes < ?3 AND is_ending = 0
                 ORDER BY number LIMIT 1",
                params![kind.name(), ID_MAX, i64::try_from(kind.indexes().len()).unwrap_or(0)],
                |row| Ok((row.get(0)?, usize::try_from(row.get::<_, i64>(1)?).unwrap_or(0))),
            )
            .optional()?;
        if let Some((number, built)) = lacking {
            let table = table(kind, number);
            connection.execute_batch(&format!(
                "CREATE INDEX {table}_{built} ON {table} ({});
                 UPDATE segments SET indexes = {} WHERE kind = '{}' AND number = {number};",
                kind.indexes()[built],
                built + 1,
                kind.name(),
            ))?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// A segment as readers find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub table: String,
    /// The largest id that it may hold.
    pub last_id: i64,
    form: i64,
    /// When its newest row was written, as far as that is known.
    pub newest_at: Option<Timestamp>,
}

impl Segment {
    /// The column of attempts that says whether the delivery was given up with them; older segments know of none.
    pub(super) const fn gave_up(&self) -> &'static str {
        if self.form >= FORM_WITH_GAVE_UP { "gave_up" } else { "0" }
    }

    /// The column of settled deliveries that has the code of their reason; older segments know of none.
    pub(super) const fn reason_code(&self) -> &'static str {
        if self.form >= FORM_WITH_REASON_CODE { "reason_code" } else { "NULL" }
    }

    /// Of events: whether they have their place in a trace.
    pub(super) const fn has_trace(&self) -> bool {
        self.form >= FORM_WITH_TRACE
    }
}

/// The segments of a kind, newest first, whose ids may reach down to `at_least` and up to `at_most`.
pub(super) fn list(connection: &Connection, kind: Kind, at_least: i64, at_most: i64) -> rusqlite::Result<Vec<Segment>> {
    let mut statement = connection.prepare_cached(
        "SELECT number, last_id, form, newest_at FROM segments
         WHERE kind = ?1 AND +last_id >= ?2 AND first_id <= ?3 AND is_ending = 0
         ORDER BY number DESC",
    )?;
    let segment = |row: &Row<'_>| {
        Ok(Segment {
            table: table(kind, row.get(0)?),
            last_id: row.get(1)?,
            form: row.get(2)?,
            newest_at: row.get::<_, Option<i64>>(3)?.map(Timestamp::from_ms),
        })
    };
    statement.query_map(params![kind.name(), at_least, at_most], segment)?.collect()
}

/// The tables of a kind, oldest first, also those that are ending.
pub(super) fn all(connection: &Connection, kind: Kind) -> rusqlite::Result<Vec<String>> {
    let numbers = numbers_after(connection, kind, 0, i64::MAX)?;
    Ok(numbers.into_iter().map(|number| table(kind, number)).collect())
}

/// Where events are that have outlived their segment.
pub(super) const KEPT_EVENTS: &str = "kept_events";

/// The table that alone can hold an event.
pub(super) struct EventTable {
    pub name: String,
    pub has_trace: bool,
}

impl From<&str> for EventTable {
    /// A table of the present form.
    fn from(name: &str) -> Self {
        Self { name: name.to_owned(), has_trace: true }
    }
}

pub(super) fn table_of_event(connection: &Connection, id: i64) -> rusqlite::Result<Option<EventTable>> {
    let read = |row: &Row<'_>| {
        let has_trace = row.get::<_, i64>(1)? >= FORM_WITH_TRACE;
        Ok(EventTable { name: table(Kind::Events, row.get(0)?), has_trace })
    };
    connection
        .prepare_cached(
            "SELECT number, form FROM segments
             WHERE kind = 'events' AND last_id >= ?1 AND is_ending = 0
             ORDER BY last_id
             LIMIT 1",
        )?
        .query_row([id], read)
        .optional()
}
