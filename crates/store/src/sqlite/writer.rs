//! The writer: group commit without a timer.
//!
//! Whatever waits when a commit ends goes into the next one, so a lone event is committed at once and a flood is
//! committed hundreds at a time. [`run_batch`] is a plain function: the writer thread calls it in a loop, the
//! simulator from its scheduler.
//!
//! A job that SQLite refuses fails alone (each runs in a savepoint). When the disk itself fails, the whole batch does.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use domain::{ChannelId, TenantId, Timestamp};
use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::from_sqlite;
use super::segments::Segments;
use crate::StoreError;
use crate::queue::{Arrival, Feed};

/// Rows in one commit, as the jobs estimate them: bounds how long a commit takes and what a failure repeats.
const BATCH_ROWS_MAX: usize = 4_000;

/// Jobs that may wait for the writer; beyond it callers are told to come back.
const WAITING_JOBS_MAX: usize = 16_384;

/// Counters are kept by the quarter of an hour.
pub(super) const BUCKET_MS: i64 = 15 * 60 * 1000;

/// A unit of work for the writer.
pub trait Job: Send {
    /// About how many rows it writes.
    fn rows(&self) -> usize;

    /// Does the work inside the batch's transaction.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError>;

    /// Tells whoever waits. Called after the commit.
    fn finish(self: Box<Self>, committed: Result<(), StoreError>);
}

/// A job made of a closure and the place where its result goes.
pub(super) struct Write<F, T> {
    rows: usize,
    work: Option<F>,
    result: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Write<F, T> {
    pub(super) fn new(rows: usize, work: F, reply: oneshot::Sender<Result<T, StoreError>>) -> Self {
        Self { rows, work: Some(work), result: None, reply }
    }
}

impl<F, T> Job for Write<F, T>
where
    F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn rows(&self) -> usize {
        self.rows
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let work = self.work.take().expect("a job runs once");
        self.result = Some(work(tx)?);
        Ok(())
    }

    fn finish(self: Box<Self>, committed: Result<(), StoreError>) {
        let Self { result, reply, .. } = *self;
        let unfinished = || StoreError::Unavailable("the batch ended before this job".to_owned());
        // Whoever asked may have gone; what was committed stays committed.
        let _ = reply.send(committed.and_then(|()| result.ok_or_else(unfinished)));
    }
}

/// The ids that come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sequences {
    pub config_version: i64,
    pub tenant: i64,
    pub api_key: i64,
    pub channel: i64,
    pub subscription: i64,
    pub event: i64,
    pub delivery: i64,
    pub attempt: i64,
}

impl Sequences {
    fn load(connection: &Connection) -> Result<Self, StoreError> {
        connection
            .query_row(
                "SELECT config_version, tenant, api_key, channel, subscription, event, delivery, attempt
                 FROM sequences",
                [],
                |row| {
                    Ok(Self {
                        config_version: row.get(0)?,
                        tenant: row.get(1)?,
                        api_key: row.get(2)?,
                        channel: row.get(3)?,
                        subscription: row.get(4)?,
                        event: row.get(5)?,
                        delivery: row.get(6)?,
                        attempt: row.get(7)?,
                    })
                },
            )
            .map_err(from_sqlite)
    }

    fn save(&self, connection: &Connection) -> Result<(), StoreError> {
        connection
            .prepare_cached(
                "UPDATE sequences
                 SET config_version = ?1, tenant = ?2, api_key = ?3, channel = ?4, subscription = ?5,
                     event = ?6, delivery = ?7, attempt = ?8",
            )
            .and_then(|mut statement| {
                statement.execute(params![
                    self.config_version,
                    self.tenant,
                    self.api_key,
                    self.channel,
                    self.subscription,
                    self.event,
                    self.delivery,
                    self.attempt,
                ])
            })
            .map(drop)
            .map_err(from_sqlite)
    }
}

/// Takes the next number of a sequence.
pub(super) fn next(sequence: &mut i64) -> i64 {
    let number = *sequence;
    *sequence += 1;
    number
}

