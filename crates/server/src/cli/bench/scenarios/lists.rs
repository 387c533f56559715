//! Pages of a long list: a tenant with as many channels as it may have, asked for by page number.
//!
//! The list is that of the Altum dialect, which counts pages and can sort. Nothing is delivered. Making the channels takes
//! by far the longest, because each is durable before the next.

use super::{Bench, Settings};
use crate::cli::bench::report::{Figure, Report, Target};
use crate::cli::bench::server::Server;
use crate::cli::bench::setup::{ChannelPlan, Tenant};
use crate::cli::bench::stats::Latencies;
use anyhow::Context as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// `events` are the calls for each page; only these and `channels` matter here.
pub(super) const DEFAULTS: Settings =
    Settings { events: 500, channels: 100_000, fanout: 1, workers: 1, batch: 1, event_bytes: 256 };

/// For the channels.
pub(super) const PATIENCE: Duration = Duration::from_secs(3600);

/// What the client asks for when it names no size.
const PAGE_ROWS: usize = 25;

/// What a page must take at most, in milliseconds.
const TARGET_MS: f64 = 20.0;

/// One kind of page: its names in the report, and what it adds to the query.
struct Kind {
    p50: (&'static str, &'static str),
    p99: (&'static str, &'static str),
    place: Place,
    query: &'static str,
}

#[derive(Clone, Copy)]
enum Place {
    First,
    Middle,
    Last,
}

macro_rules! kind {
    ($place:ident, $key:literal, $label:literal, $query:expr) => {
        Kind {
            p50: (concat!($key, "_p50"), concat!($label, " p50")),
            p99: (concat!($key, "_p99"), concat!($label, " p99")),
            place: Place::$place,
            query: $query,
        }
    };
}

const MADE_SINCE_2020: &str = "&datetime_field=datetime&datetime_start=2020-01-01+00:00:00&order_by=name";

/// Every channel passes every filter, so that the pages of each kind are as many as those of another.
const KINDS: [Kind; 15] = [
    kind!(First, "first", "first page", ""),
    kind!(Middle, "middle", "middle page", ""),
    kind!(Last, "last", "last page", ""),
    kind!(First, "first_by_name", "first page by name", "&order_by=name"),
    kind!(Middle, "middle_by_name", "middle page by name", "&order_by=name"),
    kind!(Last, "last_by_name", "last page by name", "&order_by=name"),
    kind!(First, "first_by_name_down", "first page by name, downwards", "&order_by=name&order_type=DESC"),
    kind!(Middle, "middle_by_name_down", "middle page by name, downwards", "&order_by=name&order_type=DESC"),
    kind!(Last, "last_by_name_down", "last page by name, downwards", "&order_by=name&order_type=DESC"),
    kind!(Middle, "middle_by_time", "middle page by time", "&order_by=datetime&order_type=DESC"),
    kind!(Middle, "middle_by_change", "middle page by last change", "&order_by=last_datetime"),
    kind!(Middle, "middle_of_type", "middle page of a type, by name", "&type=webhook&is_enabled=1&order_by=name"),
    kind!(Middle, "middle_found", "middle page of a search, by name", "&search=CHANNEL&search_by=name&order_by=name"),
    kind!(Middle, "middle_of_span", "middle page of a span of time, by name", MADE_SINCE_2020),
    kind!(Last, "last_of_type_by_time", "last page of a type, by time", "&type=webhook&order_by=datetime"),
];

pub(super) fn summary(settings: &Settings) -> String {
    format!("{} channels, {} calls of each kind, {PAGE_ROWS} rows a page", settings.channels, settings.events)
}

pub(super) async fn run(bench: &Bench, settings: Settings) -> anyhow::Result<Report> {
    let starting = Server::start(&bench.directory, bench.store, &bench.through, bench.watch);
    let server = bench.progress.during(|| "starting the server".to_owned(), starting).await?;
    let mut tenant = make(bench, &server, settings.channels).await.with_context(|| server.log_end())?;
    let mut figures = vec![Figure::rss("rss_made", "memory with all channels", server.usage())];
    for kind in &KINDS {
        let asking = ask(bench, &mut tenant, &settings, kind);
        let latencies = bench.progress.during(|| format!("asking for the {}", kind.p50.1), asking).await?;
        figures.push(Figure::p50(kind.p50.0, kind.p50.1, &latencies));
        figures.push(Figure::p99(kind.p99.0, kind.p99.1, &latencies).aim(Target::AtMost(TARGET_MS)));
    }
    Ok(Report { scenario: "lists", summary: summary(&settings), figures, notes: vec![], broken: vec![] })
}

async fn make(bench: &Bench, server: &Server, count: usize) -> anyhow::Result<Tenant> {
    let made = AtomicUsize::new(0);
    let work = async {
        let mut tenant = Tenant::make(server, "bench").await?;
        let plan = ChannelPlan { url: "https://example.com/hook".to_owned(), event_type: "bench".to_owned() };
        for number in 0..count {
            tenant.make_channel(&name(number), &plan).await?;
            made.store(number + 1, Ordering::Relaxed);
        }
        Ok(tenant)
    };
    bench.progress.during(|| format!("made {} of {count} channels", made.load(Ordering::Relaxed)), work).await
}

/// Names that stand in another order than the ids.
fn name(number: usize) -> String {
    format!("channel-{:016x}", (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

async fn ask(bench: &Bench, tenant: &mut Tenant, settings: &Settings, kind: &Kind) -> anyhow::Result<Latencies> {
    let pages = settings.channels.div_ceil(PAGE_ROWS);
    let page = match kind.place {
        Place::First => 1,
        Place::Middle => pages.div_ceil(2),
        Place::Last => pages,
    };
    let path = format!("/api/notification-handlers?results_per_page={PAGE_ROWS}{}&page={page}", kind.query);
    let mut latencies = Latencies::new();
    for _ in 0..settings.events {
        let start_ns = bench.watch.ns();
        tenant.get(&path).await?;
        latencies.record(bench.watch.since(start_ns));
    }
    Ok(latencies)
}
