//! What an owner allows a channel: how fast, and that what is beyond waits.

use serde_json::{Value, json};

use crate::harness::{eventually, start};

fn ms(time: &str) -> i64 {
    time.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

#[tokio::test]
async fn a_channel_with_a_rate_gets_its_messages_at_that_pace() {
    let (server, receiver) = start().await;
    let more = json!({"rate_limit": {"count": 5, "per": "second", "burst": 1}});
    let limited = server.client.webhook(&receiver.url("/"), more).await.id;
    server.client.webhook(&receiver.url("/free"), json!({})).await;
    let many: Vec<_> = (0..8).map(|n| json!({"type": "a", "data": {"n": n}})).collect();
    server.client.post("/v1/events", &json!(many)).await.read::<Value>(202);
    // Others do not wait with it.
    receiver.wait_for("/free", 8).await;
    assert!(receiver.count("/") < 8);
    receiver.wait_for("/", 8).await;
    let path = format!("/v1/attempts?channel_id={limited}&limit=100");
    let mut starts: Vec<i64> = eventually("eight attempts", async || {
        let attempts = server.client.get(&path).await.read::<Value>(200);
        let rows = attempts["data"].as_array().unwrap().clone();
        (rows.len() == 8).then(|| rows.iter().map(|one| ms(one["started_at"].as_str().unwrap())).collect())
    })
    .await;
    starts.sort_unstable();
    // Seven waits of 200 ms; the machine may start the first one late.
    assert!(starts[7] - starts[0] >= 1200, "{starts:?}");
}
