//! What the bench measures: one file per scenario, with its defaults, its targets and its figures.
//!
//! The targets are what the product must reach on two cores. What scenarios share is here: their settings, and the [`Bed`] of a receiver, a
//! server and its channels. A figure never fails a run; a lost or repeated delivery does.

mod backlog;
mod history;
mod idle;
mod latency;
mod lists;
mod live_tables;
mod machine;
mod noisy_tenant;
mod retention;
mod sick_channels;
mod stores;
mod throughput;
mod waiting;

use super::Size;
use super::body::{self, Bodies};
use super::database::Store;
use super::load::{self, Load, Loaded, Target};
use super::pace::Pace;
use super::progress::Progress;
use super::receiver::{Manner, Receiver, Total};
use super::report::{Figure, Report};
use super::server::Server;
use super::setup::{self, ChannelPlan};
use super::stats::per_second;
use super::stopwatch::Stopwatch;
use anyhow::{Context, ensure};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(super) use history::PAST_ATTEMPTS;

/// A run ends when nothing has arrived for so long: longer than the first waits of the retry schedule.
const QUIET: Duration = Duration::from_secs(15);
/// How long a server is left alone before its memory counts as idle.
const SETTLE: Duration = Duration::from_secs(1);
/// How long a scenario may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// The largest request body that the API takes.
const REQUEST_BYTES_MAX: u64 = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scenario {
    Machine,
    Throughput,
    Fanout,
    Latency,
    Backlog,
    SlowChannel,
    Batch,
    LightLoad,
    BlackHoled,
    NoisyTenant,
    Idle,
    Lists,
    History,
    Retention,
    Stores,
    Waiting,
    LiveTables,
}

/// What every scenario gets.
pub(super) struct Bench {
    pub(super) watch: Stopwatch,
    pub(super) progress: Progress,
    /// Where the server's temporary directory is made.
    pub(super) directory: PathBuf,
    /// Where servers keep their data, but for scenarios that choose it.
    pub(super) store: Store,
    /// Whether the backlog is delivered in the end.
    pub(super) drain: bool,
    /// Attempts in the past.
    pub(super) past: u64,
    /// How many deliveries wait while others are delivered.
    pub(super) waiting: u64,
    /// What starts the server, with its arguments; empty: nothing but the bench.
    pub(super) through: Vec<String>,
}

/// The size of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settings {
    events: u64,
    channels: usize,
    fanout: usize,
    workers: usize,
    batch: usize,
    event_bytes: usize,
}

