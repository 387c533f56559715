//! Bursts: thousands of messages at once, through stand-ins that keep the real windows of their services.
//!
//! The engine, its lanes, budgets and store are the real ones, and so are the providers: their SPECs, plans and
//! judgements. Time is virtual, so that a day of waiting takes as long as its decisions. What a burst shows is that
//! everything arrives and that no service was ever sent more than it takes; see [`services`](crate::services).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::{ChannelId, Clock, TenantId};
use engine::Settings;
use engine::accept::{EVENTS_MAX, EventIn};
use engine::dispatch::attempt::{AttemptRun, Flight};
use engine::dispatch::{Action, Input};
use engine::ops::{ChannelEdit, NewChannel, TenantEdit};
use providers::step::{HttpStep, Reply, Step};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use store::Journal as _;
use store::journal::StatsQuery;
use tempfile::TempDir;

use crate::clock::{VirtualClock, us};
use crate::database;
use crate::dice::{Dice, SeededEntropy};
use crate::process::{Process, Start, Task, carry_out, poll, read};
use crate::services::{Breach, Services, WAY_MAX_US};
use crate::slots::MemorySlots;

/// Longer than any window: nothing expires in a burst.
const TIME_TO_LIVE: Duration = Duration::from_hours(30 * 24);

/// Every burst is over by then.
const ENDS_MAX: Duration = Duration::from_hours(4 * 24);

/// How long a request takes to its service, and the answer back.
const WAY_US: (u64, u64) = (2_000, WAY_MAX_US);

/// How long a commit takes.
const COMMIT_US: u64 = 500;

/// What is sent, and to whom.
#[derive(Clone, Debug, Default)]
pub struct Burst {
    pub seed: u64,
    /// Messages go to one after the other.
    pub destinations: Vec<Destination>,
    pub messages: usize,
    /// Discord's buckets hold so many in so long, as its answers tell: less than anybody knows of before.
    pub bucket: Option<(usize, Duration)>,
    /// A service refuses one request in so many, although nothing is used up.
    pub surprise_every: Option<usize>,
}

/// A channel that is sent to.
#[derive(Clone, Debug)]
pub struct Destination {
    pub provider: &'static str,
    pub config: Map<String, Value>,
    /// Requests at a time; `None` is the default.
    pub concurrency: Option<u32>,
}

/// What came of a burst.
#[derive(Debug)]
pub struct BurstReport {
    /// Deliveries that the store has as sent.
    pub sent: u64,
    /// Requests that the services took.
    pub taken: usize,
    /// When they refused one.
    pub refused: Vec<Duration>,
    pub breaches: Vec<Breach>,
    /// When each service took its last.
    pub ended: BTreeMap<&'static str, Duration>,
}

enum Event {
    Arrive(u64),
    Reply(u64),
}

/// A request under way.
struct Exchange {
    provider: Arc<str>,
    step: HttpStep,
    run: AttemptRun,
    reply: Option<Reply>,
}

struct Run {
    clock: Arc<VirtualClock>,
    process: Process<Input>,
    services: Services,
    dice: Dice,
    queue: BTreeMap<(u64, u64), Event>,
    exchanges: BTreeMap<u64, Exchange>,
    numbers: u64,
    _data_dir: TempDir,
}

/// Sends a burst, and waits until everything has come to an end.
pub fn send(burst: &Burst) -> anyhow::Result<BurstReport> {
    let mut run = Run::new(burst)?;
    let tenant = run.drive(|engine| async move { engine.put_tenant("burst", TenantEdit::named("B")).await })?.id;
    let mut channels = Vec::new();
    for destination in &burst.destinations {
        let new = new_channel(destination);
        channels.push(run.drive(|engine| async move { engine.create_channel(tenant, new).await })?.live.channel.id);
    }
    let numbers: Vec<usize> = (0..burst.messages).collect();
    for some in numbers.chunks(EVENTS_MAX) {
        let events = some.iter().map(|number| event(tenant, channels[number % channels.len()], *number)).collect();
        run.drive(|engine| async move { engine.accept_events(tenant, events, true, None).await })?;
    }
    run.run_out()?;
    let stats = read(run.process.store.stats(tenant, StatsQuery::since(domain::Timestamp::EPOCH)))?;
    let Services { taken, refused, breaches, last_taken_us, .. } = run.services;
    Ok(BurstReport {
        sent: stats.sent,
        taken,
        refused: refused.into_iter().map(Duration::from_micros).collect(),
        breaches,
        ended: last_taken_us.into_iter().map(|(provider, at)| (provider, Duration::from_micros(at))).collect(),
    })
}

fn new_channel(destination: &Destination) -> NewChannel {
    NewChannel {
        name: "C".to_owned(),
        provider: destination.provider.to_owned(),
        config: destination.config.clone(),
        edit: ChannelEdit {
            concurrency: destination.concurrency,
            time_to_live: Some(Some(TIME_TO_LIVE)),
            ..ChannelEdit::default()
        },
        dialect: None,
        is_managed: false,
    }
}

