//! A channel that refuses everything: paused with a reason, its deliveries held, and resumed by its owner.

use serde_json::{Value, json};

use crate::harness::{Receiver, Reply, Setup, on_both_stores, start};

on_both_stores! {
    a_pause_outlives_a_restart,
}

#[tokio::test]
async fn a_410_pauses_the_channel_until_its_config_changes() {
    let (server, receiver) = start().await;
    receiver.always("/gone", Reply::status(410));
    let id = server.client.webhook(&receiver.url("/gone"), json!({"concurrency": 1})).await.id;
    let first = server.client.accept_one("a", json!({"n": 1})).await;
    let held = server.client.delivery_once(first, "held").await;
    assert_eq!((held.attempts, held.next_attempt_at), (0, None), "it waits, uncounted");
    let paused = server.client.channel(id).await.paused.unwrap();
    assert_eq!(paused.reason, "HTTP 410 Gone");
    assert!(!paused.since.is_empty());

    let second = server.client.accept_one("a", json!({"n": 2})).await;
    assert_eq!(server.client.delivery_once(second, "held").await.attempts, 0);
    let renamed = server.client.patch_channel(id, &json!({"name": "Renamed"})).await;
    assert!(renamed.paused.is_some(), "a new name mends nothing");
    assert_eq!(server.client.deliveries("status=held").await.len(), 2);
    assert_eq!(receiver.count("/gone"), 1);

    let mended = server.client.patch_channel(id, &json!({"config": {"url": receiver.url("/here")}})).await;
    assert_eq!(mended.paused, None);
    for delivery in [first, second] {
        server.client.delivery_once(delivery, "sent").await;
    }
    let numbers: Vec<Value> = receiver.received("/here").iter().map(|one| one.json()["data"]["n"].clone()).collect();
    assert_eq!(numbers, [json!(1), json!(2)]);
    assert_eq!(receiver.count("/gone"), 1);
}

#[tokio::test]
async fn switching_on_resumes_as_well() {
    let (server, receiver) = start().await;
    receiver.script("/", [Reply::status(410)]);
    let id = server.client.webhook(&receiver.url("/"), json!({})).await.id;
    let delivery = server.client.accept_one("a", json!({})).await;
    server.client.delivery_once(delivery, "held").await;
    server.client.patch_channel(id, &json!({"is_active": true})).await;
    server.client.delivery_once(delivery, "sent").await;
}

async fn a_pause_outlives_a_restart(setup: Setup) {
    let receiver = Receiver::start().await;
    receiver.always("/", Reply::status(410));
    let server = setup.start().await;
    let id = server.client.webhook(&receiver.url("/"), json!({})).await.id;
    let delivery = server.client.accept_one("a", json!({})).await;
    server.client.delivery_once(delivery, "held").await;
    // Whatever is written after the pause shows that the pause is written.
    let before = server.client.accept_one("a", json!({})).await;
    assert!(server.stop().await.success());

    let server = setup.start().await;
    assert_eq!(server.client.delivery(delivery).await.status, "held");
    let later = server.client.accept_one("a", json!({})).await;
    assert_eq!(server.client.delivery(later).await.status, "held");
    assert_eq!(receiver.count("/"), 1);
    server.client.patch_channel(id, &json!({"config": {"url": receiver.url("/fine")}})).await;
    for delivery in [delivery, before, later] {
        server.client.delivery_once(delivery, "sent").await;
    }
}

#[tokio::test]
async fn a_channel_that_is_not_authorised_is_tried_by_schedule() {
    let (server, receiver) = start().await;
    receiver.script("/", [401, 403, 404, 501].map(Reply::status));
    server.client.webhook(&receiver.url("/"), json!({"retry": {"delays_seconds": [0.01, 0.01, 0.01, 0.01]}})).await;
    let delivery = server.client.accept_one("a", json!({})).await;
    assert_eq!(server.client.delivery_once(delivery, "sent").await.attempts, 5);
}
