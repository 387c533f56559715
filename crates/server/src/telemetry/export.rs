//! The way of spans to the collector: OTLP over HTTP in protobuf, in batches.
//!
//! It goes over the engine's own HTTP transport, so there is one client and one TLS in the process. The collector is the
//! operator's choice and may be anywhere: the egress rules, which bind what tenants configure, are wide open here. What
//! cannot be delivered is dropped, because traces are worth less than the memory that would hold them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use domain::Secret;
use engine::transport::{EgressRules, GuardedHttp, TlsRoots, Transport as _};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span as SpanOut;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Status, span, status};
use prost::Message as _;
use providers::step::{HttpStep, Reply, Step, Trust};
use tokio::sync::mpsc;

use super::traces::{Kind, Span, Value};
use crate::config::OtelConfig;

/// Spans that may wait for the exporter: some seconds' worth at a thousand attempts a second, a few MiB.
pub(super) const SPANS_WAITING_MAX: usize = 4096;

/// Spans in one request.
const BATCH_MAX: usize = 512;

/// How long a span may wait for others to go with it.
const LINGER: Duration = Duration::from_secs(1);

/// For one request to the collector; also how much a stop may wait for it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends spans to the collector.
pub(super) struct Exporter {
    transport: GuardedHttp,
    url: String,
    headers: HeaderMap,
    /// Whether the last request failed: a collector that is away is told of once.
    is_failing: bool,
    /// Spans that never came here for want of room.
    dropped: Arc<AtomicU64>,
}

impl Exporter {
    pub(super) fn new(config: &OtelConfig, dropped: Arc<AtomicU64>) -> anyhow::Result<Self> {
        let everywhere = ["0.0.0.0/0", "::/0"].map(|network| network.parse().expect("a network"));
        let rules = EgressRules::new(everywhere.to_vec(), Vec::new());
        let transport = GuardedHttp::new(rules, TlsRoots::system()).context("traces cannot be sent")?;
        let mut headers: HeaderMap = config.headers.iter().cloned().collect();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let url = format!("{}/v1/traces", config.endpoint.as_str().trim_end_matches('/'));
        Ok(Self { transport, url, headers, is_failing: false, dropped })
    }

    /// Sends until nobody makes spans any more.
    pub(super) async fn run(mut self, mut waiting: mpsc::Receiver<Span>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
            let fill = async {
                let mut room = BATCH_MAX - batch.len();
                while room > 0 {
                    match waiting.recv_many(&mut batch, room).await {
                        0 => return,
                        more => room -= more,
                    }
                }
            };
            // What has come by then goes as it is.
            let _ = tokio::time::timeout(LINGER, fill).await;
            self.send(std::mem::take(&mut batch)).await;
        }
    }

    async fn send(&mut self, spans: Vec<Span>) {
        let count = spans.len();
        let step = HttpStep {
            method: Method::POST,
            url: Secret::new(self.url.clone()),
            headers: self.headers.clone(),
            body: Bytes::from(request(spans).encode_to_vec()),
            timeout: TIMEOUT,
            trust: Trust::NONE,
        };
        let failure = match self.transport.send(Step::Http(step)).await {
            Reply::Http(answer) if answer.status.is_success() => None,
            Reply::Http(answer) => Some(format!("it answered {}", answer.status)),
            Reply::Smtp(_) | Reply::Kept => Some("it did not answer as HTTP does".to_owned()),
            Reply::Failed(failure) => Some(failure.detail),
        };
        match &failure {
            Some(reason) if !self.is_failing => {
                tracing::warn!(spans = count, %reason, "the trace collector cannot be reached; spans are dropped");
            }
            None if self.is_failing => tracing::info!("the trace collector takes spans again"),
            _ => {}
        }
        self.is_failing = failure.is_some();
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(spans = dropped, "spans were dropped: the trace collector is too slow");
        }
    }
}

fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let text = |value: &str| Value::Text(value.to_owned());
    let about = [("service.name", text("postrider")), ("service.version", text(env!("CARGO_PKG_VERSION")))];
    let resource = Resource { attributes: about.into_iter().map(attribute).collect(), ..Resource::default() };
    let scope = InstrumentationScope { name: "postrider".to_owned(), ..InstrumentationScope::default() };
    let spans = spans.into_iter().map(span_out).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    let spans = ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![spans] }
}

fn span_out(span: Span) -> SpanOut {
    let begun_ns = u64::try_from(span.begun_at.as_ms()).unwrap_or(0).saturating_mul(1_000_000);
    let kind = match span.kind {
        Kind::Server => span::SpanKind::Server,
        Kind::Internal => span::SpanKind::Internal,
        Kind::Client => span::SpanKind::Client,
    };
    let failed = |message| Status { message, code: status::StatusCode::Error.into() };
    SpanOut {
        trace_id: span.place.trace.get().to_be_bytes().to_vec(),
        span_id: span.place.span.get().to_be_bytes().to_vec(),
        parent_span_id: span.parent.map(|parent| parent.get().to_be_bytes().to_vec()).unwrap_or_default(),
        // Bit 0 of the W3C flags: sampled, as every span is that gets here.
        flags: 1,
        name: span.name,
        kind: kind.into(),
        start_time_unix_nano: begun_ns,
        end_time_unix_nano: begun_ns.saturating_add(u64::try_from(span.took.as_nanos()).unwrap_or(u64::MAX)),
        attributes: span.attributes.into_iter().map(attribute).collect(),
        status: span.failure.map(failed),
        ..SpanOut::default()
    }
}

fn attribute((key, value): (&str, Value)) -> KeyValue {
    let value = match value {
        Value::Text(text) => any_value::Value::StringValue(text),
        Value::Number(number) => any_value::Value::IntValue(number),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