impl Scenario {
    pub(super) const ALL: [Self; 17] = [
        Self::Machine,
        Self::Throughput,
        Self::Fanout,
        Self::Batch,
        Self::Latency,
        Self::LightLoad,
        Self::Backlog,
        Self::SlowChannel,
        Self::BlackHoled,
        Self::NoisyTenant,
        Self::Idle,
        Self::Lists,
        Self::History,
        Self::Retention,
        Self::Stores,
        Self::Waiting,
        Self::LiveTables,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Throughput => "throughput",
            Self::Fanout => "fanout",
            Self::Latency => latency::HALF.name,
            Self::Backlog => "backlog",
            Self::SlowChannel => sick_channels::ONE_SLOW.name,
            Self::Batch => "batch",
            Self::LightLoad => latency::LIGHT.name,
            Self::BlackHoled => sick_channels::BLACK_HOLED.name,
            Self::NoisyTenant => "noisy-tenant",
            Self::Idle => "idle",
            Self::Lists => "lists",
            Self::History => "history",
            Self::Retention => "retention",
            Self::Stores => "stores",
            Self::Waiting => "waiting",
            Self::LiveTables => "live-tables",
        }
    }

    const fn defaults(self) -> Settings {
        match self {
            Self::Machine => machine::DEFAULTS,
            Self::Throughput => throughput::ONE_CHANNEL,
            Self::Fanout => throughput::TEN_CHANNELS,
            Self::Batch => throughput::HUNDRED_EVENTS,
            Self::Latency | Self::LightLoad => latency::DEFAULTS,
            Self::Backlog => backlog::DEFAULTS,
            Self::SlowChannel => sick_channels::ONE_OF_TEN,
            Self::BlackHoled => sick_channels::TEN_OF_HUNDRED,
            Self::NoisyTenant => noisy_tenant::DEFAULTS,
            Self::Idle => idle::DEFAULTS,
            Self::Lists => lists::DEFAULTS,
            Self::History => history::DEFAULTS,
            Self::Retention => retention::DEFAULTS,
            Self::Stores => stores::DEFAULTS,
            Self::Waiting => waiting::DEFAULTS,
            Self::LiveTables => live_tables::DEFAULTS,
        }
    }

    const fn about(self) -> &'static str {
        match self {
            Self::Machine => "no server: fsync of the disk, and the floor that throughput is compared with",
            Self::Throughput => "events as fast as they are accepted, one channel each; delivered/s against the floor",
            Self::Fanout => "events as fast as they are accepted, ten channels each; delivered/s against the floor",
            Self::Batch => "the same as throughput, a hundred events in each request",
            Self::LightLoad => {
                "a fifth of a just measured throughput on a fixed schedule; p99 against the disk's fsync"
            }
            Self::BlackHoled => {
                "100 events/s for ten channels each, without and with a tenth that never answers; p99 of the rest"
            }
            Self::NoisyTenant => {
                "ten tenants with 10 events/s, without and with one more that posts 75 times that; p99 of the ten"
            }
            Self::Idle => {
                "a server that has delivered and has nothing more to do: processor time and calls of its database"
            }
            Self::Latency => "half of a just measured throughput on a fixed schedule; p99 against the disk's fsync",
            Self::Backlog => "deliveries that wait for a receiver; memory, and start to ready after SIGKILL",
            Self::Lists => "pages of a long list of channels, first to last, newest first and by name; p99",
            Self::History => "throughput with a long history against an empty database; p99 of lists and sums with it",
            Self::Retention => "throughput while an old history goes; rows let go of against rows written, and holds",
            Self::SlowChannel => "100 events/s for ten channels, without and with one that takes 10 s; p99 of the rest",
            Self::Stores => {
                "throughput and fanout on SQLite and on PostgreSQL, in pairs; delivered/s against each other"
            }
            Self::Waiting => "throughput without and with a million deliveries that wait for other channels; the ratio",
            Self::LiveTables => "two million deliveries on PostgreSQL; dead rows and sizes of its live tables",
        }
    }

    /// One line for `--list`.
    pub(super) fn describe(self) -> String {
        let defaults = match self {
            Self::Lists => lists::summary(&self.defaults()),
            Self::History => history::summary(&self.defaults(), history::PAST_ATTEMPTS),
            Self::Retention => retention::summary(&self.defaults(), history::PAST_ATTEMPTS),
            Self::Stores => stores::summary(&self.defaults()),
            _ => self.defaults().summary(),
        };
        format!("{:<13} {} (by default {defaults})", self.name(), self.about())
    }

    /// Where the data were, for those that go by what was asked for.
    pub(super) fn note(self, store: Store) -> Option<String> {
        let is_told = !matches!(self, Self::Machine | Self::Stores | Self::LiveTables);
        is_told.then(|| format!("the server keeps its data in {}", store.name()))
    }

    /// How long it may take, unless whoever runs it says more.
    pub(super) const fn patience(self) -> Duration {
        match self {
            Self::Lists => lists::PATIENCE,
            Self::History | Self::Retention => history::PATIENCE,
            Self::LiveTables => live_tables::PATIENCE,
            _ => PATIENCE,
        }
    }

    /// The defaults with what was asked for; fails on sizes that do not go together.
    pub(super) fn settings(self, size: Size) -> anyhow::Result<Settings> {
        let default = self.defaults();
        let settings = Settings {
            events: size.events.unwrap_or(default.events),
            channels: size.channels.map_or(Ok(default.channels), usize::try_from)?,
            fanout: size.fanout.map_or(default.fanout, usize::from),
            workers: size.concurrency.map_or(default.workers, usize::from),
            batch: size.batch.map_or(default.batch, usize::from),
            event_bytes: size.body_bytes.map_or(Ok(default.event_bytes), usize::try_from)?,
        };
        ensure!(
            settings.channels.is_multiple_of(settings.fanout),
            "--channels must be a multiple of --fanout: {} and {}",
            settings.channels,
            settings.fanout
        );
        let request = settings.bodies().write(0, 0).len() as u64;
        ensure!(request <= REQUEST_BYTES_MAX, "a request would have {request} bytes, more than the server's 1 MiB");
        Ok(settings)
    }

    pub(super) async fn run(self, bench: &Bench, settings: Settings) -> anyhow::Result<Report> {
        match self {
            Self::Machine => machine::run(bench, settings).await,
            Self::Throughput | Self::Fanout | Self::Batch => throughput::run(self.name(), bench, settings).await,
            Self::Latency => latency::run(&latency::HALF, bench, settings).await,
            Self::LightLoad => latency::run(&latency::LIGHT, bench, settings).await,
            Self::Backlog => backlog::run(bench, settings).await,
            Self::SlowChannel => sick_channels::run(&sick_channels::ONE_SLOW, bench, settings).await,
            Self::BlackHoled => sick_channels::run(&sick_channels::BLACK_HOLED, bench, settings).await,
            Self::NoisyTenant => noisy_tenant::run(bench, settings).await,
            Self::Idle => idle::run(bench, settings).await,
            Self::Lists => lists::run(bench, settings).await,
            Self::History => history::run(bench, settings).await,
            Self::Retention => retention::run(bench, settings).await,
            Self::Stores => stores::run(bench, settings).await,
            Self::Waiting => waiting::run(bench, settings).await,
            Self::LiveTables => live_tables::run(bench, settings).await,
        }
    }
}

