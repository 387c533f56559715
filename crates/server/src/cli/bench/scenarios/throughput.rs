//! As much as goes through: events as fast as they are accepted, against the floor of the same machine.
//!
//! `throughput` sends each event to one channel, `fanout` to ten; `batch` posts a hundred events at a time. Delivered/s counts from the first post to the last
//! arrival, so a server that only accepts quickly gains nothing.

use super::{Bed, Bench, SETTLE, Settings, losses};
use crate::cli::bench::database::{Database, Store};
use crate::cli::bench::load::Loaded;
use crate::cli::bench::pace::Pace;
use crate::cli::bench::process::Usage;
use crate::cli::bench::receiver::{Manner, Total};
use crate::cli::bench::report::{Figure, Report, Target, Unit};
use crate::cli::bench::stats::{Latencies, per_second};
use crate::cli::bench::{disk, floor};
use std::time::Duration;

pub(super) const ONE_CHANNEL: Settings =
    Settings { events: 200_000, channels: 20, fanout: 1, workers: 64, batch: 1, event_bytes: 256 };
pub(super) const TEN_CHANNELS: Settings = Settings { events: 50_000, fanout: 10, ..ONE_CHANNEL };
pub(super) const HUNDRED_EVENTS: Settings = Settings { batch: 100, workers: 8, ..ONE_CHANNEL };

/// The share of the floor to reach, for the sizes that have a target.
const fn ratio_min(settings: &Settings) -> Option<f64> {
    match (settings.fanout, settings.batch) {
        (1, 1) => Some(0.20),
        (10, 1) => Some(0.38),
        (1, 100) => Some(0.28),
        _ => None,
    }
}

/// Connections of the floor, the same for all sizes: with them it is highest.
const FLOOR_WORKERS: usize = 64;

/// What one run measured.
struct Measured {
    store: Store,
    disk: Latencies,
    /// Before the server starts, and when it has delivered everything: a machine is not equally fast all the time.
    floors: [f64; 2],
    idle: Option<Usage>,
    end: Option<Usage>,
    /// Processor time of the database in between, where it is a server of its own.
    database_cpu: Option<Duration>,
    loaded: Loaded,
    total: Total,
}

pub(super) async fn run(name: &'static str, bench: &Bench, settings: Settings) -> anyhow::Result<Report> {
    let disk = disk::measure(&bench.directory, bench.watch)?;
    // The receiver gets events one by one, however they are posted.
    let bodies = Settings { batch: 1, ..settings }.bodies();
    let floor = || {
        let measuring = floor::measure(&bodies, FLOOR_WORKERS, bench.watch);
        bench.progress.during(|| "measuring the floor".to_owned(), measuring)
    };
    let floor_before = floor().await?;
    let bed = Bed::make(bench, &settings, &vec![Manner::Now; settings.channels]).await?;
    tokio::time::sleep(SETTLE).await;
    let idle = bed.server.usage();
    let database_cpu = || bed.server.database().and_then(Database::cpu);
    let before = database_cpu();
    let (loaded, total) = bed.deliver(bench, &settings, Pace::Count(settings.requests()), settings.fanout).await?;
    let database_cpu = database_cpu().zip(before).and_then(|(after, before)| after.checked_sub(before));
    let (store, end) = (bench.store, bed.server.usage());
    let floors = [floor_before, floor().await?];
    let measured = Measured { store, disk, floors, idle, end, database_cpu, loaded, total };
    Ok(measured.report(name, &settings))
}

/// Deliveries a second from the first post to the last arrival.
pub(super) fn delivered_per_second(loaded: &Loaded, total: &Total) -> f64 {
    per_second(total.deliveries, Duration::from_nanos(total.last_ns.saturating_sub(loaded.start_ns)))
}

impl Measured {
    fn report(&self, name: &'static str, settings: &Settings) -> Report {
        let Self { disk, floors: [before, after], loaded, total, .. } = self;
        let floor = f64::midpoint(*before, *after);
        let delivered = delivered_per_second(loaded, total);
        let mut ratio = Figure::new("ratio", "delivered / floor", delivered / floor, Unit::Ratio);
        if let Some(min) = ratio_min(settings) {
            ratio = ratio.aim(Target::AtLeast(min * self.store.share()));
        }
        let mut figures = vec![
            Figure::p50("fsync_p50", "fsync p50", disk),
            Figure::p99("fsync_p99", "fsync p99", disk),
            Figure::new("floor", "floor", floor, Unit::PerSecond),
            Figure::new("accepted", "accepted", per_second(loaded.accepted, loaded.time), Unit::PerSecond),
            Figure::new("delivered", "delivered", delivered, Unit::PerSecond),
            ratio,
            Figure::p50("accept_p50", "accept p50", &loaded.latencies),
            Figure::p99("accept_p99", "accept p99", &loaded.latencies),
            Figure::p50("end_to_end_p50", "end to end p50", &total.latencies),
            Figure::p99("end_to_end_p99", "end to end p99", &total.latencies),
            Figure::rss("rss_idle", "memory idle", self.idle).aim(Target::AtMost(60.0)),
            Figure::rss_peak("rss_peak", "memory peak", self.end),
            Figure::new("cpu_per_delivery", "processor time per delivery", self.cpu_us(), Unit::Microseconds),
        ];
        figures.extend(self.database_cpu.map(|cpu| {
            let (key, label) = ("database_cpu_per_delivery", "the same of the database");
            Figure::new(key, label, self.each_us(cpu), Unit::Microseconds)
        }));
        let (lost, broken) = losses(loaded.accepted * settings.fanout as u64, loaded, total);
        figures.extend(lost);
        let note = format!("the floor was {before:.0}/s before and {after:.0}/s after");
        Report { scenario: name, summary: settings.summary(), figures, notes: vec![note], broken }
    }

    /// Processor time of the server for one delivery, its share of the acceptance included.
    fn cpu_us(&self) -> Option<f64> {
        self.each_us(self.end?.cpu.checked_sub(self.idle?.cpu)?)
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of one run are far below 2^52")]
    fn each_us(&self, cpu: Duration) -> Option<f64> {
        (self.total.deliveries > 0).then(|| cpu.as_secs_f64() * 1e6 / self.total.deliveries as f64)
    }
}
