//! Traces: what becomes of an event, from its request over its commit to every attempt.
//!
//! Spans are made from what the engine and the HTTP server report when something is over, so nothing is held open, and a
//! restart in the middle of a trace loses none that was reported. Only traces that their producer samples are told, and
//! those that begin here. Making a span takes no lock and waits for nobody: when the collector cannot keep up, spans are
//! dropped and counted in the log.

use std::num::{NonZeroU64, NonZeroU128};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::outcome::Class;
use domain::{Timestamp, TraceContext};
use engine::dispatch::attempt;
use engine::observe::Commit;
use engine::random::Entropy;
use http::{Method, StatusCode};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::export::{Exporter, SPANS_WAITING_MAX};
use crate::config::OtelConfig;

/// Something that was done, in the words of OpenTelemetry.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) place: TraceContext,
    pub(super) parent: Option<NonZeroU64>,
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) begun_at: Timestamp,
    pub(super) took: Duration,
    /// Why it failed, when it did.
    pub(super) failure: Option<String>,
    pub(super) attributes: Vec<(&'static str, Value)>,
}

/// Which side of a conversation a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Server,
    Internal,
    Client,
}

/// The value of an attribute.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Number(i64),
}

/// A request that was answered.
pub(crate) struct Answered<'a> {
    pub(crate) place: TraceContext,
    pub(crate) parent: Option<TraceContext>,
    pub(crate) method: &'a Method,
    pub(crate) route: &'a str,
    pub(crate) status: StatusCode,
    pub(crate) begun_at: Timestamp,
    pub(crate) took: Duration,
}

/// Makes spans and hands them to the exporter.
pub(crate) struct Traces {
    spans: mpsc::Sender<Span>,
    /// Spans for which there was no room.
    dropped: Arc<AtomicU64>,
    entropy: Arc<dyn Entropy>,
}

impl Traces {
    /// Starts the exporter. It ends, and sends what it still has, when the last of these is dropped.
    pub(crate) fn start(
        tasks: &mut JoinSet<()>,
        config: &OtelConfig,
        entropy: Arc<dyn Entropy>,
    ) -> anyhow::Result<Self> {
        let (spans, waiting) = mpsc::channel(SPANS_WAITING_MAX);
        let dropped = Arc::default();
        let exporter = Exporter::new(config, Arc::clone(&dropped))?;
        tasks.spawn(exporter.run(waiting));
        Ok(Self { spans, dropped, entropy })
    }

    /// A place for a request: in the trace that it came with, or in a new one.
    pub(crate) fn place(&self, parent: Option<TraceContext>) -> TraceContext {
        let span = self.span();
        if let Some(parent) = parent {
            return parent.at(span);
        }
        let halves = (u128::from(self.entropy.number()) << 64) | u128::from(self.entropy.number());
        TraceContext { trace: NonZeroU128::new(halves).unwrap_or(NonZeroU128::MIN), span, is_sampled: true }
    }

    pub(crate) fn answered(&self, answered: &Answered<'_>) {
        let Answered { place, parent, method, route, status, begun_at, took } = *answered;
        self.tell(place, || Span {
            place,
            parent: parent.map(|parent| parent.span),
            name: format!("{method} {route}"),
            kind: Kind::Server,
            begun_at,
            took,
            failure: status.is_server_error().then(|| status.to_string()),
            attributes: vec![
                ("http.request.method", Value::Text(method.to_string())),
                ("http.route", Value::Text(route.to_owned())),
                ("http.response.status_code", Value::Number(status.as_u16().into())),
            ],
        });
    }

    pub(super) fn committed(&self, commit: &Commit) {
        let Some(request) = commit.trace else { return };
        self.tell(request, || Span {
            place: request.at(self.span()),
            parent: Some(request.span),
            name: "commit".to_owned(),
            kind: Kind::Internal,
            begun_at: commit.begun_at,
            took: commit.took,
            failure: (!commit.is_kept).then(|| "the events could not be written".to_owned()),
            attributes: vec![("postrider.events", number(commit.events))],
        });
    }

    pub(super) fn attempted(&self, answered: &attempt::Answered) {
        let attempt::Answered { flight, records, trace, .. } = answered;
        let (Some(place), Some(first)) = (*trace, records.first()) else { return };
        let event = &flight.content.event;
        let outcome = &answered.outcome;
        let provider = flight.live.provider.0.spec().name;
        let took_ms: u64 = records.iter().map(|record| u64::from(record.duration_ms)).sum();
        self.tell(place, || {
            let mut attributes = vec![
                ("postrider.provider", Value::Text(provider.to_owned())),
                ("postrider.delivery.id", Value::Number(flight.delivery.0)),
                ("postrider.channel.id", Value::Number(flight.channel.0)),
                ("postrider.event.id", Value::Text(event.id.public())),
                ("postrider.event.type", Value::Text(event.content.event_type.to_string())),
                ("postrider.attempt", Value::Number(first.number.into())),
                ("postrider.outcome", Value::Text(outcome.class.name().to_owned())),
            ];
            let code = records.last().and_then(|record| record.code);
            attributes.extend(code.map(|code| ("http.response.status_code", Value::Number(code.into()))));
            Span {
                place,
                parent: event.content.trace.map(|parent| parent.span),
                name: format!("attempt {provider}"),
                kind: Kind::Client,
                begun_at: first.started_at,
                took: Duration::from_millis(took_ms),
                failure: (outcome.class != Class::Delivered).then(|| outcome.note.clone()),
                attributes,
            }
        });
    }

    fn tell(&self, place: TraceContext, span: impl FnOnce() -> Span) {
        if !place.is_sampled {
            return;
        }
        match self.spans.try_reserve() {
            Ok(permit) => permit.send(span()),
            // The exporter says so in the log.
            Err(_) => drop(self.dropped.fetch_add(1, Ordering::Relaxed)),
        }
    }

    fn span(&self) -> NonZeroU64 {
        NonZeroU64::new(self.entropy.number()).unwrap_or(NonZeroU64::MIN)
    }
}

fn number(count: usize) -> Value {
    Value::Number(i64::try_from(count).unwrap_or(i64::MAX))
}
