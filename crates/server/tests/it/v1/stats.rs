//! `GET /v1/stats`: sums since some time, and what waits now. What waits is shown in `deliveries/get.rs`.

use serde_json::{Value, json};

use crate::harness::{Receiver, Reply, Setup, Stats, now_seconds, on_both_stores, start};

on_both_stores! {
    sums_are_narrowed_to_a_channel_or_a_type,
}

#[tokio::test]
async fn sums_begin_with_the_quarter_of_an_hour_of_since() {
    let (server, receiver) = start().await;
    receiver.script("/", [Reply::status(500)]);
    server.client.webhook(&receiver.url("/"), json!({})).await;
    let delivery = server.client.accept_one("a", json!({})).await;
    server.client.delivery_once(delivery, "sent").await;
    let check = async |query: &str, expected: (u64, u64, u64)| {
        let stats: Stats = server.client.get(&format!("/v1/stats{query}")).await.read(200);
        assert_eq!((stats.events, stats.sent, stats.failed_attempts), expected, "{query}");
        stats.since
    };
    check("", (1, 1, 1)).await;
    assert_eq!(check("?since=2026-01-01T00:00:00Z", (1, 1, 1)).await, "2026-01-01T00:00:00.000Z");
    let tomorrow = jiff::Timestamp::from_second(now_seconds() + 86_400).unwrap();
    check(&format!("?since={tomorrow}"), (0, 0, 0)).await;
}

async fn sums_are_narrowed_to_a_channel_or_a_type(setup: Setup) {
    let (server, receiver) = (setup.start().await, Receiver::start().await);
    let first = server.client.webhook(&receiver.url("/"), json!({"event_types": ["a.*"]})).await.id;
    let second = server.client.webhook(&receiver.url("/"), json!({"event_types": ["b"]})).await.id;
    for event_type in ["a.x", "a.y", "b"] {
        let delivery = server.client.accept_one(event_type, json!({})).await;
        server.client.delivery_once(delivery, "sent").await;
    }
    let check = async |query: &str, events: Value, sent: u64, dead: Value| {
        let stats: Value = server.client.get(&format!("/v1/stats?{query}")).await.read(200);
        assert_eq!((&stats["events"], &stats["sent"], &stats["dead"]), (&events, &json!(sent), &dead), "{query}");
    };
    check("", json!(3), 3, json!(0)).await;
    check(&format!("channel_id={first}"), Value::Null, 2, json!(0)).await;
    check(&format!("channel_id={second}"), Value::Null, 1, json!(0)).await;
    check("channel_id=999", Value::Null, 0, json!(0)).await;
    check("event_type=a.*", json!(2), 2, Value::Null).await;
    check("event_type=b", json!(1), 1, Value::Null).await;
    check(&format!("event_type=a.x&channel_id={first}"), Value::Null, 1, Value::Null).await;
}
