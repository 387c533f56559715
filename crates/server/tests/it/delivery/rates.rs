//! What an owner allows a channel: how fast, and that what is beyond waits.

use serde_json::{Value, json};

use crate::harness::start;

fn ms(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

#[tokio::test]
async fn a_channel_with_a_rate_gets_its_messages_at_that_pace() {
    let (server, receiver) = start().await;
    let more = json!({"rate_limit": {"count": 5, "per": "second", "burst": 1}});
    server.client.webhook(&receiver.url("/"), more).await;
    server.client.webhook(&receiver.url("/free"), json!({})).await;
    let many: Vec<_> = (0..8).map(|n| json!({"type": "a", "data": {"n": n}})).collect();
    server.client.post("/v1/events", &json!(many)).await.read::<Value>(202);
    // Others do not wait with it.
    receiver.wait_for("/free", 8).await;
    assert!(receiver.count("/") < 8);
    receiver.wait_for("/", 8).await;
    let attempts = server.client.get("/v1/attempts?channel_id=1&limit=100").await.read::<Value>(200);
    let mut starts: Vec<i64> =
        attempts["data"].as_array().unwrap().iter().map(|one| ms(one["started_at"].as_str().unwrap())).collect();
    starts.sort_unstable();
    assert_eq!(starts.len(), 8, "each once");
    // Seven waits of 200 ms; the machine may start the first one late.
    assert!(starts[7] - starts[0] >= 1200, "{starts:?}");
}
