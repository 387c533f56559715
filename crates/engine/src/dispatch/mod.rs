//! Dispatch: decides what starts when, and what becomes of it.
//!
//! [`Dispatcher`] is a state machine without I/O: inputs go in, [`Action`]s come out, time and randomness are
//! arguments. [`run`] is the shell that gives it tasks, timers and the store; the simulator is the other one. Start
//! reading at [`Dispatcher::handle`]; what an outcome means for a delivery is in [`decide`].
//!
//! In flight means started and not durably settled: a result that the store cannot take is kept and offered again, and
//! meanwhile it counts against the bound on what may start.

pub mod announce;
pub mod attempt;
pub mod breakers;
pub mod decide;
pub mod digest;
pub mod hands;
mod held;
pub mod in_flight;
mod reach;
pub mod recovery;
mod redrives;
pub mod run;
mod standing;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use domain::breaker::Trip;
use domain::lane::{Answer, Buffered, DueNow, LaneRules, Lanes, Load, Loaded, Ready};
use domain::outcome::Class;
use domain::{ChannelId, DeliveryId, RedriveId, StepsDone, TenantId, Timestamp};
use store::directory::ConfigChange;
use store::queue::{Arrival, Cancellation, Next, Settlement, Trimmed, Waiting};
use store::{Store, StoreError};

use crate::random::Entropy;
use crate::registry::{Hold, Registry};
use crate::settings::Settings;
use crate::upkeep::redrive::Sliced;
use announce::{Announcement, Announcements, Moment};
use attempt::{Answered, Content, Flight};
use breakers::Breakers;
use decide::{Circumstances, Decision, Untried, decide};
use digest::{Digests, Seal, Sealed, of_each};
use held::Held;
use in_flight::Slots;
use reach::Origin;
use redrives::Redrives;

pub use standing::Standing;
pub use work::Work;

/// How long to wait before the store is asked again after it failed.
const STORE_RETRY: Duration = Duration::from_millis(250);

/// Calls of the store that write results down at a time. What ends meanwhile gathers for the next one: a call costs the
/// same for one result as for fifty. Two, so that one waits at the store whenever it begins a commit.
const SETTLES_MAX: usize = 2;

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// Deliveries have become durable.
    Arrived(Vec<Arrival>),
    /// A try is over.
    Answered(Box<Answered>),
    /// The store took settlements.
    Settled(Arc<[Settlement]>),
    /// The store did not take settlements.
    SettleFailed(Arc<[Settlement]>),
    /// A load was carried out, or could not be.
    Loaded(Load, Option<Vec<Waiting>>),
    /// A channel was made, changed, resumed or deleted; the registry has it already.
    ChannelChanged(ChannelId),
    /// A tenant was suspended or resumed; the registry has it already.
    TenantChanged(TenantId),
    /// A tenant that had these channels was deleted; it is gone from the registry already.
    TenantDeleted(Vec<ChannelId>),
    /// What waits for a channel is ordered cancelled; the store has the order already.
    Cancelled(Cancellation),
    /// A person asked for another try; the store has made it due already.
    RetryAsked(ChannelId, DeliveryId),
    /// There are fan-outs to expand.
    ExpandAsked,
    /// A redrive is to be carried out from where it stands; the store has it already.
    RedriveAsked(TenantId, RedriveId),
    /// A slice of a redrive was done.
    Redriven(TenantId, RedriveId, Sliced),
    /// A window was sealed, or not; `None`: the store failed.
    SealDone(Seal, Option<Sealed>),
    /// Announcements were kept but for these, and whether a large fan-out came of one.
    Announced(Vec<Announcement>, bool),
    /// A config that a provider changed was written down, or could not be: then this is it.
    ReconfigureDone(Option<ConfigChange>),
    /// A piece of work was done, and whether more is left; `None`: the store failed.
    WorkDone(Work, Option<bool>),
    /// What a channel holds beyond its bounds went, or a slice of it; `None`: the store failed.
    Trimmed(ChannelId, Option<Trimmed>),
    /// Start nothing more.
    Stop,
}

