//! A start with a backlog: up to millions of deliveries that wait when the process begins.
//!
//! The [world](crate::world) is the usual one, with its receivers, its model and its crashes. What is special is how it
//! begins, with rows that [`store::sqlite::backlog`] has written in one go, and how it ends: a few thousand deliveries show
//! what there is to show, and the rest may wait on. [`inhabitants`] says who is there, [`watch`] holds every read, every
//! send and what is in memory against what must be true of them, [`end`] does so with what the store has in the end.

mod end;
mod inhabitants;
mod twice;
mod watch;

use std::collections::BTreeMap;
use std::time::Duration;

use domain::TenantId;

use crate::clock::us;
use crate::dice::Dice;
use crate::faults::Fault;
use crate::model::{Broken, Counts};
use crate::receivers::MOODS;
use crate::scenario::Scenario;
use crate::world::{Event, Options, World};
use inhabitants::Inhabitants;
pub use twice::written_twice;
pub(crate) use watch::Watch;

/// What a world begins with.
#[derive(Clone, Debug)]
pub struct Backlog {
    pub seed: u64,
    /// Deliveries that wait, at least; rounded up to whole rounds of events.
    pub deliveries: u64,
    /// So many of them go out, at least, before it ends.
    pub goes_out: usize,
    pub prints_trace: bool,
}

impl Backlog {
    /// So many deliveries, of which a few thousand go out.
    pub fn of(deliveries: u64) -> Self {
        let goes_out = usize::try_from(deliveries / 10).map_or(GOES_OUT, |some| some.min(GOES_OUT));
        Self { seed: 1, deliveries, goes_out, prints_trace: false }
    }
}

/// Enough for every receiver to show its mood, and for silent ones to be waited for.
const GOES_OUT: usize = 8_000;

/// What came of it.
#[derive(Debug)]
pub struct BacklogReport {
    /// The first thing that must not be, and when it was noticed.
    pub broken: Option<(Duration, Broken)>,
    /// Deliveries that waited when it began.
    pub waited: u64,
    /// What each life of the process read of the table before it sent anything.
    pub rows_before_first_send: Vec<usize>,
    /// What all lives read.
    pub rows: usize,
    /// Deliveries of the backlog that went out.
    pub went_out: usize,
    /// The most deliveries of a lane, and bytes of all, that were in memory.
    pub most_in_memory: (usize, usize),
    /// How long events of the tenant that has no backlog took to reach their receiver, in each life.
    pub fresh: Vec<Vec<Duration>>,
    /// How much of the time of all slots each tenant held, in a thousandth, in order of tenant.
    pub shares: Vec<u64>,
    /// What there is in the end, by what became of it.
    pub ends: BTreeMap<&'static str, u64>,
    pub struck: BTreeMap<Fault, usize>,
    pub counts: Counts,
    pub took_virtual: Duration,
    pub trace_hash: u64,
}

/// What goes wrong at the store once a life has shown how it begins.
const STORE_FAULTS: [(Fault, u64); 5] = [
    (Fault::CommitFailed, 20),
    (Fault::CommitAnswerLost, 20),
    (Fault::SlowCommit, 10),
    (Fault::LateResult, 50),
    (Fault::LateArrival, 50),
];

/// How often something goes wrong at receivers in mixed moods.
const RECEIVER_FAULT_PER_MILLE: u64 = 20;

/// How long after the last of the backlog has come the process begins.
const BEGINS_AFTER: Duration = Duration::from_secs(5);

/// When events come after each start.
const FRESH_AT_MS: [u64; 5] = [1, 20, 60, 150, 400];

/// How long they have to reach a receiver that is well: much more than they need.
const FRESH_MAX: Duration = Duration::from_secs(5);

/// More virtual time than any of it takes: who needs more stands still.
const ENDS_MAX: Duration = Duration::from_hours(1);

/// Begins with a backlog and lets some of it go out.
pub fn simulate(backlog: &Backlog) -> anyhow::Result<BacklogReport> {
    // The engine's patience needs a timer to ask; see `world::simulate`.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let _entered = runtime.enter();
    let mut world = new_world(backlog.seed, backlog.prints_trace)?;
    let inhabitants = Inhabitants::move_in(&mut world)?;
    let template = inhabitants.template(&world, backlog.deliveries);
    world.die();
    template.write(world.data_dir.path())?;
    let begins_at = template.at(template.rounds).after(BEGINS_AFTER);
    let begins_us = world.clock.elapsed_at(begins_at);
    world.clock.advance_to(begins_us);
    world.watch = Some(Watch::new(template, begins_at));
    let mut run = Run { world, inhabitants, slot_us: BTreeMap::new(), fresh: Vec::new(), begins_us };
    run.world.start_process()?;
    run.live(backlog)?;
    run.report()
}

/// A world with little memory and few slots, in which nothing goes wrong yet.
fn new_world(seed: u64, prints_trace: bool) -> anyhow::Result<World> {
    let options = Options { prints_trace, ..Options::default() };
    let mut world = World::of(seed, Scenario::with_backlog(), Dice::of(&[seed]), &options)?;
    for fault in Fault::ALL {
        let per_mille = if MOODS.contains(&fault) { RECEIVER_FAULT_PER_MILLE } else { 0 };
        world.faults.turn(fault, per_mille);
    }
    world.start_process()?;
    Ok(world)
}

/// Events of one life whose way is timed: when each was posted, and by which client.
type Posted = Vec<(u64, usize)>;

struct Run {
    world: World,
    inhabitants: Inhabitants,
    /// How long each tenant held slots.
    slot_us: BTreeMap<TenantId, u64>,
    /// Of each life.
    fresh: Vec<Posted>,
    begins_us: u64,
}

