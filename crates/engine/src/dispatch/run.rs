//! The shell of the dispatcher: tasks, timers and the store.
//!
//! One task owns the [`Dispatcher`] and takes inputs in batches; sends and store calls run in tasks of their own and
//! come back as inputs. All of them are tracked, so that stopping can wait for them.

use std::sync::Arc;
use std::time::Duration;

use domain::lane::{Load, LoadWhat};
use domain::{ChannelId, Clock, DeliveryId, Timestamp};
use providers::step::Step;
use store::queue::{Arrival, Settlement, Waiting};
use store::{Store, StoreError};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::attempt::{AttemptRun, Flight};
use super::{Action, Dispatcher, Input, Work};
use crate::registry::Registry;
use crate::transport::Transport;

/// Rows in one slice of work: a slice holds the writer for a few milliseconds.
const SLICE_ROWS: usize = 500;

/// Inputs taken at a time.
const INPUTS_MAX: usize = 512;

/// What is sent to the dispatcher's task.
enum Message {
    Input(Input),
    /// Which of these are under way.
    UnderWay(Vec<(ChannelId, DeliveryId)>, oneshot::Sender<Vec<DeliveryId>>),
    /// Tell when this test is settled; at once when it is not under way.
    TestSettled(DeliveryId, oneshot::Sender<()>),
    /// Tell when nothing is under way.
    Idle(oneshot::Sender<()>),
}

/// The way to the dispatcher.
#[derive(Clone)]
pub struct Handle(mpsc::UnboundedSender<Message>);

/// Where the dispatcher takes its messages from; made before the store, which announces arrivals to it.
pub struct Inbox(mpsc::UnboundedReceiver<Message>);

/// A handle and its inbox.
pub fn channel() -> (Handle, Inbox) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (Handle(sender), Inbox(receiver))
}

impl Handle {
    /// Announces deliveries that are durable.
    pub fn arrived(&self, arrivals: Vec<Arrival>) {
        if !arrivals.is_empty() {
            self.input(Input::Arrived(arrivals));
        }
    }

    pub(crate) fn input(&self, input: Input) {
        // A dispatcher that has stopped finds what is durable when it starts again.
        let _ = self.0.send(Message::Input(input));
    }

    /// Which of these deliveries are started and not durably settled.
    pub async fn under_way(&self, deliveries: Vec<(ChannelId, DeliveryId)>) -> Vec<DeliveryId> {
        let (reply, answer) = oneshot::channel();
        let _ = self.0.send(Message::UnderWay(deliveries, reply));
        answer.await.unwrap_or_default()
    }

    /// Waits until a test is settled, for at most `patience`.
    pub(crate) async fn settled(&self, test: DeliveryId, patience: Duration) {
        let (reply, settled) = oneshot::channel();
        let _ = self.0.send(Message::TestSettled(test, reply));
        // Whoever waits looks at the delivery itself afterwards.
        let _ = tokio::time::timeout(patience, settled).await;
    }

    /// Starts nothing more, and waits at most `patience` until everything under way is settled. Returns whether it is.
    pub async fn stop(&self, patience: Duration) -> bool {
        let (reply, idle) = oneshot::channel();
        self.input(Input::Stop);
        let _ = self.0.send(Message::Idle(reply));
        tokio::time::timeout(patience, idle).await.is_ok()
    }
}

/// What the shell works with.
pub struct Shell<T> {
    pub handle: Handle,
    pub store: Arc<dyn Store>,
    pub registry: Arc<Registry>,
    pub transport: Arc<T>,
    pub clock: Arc<dyn Clock>,
}

impl<T: Transport> Shell<T> {
    /// Runs the dispatcher until it was told to stop and everything under way is settled.
    pub async fn run(self, mut dispatcher: Dispatcher, mut inbox: Inbox) {
        let shell = Arc::new(self);
        let tasks = TaskTracker::new();
        let mut messages = Vec::with_capacity(INPUTS_MAX);
        let mut waiting_for_idle: Vec<oneshot::Sender<()>> = Vec::new();
        let mut waiting_for_tests: Vec<(DeliveryId, oneshot::Sender<()>)> = Vec::new();
        loop {
            for action in dispatcher.actions(shell.clock.now()) {
                shell.act(&tasks, action);
            }
            if dispatcher.is_idle() && !waiting_for_idle.is_empty() {
                // Dropping the senders tells.
                waiting_for_idle.clear();
                return;
            }
            // Dropping the sender tells.
            waiting_for_tests.retain(|(test, _)| dispatcher.is_test_under_way(*test));
            let wait = dispatcher.wake_at().map(|at| at.since(shell.clock.now()));
            receive(&mut inbox, &mut messages, wait).await;
            let now = shell.clock.now();
            for message in messages.drain(..) {
                match message {
                    Message::Input(input) => dispatcher.handle(input, now),
                    Message::UnderWay(mut deliveries, reply) => {
                        deliveries.retain(|(channel, delivery)| dispatcher.is_under_way(*channel, *delivery));
                        // Whoever asked may have gone.
                        let _ = reply.send(deliveries.into_iter().map(|(_, delivery)| delivery).collect());
                    }
                    Message::TestSettled(test, reply) => waiting_for_tests.push((test, reply)),
                    Message::Idle(reply) => waiting_for_idle.push(reply),
                }
            }
        }
    }

