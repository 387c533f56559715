//! What a server costs that has nothing to do: after some deliveries, it is left alone and watched.

use super::{Bed, Bench, Settings};
use crate::cli::bench::pace::Pace;
use crate::cli::bench::receiver::Manner;
use crate::cli::bench::report::{Figure, Report, Target, Unit};
use crate::cli::bench::stats::per_second;
use std::time::Duration;

pub(super) const DEFAULTS: Settings =
    Settings { events: 1_000, channels: 100, fanout: 1, workers: 16, batch: 1, event_bytes: 256 };

/// How long it is left alone before it is watched: retries and upkeep of what was delivered are over by then.
const REST: Duration = Duration::from_secs(5);
/// How long it is watched. Longer than a minute, so that what it does every minute is part of it.
const WATCHED: Duration = Duration::from_secs(70);
const PROCESSOR_PERCENT_MAX: f64 = 1.0;
const CALLS_PER_SECOND_MAX: f64 = 2.0;

pub(super) async fn run(bench: &Bench, settings: Settings) -> anyhow::Result<Report> {
    let bed = Bed::make(bench, &settings, &vec![Manner::Now; settings.channels]).await?;
    bed.deliver(bench, &settings, Pace::Count(settings.requests()), settings.fanout).await?;
    tokio::time::sleep(REST).await;
    // To ask costs calls as well: as many as lie between two questions with nothing between them.
    let (first, begin) = (store_calls(&bed).await?, store_calls(&bed).await?);
    let before = bed.server.usage();
    let start_ns = bench.watch.ns();
    bench.progress.during(|| "watching the server do nothing".to_owned(), tokio::time::sleep(WATCHED)).await;
    let time = bench.watch.since(start_ns);
    let after = bed.server.usage();
    let calls = store_calls(&bed).await?.saturating_sub(begin + (begin - first));
    let cpu = before.zip(after).map(|(before, after)| after.cpu.saturating_sub(before.cpu).as_secs_f64());
    let figures = vec![
        Figure::new(
            "cpu",
            "processor time, of one core",
            cpu.map(|cpu| cpu / time.as_secs_f64() * 100.0),
            Unit::Percent,
        )
        .aim(Target::AtMost(PROCESSOR_PERCENT_MAX)),
        Figure::new("calls", "calls of the database", per_second(calls, time), Unit::RarePerSecond)
            .aim(Target::AtMost(CALLS_PER_SECOND_MAX)),
        Figure::rss("rss", "memory", after),
    ];
    let notes = vec!["a call of the database is a statement or a few".to_owned()];
    Ok(Report { scenario: "idle", summary: settings.summary(), figures, notes, broken: vec![] })
}

async fn store_calls(bed: &Bed) -> anyhow::Result<u64> {
    bed.server.figures().await?.store_calls()
}
