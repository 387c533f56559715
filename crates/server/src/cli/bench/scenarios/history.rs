//! A long history: whether it makes deliveries slower, and how long lists and sums take with it.
//!
//! The same load runs twice on the same server: on the empty database, and after a past of millions of attempts was
//! written into it. Then the lists are read, newest first, with and without filters.

use super::throughput::delivered_per_second;
use super::{Bed, Bench, Settings, losses};
use crate::cli::bench::database::Store;
use crate::cli::bench::pace::Pace;
use crate::cli::bench::past::{self, Past};
use crate::cli::bench::receiver::Manner;
use crate::cli::bench::report::{Figure, Report, Target, Unit};
use crate::cli::bench::setup::Tenant;
use crate::cli::bench::stats::Latencies;
use crate::clock::SystemClock;
use anyhow::{Context as _, ensure};
use domain::{Clock as _, Timestamp};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// `events` are those of each of the two runs; the past has its own size.
pub(super) const DEFAULTS: Settings =
    Settings { events: 60_000, channels: 20, fanout: 1, workers: 64, batch: 1, event_bytes: 256 };

/// Attempts in the past unless `--past` says otherwise, and how many each delivery took.
pub(in crate::cli::bench) const PAST_ATTEMPTS: u64 = 10_000_000;
pub(super) const ATTEMPTS_EACH: u32 = 5;

/// For writing the past.
pub(super) const PATIENCE: Duration = Duration::from_secs(3600);

/// Calls of each list.
const CALLS: u32 = 200;

const LIST_MS_MAX: f64 = 50.0;
const SHARE_MIN: f64 = 0.9;

/// A list: its name in JSON and in the table, and what is asked for.
const LISTS: [(&str, &str, &str); 14] = [
    ("events", "events p99", "/v1/events?limit=50"),
    ("events_of_type", "events of a type p99", "/v1/events?limit=50&type=bench.group3"),
    ("events_none", "events, none of that type p99", "/v1/events?limit=50&type=bench.none"),
    ("deliveries", "deliveries p99", "/v1/deliveries?limit=50"),
    ("deliveries_sent", "deliveries sent p99", "/v1/deliveries?limit=50&status=sent"),
    ("deliveries_none", "deliveries, none expired p99", "/v1/deliveries?limit=50&status=expired"),
    ("deliveries_to_channel", "deliveries to a channel p99", "/v1/deliveries?limit=50&channel_id={channel}"),
    ("attempts", "attempts p99", "/v1/attempts?limit=50"),
    ("attempts_to_channel", "attempts to a channel p99", "/v1/attempts?limit=50&channel_id={channel}"),
    ("attempts_none", "attempts, none with that code p99", "/v1/attempts?limit=50&code=418"),
    ("attempts_of_delivery", "attempts of a delivery p99", "/v1/attempts?limit=50&delivery_id=1"),
    ("stats", "stats p99", "/v1/stats"),
    ("log_lenz", "log of the Lenz API p99", "/api/notification-logs"),
    ("log_lenz_to_channel", "log of a channel, Lenz p99", "/api/notification-logs?channel_id={channel}"),
];

pub(super) fn summary(settings: &Settings, past_attempts: u64) -> String {
    format!("{past_attempts} attempts in the past, {ATTEMPTS_EACH} a delivery; twice {}", settings.summary())
}

pub(super) async fn run(bench: &Bench, settings: Settings) -> anyhow::Result<Report> {
    let mut bed = Bed::make(bench, &settings, &vec![Manner::Now; settings.channels]).await?;
    let load = Pace::Count(settings.requests());
    let (empty_loaded, empty_total) = bed.deliver(bench, &settings, load, settings.fanout).await?;
    let empty = delivered_per_second(&empty_loaded, &empty_total);
    // Over in time, but younger than anything that retention lets go of by default.
    let begins_at = before_now(Duration::from_hours(48));
    write_past(bench, &mut bed, &settings, begins_at).await?;
    bed.receiver.forget();
    let (loaded, total) = bed.deliver(bench, &settings, load, settings.fanout).await?;
    let full = delivered_per_second(&loaded, &total);
    let mut figures = vec![
        Figure::new("delivered_empty", "delivered, empty", empty, Unit::PerSecond),
        Figure::new("delivered_full", "delivered, with the past", full, Unit::PerSecond),
        Figure::new("share", "with the past / empty", full / empty, Unit::Ratio).aim(Target::AtLeast(SHARE_MIN)),
        Figure::milliseconds("start_to_ready", "start to ready", bed.server.start_to_ready()),
    ];
    figures.extend(lists(bench, &bed).await.with_context(|| bed.server.log_end())?);
    let (lost, broken) = losses(loaded.accepted * settings.fanout as u64, &loaded, &total);
    figures.extend(lost);
    Ok(Report { scenario: "history", summary: summary(&settings, bench.past), figures, notes: vec![], broken })
}

pub(super) fn before_now(time: Duration) -> Timestamp {
    let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_ms(SystemClock::new().now().as_ms() - ms)
}

/// Ends the server, writes the past, and starts it again. The past takes a day, however much it is.
pub(super) async fn write_past(
    bench: &Bench,
    bed: &mut Bed,
    settings: &Settings,
    begins_at: Timestamp,
) -> anyhow::Result<()> {
    ensure!(matches!(bench.store, Store::Sqlite), "a past can only be written into SQLite: leave --store out");
    let deliveries = (bench.past / u64::from(ATTEMPTS_EACH)).max(1);
    let past = Past {
        deliveries,
        attempts_each: ATTEMPTS_EACH,
        event_bytes: settings.event_bytes,
        begins_at,
        step: Duration::from_hours(24) / u32::try_from(deliveries).unwrap_or(u32::MAX),
    };
    let written = AtomicU64::new(0);
    let text = || format!("wrote {} of {deliveries} deliveries of the past", written.load(Ordering::Relaxed));
    let writing = bed.server.while_down(async |data_dir| past::write(data_dir, past, &written).await);
    bench.progress.during(text, writing).await
}

async fn lists(bench: &Bench, bed: &Bed) -> anyhow::Result<Vec<Figure>> {
    let mut tenant = Tenant::with_key(&bed.server, &bed.key).await?;
    let mut figures = Vec::new();
    for (key, label, path) in LISTS {
        let path = path.replace("{channel}", &bed.channels[bed.channels.len() / 2].to_string());
        let mut latencies = Latencies::new();
        let asking = async {
            for _ in 0..CALLS {
                let start_ns = bench.watch.ns();
                tenant.get(&path).await?;
                latencies.record(bench.watch.since(start_ns));
            }
            anyhow::Ok(())
        };
        bench.progress.during(|| format!("asking for {path}"), asking).await?;
        figures.push(Figure::p99(key, label, &latencies).aim(Target::AtMost(LIST_MS_MAX)));
    }
    Ok(figures)
}
