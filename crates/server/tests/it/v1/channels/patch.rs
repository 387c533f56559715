//! `PATCH /v1/channels/{id}`: a merge patch; secrets and their rotation; switching off and on.

use serde_json::{Value, json};

use crate::harness::{Gate, Reply, is_signed_with, signatures, start};

const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

#[tokio::test]
async fn a_mask_means_unchanged_and_null_clears() {
    let (server, receiver) = start().await;
    let config = json!({"config": {
        "secret": OLD, "headers": {"x-team": "billing", "x-gone": "soon"}, "basic_user": "u", "basic_password": "p",
    }});
    let id = server.client.webhook(&receiver.url("/a"), config).await.id;

    // What was shown may be sent back as it is.
    let mut shown = server.client.channel(id).await.config;
    assert_eq!(shown["headers"], json!({"x-team": "********", "x-gone": "********"}));
    assert_eq!((&shown["basic_user"], &shown["basic_password"]), (&json!("u"), &json!("********")));
    shown["url"] = json!(receiver.url("/b"));
    server.client.patch_channel(id, &json!({"config": shown})).await;
    server.client.accept_one("a", json!({})).await;
    let received = receiver.wait_for_one("/b").await;
    assert!(is_signed_with(&received, OLD));
    assert_eq!(signatures(&received).len(), 1, "an unchanged secret is no rotation");
    assert_eq!(received.header("authorization"), Some("Basic dTpw"));
    assert_eq!((received.header("x-team"), received.header("x-gone")), (Some("billing"), Some("soon")));

    let patch = json!({"config": {"headers": {"x-gone": null}, "basic_user": null, "basic_password": null}});
    let after = server.client.patch_channel(id, &patch).await;
    assert_eq!(after.config.keys().collect::<Vec<_>>(), ["format", "headers", "secret", "url"]);
    assert_eq!(after.config["headers"], json!({"x-team": "********"}));
    server.client.accept_one("a", json!({})).await;
    let received = receiver.wait_for("/b", 2).await.remove(1);
    assert_eq!((received.header("authorization"), received.header("x-gone")), (None, None));
    assert_eq!(receiver.count("/a"), 0);
}

#[tokio::test]
async fn fields_are_changed_one_by_one() {
    let (server, _) = start().await;
    let settings = json!({"filter": "x", "body_template": "{}", "time_to_live_seconds": 60, "event_types": ["a"],
                          "retry": {"delays_seconds": [1]}, "rate_limit": {"count": 1, "per": "hour"},
                          "digest": {"window_seconds": 5}});
    let before = server.client.webhook("https://example.com/", settings).await;
    let renamed = server.client.patch_channel(before.id, &json!({"name": "Renamed"})).await;
    let mut expected = before.clone().unmasked(&renamed);
    (expected.name, expected.updated_at) = ("Renamed".to_owned(), renamed.updated_at.clone());
    assert!(renamed.updated_at.is_some());
    assert_eq!(renamed, expected);

    let cleared = json!({"filter": null, "body_template": null, "time_to_live_seconds": null, "retry": null,
                         "rate_limit": null, "digest": null});
    let cleared = server.client.patch_channel(before.id, &cleared).await;
    assert_eq!((cleared.filter, cleared.body_template), (None, None));
    assert_eq!((cleared.rate_limit, cleared.digest), (Value::Null, Value::Null));
    assert_eq!(cleared.time_to_live_seconds, 4 * 86_400);
    assert_eq!(cleared.retry["delays_seconds"].as_array().map(Vec::len), Some(9));
    assert_eq!(cleared.event_types, ["a"]);

    let check = async |patch: Value, fields: &[&str]| {
        let problem = server.client.patch(&format!("/v1/channels/{}", before.id), &patch).await.problem(422);
        assert_eq!(problem.fields(), fields, "{patch}");
    };
    check(json!({"provider": "webhook"}), &["provider"]).await;
    check(json!({"config": {"url": null}}), &["config.url"]).await;
    check(json!({"config": {"format": "template"}}), &["body_template"]).await;
    check(json!({"name": ""}), &["name"]).await;
    check(json!({"filter": "x >"}), &["filter"]).await;
    assert_eq!(server.client.channel(before.id).await.name, "Renamed");
}

