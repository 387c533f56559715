//! Whatever is sent, the server answers and goes on: with what was asked for, or with a problem that says what is wrong.
//!
//! `strategies` is what is sent, here it is sent to the real binary; `parsers` are those that no request reaches. The
//! cases are the same in every run.

mod aether365;
mod altum;
mod parsers;
pub(crate) mod strategies;
mod thulium;

use http::Method;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use self::strategies::{Change, changes, garbage, header, text, url_part};
use crate::harness::{Answer, Receiver, Server, Setup, places, writes};

/// The lists, with the parameters that any of them knows.
const LISTS: [&str; 12] = [
    "events",
    "channels",
    "subscriptions",
    "event-types",
    "deliveries",
    "attempts",
    "stats",
    "tenants",
    "tenants/default/keys",
    "inbox",
    "inbox/unread",
    "events/evt_1/explain",
];
const PARAMETERS: [&str; 20] = [
    "limit",
    "cursor",
    "type",
    "severity",
    "since",
    "until",
    "q",
    "provider",
    "is_active",
    "paused",
    "channel_id",
    "status",
    "event_type",
    "event_id",
    "delivery_id",
    "code",
    "tenant",
    "nonsense",
    "recipient",
    "unread",
];

/// Calls `check` with so many of what `strategy` makes, the same ones every time.
pub(crate) fn each<S: Strategy>(cases: u32, strategy: &S, check: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { failure_persistence: None, max_shrink_iters: 200, ..Config::with_cases(cases) };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner.run(strategy, check).unwrap_or_else(|error| panic!("{error}"));
}

/// A server that is asked by tests without a runtime of their own.
struct Asked {
    runtime: Runtime,
    server: Server,
    receiver: Receiver,
}

impl Asked {
    fn start() -> Self {
        Self::with(Setup::new())
    }

    fn with(setup: Setup) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let setup = setup.set("POSTRIDER_SERVER__TRUSTED_PROXIES", "127.0.0.0/8");
        let (server, receiver) = runtime.block_on(async { (setup.start().await, Receiver::start().await) });
        Self { runtime, server, receiver }
    }

    /// An answer is a success, a redirect of the console, or a problem in the form that is promised.
    fn check(&self, method: &Method, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Result<(), TestCaseError> {
        let client = if headers.iter().any(|(name, _)| *name == "authorization") {
            self.server.client_with("")
        } else {
            self.server.client.clone()
        };
        let sent = self.runtime.block_on(client.try_send(method.clone(), path, headers, body));
        let answer = sent.map_err(|error| TestCaseError::fail(format!("{method} {path}: no answer: {error:?}")))?;
        let status = answer.status.as_u16();
        prop_assert!(status < 500, "{method} {path}: {status} {}", answer.text());
        if status >= 400 && !path.starts_with("/console") {
            check_problem(&answer)?;
        }
        Ok(())
    }

    /// Nothing of it has done any harm.
    fn ends_well(self) {
        let Self { runtime, server, receiver: _receiver } = self;
        runtime.block_on(async {
            assert_eq!(server.client.get("/readyz").await.status, 200);
            let log = server.process.stderr.text();
            assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
            assert!(server.stop().await.success());
        });
    }
}

fn check_problem(answer: &Answer) -> Result<(), TestCaseError> {
    let text = answer.text();
    prop_assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{}", text);
    let problem: Value =
        serde_json::from_slice(&answer.body).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert!(problem["type"].as_str().is_some_and(|kind| kind.starts_with("urn:postrider:")), "{}", text);
    prop_assert_eq!(problem["status"].as_u64(), Some(answer.status.as_u16().into()));
    prop_assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{}", text);
    prop_assert!(text.len() < 64 * 1024, "an error of {} bytes", text.len());
    if answer.status == 422 {
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        prop_assert!(!errors.is_empty(), "no field is named: {}", text);
        // A body that is no object has no fields, and a field may have no name.
        let is_nameless = |message: &str| message == "must be an object" || message.starts_with("unknown field ``");
        let is_named = |error: &Value| error["field"] != "" || error["message"].as_str().is_some_and(is_nameless);
        prop_assert!(errors.iter().all(is_named), "no field is named: {}", text);
    }
    Ok(())
}

/// The body after the changes.
pub(crate) fn changed(mut body: Value, changes: &[Change]) -> Value {
    for change in changes {
        let places = places(&body);
        let at = |place: usize| places.get(place % places.len().max(1)).cloned().unwrap_or_default();
        match change {
            Change::Put(place, value) => *body.pointer_mut(&at(*place)).expect("a place") = value.clone(),
            Change::Remove(place) => {
                let pointer = at(*place);
                let (parent, name) = pointer.rsplit_once('/').unwrap_or_default();
                if let Some(Value::Object(fields)) = body.pointer_mut(parent) {
                    fields.remove(&name.replace("~1", "/").replace("~0", "~"));
                }
            }
            Change::Add(place, name, value) => {
                if let Some(Value::Object(fields)) = body.pointer_mut(&at(*place)) {
                    fields.insert(name.clone(), value.clone());
                }
            }
        }
    }
    body
}

