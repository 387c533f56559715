//! No channel can hurt another: channels that are well, then the same with every tenth one sick.
//!
//! Every event goes to ten channels. The tenth is counted apart in both runs, so the same nine of each ten are compared.
//! Runs come in pairs, each on a new server, and the figures of both pairs are put together.

use super::{Bed, Bench, Settings};
use crate::cli::bench::pace::Pace;
use crate::cli::bench::receiver::Manner;
use crate::cli::bench::report::{Figure, Report, Target, Unit};
use crate::cli::bench::stats::Latencies;

/// `events` are those of one run.
pub(super) const ONE_OF_TEN: Settings =
    Settings { events: 1_000, channels: 10, fanout: 10, workers: 16, batch: 1, event_bytes: 256 };
pub(super) const TEN_OF_HUNDRED: Settings = Settings { channels: 100, ..ONE_OF_TEN };

/// What the sick channels suffer from, and how much of it the others may feel.
pub(super) struct Sickness {
    pub(super) name: &'static str,
    manner: Manner,
    note: &'static str,
    ratio_max: f64,
}

pub(super) const ONE_SLOW: Sickness = Sickness {
    name: "slow-channel",
    manner: Manner::Slow,
    note: "the slow channel answers after 10 s",
    ratio_max: 1.5,
};
pub(super) const BLACK_HOLED: Sickness = Sickness {
    name: "black-holed",
    manner: Manner::Never,
    note: "of every ten channels one takes requests and never answers",
    ratio_max: 1.2,
};

const PAIRS: u32 = 2;
const PER_SECOND: f64 = 100.0;
/// Events before the measured ones, while connections open.
const WARM_UP: u64 = 50;

/// Latencies of the others, of all runs of a kind.
struct Runs {
    accept: Latencies,
    end_to_end: Latencies,
    lost: u64,
    duplicates: u64,
}

pub(super) async fn run(sickness: &Sickness, bench: &Bench, settings: Settings) -> anyhow::Result<Report> {
    let (mut well, mut sick) = (Runs::new(), Runs::new());
    for _ in 0..PAIRS {
        well.add(bench, &settings, Manner::Aside).await?;
        sick.add(bench, &settings, sickness.manner).await?;
    }
    let ratio = sick.end_to_end.p99_ms().zip(well.end_to_end.p99_ms()).map(|(sick, well)| sick / well);
    let lost = well.lost + sick.lost;
    let duplicates = well.duplicates + sick.duplicates;
    let figures = vec![
        Figure::new("load", "load, events", PER_SECOND, Unit::PerSecond),
        Figure::p50("well_p50", "end to end p50, all well", &well.end_to_end),
        Figure::p50("sick_p50", "end to end p50, a tenth sick", &sick.end_to_end),
        Figure::p99("well_p99", "end to end p99, all well", &well.end_to_end),
        Figure::p99("sick_p99", "end to end p99, a tenth sick", &sick.end_to_end),
        Figure::new("ratio", "p99, a tenth sick / all well", ratio, Unit::Ratio)
            .aim(Target::AtMost(sickness.ratio_max)),
        Figure::p99("well_accept_p99", "accept p99, all well", &well.accept),
        Figure::p99("sick_accept_p99", "accept p99, a tenth sick", &sick.accept),
        Figure::count("lost", "lost on the others", lost),
        Figure::count("duplicates", "duplicates", duplicates),
    ];
    let broken = [(lost, "deliveries did not arrive"), (duplicates, "deliveries arrived more than once")];
    let broken = broken.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let notes = vec![format!("{PAIRS} pairs of runs; {}", sickness.note)];
    Ok(Report { scenario: sickness.name, summary: settings.summary(), figures, notes, broken })
}

impl Runs {
    fn new() -> Self {
        Self { accept: Latencies::new(), end_to_end: Latencies::new(), lost: 0, duplicates: 0 }
    }

    /// Runs once, with the last channel of each group answering in the manner `last`.
    async fn add(&mut self, bench: &Bench, settings: &Settings, last: Manner) -> anyhow::Result<()> {
        let manner_of = |number: usize| if (number + 1).is_multiple_of(settings.fanout) { last } else { Manner::Now };
        let manners: Vec<Manner> = (0..settings.channels).map(manner_of).collect();
        let bed = Bed::make(bench, settings, &manners).await?;
        // These channels are counted apart, so one delivery fewer is expected of each event.
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
