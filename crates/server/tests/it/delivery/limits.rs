//! Limits: what one channel may do, and that none can hurt another.

use serde_json::json;

use crate::harness::{Gate, Receiver, Reply, Setup, start};

#[tokio::test]
async fn a_slow_channel_holds_up_only_itself() {
    let (server, receiver) = start().await;
    let gate = Gate::closed();
    receiver.always("/slow", Reply::status(200).behind(&gate));
    server.client.webhook(&receiver.url("/slow"), json!({})).await;
    server.client.webhook(&receiver.url("/quick"), json!({})).await;
    let events: Vec<_> = (0..200).map(|n| json!({"type": "a", "data": {"n": n}})).collect();
    server.client.post("/v1/events", &json!(events)).await.read::<serde_json::Value>(202);
    // All of them, while not one of the others has been answered.
    receiver.wait_for("/quick", 200).await;
    assert!(receiver.count("/slow") <= 8);
    gate.open();
    receiver.wait_for("/slow", 200).await;
}

#[tokio::test]
async fn a_channel_has_so_many_requests_under_way_and_never_more() {
    let check = async |setup: Setup, concurrency: usize, events: usize| {
        let server = setup.start().await;
        let receiver = Receiver::start().await;
        let gate = Gate::closed();
        receiver.always("/", Reply::status(200).behind(&gate));
        server.client.webhook(&receiver.url("/"), json!({"concurrency": concurrency})).await;
        let many: Vec<_> = (0..events).map(|n| json!({"type": "a", "data": {"n": n}})).collect();
        server.client.post("/v1/events", &json!(many)).await.read::<serde_json::Value>(202);
        receiver.wait_for("/", concurrency).await;
        // One by one for a while, then as fast as it goes.
        for n in 1..=20 {
            gate.let_through(1);
            receiver.wait_for("/", concurrency + n).await;
        }
        gate.open();
        let received = receiver.wait_for("/", events).await;
        assert_eq!(receiver.in_progress_max("/"), concurrency);
        let mut ids: Vec<&str> = received.iter().map(crate::harness::Received::id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), events, "each once");
    };
    check(Setup::new(), 8, 100).await;
    check(Setup::new(), 3, 100).await;
    check(Setup::new().set("POSTRIDER_DELIVERY__LANE_ITEMS_MAX", "4"), 8, 1000).await;
    check(Setup::new().set("POSTRIDER_DELIVERY__BUFFERED_BYTES_MAX", "1000"), 8, 300).await;
}

#[tokio::test]
async fn all_channels_together_have_so_many_under_way_and_never_more() {
    let server = Setup::new().set("POSTRIDER_DELIVERY__IN_FLIGHT_MAX", "5").start().await;
    let receiver = Receiver::start().await;
    let gate = Gate::closed();
    receiver.always("/", Reply::status(200).behind(&gate));
    for _ in 0..3 {
        server.client.webhook(&receiver.url("/"), json!({})).await;
    }
    // Channels that have answered quickly are not among the slow ones, which together may have fewer.
    gate.let_through(3);
    for delivery in server.client.accept(&json!({"type": "a", "data": {}})).await.deliveries {
        server.client.delivery_once(delivery.id, "sent").await;
    }
    let many: Vec<_> = (0..100).map(|n| json!({"type": "a", "data": {"n": n}})).collect();
    server.client.post("/v1/events", &json!(many)).await.read::<serde_json::Value>(202);
    receiver.wait_for("/", 3 + 5).await;
    gate.open();
    receiver.wait_for("/", 303).await;
    assert_eq!(receiver.in_progress_max("/"), 5);
}

#[tokio::test]
async fn a_lane_that_spilled_keeps_its_order() {
    let server = Setup::new().set("POSTRIDER_DELIVERY__LANE_ITEMS_MAX", "4").start().await;
    let receiver = Receiver::start().await;
    server.client.webhook(&receiver.url("/"), json!({"concurrency": 1})).await;
    let many = |from: usize| (from..from + 300).map(|n| json!({"type": "a", "data": {"n": n}})).collect::<Vec<_>>();
    for from in [0, 300, 600] {
        server.client.post("/v1/events", &json!(many(from))).await.read::<serde_json::Value>(202);
    }
    let received = receiver.wait_for("/", 900).await;
    let numbers: Vec<_> = received.iter().map(|one| one.json()["data"]["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..900).collect::<Vec<_>>());
}
