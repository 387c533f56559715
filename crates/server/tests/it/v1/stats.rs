//! `GET /v1/stats`: sums since some time, and what waits now. What waits is shown in `deliveries/get.rs`.

use serde_json::json;

use crate::harness::{Reply, Stats, now_seconds, start};

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