/// Something to do.
#[derive(Debug)]
pub enum Action {
    /// Try a delivery; comes back as [`Input::Answered`].
    Send(Box<Flight>),
    /// Write down results; comes back as [`Input::Settled`] or [`Input::SettleFailed`].
    Settle(Vec<Settlement>),
    /// Read from the queue table; comes back as [`Input::Loaded`].
    Load(Load),
    /// Keep what owners are told, in this order; comes back as [`Input::Announced`].
    Announce(Vec<Announcement>),
    /// Make one message of several deliveries; comes back as [`Input::SealDone`].
    Seal(Seal),
    /// Write down a config that a provider changed; comes back as [`Input::ReconfigureDone`].
    Reconfigure(ConfigChange),
    /// Tell whoever observes this process; nothing comes back.
    Tell(Moment),
    /// Carry out a slice of a redrive; comes back as [`Input::Redriven`].
    Redrive(TenantId, RedriveId),
    /// Do a slice of work, leaving out what is under way; comes back as [`Input::WorkDone`].
    Work(Work, Vec<DeliveryId>),
}

/// What the dispatcher finds in the store when it starts.
#[derive(Debug, Default)]
pub struct Found {
    /// Channels with waiting deliveries.
    pub waiting: Vec<ChannelId>,
    /// Orders that are not carried out.
    pub cancellations: Vec<Cancellation>,
    /// Deleted tenants have something left.
    pub has_purge: bool,
    /// Redrives that run.
    pub redrives: Vec<(TenantId, RedriveId)>,
    /// Channels whose breakers were open.
    pub tripped: Vec<(ChannelId, Trip)>,
}

impl Found {
    /// Looks.
    pub async fn in_store(store: &dyn Store) -> Result<Self, StoreError> {
        Ok(Self {
            waiting: store.waiting_channels().await?,
            cancellations: store.cancellations().await?,
            has_purge: store.has_purge().await?,
            redrives: store.running_redrives().await?,
            tripped: store.tripped_channels().await?,
        })
    }
}

/// Decides what starts when. One for all channels that this process owns.
pub struct Dispatcher {
    registry: Arc<Registry>,
    entropy: Arc<dyn Entropy>,
    lanes: Lanes<Content>,
    digests: Digests,
    /// Tests under way, and where they go: they use no lane.
    tests: BTreeMap<DeliveryId, ChannelId>,
    /// Tests that a person asked for again before their result was known to be durable.
    retried_tests: BTreeSet<DeliveryId>,
    /// Where sends under way are noted.
    slots: Slots,
    /// Results that the store does not have yet.
    unsaved: Vec<Settlement>,
    /// Calls that write results down and have not come back.
    settles_under_way: usize,
    /// Before this, the store is not asked to take results or load: it has just failed.
    store_rest_until: Option<Timestamp>,
    throttled_in_a_row: BTreeMap<ChannelId, u32>,
    breakers: Breakers,
    held: Held,
    announcements: Announcements,
    /// Orders that are not carried out.
    cancelled: BTreeMap<ChannelId, Cancellation>,
    /// Channels whose lanes hold what they have: paused, or their tenant suspended.
    paused: BTreeSet<ChannelId>,
    /// Configs that providers changed, which the store could not take the last time.
    unsaved_configs: Vec<ConfigChange>,
    work: BTreeSet<Work>,
    work_under_way: BTreeSet<Work>,
    redrives: Redrives,
    expiry_due: Timestamp,
    /// When it is looked for what is old; `None`: everything is kept for ever.
    retention_due: Option<Timestamp>,
    actions: Vec<Action>,
    is_stopping: bool,
}

