//! Channels that want what they get in order.

use serde_json::{Value, json};

use crate::harness::{Received, Receiver, Reply, Setup, on_both_stores, start};

fn numbers(received: &[Received]) -> Vec<Value> {
    received.iter().map(|one| one.json()["data"]["n"].clone()).collect()
}

on_both_stores! {
    in_order_a_dead_delivery_lets_the_next_go_also_after_a_restart,
}

#[tokio::test]
async fn in_order_a_delivery_that_is_tried_again_holds_up_the_rest() {
    let (server, receiver) = start().await;
    receiver.script("/", [Reply::status(503), Reply::status(503)]);
    let more = json!({"fifo": true, "retry": {"delays_seconds": [0.2, 0.2, 0.2]}});
    server.client.webhook(&receiver.url("/"), more).await;
    let many: Vec<_> = (1..=5).map(|n| json!({"type": "a", "data": {"n": n}})).collect();
    server.client.post("/v1/events", &json!(many)).await.read::<Value>(202);
    let received = receiver.wait_for("/", 7).await;
    assert_eq!(numbers(&received), [1, 1, 1, 2, 3, 4, 5].map(Value::from));
    assert_eq!(receiver.in_progress_max("/"), 1);
}

async fn in_order_a_dead_delivery_lets_the_next_go_also_after_a_restart(setup: Setup) {
    let setup = setup.set("POSTRIDER_DELIVERY__LANE_ITEMS_MAX", "2");
    let receiver = Receiver::start().await;
    let server = setup.start().await;
    receiver.script("/", [Reply::status(503)]);
    let more = json!({"fifo": true, "retry": {"delays_seconds": [3]}});
    let channel = server.client.webhook(&receiver.url("/"), more).await.id;
    let first = server.client.accept_one("a", json!({"n": 1})).await;
    let many: Vec<_> = (2..=8).map(|n| json!({"type": "a", "data": {"n": n}})).collect();
    server.client.post("/v1/events", &json!(many)).await.read::<Value>(202);
    server.client.delivery_once(first, "retrying").await;
    assert!(server.stop().await.success());
    assert_eq!(receiver.count("/"), 1, "nothing went past the one that waits");

    receiver.script("/", [Reply::status(503)]);
    let server = setup.start().await;
    server.client.delivery_once(first, "dead").await;
    let received = receiver.wait_for("/", 9).await;
    assert_eq!(numbers(&received), [1, 1, 2, 3, 4, 5, 6, 7, 8].map(Value::from));
    assert!(server.client.channel(channel).await.fifo);
}
