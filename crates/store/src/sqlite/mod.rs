//! Embedded SQLite: one file, one writer, a few readers.
//!
//! Everything that writes goes through [`writer::run_batch`], which commits whatever waits as one transaction; reads
//! run beside it on their own connections (WAL). Production calls `run_batch` from a thread of its own; the simulator
//! opens the store by hand ([`SqliteStore::open_stepped`]) and calls it from its scheduler.

#[cfg(any(test, feature = "testing"))]
pub mod backlog;
pub mod backup;
mod beside;
mod channel_rows;
mod directory;
mod event_types;
mod folding;
mod inbox;
pub mod inspect;
mod journal;
mod keys;
pub mod moving;
mod queue;
mod readers;
mod reconfigure;
mod redrives;
mod retention;
mod segments;
mod steering;
mod tenants;
#[cfg(test)]
mod tests;
mod tx;
pub mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::vtab::array;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::oneshot;

use crate::lock::lock;
use crate::observe::Observed;
use crate::queue::Feed;
use crate::{StoreError, Vault};
use beside::Beside;
use queue::InMemory;
use readers::Readers;
use tx::Tx;
use writer::{Job, Urgency, Write, Writer, WriterHandle};

/// The database file in the data directory.
pub const DATABASE_FILE: &str = "postrider.db";

mod migrations {
    //! The migrations, embedded in the binary.
    refinery::embed_migrations!("migrations/sqlite");
}

/// Where a store lives.
#[derive(Clone, Debug)]
pub struct Options {
    pub data_dir: PathBuf,
    /// Reading connections, each with a thread.
    pub readers: usize,
    /// History rows in one segment.
    pub segment_rows_max: u64,
    /// Who hears what the store does.
    pub observed: Option<Observed>,
}

impl Options {
    /// The defaults for a data directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self { data_dir: data_dir.into(), readers: 2, segment_rows_max: segments::ROWS_MAX, observed: None }
    }
}

/// The embedded store.
pub struct SqliteStore {
    /// Dropped first: the writer's last act is to empty the log, which waits for readers.
    reads: Readers,
    writes: Writes,
    in_memory: Arc<InMemory>,
    vault: Arc<Vault>,
    observed: Option<Observed>,
    /// Dropped last: the lock outlives every connection.
    _lock: File,
}

enum Writes {
    Thread(WriterHandle),
    /// The simulator's: what waits, until [`SqliteStore::run_writes`].
    Stepped {
        waiting: Mutex<Vec<Box<dyn Job>>>,
        writer: Box<Mutex<Writer>>,
    },
}

impl SqliteStore {
    /// Opens the data directory, or makes it, and starts the writer and the readers. `feed` hears of every delivery
    /// as it becomes durable.
    pub fn open(options: &Options, vault: Arc<Vault>, feed: Feed) -> Result<Self, StoreError> {
        let lock = lock(&options.data_dir)?;
        let path = options.data_dir.join(DATABASE_FILE);
        let writer = Writer::open(connect_for_writing(&path)?, options, feed)?;
        let writer = writer.with_beside(Beside::start(connect_beside(&path)?));
        let reads = Readers::start((0..options.readers).map(|_| connect_for_reading(&path)).collect::<Result<_, _>>()?);
        let observed = options.observed.clone();
        let (writes, in_memory) = (Writes::Thread(WriterHandle::start(writer)), Arc::default());
        Ok(Self { writes, in_memory, reads, vault, observed, _lock: lock })
    }

    /// Opens the data directory without threads: reads run where they are called, writes wait for
    /// [`SqliteStore::run_writes`]. Nothing is flushed to the disk, which a simulated crash does not need.
    pub fn open_stepped(options: &Options, vault: Arc<Vault>, feed: Feed) -> Result<Self, StoreError> {
        let lock = lock(&options.data_dir)?;
        let path = options.data_dir.join(DATABASE_FILE);
        let connection = connect_for_writing(&path)?;
        connection.pragma_update(None, "synchronous", "OFF").map_err(from_sqlite)?;
        let writer = Box::new(Mutex::new(Writer::open(connection, options, feed)?));
        let reads = Readers::inline(connect_for_reading(&path)?);
        let observed = options.observed.clone();
        let (writes, in_memory) = (Writes::Stepped { waiting: Mutex::default(), writer }, Arc::default());
        Ok(Self { writes, in_memory, reads, vault, observed, _lock: lock })
    }

