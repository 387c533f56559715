//! The writer: group commit without a timer.
//!
//! Whatever waits when a commit ends goes into the next one, so a lone event is committed at once and a flood is
//! committed hundreds at a time. Results of attempts, which nobody waits for, ride along with what comes next
//! ([`Urgency`]). [`run_batch`] is a plain function: the writer thread calls it in a loop, the simulator from its
//! scheduler.
//!
//! A job that SQLite refuses fails alone: the batch runs again with a savepoint around each job. Savepoints from the
//! start would cost every batch a copy of each page that each job touches. When the disk itself fails, the whole batch
//! does.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use domain::TenantId;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::beside::{Beside, MadeBeside};
use super::folding::{self, Fold, Log};
use super::segments::Segments;
use super::tx::{Done, Sequences, Tx};
use super::{Options, from_sqlite, tenants};
use crate::StoreError;
use crate::observe::{Commit, Observed, Upkeep};
use crate::queue::{Arrival, Feed};

/// Rows in one commit, as the jobs estimate them: bounds how long a commit takes and what a failure repeats.
const BATCH_ROWS_MAX: usize = 4_000;

/// Jobs that may wait for the writer; beyond it callers are told to come back.
const WAITING_JOBS_MAX: usize = 16_384;

/// A writer that is never idle does a slice of upkeep after so many batches; when it falls behind, after every batch.
const BATCHES_PER_SLICE: u32 = 8;

/// How long an idle writer waits for a job before it looks whether what is made beside it is ready.
const BESIDE_TURN: Duration = Duration::from_millis(2);

/// How long a job that is in no hurry waits for company, in turns; each turn takes one more job or ends empty. At half
/// load this saves every second commit, and what a commit costs is what others wait for.
const RIDE_TURNS: u32 = 4;
const RIDE_TURN: Duration = Duration::from_micros(500);

/// So many rows are worth a commit of their own and wait for no company: while they did, the bound on what may be in flight
/// was used up, and part of the machine stood idle.
const COMPANY_ROWS: usize = 96;

/// How soon a job must be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Somebody waits for it.
    Now,
    /// Nobody does: it may wait a moment for others to share a commit with.
    Soon,
}

/// A unit of work for the writer.
pub trait Job: Send {
    /// About how many rows it writes.
    fn rows(&self) -> usize;

    fn urgency(&self) -> Urgency;

    /// Does the work inside the batch's transaction. It runs again when the transaction was rolled back for the sake
    /// of another job, so it keeps nothing but its result.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError>;

    /// Tells whoever waits. Called after the commit.
    fn finish(self: Box<Self>, committed: Result<(), StoreError>);
}

/// A job made of a closure and the place where its result goes.
pub(super) struct Write<F, T> {
    rows: usize,
    urgency: Urgency,
    work: F,
    result: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Write<F, T> {
    pub(super) fn new(rows: usize, urgency: Urgency, work: F, reply: oneshot::Sender<Result<T, StoreError>>) -> Self {
        Self { rows, urgency, work, result: None, reply }
    }
}

impl<F, T> Job for Write<F, T>
where
    F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn rows(&self) -> usize {
        self.rows
    }

    fn urgency(&self) -> Urgency {
        self.urgency
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        self.result = Some((self.work)(tx)?);
        Ok(())
    }

    fn finish(self: Box<Self>, committed: Result<(), StoreError>) {
        let Self { result, reply, .. } = *self;
        let unfinished = || StoreError::Unavailable("the batch ended before this job".to_owned());
        // Whoever asked may have gone; what was committed stays committed.
        let _ = reply.send(committed.and_then(|()| result.ok_or_else(unfinished)));
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

/// What upkeep has left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Nothing,
    /// Another slice.
    More,
    /// To write what is being made beside the writer.
    Beside,
}

/// The connection that writes, and what it hands out next.
pub struct Writer {
    connection: Connection,
    memory: Memory,
    feed: Feed,
    observed: Option<Observed>,
    /// What is done beside it; `None`: it does that itself.
    beside: Option<Beside>,
}

/// What the writer knows without asking the database; undone with the transaction that changed it.
#[derive(Clone)]
struct Memory {
    sequences: Sequences,
    segments: Segments,
    gone: Arc<BTreeSet<TenantId>>,
}

impl Writer {
    pub(super) fn open(connection: Connection, options: &Options, feed: Feed) -> Result<Self, StoreError> {
        let sequences = Sequences::load(&connection)?;
        let segments = Segments::open(&connection, options.segment_rows_max)?;
        let gone = Arc::new(tenants::gone(&connection).map_err(from_sqlite)?.into_iter().collect());
        let observed = options.observed.clone();
        Ok(Self { connection, memory: Memory { sequences, segments, gone }, feed, observed, beside: None })
    }