impl Settings {
    /// Groups of channels; the channels of one hear the same event type.
    const fn groups(&self) -> usize {
        self.channels / self.fanout
    }

    /// Requests that carry the events, the last one full.
    const fn requests(&self) -> u64 {
        self.events.div_ceil(self.batch as u64)
    }

    fn bodies(&self) -> Bodies {
        Bodies::new(0..self.groups(), self.event_bytes, self.batch)
    }

    fn summary(&self) -> String {
        let Self { events, channels, fanout, workers, batch, event_bytes } = self;
        format!(
            "{events} events of {event_bytes} bytes, {fanout} of {channels} channels each, {workers} connections, \
             {batch} a request"
        )
    }
}

/// Channels of these manners, as many to a group as hear an event.
fn in_groups(settings: &Settings, manners: &[Manner]) -> Vec<(usize, Manner)> {
    manners.iter().enumerate().map(|(number, manner)| (number / settings.fanout, *manner)).collect()
}

/// A receiver, a server and channels from one to the other. The server ends before the receiver.
struct Bed {
    server: Server,
    receiver: Receiver,
    key: String,
    /// The ids of the channels.
    channels: Vec<i64>,
}

impl Bed {
    /// Makes a channel for each of `manners`, in groups as the settings say.
    async fn make(bench: &Bench, settings: &Settings, manners: &[Manner]) -> anyhow::Result<Self> {
        Self::make_on(bench.store, bench, &in_groups(settings, manners)).await
    }

    /// Makes a channel for each group and manner, on this store.
    async fn make_on(store: Store, bench: &Bench, channels: &[(usize, Manner)]) -> anyhow::Result<Self> {
        let receiver = Receiver::start(bench.watch).await?;
        let plans: Vec<ChannelPlan> = channels
            .iter()
            .map(|(group, manner)| ChannelPlan { url: receiver.url(*manner), event_type: body::event_type(*group) })
            .collect();
        let starting = Server::start(&bench.directory, store, &bench.through, bench.watch);
        let server = bench.progress.during(|| "starting the server".to_owned(), starting).await?;
        let (key, channels) = setup::prepare(&server, &plans).await.with_context(|| server.log_end())?;
        Ok(Self { server, receiver, key, channels })
    }

    /// Posts events and waits until `expect` deliveries have arrived for each accepted event, or no more come.
    async fn deliver(
        &self,
        bench: &Bench,
        settings: &Settings,
        pace: Pace,
        expect: usize,
    ) -> anyhow::Result<(Loaded, Total)> {
        let sent = Arc::new(AtomicU64::new(0));
        let text = || format!("accepted {}, delivered {}", sent.load(Ordering::Relaxed), self.receiver.arrived());
        let work = async {
            let loaded = self.post(bench, settings, pace, sent.clone()).await?;
            self.receiver.wait(loaded.accepted * expect as u64, QUIET).await;
            Ok((loaded, self.receiver.total()))
        };
        bench.progress.during(text, work).await
    }

