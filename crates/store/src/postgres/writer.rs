//! The writer: group commit without a timer, over a connection that can be lost.
//!
//! Whatever waits when a commit ends goes into the next one, as with SQLite. What accepts and what settles is done for all
//! jobs of a batch together ([`run_hot`]); any other job runs alone, between them, in the order in which it came.
//!
//! A job that PostgreSQL refuses fails alone: the batch is rolled back and its jobs run again one by one. When the
//! database goes away, whoever waits is told so at once, until it is back.
//!
//! The answer to a COMMIT can be lost with the connection. Then nobody is told anything before the writer has looked:
//! each transaction writes its number into `sequences`, and once the database is taken anew, the lost one is over and its
//! number is there or not. The database is this process's alone; if it stands elsewhere than where this process left it,
//! somebody else has written, and nothing is written any more until a restart reads everything anew.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::queue::{accept_all, settle_all};
use super::readers::Readers;
use super::retention::Leaving;
use super::segments::Segments;
use super::session::{self, Backend, Session};
use super::statements::{Connection, from_postgres};
use super::target::Target;
use super::tx::{Done, Memory, Sequences, Tx};
use super::{Options, tenants};
use crate::StoreError;
use crate::observe::{Commit, Observed};
use crate::queue::{AcceptAnswer, AcceptRequest, Feed, Settlement};

/// Rows in one commit, as the jobs estimate them: bounds how long a commit takes and what a failure repeats.
const BATCH_ROWS_MAX: usize = 4_000;

/// Jobs that may wait for the writer; beyond it callers are told to come back.
const WAITING_JOBS_MAX: usize = 16_384;

/// How long a job that is in no hurry waits for company, in turns; each turn takes one more job or ends empty.
const RIDE_TURNS: u32 = 2;
const RIDE_TURN: Duration = Duration::from_millis(1);

/// So many rows are worth a commit of their own and wait for no company.
const COMPANY_ROWS: usize = 96;

/// How long after a failed connection the next is tried.
const RECONNECT_PAUSE: Duration = Duration::from_millis(250);

/// How often an idle writer looks whether its connection is still there: with it goes the lock that keeps others away.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long callers wait to hear what became of a commit whose answer was lost. Afterwards they are told that it is not
/// known; what was committed is announced all the same once it is.
const DOUBT_MAX: Duration = Duration::from_secs(10);

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// How soon a job must be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Somebody waits for it.
    Now,
    /// Nobody does: it may wait a moment for others to share a commit with.
    Soon,
}

/// A unit of work for the writer.
pub(super) enum Job {
    Accept(Asked<AcceptRequest, AcceptAnswer>),
    Settle(Asked<Arc<[Settlement]>, ()>),
    Work(Box<dyn Work>),
}

/// What is done for all jobs of its kind together.
pub(super) struct Asked<Q, A> {
    pub question: Q,
    /// About how many rows it writes.
    pub rows: usize,
    answer: Option<Result<A, StoreError>>,
    reply: Reply<A>,
}

impl<Q, A> Asked<Q, A> {
    pub(super) fn new(question: Q, rows: usize, reply: Reply<A>) -> Self {
        Self { question, rows, answer: None, reply }
    }

    fn finish(self, committed: Result<(), StoreError>) {
        // Whoever asked may have gone; what was committed stays committed.
        let _ = self.reply.send(committed.and_then(|()| self.answer.unwrap_or_else(unfinished)));
    }
}

fn unfinished<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("the batch ended before this job".to_owned()))
}

/// What is done alone.
pub(super) trait Work: Send {
    fn rows(&self) -> usize;

    /// Does the work inside the batch's transaction. It runs again when the transaction was rolled back for the sake of
    /// another job, so it keeps nothing but its result.
    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + 'a>>;

    /// Tells whoever waits. Called after the commit.
    fn finish(self: Box<Self>, committed: Result<(), StoreError>);
}

/// A closure as [`Work`].
pub(super) struct Write<F, T> {
    rows: usize,
    work: F,
    result: Option<T>,
    reply: Reply<T>,
}

