//! The shell of the dispatcher: tasks, timers and the store.
//!
//! One task owns the [`Dispatcher`] and takes inputs in batches; sends and store calls run in tasks of their own and
//! come back as inputs. All of them are tracked, so that stopping can wait for them.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use domain::lane::DueNow;
use domain::{ChannelId, Clock, DeliveryId, Timestamp};
use providers::step::{Failure, FailureKind, Reply, Step};
use store::queue::Arrival;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::attempt::{AttemptRun, Flight};
use super::hands::Hands;
use super::in_flight::InFlight;
use super::{Action, Dispatcher, Input, Standing};
use crate::observe::Observer;
use crate::registry::Registry;
use crate::transport::Transport;

/// Inputs taken at a time.
const INPUTS_MAX: usize = 512;

/// What is sent to the dispatcher's task.
enum Message {
    Input(Input),
    /// How these stand that wait.
    Standing(Vec<(ChannelId, DeliveryId)>, oneshot::Sender<Standing>),
    /// How many deliveries to these channels are under way.
    UnderWayCount(BTreeSet<ChannelId>, oneshot::Sender<usize>),
    /// Tell when this test is settled; at once when it is not under way.
    TestSettled(DeliveryId, oneshot::Sender<()>),
    /// What is due and not started.
    Due(oneshot::Sender<DueNow>),
    /// Tell when nothing is under way.
    Idle(oneshot::Sender<()>),
}

/// The way to the dispatcher.
#[derive(Clone)]
pub struct Handle(mpsc::UnboundedSender<Message>);

/// Where the dispatcher takes its messages from; made before the store, which announces arrivals to it.
pub struct Inbox {
    messages: mpsc::UnboundedReceiver<Message>,
    waiting_for_idle: Vec<oneshot::Sender<()>>,
    waiting_for_tests: Vec<(DeliveryId, oneshot::Sender<()>)>,
}

/// A handle and its inbox.
pub fn channel() -> (Handle, Inbox) {
    let (sender, messages) = mpsc::unbounded_channel();
    (Handle(sender), Inbox { messages, waiting_for_idle: Vec::new(), waiting_for_tests: Vec::new() })
}

impl Handle {
    /// Announces deliveries that are durable.
    pub fn arrived(&self, arrivals: Vec<Arrival>) {
        if !arrivals.is_empty() {
            self.input(Input::Arrived(arrivals));
        }
    }

    /// Tells the dispatcher that something happened.
    pub fn input(&self, input: Input) {
        // A dispatcher that has stopped finds what is durable when it starts again.
        let _ = self.0.send(Message::Input(input));
    }

    /// What dispatch knows of these deliveries; nothing once it has stopped.
    pub async fn standing(&self, deliveries: Vec<(ChannelId, DeliveryId)>) -> Standing {
        let (reply, answer) = oneshot::channel();
        let _ = self.0.send(Message::Standing(deliveries, reply));
        answer.await.unwrap_or_default()
    }

    /// How many deliveries to these channels are started and not durably settled.
    pub(crate) async fn under_way_count(&self, channels: BTreeSet<ChannelId>) -> usize {
        let (reply, answer) = oneshot::channel();
        let _ = self.0.send(Message::UnderWayCount(channels, reply));
        answer.await.unwrap_or_default()
    }

    /// What is due and not started; nothing once the dispatcher has stopped.
    pub(crate) async fn due(&self) -> DueNow {
        let (reply, answer) = oneshot::channel();
        let _ = self.0.send(Message::Due(reply));
        answer.await.unwrap_or_default()
    }

    /// Waits until a test is settled, for at most `patience`.
    pub(crate) async fn settled(&self, test: DeliveryId, patience: Duration) {
        let (reply, settled) = oneshot::channel();
        let _ = self.0.send(Message::TestSettled(test, reply));
        // Whoever waits looks at the delivery itself afterwards.
        let _ = tokio::time::timeout(patience, settled).await;
    }

    /// Starts nothing more.
    pub fn stop_starting(&self) {
        self.input(Input::Stop);
    }

    /// Starts nothing more, and waits at most `patience` until everything under way is settled. Returns whether it is.
    pub async fn stop(&self, patience: Duration) -> bool {
        let (reply, idle) = oneshot::channel();
        self.stop_starting();
        let _ = self.0.send(Message::Idle(reply));
        tokio::time::timeout(patience, idle).await.is_ok()
    }
}

impl Inbox {
    /// Hands the dispatcher everything that waits here, without waiting for more. Returns whether there was anything.
    /// For the simulator, which has no task that waits.
    pub fn drain_into(&mut self, dispatcher: &mut Dispatcher, now: Timestamp) -> bool {
        let mut had_any = false;
        while let Ok(message) = self.messages.try_recv() {
            self.take(message, dispatcher, now);
            had_any = true;
        }
        had_any
    }

    /// Answers those who wait for something that has come about. Returns whether the dispatcher may go: somebody waits
    /// for it to be idle, and it is.
    pub fn answer_waiting(&mut self, dispatcher: &Dispatcher) -> bool {
        // Dropping a sender tells.
        self.waiting_for_tests.retain(|(test, _)| dispatcher.is_test_under_way(*test));
        let may_go = dispatcher.is_idle() && !self.waiting_for_idle.is_empty();
        if may_go {
            self.waiting_for_idle.clear();
        }
        may_go
    }

