//! `/v1/subscriptions`: what brings events to channels, one by one.

use serde_json::{Value, json};

use crate::harness::{Client, Page, Setup};

async fn subscribe(client: &Client, channel: i64, event_type: &str, filter: Option<&str>) -> Value {
    let new = json!({"channel_id": channel, "event_type": event_type, "filter": filter});
    client.post("/v1/subscriptions", &new).await.read(201)
}

async fn list(client: &Client, query: &str) -> Vec<Value> {
    client.get(&format!("/v1/subscriptions?{query}")).await.read::<Page<Value>>(200).data
}

#[tokio::test]
async fn they_bring_events_to_a_channel() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let channel = client.webhook("http://127.0.0.1:9/", json!({"event_types": []})).await.id;
    let heard = async |event_type: &str, amount: i64| {
        let event = json!({"type": event_type, "data": {"amount": amount}});
        !client.accept(&event).await.deliveries.is_empty()
    };
    assert!(!heard("invoice.paid", 20).await);
    let paid = subscribe(client, channel, "invoice.*", Some("amount > 10")).await;
    subscribe(client, channel, "order.placed", None).await;
    assert!(heard("invoice.paid", 20).await && !heard("invoice.paid", 5).await && heard("order.placed", 1).await);

    let id = paid["id"].as_i64().unwrap();
    let shown: Value = client.get(&format!("/v1/subscriptions/{id}")).await.read(200);
    assert_eq!(shown, paid);
    assert_eq!((&shown["channel_id"], &shown["filter"]), (&json!(channel), &json!("amount > 10")));
    // The shorthand shows every pattern, and no filter that holds for some of them only.
    let shorthand: Value = client.get(&format!("/v1/channels/{channel}")).await.read(200);
    assert_eq!(shorthand["event_types"], json!(["invoice.*", "order.placed"]));
    assert_eq!(shorthand["filter"], Value::Null);

    assert_eq!(client.delete(&format!("/v1/subscriptions/{id}")).await.status, 204);
    client.delete(&format!("/v1/subscriptions/{id}")).await.problem(404);
    client.get(&format!("/v1/subscriptions/{id}")).await.problem(404);
    assert!(!heard("invoice.paid", 20).await && heard("order.placed", 1).await);
}

#[tokio::test]
async fn the_past_stays_explained() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let channel = client.webhook("http://127.0.0.1:9/", json!({"event_types": []})).await.id;
    let before = client.accept(&json!({"type": "a", "data": {}})).await.id;
    let id = subscribe(client, channel, "a", Some("n > 1")).await["id"].as_i64().unwrap();
    let during = client.accept(&json!({"type": "a", "data": {"n": 1}})).await.id;
    client.delete(&format!("/v1/subscriptions/{id}")).await;
    let after = client.accept(&json!({"type": "a", "data": {"n": 1}})).await.id;
    for (event, reason) in [(before, "no_subscription"), (during, "filter_false"), (after, "no_subscription")] {
        let path = format!("/v1/events/{event}/explain?channel_id={channel}");
        assert_eq!(client.get(&path).await.read::<Value>(200)["reason"], reason, "{event}");
    }
}

#[tokio::test]
async fn they_are_listed_in_pages() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let first = client.webhook("http://127.0.0.1:9/", json!({"event_types": ["a", "b"]})).await.id;
    let second = client.webhook("http://127.0.0.1:9/", json!({"event_types": ["c"]})).await.id;
    subscribe(client, first, "d", None).await;
    let types =
        |rows: &[Value]| rows.iter().map(|row| row["event_type"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(types(&list(client, "").await), ["a", "b", "c", "d"]);
    assert_eq!(types(&list(client, &format!("channel_id={first}")).await), ["a", "b", "d"]);
    assert_eq!(types(&list(client, &format!("channel_id={second}")).await), ["c"]);
    let page: Value = client.get("/v1/subscriptions?limit=3").await.read(200);
    let rest = list(client, &format!("limit=3&cursor={}", page["next_cursor"].as_str().unwrap())).await;
    assert_eq!(types(&rest), ["d"]);
    client.get("/v1/subscriptions?channel_id=999").await.problem(404);
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let channel = client.webhook("http://127.0.0.1:9/", json!({})).await.id;
    for (new, field) in [
        (json!({"channel_id": channel}), "event_type"),
        (json!({"channel_id": 999, "event_type": "a"}), "channel_id"),
        (json!({"channel_id": channel, "event_type": "*.a"}), "event_type"),
        (json!({"channel_id": channel, "event_type": "a", "filter": "a >"}), "filter"),
        (json!({"channel_id": channel, "event_type": "a", "colour": 1}), "colour"),
    ] {
        assert_eq!(client.post("/v1/subscriptions", &new).await.problem(422).fields(), [field], "{new}");
    }
}
