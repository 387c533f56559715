//! No channel can hurt another: ten channels, then the same with one that takes 10 s to answer.
//!
//! Every event goes to all ten. The tenth is counted apart in both runs, so the same nine are compared. Runs come in
//! pairs, each on a new server, and the figures of both pairs are put together.

use super::{Bed, Bench, Settings};
use crate::cli::bench::pace::Pace;
use crate::cli::bench::receiver::{Manner, SLOW};
use crate::cli::bench::report::{Figure, Report, Target, Unit};
use crate::cli::bench::stats::Latencies;
use anyhow::ensure;

/// `events` are those of one run.
pub(super) const DEFAULTS: Settings =
    Settings { events: 1_000, channels: 10, fanout: 10, workers: 16, batch: 1, event_bytes: 256 };

const PAIRS: u32 = 2;
const PER_SECOND: f64 = 100.0;
/// Events before the measured ones, while connections open.
const WARM_UP: u64 = 50;

/// Latencies of the nine, of all runs of a kind.
struct Runs {
    accept: Latencies,
    end_to_end: Latencies,
    lost: u64,
    duplicates: u64,
}

pub(super) async fn run(bench: &Bench, settings: Settings) -> anyhow::Result<Report> {
    ensure!(settings.groups() == 1, "slow-channel needs --channels and --fanout to be the same");
    let (mut fast, mut slow) = (Runs::new(), Runs::new());
    for _ in 0..PAIRS {
        fast.add(bench, &settings, Manner::Aside).await?;
        slow.add(bench, &settings, Manner::Slow).await?;
    }
    let ratio = slow.end_to_end.p99_ms().zip(fast.end_to_end.p99_ms()).map(|(slow, fast)| slow / fast);
    let lost = fast.lost + slow.lost;
    let duplicates = fast.duplicates + slow.duplicates;
    let figures = vec![
        Figure::new("load", "load, events", PER_SECOND, Unit::PerSecond),
        Figure::p50("fast_p50", "end to end p50, all fast", &fast.end_to_end),
        Figure::p50("slow_p50", "end to end p50, one slow", &slow.end_to_end),
        Figure::p99("fast_p99", "end to end p99, all fast", &fast.end_to_end),
        Figure::p99("slow_p99", "end to end p99, one slow", &slow.end_to_end),
        Figure::new("ratio", "p99, one slow / all fast", ratio, Unit::Ratio).aim(Target::AtMost(1.5)),
        Figure::p99("fast_accept_p99", "accept p99, all fast", &fast.accept),
        Figure::p99("slow_accept_p99", "accept p99, one slow", &slow.accept),
        Figure::count("lost", "lost on the nine", lost),
        Figure::count("duplicates", "duplicates", duplicates),
    ];
    let broken = [(lost, "deliveries did not arrive"), (duplicates, "deliveries arrived more than once")];
    let broken = broken.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let notes = vec![format!("{PAIRS} pairs of runs; the slow channel answers after {} s", SLOW.as_secs())];
    Ok(Report { scenario: "slow-channel", summary: settings.summary(), figures, notes, broken })
}

impl Runs {
    fn new() -> Self {
        Self { accept: Latencies::new(), end_to_end: Latencies::new(), lost: 0, duplicates: 0 }
    }

    /// Runs once, with the last channel answering in the manner `last`.
    async fn add(&mut self, bench: &Bench, settings: &Settings, last: Manner) -> anyhow::Result<()> {
        let mut manners = vec![Manner::Now; settings.channels - 1];
        manners.push(last);
        let bed = Bed::make(bench, settings, &manners).await?;
        // The last channel is counted apart, so one delivery fewer is expected of each event.
        let expect = settings.fanout - 1;
        let warm_up = Pace::Steady { requests: WARM_UP, per_second: PER_SECOND };
        bed.deliver(bench, settings, warm_up, expect).await?;
        bed.receiver.forget();
        let pace = Pace::Steady { requests: settings.requests(), per_second: PER_SECOND };
        let (loaded, total) = bed.deliver(bench, settings, pace, expect).await?;
        self.accept.add(&loaded.latencies);
        self.end_to_end.add(&total.latencies);
        self.lost += (loaded.accepted * expect as u64).saturating_sub(total.deliveries);
        self.duplicates += total.duplicates;
        Ok(())
    }
}