    fn act(self: &Arc<Self>, tasks: &TaskTracker, action: Action) {
        let shell = Arc::clone(self);
        match action {
            Action::Send(flight) => drop(tasks.spawn(async move { shell.send(*flight).await })),
            Action::Settle(settlements) => drop(tasks.spawn(async move { shell.settle(settlements).await })),
            Action::Load(load) => drop(tasks.spawn(async move {
                let found = shell.load(&load).await;
                shell.handle.input(Input::Loaded(load, or_warn(found, "the queue could not be read")));
            })),
            Action::Pause(channel, pause) => drop(tasks.spawn(async move {
                tracing::warn!(%channel, reason = %pause.reason, "channel paused: everything sent to it is refused");
                shell.registry.set_pause(channel, pause.clone());
                while let Err(error) = shell.store.pause_channel(channel, pause.clone()).await {
                    tracing::warn!(%channel, %error, "the pause could not be written; trying again");
                    tokio::time::sleep(super::STORE_RETRY).await;
                }
            })),
            Action::Work(work, under_way) => drop(tasks.spawn(async move {
                let done = shell.work(work, under_way).await;
                shell.handle.input(Input::WorkDone(work, or_warn(done, "a slice of work could not be done")));
            })),
        }
    }

    async fn send(&self, flight: Flight) {
        let mut run = AttemptRun::plan(flight, &self.registry.instance, self.clock.now());
        while let Some(Step::Http(step)) = run.next_step() {
            let (started_at, started) = (self.clock.now(), self.clock.monotonic());
            let reply = self.transport.send(step).await;
            let took = self.clock.monotonic().saturating_sub(started);
            run.answer(&reply, started_at, took, self.clock.now());
        }
        let answered = run.finish();
        tracing::debug!(
            delivery = %answered.flight.delivery,
            channel = %answered.flight.channel,
            outcome = answered.outcome().class.name(),
            note = %answered.outcome().note,
            "attempt over"
        );
        self.handle.input(Input::Answered(Box::new(answered)));
    }

    async fn settle(&self, settlements: Vec<Settlement>) {
        let settlements: Arc<[Settlement]> = settlements.into();
        let result = self.store.settle(Arc::clone(&settlements)).await;
        self.handle.input(match result {
            Ok(()) => Input::Settled(settlements),
            Err(error) => {
                let results = settlements.len();
                tracing::warn!(%error, results, "results could not be written; they are kept and tried again");
                Input::SettleFailed(settlements)
            }
        });
    }

    async fn load(&self, load: &Load) -> Result<Vec<Waiting>, StoreError> {
        let now: Timestamp = self.clock.now();
        match &load.what {
            LoadWhat::After(after) => self.store.waiting_after(load.channel, *after, now, load.items_max).await,
            LoadWhat::These(deliveries) => self.store.waiting_these(load.channel, deliveries.clone(), now).await,
        }
    }

    async fn work(&self, work: Work, under_way: Vec<DeliveryId>) -> Result<bool, StoreError> {
        let now = self.clock.now();
        match work {
            Work::Expand => self.store.expand(SLICE_ROWS).await,
            Work::Cancel(channel) => self.store.cancel_slice(channel, under_way, now, SLICE_ROWS).await,
            Work::Expire(channel) => self.store.expire_slice(channel, under_way, now, SLICE_ROWS).await,
        }
    }
}

/// Takes what waits, for at most `wait` when nothing does. The shell holds a handle itself, so somebody can always send.
async fn receive(inbox: &mut Inbox, messages: &mut Vec<Message>, wait: Option<Duration>) {
    let received = inbox.0.recv_many(messages, INPUTS_MAX);
    match wait {
        // Nothing within that time is as good as something: time has moved on.
        Some(wait) => drop(tokio::time::timeout(wait, received).await),
        None => drop(received.await),
    }
}

fn or_warn<T>(result: Result<T, StoreError>, what: &str) -> Option<T> {
    result.inspect_err(|error| tracing::warn!(%error, "{what}; trying again")).ok()
}
