//! `GET /metrics`: who may read it, that it can be parsed, and that the figures follow what happens.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::harness::{Client, Reply, Setup, eventually, start};

/// Every sample by its name with labels, after a check of the form of the whole page.
async fn samples(client: &Client) -> BTreeMap<String, f64> {
    let answer = client.get("/metrics").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let mut families = BTreeSet::new();
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(about) = line.strip_prefix("# ") {
            let words: Vec<&str> = about.splitn(3, ' ').collect();
            assert!(["HELP", "TYPE", "UNIT"].contains(&words[0]) && words.len() == 3, "{line}");
            families.insert(words[1].to_owned());
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let family = name.split('{').next().unwrap();
        assert!(family.starts_with("postrider_"), "{line}");
        assert!(families.iter().any(|known| family.starts_with(known.as_str())), "{line}: no TYPE");
        assert!(samples.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{line}: twice");
    }
    samples
}

/// Waits until these samples have these values; one that is missing is zero.
async fn become_so(client: &Client, expected: &[(&str, f64)]) {
    let mut last = BTreeMap::new();
    let all = async || {
        last = samples(client).await;
        let is_so = |(name, value): &(&str, f64)| (last.get(*name).copied().unwrap_or(0.0) - value).abs() < 1e-9;
        expected.iter().all(is_so).then_some(())
    };
    eventually(&format!("{expected:?}"), all).await;
}

#[tokio::test]
async fn figures_follow_what_happens() {
    let (server, receiver) = start().await;
    let stranger = server.client_with("");
    let good = server.client.webhook(&receiver.url("/good"), json!({"event_types": ["good"]})).await.id;
    server
        .client
        .webhook(&receiver.url("/bad"), json!({"event_types": ["bad"], "retry": {"delays_seconds": []}}))
        .await;
    receiver.script("/bad", [Reply::status(500)]);
    server.client.accept_one("good", json!({})).await;
    server.client.accept_one("bad", json!({})).await;
    server.client.accept(&json!({"type": "nobody", "data": {}})).await;
    become_so(
        &stranger,
        &[
            // With the one that tells of the dead delivery.
            ("postrider_events_accepted_total", 4.0),
            ("postrider_deliveries_settled_total{state=\"sent\"}", 1.0),
            ("postrider_deliveries_settled_total{state=\"dead\"}", 1.0),
            ("postrider_attempts_total{provider=\"webhook\",outcome=\"delivered\",status=\"2xx\"}", 1.0),
            ("postrider_attempts_total{provider=\"webhook\",outcome=\"failed\",status=\"5xx\"}", 1.0),
            ("postrider_attempt_duration_seconds_count{provider=\"webhook\"}", 2.0),
            ("postrider_deliveries_dead", 1.0),
            ("postrider_deliveries_in_flight", 0.0),
            ("postrider_deliveries_waiting{state=\"pending\"}", 0.0),
            ("postrider_oldest_due_age_seconds", 0.0),
            ("postrider_store_errors_total", 0.0),
            ("postrider_http_requests_total{method=\"POST\",route=\"/v1/events\",status=\"2xx\"}", 3.0),
            ("postrider_build_info{version=\"0.1.0\"}", 1.0),
        ],
    )
    .await;
    stranger.get("/nowhere/at/all").await.problem(404);
    server.client.get(&format!("/v1/channels/{good}")).await;
    let now = samples(&stranger).await;
    assert!((now["postrider_http_requests_total{method=\"GET\",route=\"none\",status=\"4xx\"}"] - 1.0).abs() < 1e-9);
    assert!(
        now.contains_key("postrider_http_request_duration_seconds_count{method=\"GET\",route=\"/v1/channels/{id}\"}")
    );
    assert!(now["postrider_commit_duration_seconds_count"] >= 3.0 && now["postrider_commit_rows_sum"] >= 3.0);
    assert!(now["postrider_process_resident_memory_bytes"] > 1e6 && now["postrider_process_open_fds"] > 3.0);
    assert!(now["postrider_process_start_time_seconds"] > 1.7e9);
    // Nothing that there may be any number of is a label.
    assert!(now.keys().all(|name| !name.contains("good") && !name.contains("default") && !name.contains("nowhere")));
}

#[tokio::test]
async fn what_waits_is_told_with_its_age() {
    let (server, receiver) = start().await;
    let gone = server.client.webhook(&receiver.url("/gone"), json!({"event_types": ["gone"]})).await.id;
    receiver.script("/gone", [Reply::status(410)]);
    let held = server.client.accept_one("gone", json!({})).await;
    server.client.delivery_once(held, "held").await;
    // Blocked by its receiver: what comes behind is due and cannot start.
    server.client.webhook(&receiver.url("/busy"), json!({"event_types": ["busy"]})).await;
    receiver.script("/busy", [Reply::status(429).header("retry-after", "3600")]);
    let first = server.client.accept_one("busy", json!({})).await;
    server.client.delivery_once(first, "retrying").await;
    server.client.accept_one("busy", json!({})).await;
    become_so(
        &server.client_with(""),
        &[
            ("postrider_deliveries_waiting{state=\"held\"}", 1.0),
            ("postrider_deliveries_waiting{state=\"retrying\"}", 1.0),
            ("postrider_deliveries_waiting{state=\"pending\"}", 1.0),
            ("postrider_channels_paused", 1.0),
        ],
    )
    .await;
    let stranger = server.client_with("");
    let age = async || samples(&stranger).await["postrider_oldest_due_age_seconds"];
    let before = eventually("it has an age", async || Some(age().await).filter(|age| *age > 0.0)).await;
    eventually("it grows", async || (age().await > before).then_some(())).await;
    assert!(before < 60.0, "{before}");
    assert_eq!(server.client.channel(gone).await.id, gone);
}

#[tokio::test]
async fn from_elsewhere_it_takes_a_platform_key() {
    let server = Setup::new().start().await;
    let passed_on = [("x-forwarded-for", "203.0.113.9")];
    let ask = async |client: &Client| client.send(http::Method::GET, "/metrics", &passed_on, "").await;
    assert_eq!(ask(&server.client_with("")).await.status, 401);
    let tenant = server.client.create_key("default", &["events:read"]).await.key.unwrap();
    assert_eq!(ask(&server.client_with(&tenant)).await.status, 403);
    assert_eq!(ask(&server.client).await.status, 200);
    let public = Setup::new().set("POSTRIDER_METRICS__PUBLIC", "true").start().await;
    assert_eq!(ask(&public.client_with("")).await.status, 200);
}
