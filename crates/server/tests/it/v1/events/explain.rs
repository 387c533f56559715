//! `GET /v1/events/{id}/explain?channel_id=`: one answer for every channel.

use serde::Deserialize;
use serde_json::json;

use crate::harness::{Delivery, Receiver, Setup, on_both_stores};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Explained {
    event_id: String,
    channel_id: i64,
    reason: String,
    reason_code: String,
    delivery: Option<Delivery>,
}

on_both_stores! {
    every_channel_has_an_answer,
}

async fn every_channel_has_an_answer(setup: Setup) {
    let (server, receiver) = (setup.start().await, Receiver::start().await);
    let client = &server.client;
    let url = receiver.url("/");
    let hears = client.webhook(&url, json!({})).await.id;
    let filtered = client.webhook(&url, json!({"filter": "false"})).await.id;
    let inactive = client.webhook(&url, json!({"is_active": false})).await.id;
    let other = client.webhook(&url, json!({"event_types": ["other"]})).await.id;
    let event = client.accept(&json!({"type": "a", "data": {}})).await;
    let named = client.accept(&json!({"type": "a", "data": {}, "channels": [other]})).await;
    client.delivery_once(event.deliveries[0].id, "sent").await;
    client.delivery_once(named.deliveries[0].id, "sent").await;
    // Subscriptions of today do not change what was decided then.
    client.patch_channel(other, &json!({"event_types": ["*"]})).await;

    let check = async |event: &str, channel: i64, expected: &str, has_delivery: bool| {
        let path = format!("/v1/events/{event}/explain?channel_id={channel}");
        let explained: Explained = client.get(&path).await.read(200);
        assert_eq!(explained.reason, expected, "{explained:?}");
        assert_eq!((explained.event_id.as_str(), explained.channel_id), (event, channel));
        assert_eq!(explained.delivery.is_some(), has_delivery);
        let code = explained.delivery.map_or(expected, |_| "delivered");
        assert_eq!(explained.reason_code, code);
    };
    check(&event.id, hears, "sent", true).await;
    check(&event.id, filtered, "filter_false", false).await;
    check(&event.id, inactive, "channel_inactive", false).await;
    check(&event.id, other, "no_subscription", false).await;
    check(&named.id, hears, "not_named", false).await;
    check(&named.id, other, "sent", true).await;
    let younger = client.webhook(&url, json!({})).await.id;
    check(&event.id, younger, "channel_is_younger", false).await;

    // Deleted channels stay explained.
    for channel in [hears, filtered, other] {
        client.delete(&format!("/v1/channels/{channel}")).await;
    }
    let after = client.accept(&json!({"type": "a", "data": {}})).await;
    check(&event.id, hears, "sent", true).await;
    check(&event.id, filtered, "filter_false", false).await;
    check(&event.id, other, "no_subscription", false).await;
    check(&after.id, hears, "channel_was_deleted", false).await;

    client.get(&format!("/v1/events/{}/explain?channel_id=999", event.id)).await.problem(404);
    client.get(&format!("/v1/events/evt_999/explain?channel_id={hears}")).await.problem(404);
    client.get(&format!("/v1/events/{}/explain", event.id)).await.problem(422);
}