fn event(tenant: TenantId, channel: ChannelId, number: usize) -> EventIn {
    EventIn {
        tenant,
        event_type: "burst".to_owned(),
        data: RawValue::from_string(format!(r#"{{"title":"message {number}"}}"#)).expect("it is JSON"),
        occurred_at: None,
        severity: None,
        channels: Some(vec![channel]),
        idempotency_key: None,
        trace: None,
    }
}

impl Run {
    fn new(burst: &Burst) -> anyhow::Result<Self> {
        let mut dice = Dice::new(burst.seed);
        let data_dir = database::new_data_dir()?;
        let clock = Arc::new(VirtualClock::default());
        let process = Process::start(Start {
            data_dir: data_dir.path(),
            settings: Settings::default(),
            segment_rows_max: 8192,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            entropy: Arc::new(SeededEntropy::new(dice.fork())),
            slots: Arc::new(MemorySlots::default()),
        })?;
        Ok(Self {
            clock,
            process,
            services: Services::new(burst.bucket, burst.surprise_every),
            dice,
            queue: BTreeMap::new(),
            exchanges: BTreeMap::new(),
            numbers: 0,
            _data_dir: data_dir,
        })
    }

    /// Has the engine do something, and writes as soon as something waits.
    fn drive<T, F: Future<Output = T> + 'static>(&mut self, ask: impl FnOnce(Arc<engine::Engine>) -> F) -> T {
        let mut task: Task<T> = Box::pin(ask(Arc::clone(&self.process.engine)));
        loop {
            if let Some(result) = poll(&mut task) {
                return result;
            }
            self.write();
        }
    }

    /// Writes what waits, and the dispatcher hears of it.
    fn write(&self) {
        self.process.store.run_writes(None);
        self.process.handle.arrived(self.process.take_announced());
    }

    fn run_out(&mut self) -> anyhow::Result<()> {
        loop {
            self.go_on()?;
            let wake_us = self.process.dispatcher.wake_at().map(|at| self.clock.elapsed_at(at));
            let queued_us = self.queue.first_key_value().map(|((at, _), _)| *at);
            let Some(at_us) = queued_us.into_iter().chain(wake_us).min() else { return Ok(()) };
            anyhow::ensure!(at_us < us(ENDS_MAX), "something is still waited for after {ENDS_MAX:?}");
            self.clock.advance_to(at_us);
            if queued_us.is_some_and(|queued| queued <= at_us)
                && let Some((_, event)) = self.queue.pop_first()
            {
                match event {
                    Event::Arrive(number) => self.arrive(number),
                    Event::Reply(number) => self.reply(number)?,
                }
            }
        }
    }

    /// Lets the process go on until it waits for time or an answer.
    fn go_on(&mut self) -> anyhow::Result<()> {
        loop {
            let moved = self.process.go_on(self.clock.now());
            for action in moved.actions {
                match action {
                    Action::Send(flight) => self.start(*flight)?,
                    Action::Tell(_) => {}
                    other => {
                        let hands = Arc::clone(&self.process.hands);
                        self.process.spawn(async move { carry_out(&hands, other).await });
                    }
                }
            }
            moved.done.into_iter().for_each(|input| self.process.handle.input(input));
            if moved.is_quiet {
                if !self.process.store.has_writes() {
                    return Ok(());
                }
                self.clock.advance_to(self.clock.elapsed_us() + COMMIT_US);
                self.write();
            }
        }
    }

    fn start(&mut self, flight: Flight) -> anyhow::Result<()> {
        let provider = Arc::clone(&flight.live.provider_name);
        let run = AttemptRun::plan(flight, &self.process.registry, self.clock.now());
        self.go_out(provider, run)
    }

    /// The next step goes out, or the try is over.
    fn go_out(&mut self, provider: Arc<str>, mut run: AttemptRun) -> anyhow::Result<()> {
        match run.next_step() {
            Some(Step::Http(step)) => {
                self.process.in_flight.note(run.slot(), &run.note(self.clock.now()))?;
                self.numbers += 1;
                let number = self.numbers;
                let at_us = self.clock.elapsed_us() + self.dice.between(WAY_US.0, WAY_US.1);
                self.exchanges.insert(number, Exchange { provider, step, run, reply: None });
                self.queue.insert((at_us, number), Event::Arrive(number));
            }
            Some(other) => anyhow::bail!("{other:?} goes to no service that is stood in for"),
            None => self.process.handle.input(Input::Answered(Box::new(run.finish()))),
        }
        Ok(())
    }

    fn arrive(&mut self, number: u64) {
        let Some(exchange) = self.exchanges.get_mut(&number) else { return };
        let now_us = self.clock.elapsed_us();
        let answer = self.services.take(&exchange.provider, &exchange.step, now_us);
        exchange.reply = Some(Reply::Http(answer));
        let at_us = now_us + self.dice.between(WAY_US.0, WAY_US.1);
        self.queue.insert((at_us, number), Event::Reply(number));
    }

    fn reply(&mut self, number: u64) -> anyhow::Result<()> {
        let Some(Exchange { provider, step, mut run, reply: Some(reply) }) = self.exchanges.remove(&number) else {
            return Ok(());
        };
        let now = self.clock.now();
        run.answer(&reply, (now, Duration::from_micros(WAY_US.1)), &self.process.registry, now);
        if let Reply::Http(answer) = &reply
            && answer.status.as_u16() == 429
        {
            self.services.hears(&provider, &step, answer, self.clock.elapsed_us());
        }
        self.go_out(provider, run)
    }
}