    /// Runs what waits to be written as one batch, and then one slice of upkeep; `fault` makes the batch fail. Returns
    /// how many jobs there were. Only for a store that was opened stepped.
    pub fn run_writes(&self, fault: Option<writer::Fault>) -> usize {
        let Writes::Stepped { waiting, writer } = &self.writes else { return 0 };
        let jobs = std::mem::take(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let count = jobs.len();
        let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer::run_batch(&mut writer, jobs, fault);
        // Upkeep that fails is tried again after the next batch.
        let _ = writer.upkeep_slice();
        count
    }

    /// Whether something waits for [`SqliteStore::run_writes`].
    pub fn has_writes(&self) -> bool {
        let Writes::Stepped { waiting, .. } = &self.writes else { return false };
        !waiting.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Looks at, or disturbs, the writer's connection of a store that was opened stepped.
    #[cfg(test)]
    fn with_writer<T>(&self, look: impl FnOnce(&mut Connection) -> T) -> T {
        self.between_batches(|writer| look(writer.connection()))
    }

    /// Looks at the reading connection of a store that was opened stepped.
    #[cfg(test)]
    fn with_reader<T>(&self, look: impl FnOnce(&mut Connection) -> T) -> T {
        let Readers::Inline(connection) = &self.reads else { panic!("not stepped") };
        look(&mut connection.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does something with the writer between two batches of a store that was opened stepped.
    #[cfg(test)]
    fn between_batches<T>(&self, work: impl FnOnce(&mut Writer) -> T) -> T {
        let Writes::Stepped { writer, .. } = &self.writes else { panic!("not stepped") };
        work(&mut writer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does `work`, which writes about so many rows, in the next batch.
    async fn write<T: Send + 'static>(
        &self,
        rows: usize,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.submit(Urgency::Now, rows, work).await
    }

    /// The same for what nobody waits for.
    async fn write_soon<T: Send + 'static>(
        &self,
        rows: usize,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.submit(Urgency::Soon, rows, work).await
    }

    async fn submit<T: Send + 'static>(
        &self,
        urgency: Urgency,
        rows: usize,
        work: impl FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job: Box<dyn Job> = Box::new(Write::new(rows, urgency, work, reply));
        match &self.writes {
            Writes::Thread(handle) => {
                if let Err(error) = handle.submit(job) {
                    return self.told(Err(error));
                }
            }
            Writes::Stepped { waiting, .. } => waiting.lock().unwrap_or_else(PoisonError::into_inner).push(job),
        }
        let stopped = |_| Err(StoreError::Unavailable("the writer has stopped".to_owned()));
        self.told(answer.await.unwrap_or_else(stopped))
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.told(self.reads.run(work).await)
    }

    /// Tells the observer of a result on its way to the caller.
    fn told<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Some(observed) = &self.observed {
            observed.observer.called();
            if result.is_err() {
                observed.observer.failed();
            }
        }
        result
    }
}

/// Opens the database, brings its schema up to date and sets it up for durable commits.
fn connect_for_writing(path: &Path) -> Result<Connection, StoreError> {
    let mut connection = Connection::open(path).map_err(from_sqlite)?;
    refuse_newer(&connection)?;
    connection.set_prepared_statement_cache_capacity(128);
    connection
        .execute_batch(
            // Checkpoints are ours, between two commits (see `Writer::upkeep_slice`); SQLite's own, inside a commit,
            // is only the net below.
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA wal_autocheckpoint = 16000;
             PRAGMA cache_size = -4096;
             PRAGMA temp_store = MEMORY;
             PRAGMA busy_timeout = 5000;
             PRAGMA foreign_keys = ON;",
        )
        .map_err(from_sqlite)?;
    migrate(&mut connection)?;
    array::load_module(&connection).map_err(from_sqlite)?;
    Ok(connection)
}

/// Opens the database beside the writer, to fold the log and to read closed segments.
fn connect_beside(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path).map_err(from_sqlite)?;
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;").map_err(from_sqlite)?;
    Ok(connection)
}

fn connect_for_reading(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(from_sqlite)?;
    connection.set_prepared_statement_cache_capacity(128);
    connection.execute_batch("PRAGMA busy_timeout = 5000; PRAGMA cache_size = -8192;").map_err(from_sqlite)?;
    // Ids that a look-up has found are handed to a statement as a table.
    array::load_module(&connection).map_err(from_sqlite)?;
    Ok(connection)
}

/// Refuses a database that a newer version has written, before anything in it is touched.
fn refuse_newer(connection: &Connection) -> Result<(), StoreError> {
    let (found, known) = (schema_version(connection)?, known_version());
    if found > known { Err(StoreError::Newer { found, known }) } else { Ok(()) }
}

/// The schema version that this version of Postrider writes.
fn known_version() -> u64 {
    let runner = migrations::migrations::runner();
    let known = runner.get_migrations().iter().map(|migration| i64::from(migration.version())).max();
    known.and_then(|known| u64::try_from(known).ok()).unwrap_or(0)
}

/// Applies the migrations that are missing.
fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    migrations::migrations::runner()
        .run(connection)
        .map(drop)
        .map_err(|error| StoreError::Unusable(format!("the database could not be brought up to date: {error}")))
}

fn schema_version(connection: &Connection) -> Result<u64, StoreError> {
    let is_new = !connection.table_exists(None, "refinery_schema_history").map_err(from_sqlite)?;
    if is_new {
        return Ok(0);
    }
    let version: Option<i64> = connection
        .query_row("SELECT MAX(version) FROM refinery_schema_history", [], |row| row.get(0))
        .map_err(from_sqlite)?;
    Ok(u64::try_from(version.unwrap_or(0)).unwrap_or(0))
}

/// Sorts SQLite's errors by what the caller can do about them.
#[expect(clippy::needless_pass_by_value, reason = "this is the shape that `map_err` takes")]
fn from_sqlite(error: rusqlite::Error) -> StoreError {
    use ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, FileLockingProtocolFailed, OperationInterrupted,
        OutOfMemory, PermissionDenied, ReadOnly, SystemIoFailure,
    };
    match error.sqlite_error_code() {
        Some(
            CannotOpen
            | DatabaseBusy
            | DatabaseLocked
            | DiskFull
            | FileLockingProtocolFailed
            | OperationInterrupted
            | OutOfMemory
            | PermissionDenied
            | ReadOnly
            | SystemIoFailure,
        ) => StoreError::Unavailable(error.to_string()),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Unusable(error.to_string()),
        _ => StoreError::Refused(error.to_string()),
    }
}
