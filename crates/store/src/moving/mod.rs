//! Moving: a whole database from one store to another, row by row, and then read back and compared.
//!
//! A store that can be moved from is a [`Source`], one that can be moved to is a [`Target`]; each backend has both in its
//! file `moving`. Here is what they have in common: which tables there are ([`rows`]), the order, and the comparison.
//! What a row means is nobody's business here, so a new column moves by itself, and a new table by its name in the list;
//! a test holds that list against both schemas.
//!
//! A target is whole or it is nothing: it becomes a database only by [`Target::finish`], after everything was read back.
//! Whatever ends a move before leaves nothing that a server could start on, so a move is never gone on with but begun
//! anew.

mod rows;
mod sealed;
mod sum;

use std::collections::BTreeSet;

use async_trait::async_trait;

pub use rows::{Kind, Row, TABLES, Table, Value};
pub use sum::Sum;

pub(crate) use rows::{Page, find};

use crate::{StoreError, Vault};

/// What rows are read from. Nothing in it is changed, and nobody else changes it meanwhile.
#[async_trait]
pub trait Source: Send {
    /// The columns of a table in this store's order, without those that are its own and mean nothing elsewhere.
    async fn columns(&mut self, table: Table) -> Result<Vec<String>, StoreError>;

    /// How many rows a table has.
    async fn count(&mut self, table: Table) -> Result<u64, StoreError>;

    /// Begins to read these columns of a table. Events and attempts come in order of id, other rows in any.
    async fn begin(&mut self, table: Table, columns: &[String]) -> Result<(), StoreError>;

    /// The next rows, so many as are held in memory with ease; none when that was all.
    async fn next(&mut self) -> Result<Vec<Row>, StoreError>;
}

/// What rows are written to, and read back from.
#[async_trait]
pub trait Target: Send {
    /// What was written, to be read back.
    fn written(&mut self) -> &mut dyn Source;

    /// Changes what this store cannot keep as it is. Returns whether there was anything.
    fn adapt(&self, row: &mut Row) -> bool;

    /// Writes rows of a table, with these columns.
    async fn write(&mut self, table: Table, columns: &[String], rows: &[Row]) -> Result<(), StoreError>;

    /// Makes a database of what was written: durable, and for a server to start on.
    async fn finish(self: Box<Self>) -> Result<(), StoreError>;
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Copying,
    ReadingBack,
}

/// How far a move has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub phase: Phase,
    pub table: Table,
    /// In this phase.
    pub rows_done: u64,
    pub rows: u64,
}

/// Hears how far a move has come.
pub type OnProgress<'a> = &'a mut (dyn FnMut(Progress) + Send);

/// A table on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    pub table: Table,
    pub source: Sum,
    pub target: Sum,
}

/// What was copied, and whether it is the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    pub tables: Vec<Compared>,
    /// Rows that the target keeps in another form, as [`Target::adapt`] says. They are compared in that form.
    pub adapted: u64,
}

impl Copied {
    pub fn is_equal(&self) -> bool {
        self.tables.iter().all(|table| table.source == table.target)
    }

    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.source.rows).sum()
    }
}

/// Copies every table, reads it back and compares. `vault` must open whatever is sealed. The target is not finished by
/// this: that is for a caller who has seen that everything is equal.
pub async fn copy(
    source: &mut dyn Source,
    target: &mut dyn Target,
    vault: &Vault,
    on_progress: OnProgress<'_>,
) -> Result<Copied, StoreError> {
    let mut plan = Vec::new();
    let mut rows = 0;
    for table in TABLES {
        let columns = same_columns(*table, source, target).await?;
        rows += source.count(*table).await?;
        plan.push((*table, columns));
    }
    let mut meter = Meter { phase: Phase::Copying, rows, rows_done: 0, on_progress };
    let (mut sums, mut adapted) = (Vec::new(), 0);
    for (table, columns) in &plan {
        let copied = copy_table(*table, columns, source, target, vault, &mut meter).await?;
        sums.push(copied.sum);
        adapted += copied.adapted;
    }
    meter = Meter { phase: Phase::ReadingBack, rows_done: 0, ..meter };
    let mut tables = Vec::new();
    for ((table, columns), source) in plan.iter().zip(sums) {
        let target = read_back(*table, columns, target.written(), &mut meter).await?;
        tables.push(Compared { table: *table, source, target });
    }
    Ok(Copied { tables, adapted })
}

/// The columns of a table, in the target's order. The versions are the same, so a difference is a schema that somebody
/// has changed by hand.
async fn same_columns(
    table: Table,
    source: &mut dyn Source,
    target: &mut dyn Target,
) -> Result<Vec<String>, StoreError> {
    let (from, to) = (source.columns(table).await?, target.written().columns(table).await?);
    let (of_source, of_target): (BTreeSet<_>, BTreeSet<_>) = (from.iter().collect(), to.iter().collect());
    if of_source == of_target {
        return Ok(to);
    }
    let different: Vec<_> = of_source.symmetric_difference(&of_target).map(|name| name.as_str()).collect();
    Err(StoreError::Unusable(format!("the table {table} has other columns on one side: {}", different.join(", "))))
}

struct CopiedTable {
    sum: Sum,
    adapted: u64,
}

/// Reads the next rows while those before are written.
async fn copy_table(
    table: Table,
    columns: &[String],
    source: &mut dyn Source,
    target: &mut dyn Target,
    vault: &Vault,
    meter: &mut Meter<'_>,
) -> Result<CopiedTable, StoreError> {
    let mut copied = CopiedTable { sum: Sum::default(), adapted: 0 };
    source.begin(table, columns).await?;
    let mut rows = source.next().await?;
    while !rows.is_empty() {
        for row in &mut rows {
            sealed::check(table, columns, row, vault)?;
            copied.adapted += u64::from(target.adapt(row));
            copied.sum.add(row);
        }
        let ((), next) = tokio::try_join!(target.write(table, columns, &rows), source.next())?;
        meter.count(table, rows.len());
        rows = next;
    }
    Ok(copied)
}

async fn read_back(
    table: Table,
    columns: &[String],
    written: &mut dyn Source,
    meter: &mut Meter<'_>,
) -> Result<Sum, StoreError> {
    let mut sum = Sum::default();
    written.begin(table, columns).await?;
    loop {
        let rows = written.next().await?;
        if rows.is_empty() {
            return Ok(sum);
        }
        for row in &rows {
            sum.add(row);
        }
        meter.count(table, rows.len());
    }
}

struct Meter<'a> {
    phase: Phase,
    rows: u64,
    rows_done: u64,
    on_progress: OnProgress<'a>,
}

impl Meter<'_> {
    fn count(&mut self, table: Table, rows: usize) {
        self.rows_done += rows as u64;
        let Self { phase, rows, rows_done, .. } = *self;
        (self.on_progress)(Progress { phase, table, rows_done, rows });
    }
}

/// Refuses a source whose schema is not the one of this version: what lies between the two would be lost.
pub(crate) fn check_version(found: u64, known: u64) -> Result<(), StoreError> {
    if found < known {
        return Err(StoreError::Unusable(format!(
            "the database has schema version {found}, and this version moves {known}: start the server of this version \
             on it once, which brings it up to date, stop it, and move it then"
        )));
    }
    if found > known { Err(StoreError::Newer { found, known }) } else { Ok(()) }
}