    /// The same, with somebody beside it who folds the log and makes look-ups.
    pub(super) fn with_beside(self, beside: Beside) -> Self {
        Self { beside: Some(beside), ..self }
    }

    /// Does one slice of what can wait: folds the log into the database, or writes the look-ups of a closed segment; with
    /// somebody beside it, asks for the work and writes what has come of it.
    pub fn upkeep_slice(&mut self) -> Result<Left, StoreError> {
        // It does all of it itself rather than none.
        self.beside.take_if(|beside| beside.is_gone());
        let log = Log::of(&self.connection)?;
        match (log.next(self.beside.is_some()), &self.beside) {
            (Fold::Beside, Some(beside)) => beside.fold(),
            (Fold::Nothing, _) => {}
            (Fold::Here | Fold::Beside, beside) => {
                let waited_for = beside.as_ref().filter(|_| log.is_too_long());
                let fold = || {
                    if let Some(beside) = waited_for {
                        beside.wait();
                    }
                    folding::fold(&self.connection)
                };
                Observed::timed(self.observed.as_ref(), Upkeep::Fold, |()| Some(0), fold)?;
            }
        }
        let (segments, connection, observed) = (&mut self.memory.segments, &self.connection, self.observed.as_ref());
        let Some(beside) = &mut self.beside else {
            let made = Observed::timed(observed, Upkeep::Index, |made| *made, || segments.index_one(connection))?;
            return Ok(if made.is_some() { Left::More } else { Left::Nothing });
        };
        if let Some(MadeBeside { made, erasures }) = beside.made()? {
            let keep = || segments.keep_lookups(connection, made.as_ref(), erasures);
            Observed::timed(observed, Upkeep::Index, |rows| (*rows > 0).then_some(*rows), keep)?;
        }
        if !segments.is_lacking() {
            return Ok(Left::Nothing);
        }
        beside.make_lookups(segments.erasures());
        Ok(Left::Beside)
    }

    /// Whether upkeep falls behind what is written, so that it cannot wait for an idle moment.
    pub(super) const fn is_behind(&self) -> bool {
        self.memory.segments.is_behind()
    }

