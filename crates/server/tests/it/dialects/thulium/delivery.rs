//! What a webhook is sent: flat fields with the action, and its own credentials.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Thulium, basic};
use crate::harness::{Received, Receiver, Setup};

fn fields(received: &Received) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(&received.body).into_owned().collect()
}

#[tokio::test]
async fn events_arrive_as_thulium_sends_them() {
    let (thulium, receiver) = (Thulium::start().await, Receiver::start().await);
    let webhook = json!({"actions": ["CHAT_CONVERSATION_CREATED", "CUSTOMER_CREATED"],
        "subscription_url": receiver.url("/hook"), "http_auth_user": "receiver", "http_auth_password": "pass:word"});
    thulium.create(&webhook).await;
    let native = thulium.native();
    let data =
        json!({"conversation_id": "6f1c", "client_name": "Łukasz & Co", "client_email": null, "chat_queue_id": 7});
    let event = json!({"type": "chat.conversation_created", "data": data, "occurred_at": "2024-04-24T11:19:25Z"});
    let delivery = native.accept(&event).await.deliveries[0].id;

    native.delivery_once(delivery, "sent").await;

    let received = receiver.wait_for_one("/hook").await;
    assert_eq!(received.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(received.header("authorization"), Some(basic("receiver", "pass:word").as_str()));
    assert_eq!(received.header("webhook-signature"), None, "the vendor signs nothing");
    let expected = [
        ("action", "CHAT_CONVERSATION_CREATED"),
        ("date", "2024-04-24 13:19:25"),
        ("conversation_id", "6f1c"),
        ("client_name", "Łukasz & Co"),
        ("client_email", ""),
        ("chat_queue_id", "7"),
    ];
    assert_eq!(fields(&received), expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());

    // One call for each event that an action names, and none for the others.
    native.accept_one("customer.created", json!({"customer_id": 1})).await;
    let unheard = native.accept(&json!({"type": "customer.updated", "data": {}})).await;
    assert!(unheard.deliveries.is_empty());
    let second = receiver.wait_for("/hook", 2).await.remove(1);
    assert_eq!(fields(&second)["action"], "CUSTOMER_CREATED");
}

#[tokio::test]
async fn dates_are_told_in_the_zone_of_the_settings() {
    let setup = Setup::new().set("POSTRIDER_THULIUM__TIME_ZONE", "America/New_York");
    let (thulium, receiver) = (Thulium::of(setup).await, Receiver::start().await);
    thulium.create(&json!({"actions": ["PING"], "subscription_url": receiver.url("/hook")})).await;
    let event = json!({"type": "ping", "data": {}, "occurred_at": "2024-04-24T11:19:25Z"});
    thulium.native().accept(&event).await;
    let received = receiver.wait_for_one("/hook").await;
    assert_eq!(fields(&received)["date"], "2024-04-24 07:19:25");
    assert_eq!(received.header("authorization"), None);

    let (status, text) = Setup::new().set("POSTRIDER_THULIUM__TIME_ZONE", "Mars/Base").start_in_vain().await;
    assert!(!status.success() && text.contains("POSTRIDER_THULIUM__TIME_ZONE"), "{text}");
}
