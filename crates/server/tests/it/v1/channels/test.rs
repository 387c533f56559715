//! `POST /v1/channels/{id}/test`: one try at once, and its answer.

use serde_json::json;

use crate::harness::{Client, Gate, Reply, Tested, start};

async fn test(client: &Client, channel: i64) -> Tested {
    client.post(&format!("/v1/channels/{channel}/test"), &json!({})).await.read(200)
}

#[tokio::test]
async fn a_test_that_arrives_is_ok() {
    let (server, receiver) = start().await;
    receiver.script("/", [Reply::status(202).body("thanks")]);
    let id = server.client.webhook(&receiver.url("/"), json!({"event_types": []})).await.id;
    let tested = test(&server.client, id).await;
    let attempt = tested.attempt.unwrap();
    assert!(tested.ok);
    assert_eq!((tested.delivery.status.as_str(), tested.delivery.event_type.as_str()), ("sent", "postrider.test"));
    assert_eq!((attempt.status.as_str(), attempt.code, attempt.body.as_str()), ("delivered", Some(202), "thanks"));
    assert_eq!(receiver.received("/")[0].json()["type"], "postrider.test");
}

#[tokio::test]
async fn a_test_that_fails_says_why_and_is_not_repeated() {
    let (server, receiver) = start().await;
    let check = async |reply: Reply, status: &str, code: Option<u16>, reason: &str| {
        receiver.script("/", [reply]);
        let id = server.client.webhook(&receiver.url("/"), json!({"event_types": []})).await.id;
        let tested = test(&server.client, id).await;
        let attempt = tested.attempt.unwrap();
        assert!(!tested.ok);
        assert_eq!((attempt.status.as_str(), attempt.code, attempt.number), (status, code, 1), "{attempt:?}");
        assert!(attempt.reason.as_deref().unwrap().contains(reason), "{attempt:?}");
        assert_eq!(tested.delivery.status, "dead", "a test has one attempt");
        assert_eq!(server.client.channel(id).await.paused, None, "a test pauses nothing");
    };
    check(Reply::status(500).body("broken"), "failed", Some(500), "HTTP 500").await;
    check(Reply::status(410), "rejected", Some(410), "HTTP 410").await;
    check(Reply::status(429).header("retry-after", "60"), "throttled", Some(429), "HTTP 429").await;
    check(Reply::status(302).header("location", "/x"), "failed", Some(302), "redirect to /x refused").await;
    check(Reply::close(), "unknown", None, "no answer").await;
    assert_eq!(receiver.count("/"), 5);
}

#[tokio::test]
async fn a_test_waits_for_nobody() {
    let (server, receiver) = start().await;
    let gate = Gate::closed();
    receiver.script("/", [Reply::status(200).behind(&gate)]);
    let id = server.client.webhook(&receiver.url("/"), json!({"concurrency": 1})).await.id;
    server.client.accept_one("a", json!({})).await;
    server.client.accept_one("a", json!({})).await;
    receiver.wait_for("/", 1).await;
    assert!(test(&server.client, id).await.ok, "though the only place of the channel is taken");
    gate.open();
    receiver.wait_for("/", 3).await;
}

#[tokio::test]
async fn a_test_tells_whether_a_paused_channel_would_work_again() {
    let (server, receiver) = start().await;
    receiver.script("/", [Reply::status(410)]);
    let id = server.client.webhook(&receiver.url("/"), json!({})).await.id;
    let delivery = server.client.accept_one("a", json!({})).await;
    server.client.delivery_once(delivery, "held").await;
    assert!(test(&server.client, id).await.ok);
    assert_eq!(server.client.delivery(delivery).await.status, "held");
}

#[tokio::test]
async fn a_channel_that_is_switched_off_is_not_tested() {
    let (server, receiver) = start().await;
    let id = server.client.webhook(&receiver.url("/"), json!({"is_active": false})).await.id;
    let problem = server.client.post(&format!("/v1/channels/{id}/test"), &json!({})).await.problem(409);
    assert!(problem.detail.contains("switched off"), "{problem:?}");
    assert_eq!(receiver.total(), 0);
}
