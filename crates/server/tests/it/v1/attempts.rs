//! `GET /v1/attempts`: a row for every try.

use serde_json::json;

use crate::harness::{Attempt, Page, Reply, start};

#[tokio::test]
async fn attempts_are_filtered_and_listed_newest_first_by_cursor() {
    let (server, receiver) = start().await;
    receiver.script("/a", [Reply::status(500), Reply::close(), Reply::status(503)]);
    let retry = json!({"retry": {"delays_seconds": [0.01, 0.01, 0.01]}, "event_types": ["a"]});
    let first = server.client.webhook(&receiver.url("/a"), retry).await.id;
    let second = server.client.webhook(&receiver.url("/b"), json!({"event_types": ["b"]})).await.id;
    let failing = server.client.accept_one("a", json!({})).await;
    server.client.delivery_once(failing, "sent").await;
    let fine = server.client.accept_one("b", json!({})).await;
    server.client.delivery_once(fine, "sent").await;

    let mut listed: Vec<Attempt> = Vec::new();
    let mut cursor = String::new();
    loop {
        let page: Page<Attempt> = server.client.get(&format!("/v1/attempts?limit=2{cursor}")).await.read(200);
        listed.extend(page.data);
        let Some(next) = page.next_cursor else { break };
        cursor = format!("&cursor={next}");
    }
    assert!(listed.is_sorted_by(|left, right| left.id > right.id));
    let seen: Vec<_> = listed.iter().rev().map(|one| (one.delivery_id, one.number, one.status.as_str())).collect();
    let expected = [
        (failing, 1, "failed"),
        (failing, 2, "unknown"),
        (failing, 3, "failed"),
        (failing, 4, "delivered"),
        (fine, 1, "delivered"),
    ];
    assert_eq!(seen, expected);

    let check = async |query: &str, count: usize| {
        let page: Page<Attempt> = server.client.get(&format!("/v1/attempts?{query}")).await.read(200);
        assert_eq!(page.data.len(), count, "{query}");
    };
    check(&format!("channel_id={first}"), 4).await;
    check(&format!("channel_id={second}"), 1).await;
    check(&format!("delivery_id={failing}&status=failed"), 2).await;
    check("status=unknown", 1).await;
    check("status=delivered", 2).await;
    check("status=rejected", 0).await;
    check("delivery_id=999", 0).await;
    check("event_type=a", 4).await;
    check("event_type=a.*", 0).await;
    let event = server.client.delivery(failing).await.event_id;
    check(&format!("event_id={event}"), 4).await;
    check(&format!("event_id={event}&code=500"), 1).await;
    check("code=503", 1).await;
    check("provider=webhook", 5).await;
    check("provider=email", 0).await;
    check("q=http%20503", 1).await;
    check("q=%25", 0).await;
    check("since=2020-01-01T00:00:00Z", 5).await;
    check("until=2020-01-01T00:00:00Z", 0).await;
}

#[tokio::test]
async fn an_attempt_tells_what_was_answered() {
    let (server, receiver) = start().await;
    receiver.script("/", [Reply::status(418).body("I am a teapot")]);
    let id = server.client.webhook(&receiver.url("/"), json!({"retry": {"delays_seconds": []}})).await.id;
    let accepted = server.client.accept(&json!({"type": "a.b", "data": {}})).await;
    let delivery = accepted.deliveries[0].id;
    server.client.delivery_once(delivery, "dead").await;
    let attempt = server.client.attempts(delivery).await.remove(0);
    assert_eq!((attempt.delivery_id, attempt.channel_id, attempt.event_id), (delivery, id, accepted.id));
    assert_eq!((attempt.event_type.as_str(), attempt.provider.as_str()), ("a.b", "webhook"));
    assert_eq!((attempt.number, attempt.step, attempt.status.as_str()), (1, 0, "failed"));
    assert_eq!((attempt.code, attempt.body.as_str(), attempt.reference), (Some(418), "I am a teapot", None));
    assert_eq!(attempt.reason.as_deref(), Some("HTTP 418 I'm a teapot"));
    assert!(attempt.duration_ms < 20_000 && !attempt.started_at.is_empty());
}

#[tokio::test]
async fn a_long_answer_is_cut() {
    let (server, receiver) = start().await;
    receiver.script("/", [Reply::status(500).body("ü".repeat(5000))]);
    server.client.webhook(&receiver.url("/"), json!({"retry": {"delays_seconds": []}})).await;
    let delivery = server.client.accept_one("a", json!({})).await;
    server.client.delivery_once(delivery, "dead").await;
    let attempt = server.client.attempts(delivery).await.remove(0);
    assert_eq!(attempt.body, "ü".repeat(2048), "4 KiB, and no half characters");
}

#[tokio::test]
async fn secrets_that_come_back_are_struck_out() {
    let (server, receiver) = start().await;
    let old = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let config = json!({"config": {"secret": old, "basic_user": "post", "basic_password": "rider-password",
                                   "headers": {"x-token": "token-of-the-owner"}},
                        "retry": {"delays_seconds": []}});
    let id = server.client.webhook(&receiver.url("/"), config).await.id;
    let new = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    server.client.patch_channel(id, &json!({"config": {"secret": new}})).await;
    // printf 'post:rider-password' | base64
    let basic = "cG9zdDpyaWRlci1wYXNzd29yZA==";
    // The cut comes after the striking out: no half of a secret is left at its edge.
    for padding in [0, 4096 - 20] {
        let before = format!("{}{old} {new} rider-password ", "x".repeat(padding));
        receiver.script("/", [Reply::echo(500, &before)]);
        let delivery = server.client.accept_one("a", json!({"text": "harmless"})).await;
        server.client.delivery_once(delivery, "dead").await;
        let attempt = server.client.attempts(delivery).await.remove(0);
        assert!(attempt.body.contains("********"), "{attempt:?}");
        assert!(padding > 0 || attempt.body.contains("harmless"), "{attempt:?}");
        for secret in [&old[..12], &new[..12], "rider-password", "token-of-the-owner", basic] {
            assert!(!attempt.body.contains(secret), "{secret}: {attempt:?}");
        }
    }
}

#[tokio::test]
async fn a_note_that_is_cut_short_ends_in_no_part_of_a_secret() {
    let (server, receiver) = start().await;
    let token = "token-of-the-owner-0123456789abcdef";
    let path = format!("/hook/{token}");
    server.client.webhook(&receiver.url(&path), json!({"retry": {"delays_seconds": []}})).await;
    for padding in [0, 150, 170, 180, 185] {
        let location = format!("http://x.test/{}/{token}", "x".repeat(padding));
        receiver.script(&path, [Reply::status(302).header("location", location)]);
        let delivery = server.client.accept_one("a", json!({})).await;
        let reason = server.client.delivery_once(delivery, "dead").await.reason.unwrap();
        assert!(reason.contains("redirect to http://x.test/") && !reason.contains("token-"), "{padding}: {reason}");
    }
}
