//! Segments: history in tables of bounded size.
//!
//! The newest segment of a kind is open and has no index but its key, so that writing history costs the same however
//! much there is. A full one is closed, and the writer gives it its indexes between two commits, one at a time.
//! Old history goes by dropping whole segments.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::from_sqlite;
use crate::StoreError;

/// Rows in a segment: an index over so many rows is built in less than 20 ms, and an open one is scanned in less.
pub(super) const ROWS_MAX: u64 = 32_768;

/// What a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Events,
    Settled,
    Attempts,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Events, Self::Settled, Self::Attempts];

    const fn name(self) -> &'static str {
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
                 is_explicit    INTEGER NOT NULL,
                 config_version INTEGER NOT NULL,
                 first_delivery INTEGER NOT NULL,
                 channels       BLOB    NOT NULL,
                 skipped        BLOB    NOT NULL,
                 skipped_more   INTEGER NOT NULL"
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
                 digest_id    INTEGER"
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
                 digest_id    INTEGER"
            }
        }
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
    insert_sql: String,
}

/// The open segments, as the writer knows them.
#[derive(Clone, Debug)]
pub(super) struct Segments {
    open: [Open; 3],
    rows_max: u64,
    /// Whether a closed segment may still lack an index.
    has_unindexed: bool,
}

impl Segments {
    pub(super) fn open(connection: &Connection, rows_max: u64) -> Result<Self, StoreError> {
        let open = Kind::ALL.map(|kind| load_open(connection, kind));
        let [events, settled, attempts] = open;
        Ok(Self { open: [events?, settled?, attempts?], rows_max, has_unindexed: true })
    }

    /// Closes what is full and opens its successor.
    pub(super) fn rotate_full(&mut self, connection: &Connection) -> Result<(), StoreError> {
        for kind in Kind::ALL {
            let open = &mut self.open[kind as usize];
            if open.rows >= self.rows_max {
                close(connection, kind, open)?;
                *open = create(connection, kind, open.number + 1)?;
                self.has_unindexed = true;
            }
        }
        Ok(())
    }

    /// The statement that writes a row into the open segment; the caller writes exactly one with it.
    pub(super) fn insert_sql(&mut self, kind: Kind) -> &str {
        let open = &mut self.open[kind as usize];
        open.rows += 1;
        &open.insert_sql
    }

    /// Builds one index that a closed segment lacks. Returns whether more may be lacking.
    pub(super) fn index_one(&mut self, connection: &Connection) -> Result<bool, StoreError> {
        if !self.has_unindexed {
            return Ok(false);
        }
        self.has_unindexed = build_one_index(connection).map_err(from_sqlite)?;
        Ok(self.has_unindexed)
    }
}

fn table(kind: Kind, number: i64) -> String {
    format!("{}_{number}", kind.name())
}

fn load_open(connection: &Connection, kind: Kind) -> Result<Open, StoreError> {
    let newest: Option<i64> = connection
        .query_row(
            "SELECT number FROM segments WHERE kind = ?1 AND last_id IS NULL ORDER BY number DESC LIMIT 1",
            [kind.name()],
            |row| row.get(0),
        )
        .optional()
        .map_err(from_sqlite)?;
    let Some(number) = newest else { return create(connection, kind, 1) };
    let rows: i64 = connection
        .query_row(&format!("SELECT COUNT(*) FROM {}", table(kind, number)), [], |row| row.get(0))
        .map_err(from_sqlite)?;
    Ok(Open { number, rows: u64::try_from(rows).unwrap_or(0), insert_sql: insert_sql(kind, number) })
}

fn create(connection: &Connection, kind: Kind, number: i64) -> Result<Open, StoreError> {
    let table = table(kind, number);
    connection
        .execute_batch(&format!("CREATE TABLE {table} ({}) STRICT", kind.columns()))
        .and_then(|()| {
            connection.execute(
                "INSERT INTO segments (kind, number, first_id) VALUES (?1, ?2, 0)",
                params![kind.name(), number],
            )
        })
        .map_err(from_sqlite)?;
    Ok(Open { number, rows: 0, insert_sql: insert_sql(kind, number) })
}

fn insert_sql(kind: Kind, number: i64) -> String {
    let columns = kind.columns().lines().count();
    let places = (1..=columns).map(|place| format!("?{place}")).collect::<Vec<_>>().join(", ");
    format!("INSERT INTO {} VALUES ({places})", table(kind, number))
}

/// Notes the ids that the segment holds, by which readers find it.
fn close(connection: &Connection, kind: Kind, open: &Open) -> Result<(), StoreError> {
    connection
        .execute(
            &format!(
                "UPDATE segments
                 SET first_id = (SELECT MIN(id) FROM {0}), last_id = (SELECT MAX(id) FROM {0}),
                     rows = ?3
                 WHERE kind = ?1 AND number = ?2",
                table(kind, open.number)
            ),
            params![kind.name(), open.number, i64::try_from(open.rows).unwrap_or(i64::MAX)],
        )
        .map(drop)
        .map_err(from_sqlite)
}

fn build_one_index(connection: &Connection) -> rusqlite::Result<bool> {
    for kind in Kind::ALL {
        let lacking: Option<(i64, usize)> = connection
            .query_row(
                "SELECT number, indexes FROM segments
                 WHERE kind = ?1 AND last_id IS NOT NULL AND indexes < ?2
                 ORDER BY number LIMIT 1",
                params![kind.name(), i64::try_from(kind.indexes().len()).unwrap_or(0)],
                |row| Ok((row.get(0)?, usize::try_from(row.get::<_, i64>(1)?).unwrap_or(0))),
            )
            .optional()?;
        if let Some((number, built)) = lacking {
            let table = table(kind, number);
            connection.execute_batch(&format!(
                "BEGIN IMMEDIATE;
                 CREATE INDEX IF NOT EXISTS {table}_{built} ON {table} ({});
                 UPDATE segments SET indexes = {} WHERE kind = '{}' AND number = {number};
                 COMMIT;",
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
    /// The largest id that it may hold; `None` for the open one.
    pub last_id: Option<i64>,
}

/// The segments of a kind, newest first, whose ids may reach down to `at_least` and up to `at_most`.
pub(super) fn list(connection: &Connection, kind: Kind, at_least: i64, at_most: i64) -> rusqlite::Result<Vec<Segment>> {
    let mut statement = connection.prepare_cached(
        "SELECT number, last_id FROM segments
         WHERE kind = ?1 AND (last_id IS NULL OR last_id >= ?2) AND first_id <= ?3
         ORDER BY number DESC",
    )?;
    let segment = |row: &Row<'_>| Ok(Segment { table: table(kind, row.get(0)?), last_id: row.get(1)? });
    statement.query_map(params![kind.name(), at_least, at_most], segment)?.collect()
}