/// What happened in a batch, summed before it is written.
#[derive(Clone, Default)]
struct Sums {
    counts: BTreeMap<(TenantId, i64, ChannelId, String, &'static str), i64>,
    /// By channel: tenant, pending, retrying.
    waiting: BTreeMap<ChannelId, (TenantId, i64, i64)>,
}

impl Sums {
    fn absorb(&mut self, other: Self) {
        for (key, count) in other.counts {
            *self.counts.entry(key).or_default() += count;
        }
        for (channel, (tenant, pending, retrying)) in other.waiting {
            let sum = self.waiting.entry(channel).or_insert((tenant, 0, 0));
            sum.1 += pending;
            sum.2 += retrying;
        }
    }

    fn save(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(
            "INSERT INTO counters (tenant_id, bucket, channel_id, event_type, status, count)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET count = count + excluded.count",
        )?;
        for ((tenant, bucket, channel, event_type, status), count) in &self.counts {
            statement.execute(params![tenant.0, bucket, channel.0, event_type, status, count])?;
        }
        let mut statement = connection.prepare_cached(
            "INSERT INTO waiting (channel_id, tenant_id, pending, retrying)
             VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET pending = pending + excluded.pending, retrying = retrying + excluded.retrying",
        )?;
        for (channel, (tenant, pending, retrying)) in &self.waiting {
            if (*pending, *retrying) != (0, 0) {
                statement.execute(params![channel.0, tenant.0, pending, retrying])?;
            }
        }
        Ok(())
    }
}

/// The open transaction, as jobs see it.
pub struct Tx<'a> {
    pub(super) connection: &'a Connection,
    pub(super) sequences: &'a mut Sequences,
    pub(super) segments: &'a mut Segments,
    arrivals: Vec<Arrival>,
    sums: Sums,
}

impl Tx<'_> {
    /// Announces a delivery, once the batch is durable.
    pub(super) fn announce(&mut self, arrival: Arrival) {
        self.arrivals.push(arrival);
    }

    /// Counts something that happened at `at`.
    pub(super) fn count(
        &mut self,
        tenant: TenantId,
        channel: ChannelId,
        event_type: &str,
        status: &'static str,
        at: Timestamp,
    ) {
        let bucket = at.as_ms().div_euclid(BUCKET_MS);
        *self.sums.counts.entry((tenant, bucket, channel, event_type.to_owned(), status)).or_default() += 1;
    }

    /// Notes that so many more (or fewer) deliveries of a channel are pending and retrying.
    pub(super) fn shift_waiting(&mut self, tenant: TenantId, channel: ChannelId, pending: i64, retrying: i64) {
        let sum = self.sums.waiting.entry(channel).or_insert((tenant, 0, 0));
        sum.1 += pending;
        sum.2 += retrying;
    }
}

/// How the simulator makes a batch fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is committed and everyone is told so.
    BeforeCommit,
    /// Everything is committed and everyone is told that it failed: the answer was lost.
    AnswerLost,
}

/// The connection that writes, and what it hands out next.
pub struct Writer {
    connection: Connection,
    sequences: Sequences,
    segments: Segments,
    feed: Feed,
}

impl Writer {
    pub(super) fn open(connection: Connection, segment_rows_max: u64, feed: Feed) -> Result<Self, StoreError> {
        let sequences = Sequences::load(&connection)?;
        let segments = Segments::open(&connection, segment_rows_max)?;
        Ok(Self { connection, sequences, segments, feed })
    }

    /// Does one slice of what can wait: an index of a closed segment. Returns whether more is left.
    pub fn upkeep_slice(&mut self) -> Result<bool, StoreError> {
        self.segments.index_one(&self.connection)
    }
}