impl Dispatcher {
    /// A dispatcher that goes on where the last one ended.
    pub fn new(
        registry: Arc<Registry>,
        entropy: Arc<dyn Entropy>,
        settings: &Settings,
        found: Found,
        now: Timestamp,
    ) -> Self {
        let mut dispatcher = Self {
            registry,
            entropy,
            lanes: Lanes::new(settings.bounds(), now),
            digests: Digests::default(),
            tests: BTreeMap::new(),
            retried_tests: BTreeSet::new(),
            slots: Slots::default(),
            unsaved: Vec::new(),
            settles_under_way: 0,
            store_rest_until: None,
            throttled_in_a_row: BTreeMap::new(),
            breakers: Breakers::default(),
            held: Held::default(),
            announcements: Announcements::default(),
            cancelled: BTreeMap::new(),
            paused: BTreeSet::new(),
            unsaved_configs: Vec::new(),
            work: BTreeSet::from([Work::Expand]),
            work_under_way: BTreeSet::new(),
            redrives: Redrives::default(),
            expiry_due: now,
            retention_due: settings.retention.is_bounded().then_some(now),
            actions: Vec::new(),
            is_stopping: false,
        };
        if found.has_purge {
            dispatcher.work.insert(Work::Purge);
        }
        found.redrives.iter().for_each(|redrive| dispatcher.redrives.ask(*redrive, now));
        for channel in found.waiting {
            dispatcher.channel_changed(channel, now);
            dispatcher.lanes.spill(channel);
        }
        for cancellation in found.cancellations {
            dispatcher.cancel(cancellation, now);
        }
        for (channel, trip) in found.tripped {
            dispatcher.reopen_breaker(channel, trip, now);
        }
        dispatcher
    }

    /// Takes something that happened.
    pub fn handle(&mut self, input: Input, now: Timestamp) {
        match input {
            Input::Arrived(arrivals) => arrivals.into_iter().for_each(|arrival| self.arrived(arrival, now)),
            Input::Answered(answered) => self.answered(*answered, now),
            Input::Settled(settlements) => {
                self.settles_under_way -= 1;
                settlements.iter().for_each(|settlement| self.settled(settlement, now));
            }
            Input::SettleFailed(settlements) => {
                self.settles_under_way -= 1;
                self.unsaved.extend_from_slice(&settlements);
                self.rest(now);
            }
            Input::Loaded(load, found) => self.loaded(load, found, now),
            Input::ChannelChanged(channel) => {
                self.reset_breaker(channel, now);
                self.channel_changed(channel, now);
                if self.held.holds(channel) {
                    // Its bounds may be others now.
                    self.work.insert(Work::Trim(channel));
                }
            }
            Input::TenantChanged(tenant) => self.tenant_changed(tenant, now),
            Input::TenantDeleted(channels) => self.tenant_deleted(channels, now),
            Input::Cancelled(cancellation) => self.cancel(cancellation, now),
            Input::RetryAsked(channel, delivery) => {
                self.ensure_lane(channel, now);
                self.holds_again(channel);
                self.retry_asked(channel, delivery);
            }
            Input::ExpandAsked => {
                self.work.insert(Work::Expand);
            }
            Input::RedriveAsked(tenant, redrive) => self.redrives.ask((tenant, redrive), now),
            Input::Redriven(tenant, redrive, sliced) => self.redriven((tenant, redrive), sliced, now),
            Input::SealDone(seal, result) => self.seal_done(seal, result, now),
            Input::Announced(left, expands) => self.announced(left, expands, now),
            Input::ReconfigureDone(failed) => self.reconfigure_done(failed, now),
            Input::WorkDone(work, more) => self.work_done(work, more, now),
            Input::Trimmed(channel, trimmed) => self.trimmed(channel, trimmed, now),
            Input::Stop => self.is_stopping = true,
        }
    }

