//! `POST /v1/events` with idempotency keys: in the header for the request, in the field for one event.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Accepted, Answer, Client, Page, Setup};

async fn post(client: &Client, key: &str, body: &Value) -> Answer {
    client.send(Method::POST, "/v1/events", &[("idempotency-key", key)], body.to_string()).await
}

#[tokio::test]
async fn a_repeat_with_the_header_gets_the_same_answer() {
    let server = Setup::new().start().await;
    server.client.webhook("http://127.0.0.1:9/", json!({})).await;
    let event = json!({"type": "a", "data": {"b": 1, "a": 2}});
    let first: Accepted = post(&server.client, "key-1", &event).await.read(202);
    let again: Accepted =
        post(&server.client, "key-1", &json!({"data": {"a": 2, "b": 1}, "type": "a"})).await.read(202);
    assert!(!first.repeated && again.repeated);
    assert_eq!((&again.id, &again.deliveries), (&first.id, &first.deliveries));
    assert_eq!(first.deliveries.len(), 1);
    let other: Accepted = post(&server.client, "key-2", &event).await.read(202);
    assert_ne!(other.id, first.id);
}

#[tokio::test]
async fn a_repeat_of_an_array_gets_the_same_answers() {
    let server = Setup::new().start().await;
    server.client.webhook("http://127.0.0.1:9/", json!({})).await;
    let events = json!([{"type": "a", "data": {}}, {"type": "b", "data": {}}]);
    let first: Page<Accepted> = post(&server.client, "key", &events).await.read(202);
    let again: Page<Accepted> = post(&server.client, "key", &events).await.read(202);
    let ids = |page: &Page<Accepted>| {
        page.data.iter().map(|one| (one.id.clone(), one.deliveries.clone())).collect::<Vec<_>>()
    };
    assert_eq!(ids(&first), ids(&again));
    assert!(again.data.iter().all(|one| one.repeated));
}

#[tokio::test]
async fn a_field_covers_its_event() {
    let server = Setup::new().start().await;
    server.client.webhook("http://127.0.0.1:9/", json!({})).await;
    let event = json!({"type": "a", "data": {"n": 1}, "idempotency_key": "order-1"});
    let first = server.client.accept(&event).await;
    let again = server.client.accept(&event).await;
    assert_eq!((&again.id, &again.deliveries, again.repeated), (&first.id, &first.deliveries, true));
    // Among others of an array, and twice in one.
    let fresh = json!({"type": "a", "data": {"n": 2}, "idempotency_key": "order-2"});
    let mixed: Page<Accepted> = server.client.post("/v1/events", &json!([event, fresh, fresh])).await.read(202);
    assert_eq!(mixed.data[0].id, first.id);
    assert_eq!(mixed.data[1].id, mixed.data[2].id);
    assert_eq!(mixed.data.iter().map(|one| one.repeated).collect::<Vec<_>>(), [true, false, true]);
}

#[tokio::test]
async fn a_key_for_another_body_is_a_conflict() {
    let server = Setup::new().start().await;
    let event = |n: i64| json!({"type": "a", "data": {"n": n}});
    post(&server.client, "key", &event(1)).await.read::<Accepted>(202);
    let problem = post(&server.client, "key", &event(2)).await.problem(409);
    assert!(problem.detail.contains("nothing was kept"), "{problem:?}");

    let keyed = |n: i64| json!({"type": "a", "data": {"n": n}, "idempotency_key": "field"});
    server.client.accept(&keyed(1)).await;
    let problem = server.client.post("/v1/events", &json!([event(3), keyed(2)])).await.problem(409);
    assert!(problem.detail.contains("[1]"), "{problem:?}");
    assert_eq!(server.client.get("/v1/stats").await.read::<crate::harness::Stats>(200).events, 2);
}

#[tokio::test]
async fn header_and_field_together_are_refused() {
    let server = Setup::new().start().await;
    let event = json!({"type": "a", "data": {}, "idempotency_key": "x"});
    assert_eq!(post(&server.client, "y", &event).await.problem(422).fields(), ["idempotency_key"]);
    assert_eq!(post(&server.client, "y", &json!([event])).await.problem(422).fields(), ["idempotency_key"]);
    let plain = json!({"type": "a", "data": {}});
    assert_eq!(post(&server.client, "", &plain).await.problem(422).fields(), ["Idempotency-Key"]);
    assert_eq!(post(&server.client, &"x".repeat(256), &plain).await.problem(422).fields(), ["Idempotency-Key"]);
}

#[tokio::test]
async fn a_key_belongs_to_its_tenant_and_outlives_the_process() {
    let setup = Setup::new();
    let server = setup.start().await;
    let event = json!({"type": "a", "data": {}});
    let first: Accepted = post(&server.client, "key", &event).await.read(202);
    let platform = server.client.clone();
    platform.send(Method::PUT, "/v1/tenants/other", &[], "{}").await.read::<Value>(200);
    let others: Accepted = post(&platform.for_tenant("other"), "key", &event).await.read(202);
    assert!(!others.repeated);
    server.kill().await;
    let server = setup.start().await;
    let again: Accepted = post(&server.client, "key", &event).await.read(202);
    assert_eq!((again.id, again.repeated), (first.id, true));
}
