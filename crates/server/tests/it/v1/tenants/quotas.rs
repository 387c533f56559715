//! What the platform lets a tenant bring and have.

use std::collections::BTreeMap;

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Tenant;
use crate::harness::{Client, Gate, Receiver, Reply, Server, Setup, eventually};

#[derive(Debug, Deserialize)]
struct Quotas {
    data: Vec<Quota>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Quota {
    name: String,
    limit: Option<u64>,
    used: Option<u64>,
    is_own: bool,
}

async fn put(server: &Server, body: &Value) -> Tenant {
    server.client.send(Method::PUT, "/v1/tenants/acme", &[], body.to_string()).await.read(200)
}

async fn acme(server: &Server) -> Client {
    let scopes = ["events:write", "channels:write", "channels:read", "deliveries:read"];
    let key = server.client.create_key("acme", &scopes).await;
    server.client_with(&key.key.expect("a new key is shown"))
}

/// A quota as the tenant sees it, and as the platform does.
async fn shown(server: &Server, acme: &Client, name: &str) -> (Option<u64>, Option<u64>, bool) {
    let own: Quotas = acme.get("/v1/quotas").await.read(200);
    let told: Quotas = server.client.get("/v1/tenants/acme/quotas").await.read(200);
    assert_eq!(own.data, told.data);
    let quota = own.data.into_iter().find(|quota| quota.name == name).expect("every quota is told");
    (quota.limit, quota.used, quota.is_own)
}

fn events(count: usize) -> Value {
    json!(vec![json!({"type": "a.b", "data": {}}); count])
}

fn quotas(named: &[(&str, u64)]) -> BTreeMap<String, u64> {
    named.iter().map(|(name, bound)| ((*name).to_owned(), *bound)).collect()
}

#[tokio::test]
async fn they_are_set_by_name_and_kept_through_a_start() {
    let setup = Setup::new().set("POSTRIDER_QUOTAS__CHANNELS", "3");
    let server = setup.start().await;
    assert_eq!(put(&server, &json!({})).await.quotas, quotas(&[]));
    let set = put(&server, &json!({"quotas": {"events_per_day": 5, "channels": 0}})).await;
    assert_eq!(set.quotas, quotas(&[("events_per_day", 5), ("channels", 0)]));
    assert_eq!(put(&server, &json!({"name": "Acme Ltd"})).await.quotas, set.quotas, "absent leaves them");
    for (wrong, field) in [
        (json!({"events_per_year": 1}), "quotas.events_per_year"),
        (json!({"channels": 9_007_199_254_740_993_u64}), "quotas.channels"),
    ] {
        let body = json!({"quotas": wrong}).to_string();
        let problem = server.client.send(Method::PUT, "/v1/tenants/acme", &[], body).await.problem(422);
        assert_eq!(problem.fields(), [field]);
    }
    assert!(server.stop().await.success());
    let server = setup.start().await;
    let acme = acme(&server).await;
    assert_eq!(shown(&server, &acme, "events_per_day").await, (Some(5), Some(0), true));
    assert_eq!(shown(&server, &acme, "channels").await, (None, Some(0), true), "its own 0 goes before the server's 3");
    put(&server, &json!({"quotas": {}})).await;
    assert_eq!(shown(&server, &acme, "channels").await, (Some(3), Some(0), false));
}

#[tokio::test]
async fn events_of_a_day_are_counted_also_through_a_start() {
    let setup = Setup::new();
    let server = setup.start().await;
    put(&server, &json!({"quotas": {"events_per_day": 5}})).await;
    let client = acme(&server).await;
    let post = async |client: &Client, count| client.post("/v1/events", &events(count)).await;
    assert_eq!(post(&client, 3).await.status, 202);
    let refused = post(&client, 3).await;
    let problem = refused.problem(429);
    assert_eq!(problem.r#type, "urn:postrider:quota-exceeded");
    assert!(problem.detail.contains("events_per_day is 5, and 3 are used"), "{problem:?}");
    let wait: u64 = refused.header("retry-after").expect("a time").parse().expect("seconds");
    assert!((1..=86_400).contains(&wait), "{wait}");
    assert_eq!(shown(&server, &client, "events_per_day").await, (Some(5), Some(3), true));
    let never = post(&client, 6).await.problem(413);
    assert!(never.detail.contains("events_per_day, which is 5"), "{never:?}");
    // A repeat is nothing new, and what fails counts nothing.
    let keyed = json!({"type": "a.b", "data": {}, "idempotency_key": "one"});
    for _ in 0..3 {
        assert_eq!(client.post("/v1/events", &keyed).await.status, 202);
    }
    client.post("/v1/events", &json!({"type": "a.b", "data": {"x": 1}, "idempotency_key": "one"})).await.problem(409);
    let figures = server.client_with("").get("/metrics").await.text();
    assert!(figures.contains("postrider_quota_refusals_total{quota=\"events_per_day\"} 1"), "{figures}");

    assert!(server.stop().await.success());
    let server = setup.start().await;
    let client = acme(&server).await;
    post(&client, 2).await.problem(429);
    assert_eq!(post(&client, 1).await.status, 202);
    // Another tenant has its own count, and the operator may give more at once.
    server.client.accept(&json!({"type": "a.b", "data": {}})).await;
    post(&client, 1).await.problem(429);
    put(&server, &json!({"quotas": {"events_per_day": 0}})).await;
    assert_eq!(post(&client, 50).await.status, 202);
}

#[tokio::test]
async fn no_more_channels_than_its_quota() {
    let server = Setup::new().start().await;
    put(&server, &json!({"quotas": {"channels": 1}})).await;
    let client = acme(&server).await;
    let channel = json!({"name": "A", "provider": "internal_notification", "config": {}});
    let first = client.create_channel(&channel).await;
    let refused = client.post("/v1/channels", &channel).await;
    let problem = refused.problem(403);
    assert_eq!(problem.r#type, "urn:postrider:quota-exceeded");
    assert_eq!(refused.header("retry-after"), None, "time makes no room");
    // Every face says it in its own words.
    let telegram = json!({"bot_token": "123456789:ABCdefGHI...", "chat_id": "-100123456789"});
    let answer = client
        .post("/api/notification-channels", &json!({"name": "L", "provider": "telegram", "config": telegram}))
        .await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(answer.text().contains("quota channels is 1"), "{}", answer.text());
    assert_eq!(client.delete(&format!("/v1/channels/{}", first.id)).await.status, 204);
    client.create_channel(&channel).await;
}

#[tokio::test]
async fn what_waits_is_bounded_until_it_is_sent() {
    let receiver = Receiver::start().await;
    let server = Setup::new().start().await;
    put(&server, &json!({"quotas": {"deliveries_waiting": 3}})).await;
    let client = acme(&server).await;
    let gate = Gate::closed();
    receiver.script("/slow", vec![Reply::status(200).behind(&gate); 3]);
    client.webhook(&receiver.url("/slow"), json!({})).await;
    assert_eq!(client.post("/v1/events", &events(3)).await.status, 202);
    let refused = client.post("/v1/events", &events(1)).await;
    assert!(refused.problem(429).detail.contains("deliveries_waiting is 3, and 3 are used"));
    assert_eq!(refused.header("retry-after"), Some("30"));
    gate.open();
    eventually("there is room again", async || {
        (client.post("/v1/events", &events(1)).await.status == 202).then_some(())
    })
    .await;
}