impl<F, T> Write<F, T> {
    pub(super) fn new(rows: usize, work: F, reply: Reply<T>) -> Self {
        Self { rows, work, result: None, reply }
    }
}

impl<F, T> Work for Write<F, T>
where
    F: AsyncFnMut(&mut Tx) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn rows(&self) -> usize {
        self.rows
    }

    fn run<'a>(&'a mut self, tx: &'a mut Tx) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + 'a>> {
        Box::pin(async move {
            self.result = Some((self.work)(tx).await?);
            Ok(())
        })
    }

    fn finish(self: Box<Self>, committed: Result<(), StoreError>) {
        let Self { result, reply, .. } = *self;
        let _ = reply.send(committed.and_then(|()| result.map_or_else(unfinished, Ok)));
    }
}

impl Job {
    fn rows(&self) -> usize {
        match self {
            Self::Accept(asked) => asked.rows,
            Self::Settle(asked) => asked.rows,
            Self::Work(work) => work.rows(),
        }
    }

    fn urgency(&self) -> Urgency {
        if matches!(self, Self::Settle(_)) { Urgency::Soon } else { Urgency::Now }
    }

    fn finish(self, committed: Result<(), StoreError>) {
        match self {
            Self::Accept(asked) => asked.finish(committed),
            Self::Settle(asked) => asked.finish(committed),
            Self::Work(work) => work.finish(committed),
        }
    }
}

/// The connection that writes, and what it hands out next.
struct Writer {
    target: Target,
    connection: Option<Rc<Connection>>,
    /// Of the connection, or of the last one.
    backend: Backend,
    memory: Memory,
    segments: Segments,
    doubt: Option<Doubt>,
    /// Why nothing can be written before a restart.
    is_stale: Option<String>,
    /// Before this nobody tries to connect.
    next_try: Instant,
    readers: Readers,
    /// How long the server may take for a transaction, and again for its COMMIT, before the connection counts as lost.
    patience: Duration,
    feed: Feed,
    observed: Option<Observed>,
}

/// A transaction whose COMMIT was sent and not answered.
struct Doubt {
    done: Done,
    began: Option<Duration>,
    /// Who waits for it; nobody any more after [`DOUBT_MAX`].
    jobs: Vec<Job>,
    rows: usize,
    ends_at: Instant,
}

/// How a transaction failed.
enum Failure {
    /// Nothing was kept.
    Refused(StoreError),
    /// Nobody knows.
    InDoubt(Done),
}

impl Writer {
    async fn open(options: &Options, readers: Readers, feed: Feed) -> Result<Self, StoreError> {
        let target = options.target.clone();
        let Session { mut connection, backend } = session::begin(&target, None).await?;
        session::bring_up_to_date(&mut connection).await?;
        let sequences = Sequences::load(&connection).await.map_err(from_postgres)?;
        let segments = Segments::open(&connection, options.segment_rows_max).await.map_err(from_postgres)?;
        let gone = Arc::new(BTreeSet::from_iter(tenants::gone(&connection).await.map_err(from_postgres)?));
        Ok(Self {
            target,
            connection: Some(Rc::new(connection)),
            backend,
            memory: Memory { sequences, gone, leaving: Leaving::default() },
            segments,
            doubt: None,
            is_stale: None,
            next_try: Instant::now(),
            readers,
            patience: options.patience,
            feed,
            observed: options.observed.clone(),
        })
    }

    /// The connection, made anew where it was lost. An error says why there is none now.
    async fn connected(&mut self) -> Result<Rc<Connection>, StoreError> {
        if self.connection.as_ref().is_some_and(|connection| connection.is_closed()) {
            self.connection = None;
        }
        match &self.connection {
            Some(connection) => Ok(Rc::clone(connection)),
            None if Instant::now() < self.next_try => Err(away()),
            None => self.reconnect().await,
        }
    }

