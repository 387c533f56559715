//! One life of the process: what is gone after a crash.
//!
//! It holds what a Postrider process holds, put together as the server's `app.rs` does. Futures are polled by hand:
//! reads are answered where they are asked, writes when the world runs them.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use domain::{Clock, Timestamp};
use engine::dispatch::attempt::AttemptRun;
use engine::dispatch::hands::Hands;
use engine::dispatch::in_flight::{InFlight, SlotFile};
use engine::dispatch::recovery::recover;
use engine::dispatch::run::{self, Handle, Inbox};
use engine::dispatch::{Action, Dispatcher, Found, Input};
use engine::random::Entropy;
use engine::registry::Registry;
use engine::{Engine, Settings};
use providers::Operator;
use store::queue::Arrival;
use store::sqlite::{Options, SqliteStore};
use store::{Directory as _, Store, Vault};

/// Something that takes more than one step.
pub(crate) type Task<T> = Pin<Box<dyn Future<Output = T>>>;

/// Polls once.
pub(crate) fn poll<T>(task: &mut Task<T>) -> Option<T> {
    match task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

/// Runs a future that only reads, which the stepped store answers at once.
pub(crate) fn read<T>(future: impl Future<Output = T>) -> T {
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("a read of the stepped store is answered at once"),
    }
}

/// Runs a future to its end, writing as soon as something waits.
fn write<T>(store: &SqliteStore, future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
        store.run_writes(None);
    }
}

/// Carries out what the dispatcher wants of the store.
pub(crate) async fn carry_out(hands: &Hands, action: Action) -> Input {
    match action {
        Action::Settle(settlements) => hands.settle(settlements).await,
        Action::Load(load) => hands.load(load).await,
        Action::Announce(announcements) => hands.announce(announcements).await,
        Action::Seal(seal) => hands.seal(seal).await,
        Action::Reconfigure(change) => hands.reconfigure(change).await,
        Action::Redrive(tenant, redrive) => hands.redrive(tenant, redrive).await,
        Action::Work(work, under_way) => hands.work(work, under_way).await,
        Action::Send(_) | Action::Tell(_) => unreachable!("a send goes over the wire, and nothing is done when told"),
    }
}

/// What a process is started with.
pub(crate) struct Start<'a> {
    pub data_dir: &'a Path,
    pub settings: Settings,
    pub segment_rows_max: u64,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    /// Where sends under way are noted.
    pub slots: Arc<dyn SlotFile>,
}

pub(crate) struct Process<T> {
    pub store: Arc<SqliteStore>,
    pub registry: Arc<Registry>,
    pub engine: Arc<Engine>,
    pub dispatcher: Dispatcher,
    pub handle: Handle,
    pub hands: Arc<Hands>,
    pub in_flight: InFlight,
    /// Tries under way, by exchange.
    pub runs: BTreeMap<u64, AttemptRun>,
    /// Told to stop: takes no requests.
    pub is_stopping: bool,
    /// What the store has announced and the dispatcher has not heard yet.
    announced: Arc<Mutex<Vec<Arrival>>>,
    inbox: Inbox,
    tasks: BTreeMap<u64, Task<T>>,
    tasks_started: u64,
}

/// What a process has come to after it was driven for a moment.
pub(crate) struct Moved<T> {
    pub done: Vec<T>,
    pub actions: Vec<Action>,
    /// Nothing moves any more before something happens.
    pub is_quiet: bool,
}

impl<T> Process<T> {
    pub(crate) fn start(start: Start<'_>) -> anyhow::Result<Self> {
        let Start { data_dir, settings, segment_rows_max, clock, entropy, slots } = start;
        let (handle, inbox) = run::channel();
        let bytes = Arc::clone(&entropy);
        let vault = Vault::new([7; 32], move |buffer: &mut [u8]| bytes.fill(buffer));
        let announced = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&announced);
        let feed = Box::new(move |arrivals| keep.lock().unwrap_or_else(PoisonError::into_inner).extend(arrivals));
        let options = Options { segment_rows_max, ..Options::new(data_dir) };
        let store = Arc::new(SqliteStore::open_stepped(&options, Arc::new(vault), feed)?);
        let registry = Arc::new(Registry::new(read(store.load())?, settings, Operator::default())?);
        let in_flight = InFlight::new(slots, &registry.instance);
        let notes = in_flight.read()?.notes;
        write(&store, recover(&*store, &registry, &*entropy, notes, clock.now()))?;
        let found = read(Found::in_store(&*store))?;
        let dispatcher = Dispatcher::new(Arc::clone(&registry), Arc::clone(&entropy), &settings, found, clock.now());
        let shared: Arc<dyn Store> = Arc::clone(&store) as Arc<dyn Store>;
        let hands =
            Arc::new(Hands { store: Arc::clone(&shared), clock: Arc::clone(&clock), registry: Arc::clone(&registry) });
        let engine = Arc::new(Engine::new(shared, Arc::clone(&registry), handle.clone(), clock, entropy));
        Ok(Self {
            store,
            registry,
            engine,
            dispatcher,
            handle,
            hands,
            in_flight,
            runs: BTreeMap::new(),
            is_stopping: false,
            announced,
            inbox,
            tasks: BTreeMap::new(),
            tasks_started: 0,
        })
    }

    pub(crate) fn spawn(&mut self, task: impl Future<Output = T> + 'static) {
        self.tasks_started += 1;
        self.tasks.insert(self.tasks_started, Box::pin(task));
    }

    /// What the store has announced since this was asked last, in its order.
    pub(crate) fn take_announced(&self) -> Vec<Arrival> {
        std::mem::take(&mut *self.announced.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the store has announced something that the dispatcher has not heard yet.
    pub(crate) fn has_announced(&self) -> bool {
        !self.announced.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Lets tasks and dispatcher go on as far as they get without anything new.
    pub(crate) fn go_on(&mut self, now: Timestamp) -> Moved<T> {
        let mut done = Vec::new();
        self.tasks.retain(|_, task| poll(task).map(|result| done.push(result)).is_none());
        let had_input = self.inbox.drain_into(&mut self.dispatcher, now);
        let actions = self.dispatcher.actions(now);
        let may_go = self.inbox.answer_waiting(&self.dispatcher);
        let is_quiet = done.is_empty() && actions.is_empty() && !had_input && !may_go;
        Moved { done, actions, is_quiet }
    }
}