/// The writes that are answered for `is_wanted` paths, each made wrong in every way.
fn check_writes(cases: u32, is_wanted: impl Fn(&str) -> bool) {
    let asked = Asked::start();
    let url = asked.receiver.url("/");
    let channel = asked.runtime.block_on(asked.server.client.webhook(&url, json!({}))).id;
    let writes: Vec<_> = writes(channel).into_iter().filter(|(_, path, _)| is_wanted(path)).collect();
    let media =
        ["application/json", "application/cloudevents+json", "application/cloudevents-batch+json", "text/plain; x"];
    let media = prop::sample::select(media.to_vec());
    let body = prop_oneof![4 => changes().prop_map(Ok), 1 => garbage().prop_map(Err)];
    each(cases, &(prop::sample::select(writes), media, body), |((method, path, good), media, body)| {
        let body = body.map_or_else(|garbage| garbage, |changes| changed(good, &changes).to_string().into_bytes());
        asked.check(&method, &path, &[("content-type", media)], body)
    });
    asked.ends_well();
}

#[test]
fn whatever_stands_in_an_event() {
    check_writes(1000, |path| path == "/v1/events");
}

#[test]
fn whatever_stands_in_a_channel() {
    check_writes(1000, |path| path.starts_with("/v1/channels"));
}

#[test]
fn whatever_stands_in_other_bodies() {
    check_writes(1000, |path| path != "/v1/events" && !path.starts_with("/v1/channels"));
}

#[test]
fn whatever_stands_in_a_query() {
    let asked = Asked::start();
    asked.runtime.block_on(asked.server.client.accept(&json!({"type": "a", "data": {}})));
    let pair =
        (prop::sample::select(PARAMETERS.to_vec()), url_part()).prop_map(|(name, value)| format!("{name}={value}"));
    let query = prop::collection::vec(prop_oneof![5 => pair, 1 => url_part()], 0..4).prop_map(|pairs| pairs.join("&"));
    each(1000, &(prop::sample::select(LISTS.to_vec()), query), |(list, query)| {
        asked.check(&Method::GET, &format!("/v1/{list}?{query}"), &[], Vec::new())
    });
    asked.ends_well();
}

#[test]
fn whatever_stands_in_a_path() {
    let asked = Asked::start();
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE].to_vec();
    let rooms =
        ["channels", "events", "subscriptions", "event-types", "deliveries", "attempts", "tenants", "inbox", "x"]
            .to_vec();
    let ends = ["", "/test", "/explain", "/retry", "/keys", "/keys/1", "/suspend", "/resume", "/x"].to_vec();
    let parts = (prop::sample::select(methods), prop::sample::select(rooms), url_part(), prop::sample::select(ends));
    each(800, &parts, |(method, room, id, end)| {
        asked.check(&method, &format!("/v1/{room}/{id}{end}"), &[], b"{}".to_vec())
    });
    asked.ends_well();
}

#[test]
fn whatever_stands_in_a_header() {
    let asked = Asked::start();
    let names = [
        "idempotency-key",
        "traceparent",
        "authorization",
        "postrider-tenant",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "forwarded",
        "x-request-id",
        "content-type",
        "cookie",
        "origin",
        "sec-fetch-site",
        "accept",
    ];
    let asks = [
        (Method::POST, "/v1/events"),
        (Method::GET, "/v1/channels"),
        (Method::GET, "/console"),
        (Method::POST, "/console/sign-in"),
        (Method::GET, "/console/sign-in"),
    ];
    let headers = prop::collection::vec((prop::sample::select(names.to_vec()), header()), 1..4);
    let event = json!({"type": "a", "data": {}}).to_string().into_bytes();
    each(1000, &(prop::sample::select(asks.to_vec()), headers), |((method, path), headers)| {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        asked.check(&method, path, &headers, event.clone())
    });
    asked.ends_well();
}

#[test]
fn whatever_stands_in_filters_and_templates() {
    let asked = Asked::start();
    let channel = asked.runtime.block_on(asked.server.client.webhook(&asked.receiver.url("/"), json!({}))).id;
    let word = prop::sample::select(vec![
        "a",
        "event",
        "event.data",
        "channel.name",
        "1",
        "-1",
        "1e300",
        "9223372036854775807",
        "'x'",
        "[1, 2]",
        "{'a': 1}",
        " == ",
        " < ",
        " and ",
        " not ",
        " in ",
        " is defined",
        " | upper",
        " | join(',')",
        " | tojson",
        " | float",
        " | default(1)",
        "[0]",
        "[-1]",
        "[::2]",
        "[1:99999999999]",
        "(",
        ")",
        "{{",
        "}}",
        "{% for x in range(9) %}",
        "{% for x in event.data %}",
        "{% endfor %}",
        "{% if a %}",
        "{% endif %}",
        "{% raw %}",
        "{% macro m() %}",
        "loop.index",
        "{% include 'x' %}",
        "{% set x = 1 %}",
        " if ",
        " else ",
        " // ",
        " % ",
        " ** ",
        "~",
        ".x",
        ".items()",
        "self",
        "none",
    ]);
    let made = prop::collection::vec(word, 1..10).prop_map(|words| words.concat());
    let written = prop_oneof![3 => made, 1 => text()];
    each(1000, &(written.clone(), written), |(one, other)| {
        let preview = json!({"channel_id": channel, "subject_template": one, "body_template": format!("{{{{{other}}}}}"),
            "event": {"type": "a", "data": {"a": [1, {"b": null}]}}});
        asked.check(&Method::POST, "/v1/channels/preview", &[], preview.to_string().into_bytes())?;
        let patch = json!({"event_types": ["a"], "filter": one, "body_template": other});
        asked.check(&Method::PATCH, &format!("/v1/channels/{channel}"), &[], patch.to_string().into_bytes())?;
        // What was taken is evaluated.
        asked.check(&Method::POST, "/v1/events", &[], br#"{"type": "a", "data": {"a": [1, {"b": null}]}}"#.to_vec())
    });
    asked.ends_well();
}