    async fn reconnect(&mut self) -> Result<Rc<Connection>, StoreError> {
        let begun = self.begin_again().await;
        self.next_try = Instant::now() + RECONNECT_PAUSE;
        if begun.is_err() {
            self.end_patience();
        }
        // Whatever it was at a start, here it may pass.
        begun.map_err(|error| StoreError::Unavailable(reason(&error)))
    }

    async fn begin_again(&mut self) -> Result<Rc<Connection>, StoreError> {
        if let Some(why) = &self.is_stale {
            return Err(StoreError::Unavailable(why.clone()));
        }
        let Session { connection, backend } = session::begin(&self.target, Some(&self.backend)).await?;
        self.backend = backend;
        let state = async {
            // A partition may have been made whose answer was lost.
            tokio::try_join!(Sequences::load(&connection), self.segments.read_again(&connection))
        };
        let state = timeout(self.patience, state).await.map_err(|_| too_slow(self.patience))?;
        let (found, segments) = state.map_err(from_postgres)?;
        self.settle_doubt(&found)?;
        self.segments = segments;
        // It may be another server, and what the old one still answers may be old.
        self.readers.begin_again();
        let connection = Rc::new(connection);
        self.connection = Some(Rc::clone(&connection));
        Ok(connection)
    }

    /// Sees what became of the last commit, and that nobody else has written.
    fn settle_doubt(&mut self, found: &Sequences) -> Result<(), StoreError> {
        let doubt = self.doubt.take();
        match doubt {
            Some(doubt) if doubt.done.memory.sequences == *found => {
                self.committed(doubt.done, doubt.jobs, doubt.rows, doubt.began);
            }
            doubt if self.memory.sequences == *found => {
                for job in doubt.into_iter().flat_map(|doubt| doubt.jobs) {
                    job.finish(Err(StoreError::Unavailable("the connection was lost before the commit".to_owned())));
                }
            }
            doubt => {
                let (left, found) = (self.memory.sequences.batch, found.batch);
                let why = format!(
                    "the database is not where this process left it (transaction {found}, and not {left}): another \
                     process has written to it, or an older state was put back. Restart this one"
                );
                for job in doubt.into_iter().flat_map(|doubt| doubt.jobs) {
                    job.finish(Err(StoreError::Unavailable(why.clone())));
                }
                self.is_stale = Some(why.clone());
                return Err(StoreError::Unavailable(why));
            }
        }
        Ok(())
    }

    /// Tells those who have waited long enough to hear of a commit in doubt.
    fn end_patience(&mut self) {
        let Some(doubt) = self.doubt.as_mut().filter(|doubt| doubt.ends_at <= Instant::now()) else { return };
        for job in doubt.jobs.drain(..) {
            let message = "the connection was lost during the commit, and whether it took place is not known yet";
            job.finish(Err(StoreError::Unavailable(message.to_owned())));
        }
    }

    /// What follows a commit: it is remembered, announced, and told to everyone.
    fn committed(&mut self, done: Done, jobs: Vec<Job>, rows: usize, began: Option<Duration>) {
        let Done { memory, arrivals, counts } = done;
        self.memory = memory;
        if let (Some(observed), Some(began)) = (&self.observed, began) {
            let took = observed.clock.monotonic().saturating_sub(began);
            observed.observer.committed(&Commit { rows, took, counts });
        }
        if !arrivals.is_empty() {
            (self.feed)(arrivals);
        }
        for job in jobs {
            job.finish(Ok(()));
        }
    }

    /// Runs jobs in one transaction, commits it, announces what arrived and tells everyone.
    async fn run_batch(&mut self, mut jobs: Vec<Job>) {
        let rows = jobs.iter().map(Job::rows).sum();
        let began = self.observed.as_ref().map(|observed| observed.clock.monotonic());
        match self.transact(&mut jobs, rows).await {
            Ok(done) => self.committed(done, jobs, rows, began),
            Err(Failure::InDoubt(done)) => {
                self.lose();
                self.doubt = Some(Doubt { done, began, jobs, rows, ends_at: Instant::now() + DOUBT_MAX });
            }
            Err(Failure::Refused(error)) if error.is_transient() || jobs.len() == 1 => {
                let message = reason(&error);
                for job in jobs {
                    let message = message.clone();
                    job.finish(Err(match error {
                        StoreError::Unavailable(_) => StoreError::Unavailable(message),
                        _ => StoreError::Refused(message),
                    }));
                }
            }
            Err(Failure::Refused(_)) => {
                for job in jobs {
                    Box::pin(self.run_batch(vec![job])).await;
                }
            }
        }
    }