impl Run {
    /// Three lives, which are ended by a crash, a loss of power and a stop; and a fourth that only looks at what there is.
    fn live(&mut self, backlog: &Backlog) -> anyhow::Result<()> {
        let lives: [fn(&mut World); 3] = [World::crash, World::lose_power, World::stop];
        for (life, interrupt) in (1..).zip(lives) {
            if self.world.process.is_none() {
                // It is started again by itself.
                self.run_until(|run| run.world.process.is_some())?;
            }
            self.begin_life();
            let goes_out = backlog.goes_out * life / lives.len();
            self.run_until(|run| run.is_fresh_over() && run.watch().went_out() >= goes_out)?;
            let ended = self.world.life;
            interrupt(&mut self.world);
            self.run_until(|run| run.world.life > ended)?;
        }
        if self.world.broken.is_none() {
            self.world.start_process()?;
            let checked = end::holds(&self.world);
            self.world.breaks(checked);
        }
        Ok(())
    }

    /// Events come as soon as the process is there: of everyone, and timed of the tenant that has no backlog.
    fn begin_life(&mut self) {
        self.turn_store_faults(false);
        let mut posted = Vec::new();
        for wait_ms in FRESH_AT_MS {
            let number = self.world.clients.len();
            let client = self.world.draw_client_in_peace(self.inhabitants.newcomer, number);
            let wait_us = wait_ms * 1_000;
            posted.push((self.world.clock.elapsed_us() + wait_us, client));
            self.world.after(wait_us, Event::Post(client));
            for tenant in self.inhabitants.burdened() {
                let number = self.world.clients.len();
                let client = self.world.draw_client_in_peace(tenant, number);
                self.world.after(wait_us, Event::Post(client));
            }
        }
        self.fresh.push(posted);
    }

    /// The store fails now and then, or not.
    fn turn_store_faults(&mut self, fails: bool) {
        for (fault, per_mille) in STORE_FAULTS {
            self.world.faults.turn(fault, if fails { per_mille } else { 0 });
        }
    }

    fn run_until(&mut self, is_over: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        let mut was_fresh_over = false;
        self.world.go_on();
        while self.world.broken.is_none() && !is_over(self) {
            if !was_fresh_over && self.is_fresh_over() {
                was_fresh_over = true;
                self.turn_store_faults(true);
            }
            let before_us = self.world.clock.elapsed_us();
            let held = self.slots_held();
            if !self.world.step()? || before_us > self.begins_us + us(ENDS_MAX) {
                self.world.breaks(Err("the world stands still, and much still waits".to_owned()));
            }
            if self.is_fresh_late() {
                self.world.breaks(Err("an event of a tenant that has no backlog does not go out".to_owned()));
            }
            let took_us = self.world.clock.elapsed_us() - before_us;
            for (tenant, slots) in held {
                *self.slot_us.entry(tenant).or_default() += slots * took_us;
            }
        }
        Ok(())
    }

    /// How many slots each tenant holds.
    fn slots_held(&self) -> BTreeMap<TenantId, u64> {
        let mut held = BTreeMap::new();
        for delivery in self.world.model.under_way.keys() {
            if let Some((tenant, _)) = self.world.model.owners.get(delivery) {
                *held.entry(*tenant).or_default() += 1;
            }
        }
        held
    }

    fn watch(&self) -> &Watch {
        self.world.watch.as_ref().expect("it is watched")
    }

    /// Whether all timed events of this life have reached their receiver.
    fn is_fresh_over(&self) -> bool {
        self.fresh.last().is_none_or(|posted| posted.iter().all(|(_, client)| self.arrived_us(*client).is_some()))
    }

    /// Whether one of them should have by now.
    fn is_fresh_late(&self) -> bool {
        let late_us = self.world.clock.elapsed_us().saturating_sub(us(FRESH_MAX));
        let posted = self.fresh.last().into_iter().flatten();
        posted.filter(|(at_us, _)| *at_us < late_us).any(|(_, client)| self.arrived_us(*client).is_none())
    }

    /// When the event of a client reached its receiver.
    fn arrived_us(&self, client: usize) -> Option<u64> {
        let serial = self.world.serial_of(client);
        let (_, deliveries) = self.world.model.kept.values().find(|(of, _)| *of == serial)?;
        deliveries.iter().map(|(delivery, _)| self.watch().arrived_us(*delivery)).max()?
    }

    fn report(self) -> anyhow::Result<BacklogReport> {
        let took = |(posted_us, client): &(u64, usize)| {
            self.arrived_us(*client).map(|at_us| Duration::from_micros(at_us.saturating_sub(*posted_us)))
        };
        let fresh = self.fresh.iter().map(|posted| posted.iter().filter_map(took).collect()).collect();
        let all_us = self.slot_us.values().sum::<u64>().max(1);
        let share = |tenant: TenantId| self.slot_us.get(&tenant).copied().unwrap_or(0) * 1_000 / all_us;
        let watch = self.watch();
        Ok(BacklogReport {
            waited: watch.waited(),
            rows_before_first_send: watch.rows_before_first_send(),
            rows: watch.rows(),
            went_out: watch.went_out(),
            most_in_memory: watch.most_in_memory(),
            fresh,
            shares: self.inhabitants.burdened().map(share).collect(),
            ends: end::sums(&self.world)?,
            struck: self.world.faults.struck(),
            counts: self.world.model.counts,
            took_virtual: Duration::from_micros(self.world.clock.elapsed_us() - self.begins_us),
            trace_hash: self.world.trace.hash(),
            broken: self.world.broken.clone(),
        })
    }
}
