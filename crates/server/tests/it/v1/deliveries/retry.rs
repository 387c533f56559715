//! `POST /v1/deliveries/{id}/retry`: a person asks for another try.

use serde_json::json;

use crate::harness::{Answer, Client, Delivery, Gate, Reply, eventually, start};

async fn retry(client: &Client, delivery: i64) -> Answer {
    client.post(&format!("/v1/deliveries/{delivery}/retry"), &json!({})).await
}

#[tokio::test]
async fn a_dead_letter_is_sent_with_a_fresh_budget() {
    let (server, receiver) = start().await;
    receiver.script("/", [500, 500, 500, 500].map(Reply::status));
    server.client.webhook(&receiver.url("/"), json!({"retry": {"delays_seconds": [0.01, 0.01]}})).await;
    let delivery = server.client.accept_one("a", json!({})).await;
    let dead = server.client.delivery_once(delivery, "dead").await;
    assert_eq!((dead.attempts, receiver.count("/")), (3, 3));
    assert_eq!(dead.reason.as_deref(), Some("gave up after 3 attempts: HTTP 500 Internal Server Error"));

    let asked: Delivery = retry(&server.client, delivery).await.read(202);
    assert_eq!(asked.id, delivery);

    let sent = server.client.delivery_once(delivery, "sent").await;
    assert_eq!(sent.attempts, 2, "of the new budget");
    let numbers: Vec<u32> = server.client.attempts(delivery).await.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    let received = receiver.received("/");
    assert!(received.iter().all(|one| one.id() == received[0].id()), "one id on the wire");
}

#[tokio::test]
async fn a_waiting_delivery_stops_waiting_and_has_a_fresh_budget() {
    let (server, receiver) = start().await;
    receiver.script("/", [500, 500].map(Reply::status));
    server.client.webhook(&receiver.url("/"), json!({"retry": {"delays_seconds": [3600]}})).await;
    let delivery = server.client.accept_one("a", json!({})).await;
    for tried in 1..=2 {
        let has_tried = async || (server.client.attempts(delivery).await.len() == tried).then_some(());
        eventually("a failed try", has_tried).await;
        let waiting = server.client.delivery(delivery).await;
        let is_first_of_two = (waiting.status.as_str(), waiting.attempts) == ("retrying", 1);
        assert!(is_first_of_two, "{waiting:?}");
        retry(&server.client, delivery).await.read::<Delivery>(202);
    }
    let sent = server.client.delivery_once(delivery, "sent").await;
    assert_eq!(sent.attempts, 1);
}

#[tokio::test]
async fn what_cannot_be_tried_again_says_why() {
    let (server, receiver) = start().await;
    let gate = Gate::closed();
    receiver.script("/", [Reply::status(200).behind(&gate), Reply::status(500)]);
    let settings = json!({"retry": {"delays_seconds": []}, "concurrency": 1});
    let id = server.client.webhook(&receiver.url("/"), settings).await.id;
    let first = server.client.accept_one("a", json!({})).await;
    receiver.wait_for("/", 1).await;
    assert!(retry(&server.client, first).await.problem(409).detail.contains("is being tried now"));
    gate.open();
    server.client.delivery_once(first, "sent").await;
    assert!(retry(&server.client, first).await.problem(409).detail.contains("is sent"));

    let dead = server.client.accept_one("a", json!({})).await;
    server.client.delivery_once(dead, "dead").await;
    server.client.patch_channel(id, &json!({"is_active": false})).await;
    assert!(retry(&server.client, dead).await.problem(409).detail.contains("switched off"));
    assert_eq!(receiver.count("/"), 2);
}
