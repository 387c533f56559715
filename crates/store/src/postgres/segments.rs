//! Segments: history in partitions of a bounded range of ids.
//!
//! A partition is made before its first id is handed out, and attached under a lock that stops no reader and no writer.
//! All indexes are there from its beginning: PostgreSQL keeps up with them, and there is no moment between two commits
//! in which building one would hold up nobody. Old history goes by dropping whole partitions.

use domain::ids::ID_MAX;
use tokio_postgres::Error;

use super::statements::Connection;
use super::tx::Sequences;

/// Ids in a partition: small enough that dropping one frees a noticeable share of a disk and no more, large enough that
/// a year's history has some hundreds, which is what a planner looks through with ease.
pub(super) const ROWS_MAX: u64 = 1_000_000;

/// What a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Events,
    Settled,
    Attempts,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Events, Self::Settled, Self::Attempts];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Settled => "settled",
            Self::Attempts => "attempts",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The id that this kind of row gets next. Settled deliveries have the ids of deliveries, so theirs are there long
    /// before the row is.
    pub(super) const fn next_id(self, sequences: &Sequences) -> i64 {
        match self {
            Self::Events => sequences.event,
            Self::Settled => sequences.delivery,
            Self::Attempts => sequences.attempt,
        }
    }
}

/// How far the partitions of one kind reach.
#[derive(Clone, Copy, Debug)]
struct Reach {
    number: i64,
    last_id: i64,
}

/// The newest partitions, as the writer knows them.
#[derive(Clone, Debug)]
pub(super) struct Segments {
    reach: [Reach; 3],
    rows_max: i64,
}

impl Segments {
    pub(super) async fn open(connection: &Connection, rows_max: u64) -> Result<Self, Error> {
        let mut reach = [Reach { number: 0, last_id: 0 }; 3];
        for (kind, reach) in Kind::ALL.into_iter().zip(&mut reach) {
            let newest = connection
                .query_opt(
                    "SELECT number, last_id FROM segments WHERE kind = $1 ORDER BY number DESC LIMIT 1",
                    &[&kind.name()],
                )
                .await?;
            if let Some(row) = newest {
                *reach = Reach { number: row.try_get(0)?, last_id: row.try_get(1)? };
            }
        }
        Ok(Self { reach, rows_max: i64::try_from(rows_max).unwrap_or(ID_MAX) })
    }

    /// The same after a new look at which partitions there are.
    pub(super) async fn read_again(&self, connection: &Connection) -> Result<Self, Error> {
        Self::open(connection, self.rows_max.unsigned_abs()).await
    }

    /// Makes partitions where those that are there could not take `rows` more rows of each kind and a whole partition
    /// beyond. A batch that needs more than a partition gets one that is as large as it needs. All end at a multiple of
    /// the usual size, whatever the batches were.
    pub(super) async fn make_ahead(
        &mut self,
        connection: &Connection,
        sequences: &Sequences,
        rows: usize,
    ) -> Result<(), Error> {
        let rows = i64::try_from(rows).unwrap_or(ID_MAX);
        for (kind, reach) in Kind::ALL.into_iter().zip(&mut self.reach) {
            let needed = kind.next_id(sequences).saturating_add(rows).saturating_add(self.rows_max);
            if reach.last_id < needed {
                let last_id = needed + (self.rows_max - needed % self.rows_max) % self.rows_max;
                let made = Reach { number: reach.number + 1, last_id };
                make(connection, kind, reach.last_id + 1, made).await?;
                *reach = made;
            }
        }
        Ok(())
    }
}

/// The table that is a partition.
pub(super) fn partition(kind: Kind, number: i64) -> String {
    format!("{}_{number}", kind.name())
}

async fn make(connection: &Connection, kind: Kind, first_id: i64, made: Reach) -> Result<(), Error> {
    let making = making(kind, made.number, first_id, made.last_id);
    connection.batch_execute(&format!("BEGIN; {making}; COMMIT")).await
}

/// The statements that make a table and then a partition of it: `CREATE TABLE ... PARTITION OF` would wait for everyone
/// who reads, and everyone who comes would wait for it.
pub(super) fn making(kind: Kind, number: i64, first_id: i64, last_id: i64) -> String {
    let (parent, partition) = (kind.name(), partition(kind, number));
    // The bounds of a partition are from and before.
    let end = last_id + 1;
    format!(
        "CREATE TABLE {partition} (LIKE {parent} INCLUDING ALL);
         ALTER TABLE {parent} ATTACH PARTITION {partition} FOR VALUES FROM ({first_id}) TO ({end});
         INSERT INTO segments (kind, number, first_id, last_id) VALUES ('{parent}', {number}, {first_id}, {last_id})"
    )
}
