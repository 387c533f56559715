//! The scheduler: virtual time, what happens when, and the process in the middle of it.
//!
//! A world has two parts. First clients post, owners change things and whatever the seed says goes wrong. Then peace:
//! faults end, receivers recover, and time runs on until nothing moves any more. Everything must be over by then.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use domain::delivery::State;
use domain::{Clock as _, DeliveryId, EventId, TenantId};
use engine::Engine;
use engine::dispatch::{Action, Input};
use engine::ops::{Accepted, Explained, OpsError};
use engine::settings::Retention;
use providers::step::Reply;
use store::queue::{Next, Settlement};
use store::sqlite::writer;
use tempfile::TempDir;

use crate::backlog::Watch;
use crate::clients::Client;
use crate::clock::{VirtualClock, us};
use crate::database;
use crate::dice::{Dice, SeededEntropy};
use crate::faults::{Fault, Faults};
use crate::kept;
use crate::model::{Broken, Counts, Model};
use crate::owners::{Order, Owner};
use crate::plan::Planned;
use crate::process::{Process, Task, carry_out, poll};
use crate::properties;
use crate::receivers::{Fate, Mood, Receiver};
use crate::scenario::Scenario;
use crate::shrink::{Only, Part};
use crate::slots::MemorySlots;
use crate::telling;
use crate::trace::{Trace, describe};

/// A lie that the world tells on purpose, to see that the properties find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// One settlement is reported as written and never was.
    LoseSettlement,
    /// One accepted delivery is not told to the dispatcher.
    LoseArrival,
    /// One client is told that its event is kept, and it is not.
    LoseEvent,
    /// One request goes out twice.
    SendTwice,
    /// One request is reported as delivered and never reached its receiver.
    ForgeAnswer,
}

/// How far the one lie of a world is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// It tells none.
    Never,
    Wanted(Sabotage),
    /// The next arrival is not to be heard.
    Deaf,
    Told,
}

/// How a simulation is run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub prints_trace: bool,
    pub sabotage: Option<Sabotage>,
    /// What the world is made of.
    pub only: Only,
}

/// What came of a simulation.
#[derive(Debug)]
pub struct Report {
    pub seed: u64,
    pub trace_hash: u64,
    /// The first thing that must not be, and when it was noticed.
    pub broken: Option<(Duration, Broken)>,
    /// How often each fault struck.
    pub struck: BTreeMap<Fault, usize>,
    /// What the world was made of.
    pub parts: Vec<Part>,
    /// Whether the lie was told that the options ask for.
    pub has_lied: bool,
    /// Whether nothing of its history was let go of, so that what was written can be looked at in the end.
    pub keeps_history: bool,
    pub counts: Counts,
    pub took_virtual: Duration,
}

/// More steps than any simulation needs: who takes more goes round in circles.
const STEPS_MAX: u64 = 400_000;

/// How long peace lasts at most: longer than every time-to-live and schedule of a world.
const PEACE_MAX: Duration = Duration::from_hours(4);

/// Something that is to happen. What belongs to a life of the process names it, and is void in the next.
pub(crate) enum Event {
    /// What waits to be written is committed.
    Commit(u32),
    /// A result that was held up reaches the dispatcher.
    Late(u32, Box<Input>),
    Arrive(u64),
    Reply(u64, Box<Reply>),
    Post(usize),
    /// An owner wants something.
    Order(Dice),
    /// Somebody looks at something.
    Look(Dice),
    /// The dispatcher hears what the store has announced.
    Announce(u32),
    /// A receiver changes its mood.
    Mood(usize),
    Restart,
    OutageOver,
    Peace,
}

/// What a task of the process has come to.
pub(crate) enum Done {
    Input(Box<Input>),
    Posted(usize, Result<Vec<Accepted>, OpsError>),
    Ordered(Result<Order, (Order, OpsError)>),
    Saw(Vec<(DeliveryId, State)>),
    Explained(Result<Explained, OpsError>),
    Stopped,
}

pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) scenario: Scenario,
    pub(crate) dice: Dice,
    pub(crate) only: Only,
    /// What of the plan there is.
    pub(crate) parts: Vec<Part>,
    pub(crate) faults: Faults,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) model: Model,
    pub(crate) process: Option<Process<Done>>,
    pub(crate) clients: Vec<Client>,
    pub(crate) owner: Owner,
    pub(crate) receivers: Vec<Receiver>,
    pub(crate) tenants: Vec<TenantId>,
    pub(crate) is_peace: bool,
    pub(crate) trace: Trace,
    pub(crate) entropy: Arc<SeededEntropy>,
    pub(crate) data_dir: TempDir,
    /// What a crash leaves of the sends under way.
    pub(crate) slots: Arc<MemorySlots>,
    pub(crate) life: u32,
    queue: BTreeMap<(u64, u64), Event>,
    queued: u64,
    pub(crate) exchanges: u64,
    /// What the sender hears of exchanges under way, and what the receiver answers.
    pub(crate) fates: BTreeMap<u64, Fate>,
    pub(crate) is_commit_due: bool,
    pub(crate) is_disk_out: bool,
    lie: Lie,
    /// Of which a result was given to the store.
    handed_over: BTreeSet<DeliveryId>,
    pub(crate) broken: Option<(Duration, Broken)>,
    /// Whoever watches a world that begins with a backlog.
    pub(crate) watch: Option<Watch>,
}

/// Runs the simulation of a seed.
pub fn simulate(seed: u64, options: &Options) -> anyhow::Result<Report> {
    // The engine's patience needs a timer to ask; nothing drives it, so it never runs out. Time is ours.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let _entered = runtime.enter();
    let mut world = World::new(seed, options)?;
    world.set_up()?;
    world.run()?;
    let has_lied = world.lie == Lie::Told;
    let keeps_history = world.scenario.settings.retention == Retention::default() && world.model.gone.is_empty();
    Ok(Report {
        seed,
        trace_hash: world.trace.hash(),
        broken: world.broken,
        struck: world.faults.struck(),
        parts: world.parts.iter().copied().chain(world.faults.parts()).collect(),
        has_lied,
        keeps_history,
        counts: world.model.counts,
        took_virtual: world.clock.monotonic(),
    })
}