#[tokio::test]
async fn a_rotated_secret_signs_beside_the_old_one() {
    let (server, receiver) = start().await;
    let id = server.client.webhook(&receiver.url("/"), json!({"config": {"secret": OLD}})).await.id;
    server.client.patch_channel(id, &json!({"config": {"secret": NEW}})).await;
    server.client.accept_one("a", json!({})).await;
    let received = receiver.wait_for_one("/").await;
    assert_eq!(signatures(&received).len(), 2);
    assert!(is_signed_with(&received, OLD) && is_signed_with(&received, NEW));
}

#[tokio::test]
async fn a_new_pattern_holds_from_the_next_event_on() {
    let (server, _) = start().await;
    let id = server.client.webhook("http://127.0.0.1:9/", json!({"event_types": ["a"]})).await.id;
    let event = json!({"type": "b", "data": {}});
    assert!(server.client.accept(&event).await.deliveries.is_empty());
    server.client.patch_channel(id, &json!({"event_types": ["b"], "filter": "n > 1"})).await;
    assert_eq!(server.client.accept(&event).await.reasons(), [(id, "filter_false")]);
    assert_eq!(server.client.accept(&json!({"type": "b", "data": {"n": 2}})).await.channels(), [id]);
}

#[tokio::test]
async fn switching_off_cancels_what_waits_and_switching_on_begins_anew() {
    let (server, receiver) = start().await;
    let gate = Gate::closed();
    receiver.always("/", Reply::status(200).behind(&gate));
    let id = server.client.webhook(&receiver.url("/"), json!({"concurrency": 2})).await.id;
    let mut deliveries = Vec::new();
    for n in 0..6 {
        deliveries.push(server.client.accept_one("a", json!({"n": n})).await);
    }
    receiver.wait_for("/", 2).await;

    let off = server.client.patch_channel(id, &json!({"is_active": false})).await;
    assert!(!off.is_active);
    for delivery in &deliveries[2..] {
        let cancelled = server.client.delivery_once(*delivery, "cancelled").await;
        assert_eq!(cancelled.reason.as_deref(), Some("the channel was switched off"));
    }
    let accepted = server.client.accept(&json!({"type": "a", "data": {}})).await;
    assert_eq!(accepted.reasons(), [(id, "channel_inactive")]);
    gate.open();
    // What was under way is over as its answer says.
    for delivery in &deliveries[..2] {
        server.client.delivery_once(*delivery, "sent").await;
    }

    server.client.patch_channel(id, &json!({"is_active": true})).await;
    let again = server.client.accept_one("a", json!({"n": 6})).await;
    server.client.delivery_once(again, "sent").await;
    let numbers: Vec<Value> = receiver.received("/").iter().map(|one| one.json()["data"]["n"].clone()).collect();
    assert_eq!(numbers.len(), 3, "{numbers:?}");
}

#[tokio::test]
async fn what_fails_while_the_channel_is_switched_off_is_cancelled() {
    let (server, receiver) = start().await;
    let gate = Gate::closed();
    receiver.always("/", Reply::status(500).behind(&gate));
    let id = server.client.webhook(&receiver.url("/"), json!({})).await.id;
    let delivery = server.client.accept_one("a", json!({})).await;
    receiver.wait_for("/", 1).await;
    server.client.patch_channel(id, &json!({"is_active": false})).await;
    gate.open();
    let cancelled = server.client.delivery_once(delivery, "cancelled").await;
    assert_eq!(cancelled.reason.as_deref(), Some("the channel was switched off"));
    assert_eq!(receiver.count("/"), 1);
}

#[tokio::test]
async fn an_old_order_to_cancel_does_not_reach_what_is_tried_again_later() {
    let (server, receiver) = start().await;
    receiver.script("/", [Reply::status(500), Reply::status(500), Reply::status(500)]);
    let retry = json!({"retry": {"delays_seconds": [0.01]}});
    let id = server.client.webhook(&receiver.url("/"), retry).await.id;
    let delivery = server.client.accept_one("a", json!({})).await;
    server.client.delivery_once(delivery, "dead").await;
    server.client.patch_channel(id, &json!({"is_active": false})).await;
    server.client.patch_channel(id, &json!({"is_active": true})).await;

    server.client.post(&format!("/v1/deliveries/{delivery}/retry"), &json!({})).await.read::<Value>(202);

    // The first of the two attempts fails, the second is taken.
    server.client.delivery_once(delivery, "sent").await;
    assert_eq!(receiver.count("/"), 4);
}