    async fn post(
        &self,
        bench: &Bench,
        settings: &Settings,
        pace: Pace,
        sent: Arc<AtomicU64>,
    ) -> anyhow::Result<Loaded> {
        self.post_bodies(bench, settings.bodies(), settings.workers, pace, sent).await
    }

    /// Posts events of any types.
    async fn post_bodies(
        &self,
        bench: &Bench,
        bodies: Bodies,
        workers: usize,
        pace: Pace,
        sent: Arc<AtomicU64>,
    ) -> anyhow::Result<Loaded> {
        let target = Target::Server { keys: vec![self.key.clone()] };
        let load = Load { address: self.server.address(), target, bodies, workers, pace };
        load::run(load, bench.watch, sent)
            .await
            .with_context(|| format!("the server's log:\n{}", self.server.log_end()))
    }
}

/// What runs of one kind delivered, put together.
#[derive(Default)]
struct Sum {
    deliveries: u64,
    time: Duration,
    refused: u64,
    lost: u64,
    duplicates: u64,
}

impl Sum {
    /// Adds a run that has delivered as fast as it could.
    fn add(&mut self, fanout: usize, loaded: &Loaded, total: &Total) {
        self.deliveries += total.deliveries;
        self.time += Duration::from_nanos(total.last_ns.saturating_sub(loaded.start_ns));
        self.refused += loaded.refused;
        self.lost += (loaded.accepted * fanout as u64).saturating_sub(total.deliveries);
        self.duplicates += total.duplicates;
    }

    fn per_second(&self) -> f64 {
        per_second(self.deliveries, self.time)
    }
}

/// What was lost, repeated or refused in several kinds of runs: figures, and what it breaks.
fn losses_of(sums: &[&Sum]) -> (Vec<Figure>, Vec<String>) {
    let sum = |of: fn(&Sum) -> u64| sums.iter().map(|sum| of(sum)).sum::<u64>();
    let (lost, duplicates) = (sum(|sum| sum.lost), sum(|sum| sum.duplicates));
    let figures = vec![
        Figure::count("refused", "requests refused as too many", sum(|sum| sum.refused)),
        Figure::count("lost", "lost", lost),
        Figure::count("duplicates", "duplicates", duplicates),
    ];
    let broken = [(lost, "accepted deliveries did not arrive"), (duplicates, "deliveries arrived more than once")];
    let broken = broken.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    (figures, broken.collect())
}

/// What was lost, repeated or refused: figures, and what it breaks.
fn losses(accepted_deliveries: u64, loaded: &Loaded, total: &Total) -> (Vec<Figure>, Vec<String>) {
    let lost = accepted_deliveries.saturating_sub(total.deliveries);
    let surplus = total.deliveries.saturating_sub(accepted_deliveries);
    let figures = vec![
        Figure::count("refused", "requests refused as too many", loaded.refused),
        Figure::count("lost", "lost", lost),
        Figure::count("duplicates", "duplicates", total.duplicates),
    ];
    let broken = [
        (lost, "accepted deliveries did not arrive"),
        (surplus, "deliveries more than were accepted arrived"),
        (total.duplicates, "deliveries arrived more than once, although nothing failed"),
        (total.deliveries - total.latencies.count(), "deliveries arrived without the data of their event"),
    ];
    let broken = broken.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    (figures, broken.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_of_every_scenario_go_together() {
        for scenario in Scenario::ALL {
            assert_eq!(scenario.settings(Size::default()).unwrap(), scenario.defaults(), "{}", scenario.name());
        }
    }

    #[test]
    fn sizes_that_do_not_go_together_are_refused() {
        let size = Size { channels: Some(15), fanout: Some(10), ..Size::default() };
        assert!(Scenario::Throughput.settings(size).is_err());
        let size = Size { batch: Some(1000), body_bytes: Some(2000), ..Size::default() };
        assert!(Scenario::Backlog.settings(size).is_err());
    }
}
