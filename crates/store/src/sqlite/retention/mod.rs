//! Retention in SQL: one slice at a time, each a few milliseconds of the writer.
//!
//! A segment goes in three steps. Its events are looked through, and those that something still waits for are copied
//! out (`leave`). Then it is marked, from which moment nobody reads it. Then its look-ups and its rows are given back in
//! slices (`segment`): all at once would hold the writer for longer than anybody should wait. What is not in segments goes
//! by `side`, and inboxes are bounded by `inboxes`.

mod inboxes;
mod leave;
mod segment;
mod side;

use async_trait::async_trait;
use domain::{EventId, Timestamp};
use rusqlite::Connection;

use super::segments::{self, Kind, Segment};
use super::tx::Tx;
use super::{SqliteStore, from_sqlite};
use crate::StoreError;
use crate::observe::{Observed, Upkeep};
use crate::retention::{KeptSince, Retention};

pub(super) use leave::Leaving;

/// About how many rows a slice writes: what the batch is told.
const SLICE_ROWS: usize = 500;

#[async_trait]
impl Retention for SqliteStore {
    async fn retain_slice(&self, kept: KeptSince) -> Result<bool, StoreError> {
        let observed = self.observed.clone();
        self.write(SLICE_ROWS, move |tx| {
            let slice = Observed::timed(observed.as_ref(), Upkeep::Retain, Sliced::worth_telling, || slice(tx, &kept));
            slice.map(|slice| slice.has_more).map_err(from_sqlite)
        })
        .await
    }

    async fn kept_from(&self) -> Result<EventId, StoreError> {
        self.read(|connection| kept_from(connection).map_err(from_sqlite)).await
    }
}

/// What a slice did.
struct Sliced {
    /// Rows of history that it let go of.
    rows: usize,
    has_more: bool,
}

impl Sliced {
    const fn step(has_more: bool) -> Self {
        Self { rows: 0, has_more }
    }

    /// The rows, unless there was nothing to do.
    fn worth_telling(&self) -> Option<usize> {
        (self.has_more || self.rows > 0).then_some(self.rows)
    }
}

/// Does the first thing that there is to do.
fn slice(tx: &mut Tx<'_>, kept: &KeptSince) -> rusqlite::Result<Sliced> {
    if let Some(ending) = segments::ending(tx.connection)? {
        let rows = segment::take_away(tx.connection, &ending)?;
        return Ok(Sliced { rows, has_more: true });
    }
    for (kind, since) in
        [(Kind::Attempts, kept.attempts), (Kind::Settled, kept.deliveries), (Kind::Events, kept.events)]
    {
        if let Some(since) = since
            && segment::end_oldest(tx, kind, since)?
        {
            return Ok(Sliced::step(true));
        }
    }
    if leave::forget_kept(tx)? {
        return Ok(Sliced::step(true));
    }
    if side::slice(tx.connection, kept, SLICE_ROWS)? {
        return Ok(Sliced::step(true));
    }
    kept.inbox_entries_max.map_or(Ok(false), |max| inboxes::bound(tx, max, SLICE_ROWS)).map(Sliced::step)
}

fn kept_from(connection: &Connection) -> rusqlite::Result<EventId> {
    connection
        .prepare_cached("SELECT COALESCE(MIN(first_id), 0) FROM segments WHERE kind = 'events' AND is_ending = 0")?
        .query_row([], |row| row.get(0).map(EventId))
}

/// The column that says how old a row is.
const fn time_column(kind: Kind) -> &'static str {
    match kind {
        Kind::Events => "accepted_at",
        Kind::Settled => "settled_at",
        Kind::Attempts => "started_at",
    }
}

/// When the newest row of a closed segment was written.
fn newest_at(connection: &Connection, segment: &Segment) -> rusqlite::Result<Timestamp> {
    let (column, table, rows) = (time_column(segment.kind), segment.kind.name(), segment.kind.rows());
    // Rows of a segment in order of id are in order of time, but for what the clock was turned by. The others are small
    // enough to be looked at one by one.
    let sql = if segment.kind.is_in_order() {
        format!("SELECT COALESCE((SELECT {column} FROM {table} WHERE {rows} ORDER BY id DESC LIMIT 1), 0)")
    } else {
        format!("SELECT COALESCE(MAX({column}), 0) FROM {table} WHERE {rows}")
    };
    connection.prepare_cached(&sql)?.query_row(segment.bounds(), |row| row.get(0)).map(Timestamp::from_ms)
}