/// Runs the jobs in one transaction, commits it, announces what arrived and tells everyone.
pub fn run_batch(writer: &mut Writer, mut jobs: Vec<Box<dyn Job>>, fault: Option<Fault>) {
    if jobs.is_empty() {
        return;
    }
    let segments_before = writer.segments.clone();
    match commit(writer, &mut jobs, fault) {
        Ok((arrivals, results)) => {
            (writer.feed)(arrivals);
            let lost = || Err(StoreError::Unavailable("the answer of a commit was lost".to_owned()));
            for (job, result) in jobs.into_iter().zip(results) {
                job.finish(if fault == Some(Fault::AnswerLost) { lost() } else { result });
            }
        }
        Err(error) => {
            if !writer.connection.is_autocommit() {
                // When even this fails, the next BEGIN does too, and says so.
                let _ = writer.connection.execute_batch("ROLLBACK");
            }
            writer.segments = segments_before;
            let message = error.to_string();
            for job in jobs {
                job.finish(Err(StoreError::Unavailable(message.clone())));
            }
        }
    }
}

type Committed = (Vec<Arrival>, Vec<Result<(), StoreError>>);

fn commit(writer: &mut Writer, jobs: &mut [Box<dyn Job>], fault: Option<Fault>) -> Result<Committed, StoreError> {
    let Writer { connection, sequences, segments, .. } = writer;
    let execute = |sql: &str| {
        connection.prepare_cached(sql).and_then(|mut statement| statement.execute([])).map(drop).map_err(from_sqlite)
    };
    execute("BEGIN IMMEDIATE")?;
    segments.rotate_full(connection)?;
    let mut tx = Tx { connection, sequences, segments, arrivals: Vec::new(), sums: Sums::default() };
    let mut sums = Sums::default();
    let mut results = Vec::with_capacity(jobs.len());
    for job in jobs {
        let announced = tx.arrivals.len();
        execute("SAVEPOINT job")?;
        match job.run(&mut tx) {
            Ok(()) => {
                sums.absorb(std::mem::take(&mut tx.sums));
                results.push(Ok(()));
            }
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => {
                execute("ROLLBACK TO job")?;
                tx.arrivals.truncate(announced);
                tx.sums = Sums::default();
                results.push(Err(error));
            }
        }
        execute("RELEASE job")?;
    }
    let arrivals = std::mem::take(&mut tx.arrivals);
    sums.save(connection).map_err(from_sqlite)?;
    sequences.save(connection)?;
    if fault == Some(Fault::BeforeCommit) {
        return Err(StoreError::Unavailable("the commit failed".to_owned()));
    }
    execute("COMMIT")?;
    Ok((arrivals, results))
}

/// The way to the writer thread. Dropping it stops the thread after what waits.
pub(super) struct WriterHandle {
    jobs: Option<SyncSender<Box<dyn Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl WriterHandle {
    pub(super) fn start(writer: Writer) -> Self {
        let (jobs, waiting) = sync_channel(WAITING_JOBS_MAX);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || write_all(writer, &waiting))
            .expect("a thread can be started");
        Self { jobs: Some(jobs), thread: Mutex::new(Some(thread)) }
    }

    pub(super) fn submit(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        let jobs = self.jobs.as_ref().expect("there until dropped");
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => {
                StoreError::Unavailable(format!("{WAITING_JOBS_MAX} writes wait already; the disk is too slow"))
            }
            TrySendError::Disconnected(_) => StoreError::Unavailable("the writer has stopped".to_owned()),
        })
    }
}

impl Drop for WriterHandle {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A writer that panicked has said so on stderr.
            let _ = thread.join();
        }
    }
}

fn write_all(mut writer: Writer, waiting: &Receiver<Box<dyn Job>>) {
    while let Ok(first) = waiting.recv() {
        let mut rows = first.rows();
        let mut jobs = vec![first];
        while rows < BATCH_ROWS_MAX
            && let Ok(job) = waiting.try_recv()
        {
            rows += job.rows();
            jobs.push(job);
        }
        run_batch(&mut writer, jobs, None);
        // Upkeep that fails is tried again after the next batch.
        let _ = writer.upkeep_slice();
    }
    // The log is folded into the database, so that a copy of the one file is a backup.
    let _ = writer.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
}
