//! What this machine does without a server: its disk's fsync and its floor, to judge the other scenarios by.

use super::{Bench, Settings};
use crate::cli::bench::report::{Figure, Report, Unit};
use crate::cli::bench::{disk, floor};

/// Only the connections and the size of an event matter here.
pub(super) const DEFAULTS: Settings =
    Settings { events: 1, channels: 1, fanout: 1, workers: 64, batch: 1, event_bytes: 256 };

pub(super) async fn run(bench: &Bench, settings: Settings) -> anyhow::Result<Report> {
    let disk = disk::measure(&bench.directory, bench.watch)?;
    let bodies = settings.bodies();
    let measuring = floor::measure(&bodies, settings.workers, bench.watch);
    let floor = bench.progress.during(|| "measuring the floor".to_owned(), measuring).await?;
    let figures = vec![
        Figure::p50("fsync_p50", "fsync p50", &disk),
        Figure::p99("fsync_p99", "fsync p99", &disk),
        Figure::new("floor", "floor", floor, Unit::PerSecond),
    ];
    let summary = format!("{} connections, {} bytes an event", settings.workers, settings.event_bytes);
    Ok(Report { scenario: "machine", summary, figures, notes: vec![], broken: vec![] })
}
