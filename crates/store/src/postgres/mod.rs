//! PostgreSQL 15 or newer: one writer on a connection of its own, reads through a bounded pool.
//!
//! The same files as in [`sqlite`](crate::sqlite), with the same functions in the same order. What differs, and why:
//!
//! - A statement is a trip over a network. So jobs do not write row by row: accepting and settling, the way of every
//!   event, are done for all jobs of a batch together, and what they write is collected in [`rows`] and goes out as one
//!   statement for each table.
//! - The planner's statistics are wrong when it matters. So statements are written to leave it one plan: rows are looked up
//!   one by one in a LATERAL, and changed by their place (docs/decisions/0023-postgresql-itself-tells-its-plans.md).
//! - Segments of history are partitions, and PostgreSQL finds them by itself.
//! - The database can go away while the process lives. [`session`] is what is done at the beginning of each connection,
//!   [`writer`] finds out what became of a commit whose answer was lost.
//!
//! Start reading at [`writer`], then `queue/accept.rs`.

mod advice;
mod channel_rows;
pub mod cluster;
mod directory;
mod event_types;
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
mod rows;
mod segments;
mod session;
mod statements;
mod steering;
mod subscriptions;
pub mod target;
mod tenants;
#[cfg(test)]
mod tests;
mod tx;
mod writer;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::lock::lock;
use crate::observe::Observed;
use crate::queue::Feed;
use crate::{StoreError, Vault};
use readers::{Answering, Readers};
use statements::Connection;
use target::Target;
use tx::Tx;
use writer::{Job, Write, WriterHandle};

/// Enough to keep a server's cores busy with what people ask, and few enough for the bound of connections that a database
/// shares with others.
const READERS: usize = 4;

/// The largest transaction takes less than a second, and no question reads more than a few thousand rows.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where a store lives.
#[derive(Clone, Debug)]
pub struct Options {
    pub target: Target,
    /// Holds what is not in the database: the key, the lock, and the socket for commands.
    pub data_dir: PathBuf,
    /// Reading connections.
    pub readers: usize,
    /// How long the server may take to answer before its connection counts as lost.
    pub patience: Duration,
    /// Ids in one partition of history.
    pub segment_rows_max: u64,
    /// Who hears what the store does.
    pub observed: Option<Observed>,
}

impl Options {
    /// The defaults for a database and a data directory.
    pub fn new(target: Target, data_dir: impl Into<PathBuf>) -> Self {
        let data_dir = data_dir.into();
        let segment_rows_max = segments::ROWS_MAX;
        Self { target, data_dir, readers: READERS, patience: PATIENCE, segment_rows_max, observed: None }
    }
}

/// The store on a PostgreSQL server.
pub struct PostgresStore {
    reads: Readers,
    writes: WriterHandle,
    vault: Arc<Vault>,
    observed: Option<Observed>,
    /// Dropped last.
    _lock: File,
}

impl PostgresStore {
    /// Takes the data directory and the database for this process, brings its schema up to date, and starts the writer
    /// and the readers. `feed` hears of every delivery as it becomes durable.
    pub async fn open(options: &Options, vault: Arc<Vault>, feed: Feed) -> Result<Self, StoreError> {
        let lock = lock(&options.data_dir)?;
        let reads = Readers::new(options)?;
        let writes = WriterHandle::start(options, reads.clone(), feed).await?;
        Ok(Self { reads, writes, vault, observed: options.observed.clone(), _lock: lock })
    }

    /// Does `work`, which writes about so many rows, in the next batch.
    async fn write<T: Send + 'static>(
        &self,
        rows: usize,
        work: impl AsyncFnMut(&mut Tx) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.submit(|reply| Job::Work(Box::new(Write::new(rows, work, reply)))).await
    }

    /// Hands the writer a job and waits for its answer.
    async fn submit<T>(&self, job: impl FnOnce(writer::Reply<T>) -> Job) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        if let Err(error) = self.writes.submit(job(reply)) {
            return self.told(Err(error));
        }
        let stopped = |_| Err(StoreError::Unavailable("the writer has stopped".to_owned()));
        self.told(answer.await.unwrap_or_else(stopped))
    }

    /// Answers from one consistent view of the database.
    async fn read<T>(&self, work: impl for<'c> FnOnce(&'c Connection) -> Answering<'c, T>) -> Result<T, StoreError> {
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
