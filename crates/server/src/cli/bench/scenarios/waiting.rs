//! What waits does not slow down what goes: throughput without a backlog, and with one of other channels.
//!
//! The receiver of those holds every answer, so they are tried, time out and wait. Runs come in pairs, each on a new
//! server.

use super::{Bed, Bench, SETTLE, Settings, Sum, in_groups, losses_of};
use crate::cli::bench::body::Bodies;
use crate::cli::bench::pace::Pace;
use crate::cli::bench::receiver::Manner;
use crate::cli::bench::report::{Figure, Report, Target, Unit};
use anyhow::ensure;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// `events` are those of one run, without what waits.
pub(super) const DEFAULTS: Settings =
    Settings { events: 60_000, channels: 20, fanout: 1, workers: 64, batch: 1, event_bytes: 256 };

const PAIRS: u32 = 2;
/// What is left of the speed without a backlog.
const RATIO_MIN: f64 = 0.9;

/// How the backlog is posted: in large requests, each event for all of some channels of its own.
const WAITING_CHANNELS: usize = 10;
const WAITING_BATCH: usize = 1_000;
const WAITING_WORKERS: usize = 4;

pub(super) async fn run(bench: &Bench, settings: Settings) -> anyhow::Result<Report> {
    ensure!(settings.fanout == 1, "waiting measures one channel for each event: leave out --fanout");
    let step = (WAITING_CHANNELS * WAITING_BATCH) as u64;
    ensure!(bench.waiting.is_multiple_of(step), "--waiting must be a multiple of {step}");
    let (mut without, mut with) = (Sum::default(), Sum::default());
    for _ in 0..PAIRS {
        let bed = Bed::make(bench, &settings, &vec![Manner::Now; settings.channels]).await?;
        flood(bench, &settings, &bed, &mut without).await?;
        drop(bed);
        let bed = make_with_backlog(bench, &settings).await?;
        flood(bench, &settings, &bed, &mut with).await?;
    }
    let ratio = with.per_second() / without.per_second();
    let mut figures = vec![
        Figure::count("waiting", "deliveries waiting", bench.waiting),
        Figure::new("without", "delivered without them", without.per_second(), Unit::PerSecond),
        Figure::new("with", "delivered with them", with.per_second(), Unit::PerSecond),
        Figure::new("ratio", "with / without", ratio, Unit::Ratio).aim(Target::AtLeast(RATIO_MIN)),
    ];
    let (lost, broken) = losses_of(&[&without, &with]);
    figures.extend(lost);
    let notes = vec![format!("{PAIRS} pairs of runs")];
    Ok(Report { scenario: "waiting", summary: settings.summary(), figures, notes, broken })
}

async fn flood(bench: &Bench, settings: &Settings, bed: &Bed, sum: &mut Sum) -> anyhow::Result<()> {
    let (loaded, total) = bed.deliver(bench, settings, Pace::Count(settings.requests()), settings.fanout).await?;
    sum.add(settings.fanout, &loaded, &total);
    Ok(())
}

/// A bed with the channels that are measured, and more that hear one type of their own and are full.
async fn make_with_backlog(bench: &Bench, settings: &Settings) -> anyhow::Result<Bed> {
    let groups = settings.groups();
    let mut channels = in_groups(settings, &vec![Manner::Now; settings.channels]);
    channels.extend([(groups, Manner::Hold); WAITING_CHANNELS]);
    let bed = Bed::make_on(bench.store, bench, &channels).await?;
    let bodies = Bodies::new(groups..groups + 1, settings.event_bytes, WAITING_BATCH);
    let requests = bench.waiting / (WAITING_CHANNELS * WAITING_BATCH) as u64;
    let sent = Arc::new(AtomicU64::new(0));
    let text = || format!("accepted {} that wait", sent.load(Ordering::Relaxed));
    let posting = bed.post_bodies(bench, bodies, WAITING_WORKERS, Pace::Count(requests), sent.clone());
    let loaded = bench.progress.during(text, posting).await?;
    ensure!(loaded.refused == 0, "{} requests of the backlog were refused", loaded.refused);
    tokio::time::sleep(SETTLE).await;
    Ok(bed)
}