    /// Moves time on and tells what is to be done now.
    pub fn actions(&mut self, now: Timestamp) -> Vec<Action> {
        self.lanes.advance(now);
        self.probe(now);
        self.end_counts(now);
        if !self.is_stopping {
            self.close_windows(now);
            self.start_all(now);
        }
        if self.store_rest_until.is_some_and(|until| until <= now) {
            self.store_rest_until = None;
        }
        if self.store_rest_until.is_none() {
            if !self.unsaved.is_empty() && self.settles_under_way < SETTLES_MAX {
                self.settles_under_way += 1;
                self.actions.push(Action::Settle(std::mem::take(&mut self.unsaved)));
            }
            self.keep_announcements();
            self.actions.extend(self.unsaved_configs.drain(..).map(Action::Reconfigure));
            if !self.is_stopping {
                self.seal_closed();
                self.load_all();
                self.do_work(now);
                let due = self.redrives.take_due(now);
                self.actions.extend(due.into_iter().map(|(tenant, redrive)| Action::Redrive(tenant, redrive)));
            }
        }
        std::mem::take(&mut self.actions)
    }

    /// When [`Dispatcher::actions`] has something to do next, if nothing happens before.
    pub fn wake_at(&self) -> Option<Timestamp> {
        let may_work = !self.is_stopping && self.store_rest_until.is_none();
        let expiry = (may_work && self.holding().next().is_some()).then_some(self.expiry_due);
        let redrive = self.redrives.wake_at().filter(|_| may_work);
        let retention = self.retention_due.filter(|_| may_work);
        let window = if self.is_stopping { None } else { self.next_end() };
        let lanes = [self.lanes.wake_at(), self.breakers.wake_at(), self.announcements.wake_at(), window];
        let work = [self.store_rest_until, expiry, redrive, retention];
        lanes.into_iter().chain(work).flatten().min()
    }

    /// Whether nothing is under way: after [`Input::Stop`], that everything is settled.
    pub fn is_idle(&self) -> bool {
        self.lanes.unsettled() == 0 && self.tests.is_empty() && self.unsaved.is_empty() && self.announcements.is_idle()
    }

    /// Deliveries started and not durably settled.
    pub fn in_flight(&self) -> usize {
        self.lanes.unsettled() + self.tests.len()
    }

    /// What is due and not started: see [`Lanes::due`].
    pub fn due(&self) -> DueNow {
        self.lanes.due(|content| content.due_since)
    }

    /// What is in memory and not started: see [`Lanes::buffered`].
    pub fn buffered(&self) -> Buffered {
        self.lanes.buffered()
    }

    fn arrived(&mut self, arrival: Arrival, now: Timestamp) {
        let Arrival { delivery, channel, created_at, expires_at, attempts_max, event } = arrival;
        let content = Content {
            event,
            created_at,
            due_since: created_at,
            expires_at,
            attempts: 0,
            tries: 0,
            attempts_max,
            steps_done: StepsDone::NONE,
            digest: None,
        };
        // A test of a tenant that was suspended since it was asked for waits as everything else does.
        let is_suspended = || matches!(self.hold_of(channel), Some(Hold::Suspended(_)));
        if attempts_max.is_some() && !is_suspended() {
            if self.lanes.has_passed(channel, delivery) {
                return;
            }
            self.tests.insert(delivery, channel);
            self.start(channel, delivery, content, now);
            return;
        }
        self.ensure_lane(channel, now);
        self.holds_more(channel);
        if !self.collect_arrival(channel, delivery, &content) {
            self.lanes.arrive(channel, ready(delivery, content), now);
        }
    }

    fn ensure_lane(&mut self, channel: ChannelId, now: Timestamp) {
        if !self.lanes.is_open(channel) {
            self.channel_changed(channel, now);
        }
    }

    fn start_all(&mut self, now: Timestamp) {
        while let Some(start) = self.lanes.start_next(now) {
            self.start(start.channel, start.delivery, start.item, now);
        }
    }

    /// Starts a delivery, unless its turn comes too late or its channel no longer wants it.
    fn start(&mut self, channel: ChannelId, delivery: DeliveryId, content: Content, now: Timestamp) {
        self.digests.started(channel, delivery, &content);
        let untried = match self.registry.channel(channel) {
            _ if content.expires_at <= now => Untried::Expired,
            None => Untried::ChannelDeleted,
            Some(live) if !live.channel.settings.is_active => Untried::ChannelSwitchedOff,
            Some(live) => {
                let slot = self.slots.take(delivery);
                self.actions.push(Action::Send(Box::new(Flight { delivery, channel, live, content, slot })));
                return;
            }
        };
        let settlement = decide::without_try(delivery, channel, &content, untried, now);
        self.unsaved.extend(of_each(settlement, content.digest.as_deref()));
        self.lane_answered(channel, delivery, Answer { requests: 0, took: Duration::ZERO }, now);
    }

