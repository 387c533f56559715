//! The figures, in a registry of their own: what each is called, and who reports to it.
//!
//! Labels take few values: providers, outcomes, routes, classes of status. Never a tenant, a channel or an event type,
//! of which there may be any number.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use domain::Timestamp;
use domain::delivery::AttemptRecord;
use domain::quotas::Quota;
use engine::dispatch::announce::Moment;
use engine::dispatch::attempt::Answered;
use engine::ops::Figures;
use http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use store::observe::{Commit, Hold, Upkeep};

use super::process;

/// 1 ms to 32 s, doubling: from a receiver next door to one that uses up its 15 s.
fn exchange_seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 16))
}

/// 0.25 ms to 4 s, doubling: from a memory disk to one that stalls; requests wait for it.
fn commit_seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_25, 2.0, 15))
}

/// 1 to 16,384, in fours: a commit is bounded at about 4,000 rows and one job.
fn commit_rows() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 4.0, 8))
}

/// Around 20 ms, which no piece of upkeep should take: those who post an event meanwhile wait for it.
const HOLD_SECONDS: [f64; 10] = [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];

fn hold_seconds() -> Histogram {
    Histogram::new(HOLD_SECONDS)
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QuotaLabels {
    quota: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpkeepLabels {
    /// What was done: fold, index, retain.
    work: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    provider: &'static str,
    /// What it meant: delivered, failed, throttled, rejected, unknown.
    outcome: &'static str,
    /// What was answered: 2xx to 5xx, or none.
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabels {
    provider: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    /// The pattern of the path, like `/v1/events/{id}`; `none` where nothing is.
    route: String,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: String,
}

type Seconds<L> = Family<L, Histogram, fn() -> Histogram>;

/// Every figure of the server.
pub(crate) struct Metrics {
    registry: Registry,
    events: Counter,
    finals: Family<StateLabels, Counter>,
    attempts: Family<AttemptLabels, Counter>,
    attempt_seconds: Seconds<ProviderLabels>,
    in_flight: Gauge,
    waiting: Family<StateLabels, Gauge>,
    dead: Gauge,
    oldest_due: Gauge<f64, AtomicU64>,
    channels_paused: Gauge,
    channels_tripped: Gauge,
    trips: Counter,
    quota_refusals: Family<QuotaLabels, Counter>,
    commit_rows: Histogram,
    commit_seconds: Histogram,
    upkeep_seconds: Seconds<UpkeepLabels>,
    upkeep_rows: Family<UpkeepLabels, Counter>,
    store_calls: Counter,
    store_errors: Counter,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Seconds<RouteLabels>,
    resident: Gauge,
    open_fds: Gauge,
}

impl Metrics {
    /// All of them at zero. `start` is when the process started.
    pub(crate) fn new(start: Timestamp) -> Arc<Self> {
        let mut metrics = Self {
            registry: Registry::with_prefix("postrider"),
            events: Counter::default(),
            finals: Family::default(),
            attempts: Family::default(),
            attempt_seconds: Family::new_with_constructor(exchange_seconds),
            in_flight: Gauge::default(),
            waiting: Family::default(),
            dead: Gauge::default(),
            oldest_due: Gauge::default(),
            channels_paused: Gauge::default(),
            channels_tripped: Gauge::default(),
            trips: Counter::default(),
            quota_refusals: Family::default(),
            commit_rows: commit_rows(),
            commit_seconds: commit_seconds(),
            upkeep_seconds: Family::new_with_constructor(hold_seconds),
            upkeep_rows: Family::default(),
            store_calls: Counter::default(),
            store_errors: Counter::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(exchange_seconds),
            resident: Gauge::default(),
            open_fds: Gauge::default(),
        };
        metrics.label();
        metrics.register_deliveries();
        metrics.register_server(start);
        Arc::new(metrics)
    }

    /// Makes the samples whose labels are known, so that they are told before anything is counted.
    fn label(&self) {
        for quota in Quota::ALL {
            drop(self.quota_refusals.get_or_create(&QuotaLabels { quota: quota.name() }));
        }
        for work in Upkeep::ALL {
            let labels = UpkeepLabels { work: work.name() };
            drop(self.upkeep_seconds.get_or_create(&labels));
            drop(self.upkeep_rows.get_or_create(&labels));
        }
    }

    fn register_deliveries(&mut self) {
        let registry = &mut self.registry;
        registry.register("events_accepted", "Events that were accepted and are durable", self.events.clone());
        registry.register("deliveries_settled", "Deliveries that came to a final state", self.finals.clone());
        registry.register("attempts", "Tries of one step of a delivery, by what came of them", self.attempts.clone());
        let help = "How long an attempt took, from its start to its judgement";
        registry.register_with_unit("attempt_duration", help, Unit::Seconds, self.attempt_seconds.clone());
        let help = "Deliveries that are started and not durably settled";
        registry.register("deliveries_in_flight", help, self.in_flight.clone());
        let help = "Deliveries that wait now: for their first attempt, a later one, or a paused channel (held)";
        registry.register("deliveries_waiting", help, self.waiting.clone());
        registry.register("deliveries_dead", "Deliveries that gave up and wait for a person", self.dead.clone());
        let help = "How long the delivery has been due that has been so for longest and is not started";
        registry.register_with_unit("oldest_due_age", help, Unit::Seconds, self.oldest_due.clone());
        let help = "Channels that Postrider has paused, because everything sent to them is refused";
        registry.register("channels_paused", help, self.channels_paused.clone());
        let help = "Channels that fail, and hold their deliveries but for a probe now and then";
        registry.register("channels_tripped", help, self.channels_tripped.clone());
        let help = "How often a channel was tripped because it failed";
        registry.register("channel_trips", help, self.trips.clone());
        let help = "Requests that were refused because a quota of their tenant had no room for them";
        registry.register("quota_refusals", help, self.quota_refusals.clone());
    }

    fn register_server(&mut self, start: Timestamp) {
        let registry = &mut self.registry;
        registry.register("commit_rows", "Rows of a commit, as estimated", self.commit_rows.clone());
        let help = "How long a commit took, from its beginning until it was on the disk";
        registry.register_with_unit("commit_duration", help, Unit::Seconds, self.commit_seconds.clone());
        let help = "How long a piece of upkeep kept the writer from everything else";
        registry.register_with_unit("upkeep_duration", help, Unit::Seconds, self.upkeep_seconds.clone());
        let help = "Rows that upkeep wrote (index) or let go of (retain)";
        registry.register("upkeep_rows", help, self.upkeep_rows.clone());
        registry.register("store_calls", "Calls of the database, a statement or a few each", self.store_calls.clone());
        let help = "Calls of the database that could not be carried out";
        registry.register("store_errors", help, self.store_errors.clone());
        registry.register("http_requests", "Requests that were answered", self.requests.clone());
        let help = "How long a request took until its answer began";
        registry.register_with_unit("http_request_duration", help, Unit::Seconds, self.request_seconds.clone());
        let help = "Memory of the process";
        registry.register_with_unit("process_resident_memory", help, Unit::Bytes, self.resident.clone());
        registry.register("process_open_fds", "Open file descriptors of the process", self.open_fds.clone());
        let started: Gauge = Gauge::default();
        started.set(start.as_seconds());
        let help = "When the process started, in seconds since 1970";
        registry.register_with_unit("process_start_time", help, Unit::Seconds, started);
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version that runs", build);
    }

    /// A request was answered after so long.
    pub(crate) fn answered(&self, method: &Method, route: Option<&str>, status: StatusCode, took: Duration) {
        let method = known_method(method);
        let route = route.unwrap_or("none").to_owned();
        let labels = RouteLabels { method, route: route.clone() };
        self.request_seconds.get_or_create(&labels).observe(took.as_secs_f64());
        let status = class_of(status.as_u16());
        self.requests.get_or_create(&RequestLabels { method, route, status }).inc();
    }

    /// Something about a channel changed by itself.
    pub(crate) fn moved(&self, moment: &Moment) {
        if matches!(moment, Moment::Tripped(..)) {
            self.trips.inc();
        }
    }

    /// The page that Prometheus reads, with what waits as told now.
    pub(crate) fn page(&self, figures: &Figures) -> String {
        for (state, count) in [("pending", figures.pending), ("retrying", figures.retrying), ("held", figures.held)] {
            self.waiting.get_or_create(&StateLabels { state }).set(signed(count));
        }
        self.dead.set(signed(figures.dead));
        self.channels_paused.set(i64::try_from(figures.channels_paused).unwrap_or(i64::MAX));
        self.channels_tripped.set(i64::try_from(figures.channels_tripped).unwrap_or(i64::MAX));
        self.oldest_due.set(figures.oldest_due.as_secs_f64());
        if let Some(usage) = process::usage() {
            self.resident.set(signed(usage.resident_bytes));
            self.open_fds.set(signed(usage.open_fds));
        }
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &self.registry).expect("text can be written to memory");
        page
    }
}

impl store::observe::Observer for Metrics {
    fn committed(&self, commit: &Commit) {
        #[expect(clippy::cast_precision_loss, reason = "rows of a commit are thousands")]
        self.commit_rows.observe(commit.rows as f64);
        self.commit_seconds.observe(commit.took.as_secs_f64());
        for (status, count) in &commit.counts {
            match *status {
                "event" => drop(self.events.inc_by(*count)),
                // Attempts are told by dispatch, with their provider.
                "failed" => {}
                state => drop(self.finals.get_or_create(&StateLabels { state }).inc_by(*count)),
            }
        }
    }

    fn held(&self, hold: &Hold) {
        let labels = UpkeepLabels { work: hold.work.name() };
        self.upkeep_seconds.get_or_create(&labels).observe(hold.took.as_secs_f64());
        self.upkeep_rows.get_or_create(&labels).inc_by(hold.rows.try_into().unwrap_or(u64::MAX));
    }

    fn called(&self) {
        self.store_calls.inc();
    }

    fn failed(&self) {
        self.store_errors.inc();
    }
}

impl Metrics {
    /// A try of a delivery is over.
    pub(super) fn attempted(&self, answered: &Answered) {
        let provider = answered.flight.live.provider.0.spec().name;
        answered.records.iter().for_each(|record| self.tried(provider, record));
    }

    fn tried(&self, provider: &'static str, record: &AttemptRecord) {
        let outcome = record.outcome.class.name();
        let status = record.code.map_or("none", class_of);
        self.attempts.get_or_create(&AttemptLabels { provider, outcome, status }).inc();
        let seconds = Duration::from_millis(record.duration_ms.into()).as_secs_f64();
        self.attempt_seconds.get_or_create(&ProviderLabels { provider }).observe(seconds);
    }

    /// A quota of some tenant had no room for a request.
    pub(super) fn refused(&self, quota: Quota) {
        self.quota_refusals.get_or_create(&QuotaLabels { quota: quota.name() }).inc();
    }

    /// So many deliveries are under way.
    pub(super) fn in_flight(&self, deliveries: usize) {
        self.in_flight.set(i64::try_from(deliveries).unwrap_or(i64::MAX));
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn class_of(status: u16) -> &'static str {
    match status {
        100..=199 => "1xx",
        200..=299 => "2xx",
        300..=399 => "3xx",
        400..=499 => "4xx",
        500..=599 => "5xx",
        _ => "other",
    }
}

/// Clients may invent methods; labels must not follow them.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
