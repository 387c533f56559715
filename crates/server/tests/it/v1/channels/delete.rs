//! `DELETE /v1/channels/{id}`: what waits is cancelled, history stays.

use serde_json::json;

use crate::harness::{Gate, Reply, Setup, start};

#[tokio::test]
async fn what_waits_is_cancelled_and_history_stays() {
    let (server, receiver) = start().await;
    let gate = Gate::closed();
    receiver.always("/", Reply::status(200).behind(&gate));
    let id = server.client.webhook(&receiver.url("/"), json!({"concurrency": 1})).await.id;
    let mut deliveries = Vec::new();
    for _ in 0..4 {
        deliveries.push(server.client.accept_one("a", json!({})).await);
    }
    receiver.wait_for("/", 1).await;

    assert_eq!(server.client.delete(&format!("/v1/channels/{id}")).await.status, 204);

    server.client.get(&format!("/v1/channels/{id}")).await.problem(404);
    server.client.delete(&format!("/v1/channels/{id}")).await.problem(404);
    for delivery in &deliveries[1..] {
        let cancelled = server.client.delivery_once(*delivery, "cancelled").await;
        assert_eq!(cancelled.reason.as_deref(), Some("the channel was deleted"));
    }
    gate.open();
    server.client.delivery_once(deliveries[0], "sent").await;
    assert_eq!(server.client.deliveries(&format!("channel_id={id}")).await.len(), 4);
    assert!(server.client.accept(&json!({"type": "a", "data": {}})).await.deliveries.is_empty());
    let named = json!({"type": "a", "data": {}, "channels": [id]});
    assert_eq!(server.client.post("/v1/events", &named).await.problem(422).fields(), ["channels[0]"]);
    assert_eq!(receiver.count("/"), 1);
}

#[tokio::test]
async fn a_dead_letter_of_a_deleted_channel_cannot_be_tried_again() {
    let (server, receiver) = start().await;
    receiver.always("/", Reply::status(500));
    let id = server.client.webhook(&receiver.url("/"), json!({"retry": {"delays_seconds": []}})).await.id;
    let delivery = server.client.accept_one("a", json!({})).await;
    server.client.delivery_once(delivery, "dead").await;
    server.client.delete(&format!("/v1/channels/{id}")).await;
    let problem = server.client.post(&format!("/v1/deliveries/{delivery}/retry"), &json!({})).await.problem(409);
    assert!(problem.detail.contains("deleted"), "{problem:?}");
}

#[tokio::test]
async fn a_deletion_outlives_a_kill() {
    let setup = Setup::new();
    let server = setup.start().await;
    let receiver = crate::harness::Receiver::start().await;
    let gate = Gate::closed();
    receiver.always("/", Reply::status(200).behind(&gate));
    let id = server.client.webhook(&receiver.url("/"), json!({"concurrency": 1})).await.id;
    let first = server.client.accept_one("a", json!({})).await;
    let second = server.client.accept_one("a", json!({})).await;
    receiver.wait_for("/", 1).await;
    server.client.delete(&format!("/v1/channels/{id}")).await;
    server.kill().await;

    let server = setup.start().await;
    for delivery in [first, second] {
        let cancelled = server.client.delivery_once(delivery, "cancelled").await;
        assert_eq!(cancelled.reason.as_deref(), Some("the channel was deleted"));
    }
    assert_eq!(receiver.count("/"), 1);
}
