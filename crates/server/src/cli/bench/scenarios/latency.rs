//! How long it takes at a part of what goes through, on a fixed schedule that does not wait for a slow server.
//!
//! Latencies count from the intended sending. The targets grow with the disk's fsync, because no acceptance that is
//! durable is faster; on a fast disk fixed times hold instead.

use super::throughput::delivered_per_second;
use super::{Bed, Bench, Settings, losses};
use crate::cli::bench::disk;
use crate::cli::bench::pace::Pace;
use crate::cli::bench::receiver::Manner;
use crate::cli::bench::report::{Figure, Report, Target, Unit};

/// `events` are those of the throughput before; the schedule then runs for [`SECONDS`].
pub(super) const DEFAULTS: Settings =
    Settings { events: 100_000, channels: 20, fanout: 1, workers: 64, batch: 1, event_bytes: 256 };

const SECONDS: f64 = 15.0;

/// A part of the throughput, and what is to be reached with it.
pub(super) struct Part {
    pub(super) name: &'static str,
    share: f64,
    accept: Option<Bound>,
    end_to_end: Bound,
}

/// So many times the disk's fsync, or so many milliseconds where that is more.
#[derive(Clone, Copy)]
struct Bound {
    fsyncs: f64,
    ms: f64,
}

pub(super) const HALF: Part = Part {
    name: "latency",
    share: 0.5,
    accept: Some(Bound { fsyncs: 8.0, ms: 5.0 }),
    end_to_end: Bound { fsyncs: 12.0, ms: 8.0 },
};
pub(super) const LIGHT: Part =
    Part { name: "light-load", share: 0.2, accept: None, end_to_end: Bound { fsyncs: 3.0, ms: 3.0 } };

impl Bound {
    fn target(self, fsync_ms: f64) -> Target {
        Target::AtMost((self.fsyncs * fsync_ms).max(self.ms))
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive rates of one machine are far below 2^52"
)]
pub(super) async fn run(part: &Part, bench: &Bench, settings: Settings) -> anyhow::Result<Report> {
    let disk = disk::measure(&bench.directory, bench.watch)?;
    let bed = Bed::make(bench, &settings, &vec![Manner::Now; settings.channels]).await?;
    let flood = Pace::Count(settings.requests());
    let (flooded, flood_total) = bed.deliver(bench, &settings, flood, settings.fanout).await?;
    let throughput = delivered_per_second(&flooded, &flood_total);

    bed.receiver.forget();
    let per_second = (throughput * part.share / (settings.fanout * settings.batch) as f64).max(1.0);
    let steady = Pace::Steady { requests: (per_second * SECONDS) as u64, per_second };
    let (loaded, total) = bed.deliver(bench, &settings, steady, settings.fanout).await?;

    let fsync_ms = disk.p99_ms().unwrap_or_default();
    let mut accept = Figure::p99("accept_p99", "accept p99", &loaded.latencies);
    if let Some(bound) = part.accept {
        accept = accept.aim(bound.target(fsync_ms));
    }
    let end_to_end = Figure::p99("end_to_end_p99", "end to end p99", &total.latencies);
    let mut figures = vec![
        Figure::p50("fsync_p50", "fsync p50", &disk),
        Figure::p99("fsync_p99", "fsync p99", &disk),
        Figure::new("throughput", "throughput, delivered", throughput, Unit::PerSecond),
        Figure::new("load", "load, events", per_second * settings.batch as f64, Unit::PerSecond),
        Figure::p50("accept_p50", "accept p50", &loaded.latencies),
        accept,
        Figure::p50("end_to_end_p50", "end to end p50", &total.latencies),
        end_to_end.aim(part.end_to_end.target(fsync_ms)),
        Figure::p99("lateness_p99", "the load's own lateness p99", &loaded.lateness),
    ];
    let (lost, broken) = losses(loaded.accepted * settings.fanout as u64, &loaded, &total);
    figures.extend(lost);
    let notes = vec!["latencies count from the intended sending, the load's own lateness included".to_owned()];
    Ok(Report { scenario: part.name, summary: settings.summary(), figures, notes, broken })
}
