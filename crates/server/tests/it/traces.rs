//! Traces: the producer's context reaches the receiver, also past a kill, and spans reach a collector.

use std::collections::BTreeMap;

use http::Method;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::json;

use crate::harness::{Accepted, Client, Received, Receiver, Reply, Setup, eventually, start};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

fn parent(flags: &str) -> String {
    format!("00-{TRACE}-{SPAN}-{flags}")
}

async fn post(client: &Client, event_type: &str, headers: &[(&str, &str)]) -> Accepted {
    let event = json!({"type": event_type, "data": {}}).to_string();
    client.send(Method::POST, "/v1/events", headers, event).await.read(202)
}

/// The parts of the `traceparent` that a receiver got.
fn passed_on(received: &Received) -> Option<(String, String, String)> {
    let parts: Vec<&str> = received.header("traceparent")?.split('-').collect();
    assert_eq!((parts.len(), parts[0]), (4, "00"));
    Some((parts[1].to_owned(), parts[2].to_owned(), parts[3].to_owned()))
}

async fn received(receiver: &Receiver, path: &str, count: usize) -> Vec<Received> {
    eventually(path, async || Some(receiver.received(path)).filter(|all| all.len() >= count)).await
}

#[tokio::test]
async fn a_webhook_goes_on_with_the_trace_of_its_event() {
    let (server, receiver) = start().await;
    server.client.webhook(&receiver.url("/"), json!({})).await;
    receiver.script("/", [Reply::status(500)]);
    post(&server.client, "a", &[("traceparent", &parent("01"))]).await;
    let tries = received(&receiver, "/", 2).await;
    let places: Vec<_> = tries.iter().map(|one| passed_on(one).unwrap()).collect();
    for (trace, span, flags) in &places {
        assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "01"));
        assert_ne!(span, SPAN);
    }
    assert_ne!(places[0].1, places[1].1, "each try is a span of its own");
}

#[tokio::test]
async fn without_a_good_context_there_is_none() {
    let (server, receiver) = start().await;
    server.client.webhook(&receiver.url("/"), json!({})).await;
    let good = parent("00");
    let wrong = ["", "nonsense", &good.to_uppercase(), "00-00000000000000000000000000000000-00f067aa0ba902b7-01"];
    for (count, value) in wrong.iter().enumerate() {
        post(&server.client, "a", &[("traceparent", value)]).await;
        assert_eq!(passed_on(received(&receiver, "/", count + 1).await.last().unwrap()), None, "{value}");
    }
    post(&server.client, "a", &[("traceparent", &good), ("traceparent", &parent("01"))]).await;
    assert_eq!(passed_on(received(&receiver, "/", 5).await.last().unwrap()), None);
}

#[tokio::test]
async fn a_header_of_the_owners_own_wins() {
    let (server, receiver) = start().await;
    let own = json!({"config": {"headers": {"traceparent": "mine"}}});
    server.client.webhook(&receiver.url("/"), own).await;
    post(&server.client, "a", &[("traceparent", &parent("01"))]).await;
    assert_eq!(received(&receiver, "/", 1).await[0].header("traceparent"), Some("mine"));
}

#[tokio::test]
async fn a_trace_outlives_a_kill() {
    let setup = Setup::new();
    let server = setup.start().await;
    let receiver = Receiver::start().await;
    server.client.webhook(&receiver.url("/"), json!({"retry": {"delays_seconds": [1]}})).await;
    receiver.script("/", [Reply::status(500)]);
    let accepted = post(&server.client, "a", &[("traceparent", &parent("01"))]).await;
    server.client.delivery_once(accepted.deliveries[0].id, "retrying").await;
    server.kill().await;
    let _server = setup.start().await;
    let tries = received(&receiver, "/", 2).await;
    assert_eq!(passed_on(&tries[1]).unwrap().0, TRACE);
}