    /// Forgets a connection that cannot be relied on; the next is tried at once.
    fn lose(&mut self) {
        self.connection = None;
        self.next_try = Instant::now();
    }

    async fn transact(&mut self, jobs: &mut [Job], rows: usize) -> Result<Done, Failure> {
        let connection = self.connected().await.map_err(Failure::Refused)?;
        let work = prepare(&connection, &mut self.segments, &self.memory, jobs, rows);
        let done = match timeout(self.patience, work).await {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => {
                self.roll_back(&connection).await;
                return Err(Failure::Refused(error));
            }
            Err(_) => {
                self.lose();
                return Err(Failure::Refused(too_slow(self.patience)));
            }
        };
        // From here on an error says nothing about what was kept.
        match timeout(self.patience, connection.batch_execute("COMMIT")).await {
            Ok(Ok(())) => Ok(done),
            Ok(Err(_)) | Err(_) => Err(Failure::InDoubt(done)),
        }
    }

    /// Ends a transaction that failed. A server that takes no more writes, because it is no primary any longer, is left:
    /// the next connection looks for the one that does.
    async fn roll_back(&mut self, connection: &Connection) {
        let end = async {
            connection.batch_execute("ROLLBACK").await?;
            session::is_read_only(connection).await
        };
        if !matches!(timeout(self.patience, end).await, Ok(Ok(false))) {
            self.lose();
        }
    }

    /// Writes what comes until nobody can send any more.
    async fn write_all(mut self, mut waiting: Receiver<Job>) {
        loop {
            let look_at = if self.connection.is_some() { Instant::now() + LOOK_EVERY } else { self.next_try };
            let Ok(first) = timeout_at(look_at, waiting.recv()).await else {
                // Nobody asks. The database is taken again, and a commit in doubt is looked for, all the same.
                let _ = self.connected().await;
                continue;
            };
            let Some(first) = first else { break };
            let batch = gather(first, &mut waiting).await;
            self.run_batch(batch).await;
        }
        if let Some(connection) = &self.connection {
            session::give_back(connection).await;
        }
    }
}

fn away() -> StoreError {
    StoreError::Unavailable("the connection to the database is lost and not there again yet".to_owned())
}

fn too_slow(patience: Duration) -> StoreError {
    StoreError::Unavailable(format!("the database did not answer within {patience:?}"))
}

/// What an error says, without the sentence around it.
fn reason(error: &StoreError) -> String {
    match error {
        StoreError::Unavailable(reason) | StoreError::Refused(reason) => reason.clone(),
        error => error.to_string(),
    }
}

/// Everything of a transaction but its end.
async fn prepare(
    connection: &Rc<Connection>,
    segments: &mut Segments,
    memory: &Memory,
    jobs: &mut [Job],
    rows: usize,
) -> Result<Done, StoreError> {
    segments.make_ahead(connection, &memory.sequences, rows).await.map_err(from_postgres)?;
    let mut tx = Tx::new(Rc::clone(connection), memory);
    let begin = async { connection.batch_execute("BEGIN").await.map_err(from_postgres) };
    // Sent together: BEGIN is the first on its way.
    let ((), ()) = tokio::try_join!(biased; begin, run_all(&mut tx, jobs))?;
    tx.finish().await.map_err(from_postgres)
}

async fn run_all(tx: &mut Tx, jobs: &mut [Job]) -> Result<(), StoreError> {
    for run in jobs.chunk_by_mut(|left, right| is_hot(left) && is_hot(right)) {
        if let [Job::Work(work)] = run {
            // It may read what jobs before it have written.
            tx.write_rows().await.map_err(from_postgres)?;
            work.run(tx).await?;
        } else {
            run_hot(tx, run).await?;
        }
    }
    Ok(())
}

