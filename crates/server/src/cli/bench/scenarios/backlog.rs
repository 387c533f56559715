//! A receiver that does not answer, and a million deliveries that wait for it: memory, and a restart with them.
//!
//! The restart follows a SIGKILL, so start-to-ready includes the recovery. With `--drain` the receiver then answers and
//! everything must arrive.

use super::{Bed, Bench, SETTLE, Settings};
use crate::cli::bench::pace::Pace;
use crate::cli::bench::receiver::Manner;
use crate::cli::bench::report::{Figure, Report, Target, Unit};
use crate::cli::bench::stats::per_second;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(super) const DEFAULTS: Settings =
    Settings { events: 100_000, channels: 10, fanout: 10, workers: 4, batch: 1_000, event_bytes: 256 };

/// A drain ends when nothing has arrived for so long: repeats of what the crash cut off wait for their retry.
const DRAIN_QUIET: Duration = Duration::from_secs(30);

pub(super) async fn run(bench: &Bench, settings: Settings) -> anyhow::Result<Report> {
    let mut bed = Bed::make(bench, &settings, &vec![Manner::Hold; settings.channels]).await?;
    tokio::time::sleep(SETTLE).await;
    let idle = bed.server.usage();
    let start_empty = bed.server.start_to_ready();

    let sent = Arc::new(AtomicU64::new(0));
    let text = || format!("accepted {}", sent.load(Ordering::Relaxed));
    let posting = bed.post(bench, &settings, Pace::Count(settings.requests()), sent.clone());
    let loaded = bench.progress.during(text, posting).await?;
    tokio::time::sleep(SETTLE).await;
    let full = bed.server.usage();

    let restarting = bed.server.crash_and_restart();
    bench.progress.during(|| "starting again after SIGKILL".to_owned(), restarting).await?;
    tokio::time::sleep(SETTLE).await;
    let again = bed.server.usage();

    let waiting = loaded.accepted * settings.fanout as u64;
    let mut figures = vec![
        Figure::count("waiting", "deliveries waiting", waiting),
        Figure::new("accepted", "accepted, deliveries", per_second(waiting, loaded.time), Unit::PerSecond),
        Figure::count("refused", "requests refused as too many", loaded.refused),
        Figure::rss("rss_idle", "memory idle", idle).aim(Target::AtMost(60.0)),
        Figure::rss("rss_waiting", "memory with them", full).aim(Target::AtMost(200.0)),
        Figure::rss_peak("rss_waiting_peak", "memory peak while accepting", full),
        Figure::milliseconds("start_empty", "start to ready, empty", start_empty),
        Figure::milliseconds("start_waiting", "start to ready with them", bed.server.start_to_ready())
            .aim(Target::AtMost(1000.0)),
        Figure::rss_peak("rss_restarted_peak", "memory peak after the restart", again).aim(Target::AtMost(200.0)),
    ];
    let mut broken = Vec::new();
    if bench.drain {
        let lost = drain(bench, &bed, waiting, &mut figures).await;
        broken.extend((lost > 0).then(|| format!("{lost} accepted deliveries did not arrive")));
    }
    let notes = if bench.drain {
        vec!["repeats are attempts that timed out or were cut off by the crash".to_owned()]
    } else {
        vec!["the deliveries were not drained; --drain does it".to_owned()]
    };
    Ok(Report { scenario: "backlog", summary: settings.summary(), figures, notes, broken })
}

/// Lets the receiver answer, waits for everything and returns how many are missing.
async fn drain(bench: &Bench, bed: &Bed, waiting: u64, figures: &mut Vec<Figure>) -> u64 {
    let start_ns = bench.watch.ns();
    bed.receiver.release();
    let text = || format!("drained {} of {waiting}", bed.receiver.arrived());
    bench.progress.during(text, bed.receiver.wait(waiting, DRAIN_QUIET)).await;
    let total = bed.receiver.total();
    let time = Duration::from_nanos(total.last_ns.saturating_sub(start_ns));
    let lost = waiting.saturating_sub(total.deliveries);
    figures.extend([
        Figure::new("drained", "drained", per_second(total.deliveries, time), Unit::PerSecond),
        Figure::rss_peak("rss_drained_peak", "memory peak after the drain", bed.server.usage()),
        Figure::count("repeats", "repeats", total.duplicates),
        Figure::count("lost", "lost", lost),
    ]);
    lost
}