    fn take(&mut self, message: Message, dispatcher: &mut Dispatcher, now: Timestamp) {
        match message {
            Message::Input(input) => dispatcher.handle(input, now),
            // Whoever asked may have gone.
            Message::Standing(deliveries, reply) => drop(reply.send(dispatcher.standing(&deliveries, now))),
            // Whoever asked may have gone.
            Message::UnderWayCount(channels, reply) => drop(reply.send(dispatcher.under_way_count(&channels))),
            Message::Due(reply) => drop(reply.send(dispatcher.due())),
            Message::TestSettled(test, reply) => self.waiting_for_tests.push((test, reply)),
            Message::Idle(reply) => self.waiting_for_idle.push(reply),
        }
    }
}

/// What the shell works with.
pub struct Shell<T> {
    pub handle: Handle,
    pub hands: Hands,
    pub in_flight: InFlight,
    pub registry: Arc<Registry>,
    pub transport: Arc<T>,
    pub clock: Arc<dyn Clock>,
    pub observer: Arc<dyn Observer>,
}

impl<T: Transport> Shell<T> {
    /// Runs the dispatcher until it was told to stop and everything under way is settled.
    pub async fn run(self, mut dispatcher: Dispatcher, mut inbox: Inbox) {
        let shell = Arc::new(self);
        let tasks = TaskTracker::new();
        let mut messages = Vec::with_capacity(INPUTS_MAX);
        loop {
            for action in dispatcher.actions(shell.clock.now()) {
                match action {
                    Action::Tell(moment) => shell.observer.moved(&moment),
                    action => shell.act(&tasks, action),
                }
            }
            shell.observer.in_flight(dispatcher.in_flight());
            if inbox.answer_waiting(&dispatcher) {
                return;
            }
            let wait = dispatcher.wake_at().map(|at| at.since(shell.clock.now()));
            receive(&mut inbox, &mut messages, wait).await;
            let now = shell.clock.now();
            for message in messages.drain(..) {
                inbox.take(message, &mut dispatcher, now);
            }
        }
    }

    fn act(self: &Arc<Self>, tasks: &TaskTracker, action: Action) {
        let shell = Arc::clone(self);
        // Apart, because a task is as large as the largest thing that it may do, and nearly all of them are sends. Boxed,
        // because a task is copied several times until it runs.
        if let Action::Send(flight) = action {
            tasks.spawn(Box::pin(async move { shell.handle.input(shell.send(*flight).await) }));
            return;
        }
        tasks.spawn(async move {
            let input = match action {
                Action::Settle(settlements) => shell.hands.settle(settlements).await,
                Action::Load(load) => shell.hands.load(load).await,
                Action::Announce(announcements) => shell.hands.announce(announcements).await,
                Action::Seal(seal) => shell.hands.seal(seal).await,
                Action::Reconfigure(change) => shell.hands.reconfigure(change).await,
                Action::Send(_) | Action::Tell(_) => return,
                Action::Redrive(tenant, redrive) => shell.hands.redrive(tenant, redrive).await,
                Action::Work(work, under_way) => shell.hands.work(work, under_way).await,
            };
            shell.handle.input(input);
        });
    }

    async fn send(&self, flight: Flight) -> Input {
        let mut run = AttemptRun::plan(flight, &self.registry, self.clock.now());
        while let Some(step) = run.next_step() {
            let (started_at, started) = (self.clock.now(), self.clock.monotonic());
            let reply = match step {
                Step::Inbox(entry) => run.keep(entry),
                step => {
                    if let Err(error) = self.in_flight.note(run.slot(), &run.note(started_at)) {
                        run.not_noted(&error, started_at);
                        continue;
                    }
                    unwound(pin!(self.transport.send(step))).await
                }
            };
            let took = self.clock.monotonic().saturating_sub(started);
            run.answer(&reply, (started_at, took), &self.registry, self.clock.now());
        }
        let answered = run.finish();
        self.observer.attempted(&answered);
        tracing::debug!(
            delivery = %answered.flight.delivery,
            channel = %answered.flight.channel,
            event = %answered.flight.content.event.id.public(),
            tenant = %answered.flight.content.event.content.tenant,
            outcome = answered.outcome.class.name(),
            note = %answered.outcome.note,
            "attempt over"
        );
        Input::Answered(Box::new(answered))
    }
}

/// The reply, also when the transport panics: then nobody knows how far the step got. A task that died would hold its
/// delivery and its place in the lane until the next start.
///
/// Takes what is pinned already: a future that is passed to another by value is held by it twice.
async fn unwound(mut sending: Pin<&mut impl Future<Output = Reply>>) -> Reply {
    poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| sending.as_mut().poll(cx))).unwrap_or_else(|_| {
            let detail = "the transport broke down; this is a fault of Postrider, please report it".to_owned();
            Poll::Ready(Reply::Failed(Failure { kind: FailureKind::NoAnswer, detail }))
        })
    })
    .await
}

/// Takes what waits, for at most `wait` when nothing does. The shell holds a handle itself, so somebody can always send.
async fn receive(inbox: &mut Inbox, messages: &mut Vec<Message>, wait: Option<Duration>) {
    let received = inbox.messages.recv_many(messages, INPUTS_MAX);
    match wait {
        // Nothing within that time is as good as something: time has moved on.
        Some(wait) => drop(tokio::time::timeout(wait, received).await),
        None => drop(received.await),
    }
    // Whoever is ready goes first: what they have to tell comes with this turn (decision 0031).
    tokio::task::yield_now().await;
    while messages.len() < INPUTS_MAX
        && let Ok(message) = inbox.messages.try_recv()
    {
        messages.push(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_transport_that_panics_is_an_unknown_answer() {
        let reply = unwound(pin!(async { panic!("as planned") })).await;
        let Reply::Failed(failure) = reply else { panic!("{reply:?}") };
        assert_eq!(failure.kind, FailureKind::NoAnswer);
        assert!(failure.detail.contains("report"), "{failure:?}");
    }
}