fn is_hot(job: &Job) -> bool {
    !matches!(job, Job::Work(_))
}

/// Accepts and settles for all jobs together. One does not touch what the other does: nothing is settled before its
/// commit was announced.
async fn run_hot(tx: &mut Tx, jobs: &mut [Job]) -> Result<(), StoreError> {
    let (mut accepts, mut settles) = (Vec::new(), Vec::new());
    for job in jobs {
        match job {
            Job::Accept(asked) => accepts.push(asked),
            Job::Settle(asked) => settles.push(asked),
            Job::Work(_) => {}
        }
    }
    if !settles.is_empty() {
        let settlements = settles.iter().map(|asked| Arc::clone(&asked.question)).collect();
        settle_all(tx, settlements).await.map_err(from_postgres)?;
        for asked in settles {
            asked.answer = Some(Ok(()));
        }
    }
    if !accepts.is_empty() {
        let requests: Vec<_> = accepts.iter().map(|asked| &asked.question).collect();
        let answers = accept_all(tx, &requests).await.map_err(from_postgres)?;
        for (asked, answer) in accepts.into_iter().zip(answers) {
            asked.answer = Some(answer);
        }
    }
    Ok(())
}

/// `first` and what waits behind it, up to the bound.
async fn gather(first: Job, waiting: &mut Receiver<Job>) -> Vec<Job> {
    let (mut rows, mut urgency) = (first.rows(), first.urgency());
    let mut jobs = vec![first];
    for _ in 0..RIDE_TURNS {
        if urgency == Urgency::Soon
            && rows < COMPANY_ROWS
            && let Ok(Some(job)) = timeout(RIDE_TURN, waiting.recv()).await
        {
            (rows, urgency) = (rows + job.rows(), job.urgency());
            jobs.push(job);
        }
    }
    while rows < BATCH_ROWS_MAX
        && let Ok(job) = waiting.try_recv()
    {
        rows += job.rows();
        jobs.push(job);
    }
    jobs
}

/// The way to the writer's thread. Dropping it stops the thread after what waits.
pub(super) struct WriterHandle {
    jobs: Option<Sender<Job>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl WriterHandle {
    /// Opens the database on a thread of its own: what the writer does is never in the queue behind requests, and its
    /// connection lives as long as its runtime.
    pub(super) async fn start(options: &Options, readers: Readers, feed: Feed) -> Result<Self, StoreError> {
        let (jobs, waiting) = channel(WAITING_JOBS_MAX);
        let (opened, opening) = oneshot::channel();
        let options = options.clone();
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || write_on_this_thread(&options, readers, feed, waiting, opened))
            .expect("a thread can be started");
        let stopped = || StoreError::Unavailable("the writer ended as it began".to_owned());
        opening.await.map_err(|_| stopped())??;
        Ok(Self { jobs: Some(jobs), thread: Mutex::new(Some(thread)) })
    }

    pub(super) fn submit(&self, job: Job) -> Result<(), StoreError> {
        let jobs = self.jobs.as_ref().expect("there until dropped");
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => {
                StoreError::Unavailable(format!("{WAITING_JOBS_MAX} writes wait already; the database is too slow"))
            }
            TrySendError::Closed(_) => StoreError::Unavailable("the writer has stopped".to_owned()),
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

fn write_on_this_thread(
    options: &Options,
    readers: Readers,
    feed: Feed,
    waiting: Receiver<Job>,
    opened: oneshot::Sender<Result<(), StoreError>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = opened.send(Err(StoreError::Unavailable(format!("the writer's runtime: {error}"))));
            return;
        }
    };
    runtime.block_on(async {
        let writer = match Writer::open(options, readers, feed).await {
            Ok(writer) => writer,
            Err(error) => {
                let _ = opened.send(Err(error));
                return;
            }
        };
        let _ = opened.send(Ok(()));
        writer.write_all(waiting).await;
    });
}
