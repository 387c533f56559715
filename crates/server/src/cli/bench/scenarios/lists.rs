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
    order: &'static str,
}

#[derive(Clone, Copy)]
enum Place {
    First,
    Middle,
    Last,
}

const BY_NAME: &str = "&order_by=name";

const KINDS: [Kind; 6] = [
    Kind { p50: ("first_p50", "first page p50"), p99: ("first_p99", "first page p99"), place: Place::First, order: "" },
    Kind {
        p50: ("middle_p50", "middle page p50"),
        p99: ("middle_p99", "middle page p99"),
        place: Place::Middle,
        order: "",
    },
    Kind { p50: ("last_p50", "last page p50"), p99: ("last_p99", "last page p99"), place: Place::Last, order: "" },
    Kind {
        p50: ("first_by_name_p50", "first page by name p50"),
        p99: ("first_by_name_p99", "first page by name p99"),
        place: Place::First,
        order: BY_NAME,
    },
    Kind {
        p50: ("middle_by_name_p50", "middle page by name p50"),
        p99: ("middle_by_name_p99", "middle page by name p99"),
        place: Place::Middle,
        order: BY_NAME,
    },
    Kind {
        p50: ("last_by_name_p50", "last page by name p50"),
        p99: ("last_by_name_p99", "last page by name p99"),
        place: Place::Last,
        order: BY_NAME,
    },
];

pub(super) fn summary(settings: &Settings) -> String {
    format!("{} channels, {} calls of each kind, {PAGE_ROWS} rows a page", settings.channels, settings.events)
}

pub(super) async fn run(bench: &Bench, settings: Settings) -> anyhow::Result<Report> {
    let starting = Server::start(&bench.directory, &bench.through, bench.watch);
    let server = bench.progress.during(|| "starting the server".to_owned(), starting).await?;
    let mut tenant = make(bench, &server, settings.channels).await.with_context(|| server.log_end())?;
    let mut figures = Vec::new();
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
    let path = format!("/api/notification-handlers?results_per_page={PAGE_ROWS}{}&page={page}", kind.order);
    let mut latencies = Latencies::new();
    for _ in 0..settings.events {
        let start_ns = bench.watch.ns();
        tenant.get(&path).await?;
        latencies.record(bench.watch.since(start_ns));
    }
    Ok(latencies)
}