    fn lane_answered(&mut self, channel: ChannelId, delivery: DeliveryId, answer: Answer, now: Timestamp) {
        if !self.tests.contains_key(&delivery) {
            self.lanes.answered(channel, answer, now);
        }
    }

    fn answered(&mut self, answered: Answered, now: Timestamp) {
        let channel = answered.flight.channel;
        let delivery = answered.flight.delivery;
        let class = answered.outcome.class;
        let used = Arc::clone(&answered.flight.live);
        let answer = answered.answer();
        if let Some(patch) = &answered.patch {
            self.reconfigure(&used, patch, now);
        }
        let in_a_row = self.throttled_in_a_row.get(&channel).copied().unwrap_or(0);
        let is_test = answered.flight.content.attempts_max.is_some();
        let is_tripped = !is_test && self.feed_breaker(&used, &answered, now);
        let known = Circumstances { throttled_in_a_row: in_a_row, is_tripped };
        let digest = answered.flight.content.digest.clone();
        let origin = Origin { delivery, is_own: answered.is_own() };
        let Decision { mut settlement, for_channel } = decide(answered, known, now, self.entropy.number());
        match class {
            Class::Throttled => *self.throttled_in_a_row.entry(channel).or_default() += 1,
            Class::Delivered => drop(self.throttled_in_a_row.remove(&channel)),
            Class::Retry | Class::Permanent | Class::Unknown => {}
        }
        self.reach(&used, origin, for_channel, now);
        if let Some(order) = self.cancelled.get(&channel)
            && delivery <= order.up_to
        {
            settlement = decide::cancel(settlement, order);
        }
        self.unsaved.extend(of_each(settlement, digest.as_deref()));
        self.lane_answered(channel, delivery, answer, now);
    }

    fn settled(&mut self, settlement: &Settlement, now: Timestamp) {
        let (channel, delivery) = (settlement.channel, settlement.delivery);
        self.slots.give_back(delivery);
        if self.is_ordered_cancelled(channel, delivery) {
            // The order is carried out when nothing that it covers is under way any more.
            self.work.insert(Work::Cancel(channel));
        }
        if self.tests.remove(&delivery).is_some() {
            self.lanes.settled_elsewhere(channel, delivery);
            if self.retried_tests.remove(&delivery) {
                self.lanes.recall(channel, delivery);
            }
            return;
        }
        self.announce_death(settlement, now);
        if matches!(settlement.next, Next::Wait { .. }) {
            self.waits_again(channel);
        }
        if self.settled_in_digest(settlement) {
            return;
        }
        let due = match &settlement.next {
            Next::Wait { due_at, .. } => Some(*due_at),
            Next::Over { .. } => None,
        };
        self.lanes.settled(channel, delivery, due, now);
    }

    fn rest(&mut self, now: Timestamp) {
        self.store_rest_until = Some(now.after(STORE_RETRY));
    }

    fn load_all(&mut self) {
        while let Some(load) = self.lanes.next_load() {
            self.actions.push(Action::Load(load));
        }
    }

    fn loaded(&mut self, load: Load, found: Option<Vec<Waiting>>, now: Timestamp) {
        let Some(rows) = found else {
            self.lanes.load_failed(load);
            self.rest(now);
            return;
        };
        let mut result = Loaded {
            ready: Vec::new(),
            later: Vec::new(),
            reached: rows.last().map(|row| row.delivery),
            newest: rows.iter().map(|row| row.delivery).max(),
            is_drained: rows.len() < load.items_max,
        };
        for row in rows {
            if self.tests.contains_key(&row.delivery) {
                continue;
            }
            let Some(row) = self.take_digest_row(&load, row, now) else { continue };
            let (delivery, due_at) = (row.delivery, row.due_at);
            match Content::of_row(row, now) {
                Some(content) => result.ready.push(ready(delivery, content)),
                None => result.later.push((delivery, due_at)),
            }
        }
        self.lanes.loaded(&load, result, now);
    }

