//! Trying again: the schedule, `Retry-After`, the end of patience.

use serde_json::json;

use crate::harness::{Reply, is_signed_with, ms, now_seconds, start};

#[tokio::test]
async fn failures_are_tried_again_by_schedule() {
    let (server, receiver) = start().await;
    receiver.script("/", [Reply::status(500), Reply::close(), Reply::status(404), Reply::status(301)]);
    let retry = json!({"retry": {"delays_seconds": [0.1, 0.2, 0.3, 0.4]}});
    let channel = server.client.webhook(&receiver.url("/"), retry).await;
    let delivery = server.client.accept_one("a", json!({"n": 1})).await;

    let sent = server.client.delivery_once(delivery, "sent").await;

    assert_eq!((sent.attempts, sent.next_attempt_at, sent.reason), (5, None, None));
    let attempts = server.client.attempts(delivery).await;
    let seen: Vec<_> = attempts.iter().map(|one| (one.number, one.status.as_str(), one.code)).collect();
    let expected = [
        (1, "failed", Some(500)),
        (2, "unknown", None),
        (3, "failed", Some(404)),
        (4, "failed", Some(301)),
        (5, "delivered", Some(200)),
    ];
    assert_eq!(seen, expected);
    for (pair, wait_ms) in attempts.windows(2).zip([100, 200, 300, 400]) {
        let waited = ms(&pair[1].started_at) - ms(&pair[0].started_at);
        assert!(waited >= wait_ms / 2, "{waited} ms of {wait_ms}: jitter takes at most half");
    }
    let received = receiver.received("/");
    assert_eq!(received.len(), 5);
    for one in &received {
        assert_eq!((one.id(), &one.body), (received[0].id(), &received[0].body));
        assert!(is_signed_with(one, channel.secret()), "each try is signed for its own time");
    }
}

#[tokio::test]
async fn retry_after_is_the_least_wait() {
    let (server, receiver) = start().await;
    let check = async |path: &str, reply: Reply, earliest: Option<i64>| {
        receiver.script(path, [reply]);
        let fields = json!({"retry": {"delays_seconds": [0.001]}, "event_types": []});
        let id = server.client.webhook(&receiver.url(path), fields).await.id;
        let accepted = server.client.accept(&json!({"type": "a", "data": {}, "channels": [id]})).await;
        server.client.delivery_once(accepted.deliveries[0].id, "sent").await;
        let attempts = server.client.attempts(accepted.deliveries[0].id).await;
        let earliest = earliest.unwrap_or_else(|| ms(&attempts[0].started_at) + 1000);
        let second = ms(&attempts[1].started_at);
        assert!(second >= earliest, "{path}: {second} and not {earliest}");
    };
    let date = now_seconds() + 2;
    let as_text = jiff::Timestamp::from_second(date).unwrap().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    check("/seconds", Reply::status(503).header("retry-after", "1"), None).await;
    check("/date", Reply::status(502).header("retry-after", as_text), Some(date * 1000)).await;
    check("/throttled", Reply::status(429).header("retry-after", "1"), None).await;
}

#[tokio::test]
async fn a_429_burns_no_attempt_and_pauses_its_channel_alone() {
    let (server, receiver) = start().await;
    receiver.script("/limited", [Reply::status(429).header("retry-after", "1")]);
    let fields = json!({"retry": {"delays_seconds": []}, "concurrency": 1, "event_types": ["limited"]});
    server.client.webhook(&receiver.url("/limited"), fields).await;
    server.client.webhook(&receiver.url("/other"), json!({"event_types": ["other"]})).await;
    let first = server.client.accept_one("limited", json!({"n": 1})).await;
    let throttled = server.client.delivery_once(first, "retrying").await;
    let second = server.client.accept_one("limited", json!({"n": 2})).await;
    let other = server.client.accept_one("other", json!({})).await;

    let others = server.client.delivery_once(other, "sent").await;
    let first = server.client.delivery_once(first, "sent").await;
    let second = server.client.delivery_once(second, "sent").await;

    assert_eq!(throttled.attempts, 0);
    assert_eq!((first.attempts, second.attempts), (1, 1), "though there is no second attempt in its schedule");
    let attempts = server.client.attempts(first.id).await;
    assert_eq!(attempts.iter().map(|one| one.status.as_str()).collect::<Vec<_>>(), ["throttled", "delivered"]);
    let until = ms(&attempts[0].started_at) + 1000;
    let of_second = server.client.attempts(second.id).await;
    assert!(ms(&of_second[0].started_at) >= until, "what waits behind it waits as well");
    assert!(ms(&others.settled_at.unwrap()) < until);
}

#[tokio::test]
async fn a_delivery_expires_at_its_turn() {
    let (server, receiver) = start().await;
    receiver.script("/", [Reply::status(429).header("retry-after", "2")]);
    let id = server.client.webhook(&receiver.url("/"), json!({"time_to_live_seconds": 1})).await.id;
    let first = server.client.accept_one("a", json!({})).await;
    server.client.delivery_once(first, "retrying").await;
    let second = server.client.accept_one("a", json!({})).await;
    for delivery in [first, second] {
        let expired = server.client.delivery_once(delivery, "expired").await;
        assert_eq!(expired.reason.as_deref(), Some("its time-to-live ended before it could be tried"));
        assert_eq!(ms(&expired.expires_at) - ms(&expired.created_at), 1000);
    }
    assert_eq!(server.client.deliveries(&format!("status=expired&channel_id={id}")).await.len(), 2);
    assert_eq!(receiver.count("/"), 1);
}

#[tokio::test]
async fn an_attempt_that_would_come_too_late_is_not_waited_for() {
    let (server, receiver) = start().await;
    receiver.script("/", [Reply::status(500)]);
    let fields = json!({"time_to_live_seconds": 60, "retry": {"delays_seconds": [3600]}});
    server.client.webhook(&receiver.url("/"), fields).await;
    let delivery = server.client.accept_one("a", json!({})).await;
    let dead = server.client.delivery_once(delivery, "dead").await;
    assert!(dead.reason.unwrap().starts_with("gave up: the next attempt would come after its time-to-live"));
}

#[tokio::test]
async fn an_answer_that_never_comes_is_unknown_and_not_a_failure() {
    let (server, receiver) = start().await;
    receiver.script("/", [Reply::close()]);
    server.client.webhook(&receiver.url("/"), json!({"retry": {"delays_seconds": []}})).await;
    let delivery = server.client.accept_one("a", json!({})).await;
    let dead = server.client.delivery_once(delivery, "dead").await;
    assert!(dead.reason.unwrap().contains("the message may have been taken"));
}

#[tokio::test]
async fn a_channel_that_must_not_repeat_gives_up_when_no_answer_comes() {
    let (server, receiver) = start().await;
    receiver.script("/", [Reply::status(503), Reply::close()]);
    let fields = json!({"retry": {"delays_seconds": [0.001, 0.001]}, "on_unknown": "give_up"});
    server.client.webhook(&receiver.url("/"), fields).await;
    let delivery = server.client.accept_one("a", json!({})).await;
    let dead = server.client.delivery_once(delivery, "dead").await;
    assert!(dead.reason.unwrap().contains("the channel says not to repeat"));
    assert_eq!((dead.attempts, receiver.count("/")), (2, 2), "a refusal that is known is tried again");
}