impl World {
    fn new(seed: u64, options: &Options) -> anyhow::Result<Self> {
        let mut dice = Dice::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d);
        let scenario = Scenario::draw(seed, &mut dice);
        Self::of(seed, scenario, dice, options)
    }

    /// A world in which nothing has happened.
    pub(crate) fn of(seed: u64, scenario: Scenario, mut dice: Dice, options: &Options) -> anyhow::Result<Self> {
        let faults = Faults::new(dice.fork(), options.only.clone());
        let entropy = Arc::new(SeededEntropy::new(dice.fork()));
        Ok(Self {
            seed,
            scenario,
            only: options.only.clone(),
            parts: Vec::new(),
            faults,
            clock: Arc::default(),
            model: Model::default(),
            process: None,
            clients: Vec::new(),
            owner: Owner::default(),
            receivers: Vec::new(),
            tenants: Vec::new(),
            is_peace: false,
            trace: Trace::new(options.prints_trace),
            entropy,
            data_dir: database::new_data_dir()?,
            slots: Arc::default(),
            life: 0,
            queue: BTreeMap::new(),
            queued: 0,
            exchanges: 0,
            fates: BTreeMap::new(),
            is_commit_due: false,
            is_disk_out: false,
            lie: options.sabotage.map_or(Lie::Never, Lie::Wanted),
            handed_over: BTreeSet::new(),
            broken: None,
            watch: None,
            dice,
        })
    }

    /// Tenants, channels and the plans of everyone.
    fn set_up(&mut self) -> anyhow::Result<()> {
        let scenario = format!("{:?}", self.scenario);
        self.note(format_args!("{scenario}"));
        self.start_process()?;
        let plan = Planned::draw(&self.scenario, &mut self.dice);
        self.carry_out(plan)?;
        if self.scenario.has_large_fan_out {
            self.make_many_channels()?;
        }
        if self.scenario.has_backlog {
            self.make_backlog()?;
        }
        let trouble_us = us(self.scenario.trouble);
        self.at(trouble_us, Event::Peace);
        Ok(())
    }

    /// Runs a future to its end, writing as soon as something waits: before anything can go wrong.
    pub(crate) fn drive<T>(&mut self, future: impl Future<Output = T> + 'static) -> T {
        let mut task: Task<T> = Box::pin(future);
        loop {
            if let Some(result) = poll(&mut task) {
                return result;
            }
            self.process.as_ref().expect("running").store.run_writes(None);
            self.announce();
        }
    }

    pub(crate) fn engine(&self) -> Arc<Engine> {
        Arc::clone(&self.process.as_ref().expect("running").engine)
    }

    fn run(&mut self) -> anyhow::Result<()> {
        let mut steps = 0;
        self.go_on();
        while self.broken.is_none() {
            if !self.step()? {
                break;
            }
            if !self.is_peace && self.process.is_some() {
                self.maybe_interrupt();
            }
            steps += 1;
            if steps > STEPS_MAX {
                self.breaks(Err("the world goes round in circles".to_owned()));
            }
        }
        if self.broken.is_none() {
            self.end()?;
        }
        Ok(())
    }

    /// The next thing happens; `false` when nothing will that matters.
    pub(crate) fn step(&mut self) -> anyhow::Result<bool> {
        let Some(at) = self.next_at() else { return Ok(false) };
        self.clock.advance_to(at);
        if self.queue.first_key_value().is_some_and(|((due, _), _)| *due <= at)
            && let Some((_, event)) = self.queue.pop_first()
        {
            self.happen(event)?;
        }
        self.go_on();
        Ok(true)
    }

    fn end(&mut self) -> anyhow::Result<()> {
        let checked = properties::at_the_end(self);
        self.breaks(checked);
        if self.broken.is_none() {
            // What is true does not live in memory.
            self.die();
            self.start_process()?;
            let checked = properties::at_the_end(self);
            self.breaks(checked);
        }
        let counts = self.model.counts;
        self.note(format_args!("{counts:?}"));
        Ok(())
    }

    /// When the next thing happens; `None` when nothing will that matters.
    fn next_at(&self) -> Option<u64> {
        let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
        let wake = self.process.as_ref().and_then(|process| process.dispatcher.wake_at());
        // A paused channel is looked through for ever.
        let end_us = us(self.scenario.trouble + PEACE_MAX);
        let wake_us = wake.map(|at| self.clock.elapsed_at(at)).filter(|at| *at <= end_us);
        [queued, wake_us].into_iter().flatten().min()
    }

    pub(crate) fn at(&mut self, at_us: u64, event: Event) {
        self.queued += 1;
        self.queue.insert((at_us, self.queued), event);
    }

    pub(crate) fn after(&mut self, wait_us: u64, event: Event) {
        self.at(self.clock.elapsed_us() + wait_us, event);
    }

    pub(crate) fn note(&mut self, line: fmt::Arguments<'_>) {
        self.trace.note(self.clock.monotonic(), line);
    }

    /// Keeps the first thing that must not be.
    pub(crate) fn breaks(&mut self, checked: Result<(), Broken>) {
        if let Err(broken) = checked
            && self.broken.is_none()
        {
            self.note(format_args!("BROKEN: {broken}"));
            self.broken = Some((self.clock.monotonic(), broken));
        }
    }

    fn happen(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Commit(life) if life == self.life => self.commit(),
            Event::Late(life, input) if life == self.life => self.hear(*input),
            Event::Announce(life) if life == self.life => self.announce(),
            Event::Commit(_) | Event::Late(..) | Event::Announce(_) => {}
            Event::Arrive(id) => self.arrive(id),
            Event::Reply(id, reply) => self.reply(id, &reply),
            Event::Post(client) => self.post(client),
            Event::Order(dice) => self.order(dice),
            Event::Look(dice) => self.look(dice),
            Event::Mood(receiver) => self.change_mood(receiver),
            Event::Restart => self.start_process()?,
            Event::OutageOver => {
                self.is_disk_out = false;
                self.note(format_args!("the disk is back"));
            }
            Event::Peace => self.make_peace()?,
        }
        Ok(())
    }

    fn make_peace(&mut self) -> anyhow::Result<()> {
        self.note(format_args!("peace"));
        self.is_peace = true;
        self.is_disk_out = false;
        self.faults.end();
        if self.process.as_ref().is_some_and(|process| process.is_stopping) {
            self.die();
        }
        self.start_process()?;
        self.receivers.iter_mut().for_each(|receiver| receiver.mood = Mood::Healthy);
        self.order_in_peace();
        Ok(())
    }

    /// Lets the process go on until it waits for something.
    pub(crate) fn go_on(&mut self) {
        loop {
            let now = self.clock.now();
            let Some(process) = &mut self.process else { return };
            let moved = process.go_on(now);
            let is_quiet = moved.is_quiet;
            for action in moved.actions {
                self.act(action);
            }
            for done in moved.done {
                self.finish(done);
            }
            if is_quiet || self.broken.is_some() {
                break;
            }
        }
        let Some(process) = &self.process else { return };
        if let Some(at) = process.dispatcher.wake_at()
            && at <= self.clock.now()
        {
            self.breaks(Err("the dispatcher wants to be woken at once and has nothing to do".to_owned()));
        }
        self.watch_memory();
        let held = telling::held_within_bounds(self);
        self.breaks(held);
        self.schedule_commit();
    }

    fn schedule_commit(&mut self) {
        let has_writes = self.process.as_ref().is_some_and(|process| process.store.has_writes());
        if !has_writes || self.is_commit_due {
            return;
        }
        self.is_commit_due = true;
        let is_slow = self.faults.strikes(Fault::SlowCommit);
        let wait_us = if is_slow { self.dice.between(5_000, 2_000_000) } else { self.dice.between(50, 1_500) };
        self.after(wait_us, Event::Commit(self.life));
    }

    fn commit(&mut self) {
        self.is_commit_due = false;
        // The thread that writes announces before it writes again.
        self.announce();
        let Some(process) = &self.process else { return };
        let store = Arc::clone(&process.store);
        let fault = if self.is_disk_out || self.faults.strikes(Fault::CommitFailed) {
            Some(writer::Fault::BeforeCommit)
        } else if self.faults.strikes(Fault::CommitAnswerLost) {
            Some(writer::Fault::AnswerLost)
        } else {
            None
        };
        let jobs = store.run_writes(fault);
        drop(store);
        self.note(format_args!("commit of {jobs} jobs, {fault:?}"));
        if self.faults.strikes(Fault::LateArrival) {
            let wait_us = self.dice.between(10, 2_000);
            self.after(wait_us, Event::Announce(self.life));
        } else {
            self.announce();
        }
        if self.faults.strikes(Fault::CrashAfterCommit) {
            self.crash();
        }
    }

    /// The dispatcher hears of what has become durable.
    fn announce(&mut self) {
        let Some(process) = &self.process else { return };
        let mut arrivals = process.take_announced();
        if self.lie == Lie::Deaf && arrivals.pop().is_some() {
            self.lie = Lie::Told;
        }
        process.handle.arrived(arrivals);
    }

    fn act(&mut self, action: Action) {
        if let Action::Settle(settlements) = &action {
            let decided = self.model.decides(settlements);
            self.breaks(decided);
        }
        self.model.slices += u32::from(matches!(action, Action::Redrive(..)));
        let action = match action {
            Action::Send(flight) => return self.send(*flight),
            Action::Tell(moment) => return self.hear_moment(&moment),
            other => other,
        };
        // One that is handed over again may have been written the first time, and would be no lie.
        let results: &[Settlement] = if let Action::Settle(some) = &action { some } else { &[] };
        let is_first = results.iter().all(|result| !self.handed_over.contains(&result.delivery));
        self.handed_over.extend(results.iter().map(|result| result.delivery));
        let lies = self.sabotages(
            |sabotage, action| {
                sabotage == Sabotage::LoseSettlement
                    && is_first
                    && matches!(action, Some(Action::Settle(some)) if some.iter().any(is_telling))
            },
            Some(&action),
        );
        let Some(process) = &mut self.process else { return };
        let hands = Arc::clone(&process.hands);
        process.spawn(async move {
            let input = match action {
                Action::Settle(settlements) if lies => Input::Settled(settlements.into()),
                other => carry_out(&hands, other).await,
            };
            Done::Input(Box::new(input))
        });
    }

    fn finish(&mut self, done: Done) {
        match done {
            Done::Input(input) if self.faults.strikes(Fault::LateResult) => {
                let wait_us = self.dice.between(10, 20_000);
                self.after(wait_us, Event::Late(self.life, input));
            }
            Done::Input(input) => self.hear(*input),
            Done::Posted(client, result) => self.posted(client, result),
            Done::Ordered(result) => self.ordered(result),
            Done::Saw(seen) => {
                for (delivery, state) in seen {
                    let is_redriven = self.redrives_reaching(delivery) > 0;
                    let checked = self.model.sees(delivery, state, is_redriven);
                    self.breaks(checked);
                }
            }
            Done::Explained(result) => {
                let has_all = self.scenario.settings.retention == Retention::default();
                let checked = properties::explained(&result, has_all);
                self.breaks(checked);
            }
            Done::Stopped => self.stopped(),
        }
    }

    /// The dispatcher hears of something.
    pub(crate) fn hear(&mut self, input: Input) {
        if let Input::Settled(settlements) = &input {
            self.model.settles(settlements);
        }
        if matches!(input, Input::Redriven(..)) {
            self.model.slices -= 1;
        }
        self.watch_loads(&input);
        let line = describe(&input);
        self.note(format_args!("{line}"));
        if let Some(process) = &self.process {
            process.handle.input(input);
        }
    }

    /// Somebody looks at something.
    fn look(&mut self, mut dice: Dice) {
        let checked = kept::what_waits_has_its_event(self);
        self.breaks(checked);
        let known: Vec<(EventId, TenantId)> =
            self.model.kept.iter().map(|(event, (serial, _))| (*event, self.model.items[serial].0)).collect();
        let channels: Vec<_> = self.model.channels.keys().copied().collect();
        if known.is_empty() || channels.is_empty() || self.process.is_none() {
            return;
        }
        let (event, tenant) = known[dice.position(known.len())];
        let channel = channels[dice.position(channels.len())];
        let engine = self.engine();
        let Some(process) = &mut self.process else { return };
        let shown = Arc::clone(&engine);
        process.spawn(async move {
            let shown = shown.event(tenant, event, 100).await;
            Done::Saw(shown.map_or(Vec::new(), |shown| {
                shown.deliveries.into_iter().map(|delivery| (delivery.id, delivery.state)).collect()
            }))
        });
        process.spawn(async move { Done::Explained(engine.explain(tenant, event, channel).await) });
        self.go_on();
    }

    /// Whether to lie now: once, in peace, where the case fits.
    pub(crate) fn sabotages(
        &mut self,
        fits: impl Fn(Sabotage, Option<&Action>) -> bool,
        action: Option<&Action>,
    ) -> bool {
        let lies = self.is_peace && matches!(self.lie, Lie::Wanted(sabotage) if fits(sabotage, action));
        if lies {
            self.lie = Lie::Told;
        }
        lies
    }

    /// Lets the dispatcher miss the next arrival, if that is the lie.
    pub(crate) fn maybe_deafen(&mut self) {
        if self.sabotages(|sabotage, _| sabotage == Sabotage::LoseArrival, None) {
            self.lie = Lie::Deaf;
        }
    }
}

/// Whether nobody would ever know of this result if it were lost: then its loss is found out whatever comes later.
fn is_telling(settlement: &Settlement) -> bool {
    matches!(settlement.next, Next::Over { state: State::Sent, .. })
}
