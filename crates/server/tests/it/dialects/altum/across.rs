//! One model underneath: what is made here is a channel everywhere, and the other way round.

use serde_json::{Value, json};

use super::{Site, path};
use crate::harness::{Receiver, eventually};

/// What this API has words for.
const TYPES: [&str; 9] = [
    "email",
    "webhook",
    "slack",
    "discord",
    "telegram",
    "microsoft_teams",
    "x",
    "google_chat",
    "internal_notification",
];

#[tokio::test]
async fn a_handler_is_a_channel_with_the_same_id() {
    let site = Site::start().await;
    let id = site.create(&[("name", "Hook"), ("type", "webhook"), ("webhook", "https://example.com/h")]).await;
    let channel = site.client.channel(id).await;
    assert_eq!((channel.name.as_str(), channel.provider.as_str(), channel.is_active), ("Hook", "webhook", true));
    assert_eq!(Value::from(channel.config), json!({"url": "https://example.com/h", "format": "form"}));
    assert_eq!((channel.event_types, channel.dialect.as_deref()), (vec!["*".to_owned()], Some("altum")));
    assert!(!channel.managed);

    site.client
        .patch_channel(id, &json!({"name": "Renamed", "is_active": false, "config": {"url": "https://example.com/i"}}))
        .await;
    let handler = site.handler(id).await;
    assert_eq!((handler.name.as_str(), handler.is_enabled), ("Renamed", false));
    assert_eq!(Value::from(handler.settings), json!({"webhook": "https://example.com/i"}));
    assert!(handler.last_datetime.is_some());

    site.client.delete(&path(id)).await;
    assert_eq!(site.client.get(&format!("/v1/channels/{id}")).await.status, 404);
}

#[tokio::test]
async fn a_channel_is_a_handler_with_the_same_id() {
    let site = Site::start().await;
    for provider in providers::all() {
        let spec = provider.spec();
        let config = Value::Object(spec.sample());
        let channel = json!({"name": spec.title, "provider": spec.name, "config": config});
        let made = site.client.create_channel(&channel).await;
        if !TYPES.contains(&spec.name) {
            assert_eq!(site.client.get(&path(made.id)).await.status, 404, "there are no words for {}", spec.name);
            continue;
        }
        let handler = site.handler(made.id).await;
        assert_eq!((handler.r#type.as_str(), handler.name.as_str()), (spec.name, spec.title));
        let is_filled = |text: &Value| text.as_str().is_some_and(|text| !text.is_empty());
        assert!(handler.settings.values().all(is_filled), "{handler:?}");
    }
    assert_eq!(site.list("").await.meta.total, TYPES.len() as u64);
    let mail = json!({"name": "Two", "provider": "email", "config": {"to": ["a@example.com", "b@example.com"]}});
    let id = site.client.create_channel(&mail).await.id;
    assert_eq!(site.handler(id).await.settings["email"], "a@example.com, b@example.com");
    site.update(id, &[("email", "a@example.com, b@example.com")]).await;
    assert_eq!(site.client.channel(id).await.config["to"], json!(["a@example.com", "b@example.com"]));
}

/// From the list of handlers to a delivery, and back to what became of it.
#[tokio::test]
async fn an_event_arrives_as_a_flat_form() {
    let site = Site::start().await;
    let receiver = Receiver::start().await;
    let hook = receiver.url("/hook?of=site");
    let id = site.create(&[("name", "Hook"), ("type", "webhook"), ("webhook", &hook)]).await;
    assert_eq!(site.list("?type=webhook").await.data[0].settings["webhook"], hook);
    let off = [("name", "Off"), ("type", "webhook"), ("webhook", &*receiver.url("/off")), ("is_enabled", "0")];
    site.create(&off).await;

    let data = json!({"monitor_id": 7, "name": "Shop & more", "is_ok": false, "url": "https://example.com/monitor/7"});
    let accepted = site.client.accept(&json!({"type": "monitor.down", "data": data})).await;
    assert_eq!(accepted.channels(), [id], "what is disabled hears nothing");
    let received = receiver.wait_for_one("/hook").await;
    assert_eq!(received.target, "/hook?of=site");
    assert_eq!(received.header("content-type"), Some("application/x-www-form-urlencoded"));
    let expected = "is_ok=0&monitor_id=7&name=Shop+%26+more&url=https%3A%2F%2Fexample.com%2Fmonitor%2F7";
    assert_eq!(received.text(), expected);
    assert_eq!(received.header("webhook-signature"), None);
    let delivery = accepted.deliveries[0].id;
    eventually("the delivery is sent", async || (site.client.delivery(delivery).await.status == "sent").then_some(()))
        .await;
    assert_eq!(receiver.total(), 1);
    // Sending is no change of the handler.
    assert_eq!(site.handler(id).await.last_datetime, None);
}