/// Every span that the collector got, by name.
async fn spans(collector: &Receiver, names: &[&str]) -> BTreeMap<String, Span> {
    eventually(&format!("{names:?}"), async || {
        let mut spans = BTreeMap::new();
        for batch in collector.received("/v1/traces") {
            assert_eq!(batch.header("content-type"), Some("application/x-protobuf"));
            assert_eq!(batch.header("x-collector-key"), Some("canary"));
            let batch = ExportTraceServiceRequest::decode(batch.body).expect("OTLP");
            let scopes = batch.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
            spans.extend(scopes.flat_map(|scope| scope.spans).map(|span| (span.name.clone(), span)));
        }
        names.iter().all(|name| spans.contains_key(*name)).then_some(spans)
    })
    .await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

const NAMES: [&str; 3] = ["POST /v1/events", "commit", "attempt webhook"];

fn collected(collector: &Receiver) -> Setup {
    Setup::new()
        .set("POSTRIDER_OTEL__ENDPOINT", &collector.url("/"))
        .set("POSTRIDER_OTEL__HEADERS", "x-collector-key=canary")
}

#[tokio::test]
async fn spans_of_one_event_reach_the_collector_as_one_trace() {
    let (collector, receiver) = (Receiver::start().await, Receiver::start().await);
    let mut server = collected(&collector).set("POSTRIDER_LOG", "debug").start().await;
    server.client.webhook(&receiver.url("/"), json!({})).await;
    post(&server.client, "a.b", &[("traceparent", &parent("01"))]).await;
    let spans = spans(&collector, &NAMES).await;
    let [request, commit, attempt] = NAMES.map(|name| &spans[name]);
    for span in [request, commit, attempt] {
        assert_eq!(hex(&span.trace_id), TRACE, "{span:?}");
        assert!(span.start_time_unix_nano > 1_700_000_000_000_000_000 && span.status.is_none(), "{span:?}");
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{span:?}");
    }
    assert_eq!(hex(&request.parent_span_id), SPAN);
    assert_eq!((&commit.parent_span_id, &attempt.parent_span_id), (&request.span_id, &request.span_id));
    let (trace, span, _) = passed_on(&received(&receiver, "/", 1).await[0]).unwrap();
    assert_eq!((trace.as_str(), span), (TRACE, hex(&attempt.span_id)));
    server.process.ask_to_stop();
    server.process.ended().await;
    assert!(!server.process.stderr.text().contains("canary"));
}

#[tokio::test]
async fn a_trace_begins_here_when_the_producer_has_none() {
    let (collector, receiver) = (Receiver::start().await, Receiver::start().await);
    let server = collected(&collector).start().await;
    server.client.webhook(&receiver.url("/"), json!({})).await;
    // The producer does not record this one, and neither do we; its receiver may still go on with it.
    post(&server.client, "a", &[("traceparent", &parent("00"))]).await;
    let (trace, _, flags) = passed_on(&received(&receiver, "/", 1).await[0]).unwrap();
    assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "00"));
    post(&server.client, "a", &[]).await;
    let (trace, ..) = passed_on(&received(&receiver, "/", 2).await[1]).unwrap();
    // A stop sends what is left.
    assert!(server.stop().await.success());
    let spans = spans(&collector, &NAMES).await;
    assert!(NAMES.iter().all(|name| hex(&spans[*name].trace_id) == trace), "{spans:?}");
    assert!(spans["POST /v1/events"].parent_span_id.is_empty());
    assert!(spans.values().all(|span| hex(&span.trace_id) != TRACE), "{spans:?}");
}

#[tokio::test]
async fn a_collector_that_is_away_harms_nobody() {
    let receiver = Receiver::start().await;
    let mut server = Setup::new().set("POSTRIDER_OTEL__ENDPOINT", "http://127.0.0.1:1").start().await;
    server.client.webhook(&receiver.url("/"), json!({})).await;
    let delivery = server.client.accept_one("a", json!({})).await;
    server.client.delivery_once(delivery, "sent").await;
    let line = crate::harness::soon("a warning", server.process.stderr.line_with("spans are dropped")).await;
    assert!(line.is_some());
    assert!(server.stop().await.success());
}