    fn channel_changed(&mut self, channel: ChannelId, now: Timestamp) {
        let live = self.registry.channel(channel);
        let rules = live.as_ref().map_or_else(LaneRules::of_nobody, |live| live.lane_rules());
        self.lanes.open(channel, &rules, now);
        // What waits for a deleted channel still has its turn, to be cancelled.
        if live.as_ref().is_some_and(|live| live.held().is_some()) {
            if self.paused.insert(channel) {
                self.lanes.pause(channel);
                self.digests.forget(channel);
                if live.is_some_and(|live| live.channel.pause.is_some()) {
                    self.begin_hold(channel);
                }
            }
        } else if self.paused.remove(&channel) {
            // What a channel was asked to wait for is over with its own pause, not with one of its whole tenant.
            let was_its_own = self.held.holds(channel) && !self.breakers.is_tripped(channel);
            self.end_hold(channel);
            if was_its_own {
                self.throttled_in_a_row.remove(&channel);
            }
            // What is being trimmed must not start: the lane goes on after that.
            if !self.work_under_way.contains(&Work::Trim(channel)) {
                if was_its_own {
                    self.lanes.resume(channel);
                } else {
                    self.lanes.go_on(channel);
                }
            }
        }
        self.digest_rule_changed(channel);
    }

    fn hold_of(&self, channel: ChannelId) -> Option<Hold> {
        self.registry.channel(channel).and_then(|live| live.held())
    }

    /// Holds what waits for a tenant, or lets it go on. A lane that opens later looks for itself.
    fn tenant_changed(&mut self, tenant: TenantId, now: Timestamp) {
        for live in self.registry.channels(tenant, ChannelId(0), usize::MAX) {
            if self.lanes.is_open(live.channel.id) {
                self.channel_changed(live.channel.id, now);
            }
        }
    }

    /// Drops what waits for channels of which nothing is to be left, and has it erased.
    fn tenant_deleted(&mut self, channels: Vec<ChannelId>, now: Timestamp) {
        for channel in channels.into_iter().filter(|channel| self.lanes.is_open(*channel)).collect::<Vec<_>>() {
            self.channel_changed(channel, now);
            // Nothing that arrives or is read from now on concerns the lane.
            self.lanes.forget(channel, DeliveryId(i64::MAX));
            self.digests.forget(channel);
            self.cancelled.remove(&channel);
            self.work.remove(&Work::Cancel(channel));
            self.work.remove(&Work::Expire(channel));
            self.held.forget(channel);
            self.work.remove(&Work::Trim(channel));
        }
        self.work.insert(Work::Purge);
    }

    fn cancel(&mut self, cancellation: Cancellation, now: Timestamp) {
        let (channel, up_to) = (cancellation.channel, cancellation.up_to);
        self.ensure_lane(channel, now);
        self.lanes.forget(channel, up_to);
        self.digests.forget(channel);
        self.cancelled.insert(channel, cancellation);
        self.work.insert(Work::Cancel(channel));
    }
}

/// Since when a row of the queue may start: the first try since it was accepted, a later one since it was due. One that a
/// person has asked for carries no time, and is due now.
pub(crate) fn due_since(row: &Waiting, now: Timestamp) -> Timestamp {
    match (row.tries, row.due_at) {
        (0, _) => row.created_at.max(row.due_at),
        (_, Timestamp::EPOCH) => now,
        (_, due_at) => due_at,
    }
}

fn ready(delivery: DeliveryId, content: Content) -> Ready<Content> {
    // The event's text, and about what the rest takes.
    let bytes = content.event.content.data.len() + 256;
    Ready { delivery, bytes, item: content }
}