    #[cfg(test)]
    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// Runs the jobs in one transaction, commits it, announces what arrived and tells everyone.
pub fn run_batch(writer: &mut Writer, mut jobs: Vec<Box<dyn Job>>, fault: Option<Fault>) {
    if jobs.is_empty() {
        return;
    }
    let begun = writer.observed.as_ref().map(|observed| observed.clock.monotonic());
    let committed = match transact(writer, &mut jobs, Isolation::Together, fault) {
        Err(error) if !error.is_transient() => transact(writer, &mut jobs, Isolation::Apart, fault),
        committed => committed,
    };
    match committed {
        Ok(Committed { arrivals, results, counts }) => {
            if let (Some(observed), Some(begun)) = (&writer.observed, begun) {
                let took = observed.clock.monotonic().saturating_sub(begun);
                let rows = jobs.iter().map(|job| job.rows()).sum();
                observed.observer.committed(&Commit { rows, took, counts });
            }
            if !arrivals.is_empty() {
                (writer.feed)(arrivals);
            }
            let lost = || Err(StoreError::Unavailable("the answer of a commit was lost".to_owned()));
            for (job, result) in jobs.into_iter().zip(results) {
                job.finish(if fault == Some(Fault::AnswerLost) { lost() } else { result });
            }
        }
        Err(error) => {
            let message = error.to_string();
            for job in jobs {
                job.finish(Err(StoreError::Unavailable(message.clone())));
            }
        }
    }
}

/// What a refused job does to the others of its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Isolation {
    /// The whole batch is rolled back, to run again [`Isolation::Apart`].
    Together,
    /// It alone is rolled back.
    Apart,
}

/// A transaction that is durable.
struct Committed {
    arrivals: Vec<Arrival>,
    /// What each job is told.
    results: Vec<Result<(), StoreError>>,
    /// How often each status was counted.
    counts: Vec<(&'static str, u64)>,
}

fn transact(
    writer: &mut Writer,
    jobs: &mut [Box<dyn Job>],
    isolation: Isolation,
    fault: Option<Fault>,
) -> Result<Committed, StoreError> {
    let before = writer.memory.clone();
    let committed = commit(&writer.connection, &mut writer.memory, jobs, isolation, fault);
    if committed.is_err() {
        writer.memory = before;
        // SQLite has rolled back by itself after some errors. When this fails, the next BEGIN does too, and says so.
        if !writer.connection.is_autocommit() {
            let _ = writer.connection.execute_batch("ROLLBACK");
        }
    }
    committed
}

fn commit(
    connection: &Connection,
    memory: &mut Memory,
    jobs: &mut [Box<dyn Job>],
    isolation: Isolation,
    fault: Option<Fault>,
) -> Result<Committed, StoreError> {
    execute(connection, "BEGIN IMMEDIATE")?;
    memory.segments.rotate_full(connection)?;
    let Memory { sequences, segments, gone } = memory;
    let mut tx = Tx::new(connection, sequences, segments, gone);
    let mut results = Vec::with_capacity(jobs.len());
    for job in jobs {
        results.push(match isolation {
            Isolation::Together => Ok(job.run(&mut tx)?),
            Isolation::Apart => run_apart(&mut tx, job.as_mut())?,
        });
    }
    let Done { arrivals, counts } = tx.finish()?;
    if fault == Some(Fault::BeforeCommit) {
        return Err(StoreError::Unavailable("the commit failed".to_owned()));
    }
    execute(connection, "COMMIT")?;
    Ok(Committed { arrivals, results, counts })
}

/// Runs a job in a savepoint. The outer error ends the batch, the inner one the job alone.
fn run_apart(tx: &mut Tx<'_>, job: &mut dyn Job) -> Result<Result<(), StoreError>, StoreError> {
    let before = tx.mark();
    execute(tx.connection, "SAVEPOINT job")?;
    let result = match job.run(tx) {
        Err(error) if error.is_transient() => return Err(error),
        result => result,
    };
    if result.is_err() {
        execute(tx.connection, "ROLLBACK TO job")?;
        tx.go_back(before);
    }
    execute(tx.connection, "RELEASE job")?;
    Ok(result)
}

fn execute(connection: &Connection, sql: &str) -> Result<(), StoreError> {
    connection.prepare_cached(sql).and_then(|mut statement| statement.execute([])).map(drop).map_err(from_sqlite)
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
    let mut batches: u32 = 0;
    while let Some(first) = next_job(&mut writer, waiting) {
        run_batch(&mut writer, Batch::gather(first, waiting).jobs, None);
        batches = batches.wrapping_add(1);
        if batches.is_multiple_of(BATCHES_PER_SLICE) || writer.is_behind() {
            // Upkeep that fails is tried again with the next slice.
            let _ = writer.upkeep_slice();
        }
    }
    writer.beside = None;
    // The log is folded into the database, so that a copy of the one file is a backup.
    let _ = writer.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
}

/// The next job, or `None` when none will come. While none waits, upkeep is done.
fn next_job(writer: &mut Writer, waiting: &Receiver<Box<dyn Job>>) -> Option<Box<dyn Job>> {
    loop {
        match waiting.try_recv() {
            Ok(job) => return Some(job),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => {}
        }
        // Upkeep that fails is tried again after the next batch.
        match writer.upkeep_slice().unwrap_or(Left::Nothing) {
            Left::More => {}
            Left::Nothing => return waiting.recv().ok(),
            Left::Beside => match waiting.recv_timeout(BESIDE_TURN) {
                Ok(job) => return Some(job),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            },
        }
    }
}

/// Jobs that are committed together.
struct Batch {
    jobs: Vec<Box<dyn Job>>,
    rows: usize,
    urgency: Urgency,
}

impl Batch {
    /// `first` and what waits behind it, up to the bound.
    fn gather(first: Box<dyn Job>, waiting: &Receiver<Box<dyn Job>>) -> Self {
        let mut batch = Self { jobs: Vec::new(), rows: 0, urgency: Urgency::Soon };
        batch.add(first);
        for _ in 0..RIDE_TURNS {
            if batch.urgency == Urgency::Soon
                && batch.rows < COMPANY_ROWS
                && let Ok(job) = waiting.recv_timeout(RIDE_TURN)
            {
                batch.add(job);
            }
        }
        while batch.rows < BATCH_ROWS_MAX
            && let Ok(job) = waiting.try_recv()
        {
            batch.add(job);
        }
        batch
    }

    fn add(&mut self, job: Box<dyn Job>) {
        self.rows += job.rows();
        if job.urgency() == Urgency::Now {
            self.urgency = Urgency::Now;
        }
        self.jobs.push(job);
    }
}
