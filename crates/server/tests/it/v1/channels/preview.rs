//! `POST /v1/channels/preview`: rendered, and neither saved nor sent.

use serde_json::{Value, json};

use crate::harness::{Client, Setup, start};

async fn preview(client: &Client, preview: &Value) -> Value {
    client.post("/v1/channels/preview", preview).await.read(200)
}

#[tokio::test]
async fn a_new_channel_shows_what_it_would_send() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let event = json!({"type": "invoice.paid", "data": {"name": "A\"da", "amount": 3}});
    let shown = preview(
        client,
        &json!({"provider": "webhook", "event": event, "body_template": r#"{"text": "{{ name }} paid {{ amount }}"}"#,
            "config": {"url": "https://example.com/", "format": "template"}}),
    )
    .await;
    assert_eq!(shown["body"], r#"{"text": "A\"da paid 3"}"#);
    assert_eq!(shown["parts"], json!([r#"{"text": "A\"da paid 3"}"#]));
    assert_eq!((&shown["error"], &shown["subject"], &shown["event"]), (&Value::Null, &Value::Null, &event));
    let page: Value = client.get("/v1/channels").await.read(200);
    assert_eq!(page["data"], json!([]));
}

#[tokio::test]
async fn a_saved_channel_is_tried_with_other_templates_and_sends_nothing() {
    let (server, receiver) = start().await;
    let client = &server.client;
    let more = json!({"config": {"format": "template"}, "body_template": "{{ label }}"});
    let channel = client.webhook(&receiver.url("/"), more).await.id;
    let shown = preview(client, &json!({"channel_id": channel})).await;
    assert_eq!((&shown["event"]["type"], &shown["body"]), (&json!("alert_history"), &json!("VIP Detected")));
    let shown = preview(client, &json!({"channel_id": channel, "body_template": "{{ status }}!"})).await;
    assert_eq!(shown["parts"], json!(["match!"]));
    let shown = preview(client, &json!({"channel_id": channel, "body_template": null})).await;
    assert!(shown["error"].as_str().unwrap().contains("body_template"), "{shown}");
    // A template that fails says where.
    let shown = preview(client, &json!({"channel_id": channel, "body_template": "\n{{ label - 1 }}"})).await;
    assert!(shown["error"].as_str().unwrap().contains("line 2"), "{shown}");
    assert_eq!((receiver.total(), client.channel(channel).await.id), (0, channel));
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let channel = client.webhook("http://127.0.0.1:9/", json!({})).await.id;
    for (request, field) in [
        (json!({}), "channel_id"),
        (json!({"channel_id": channel, "provider": "webhook"}), "provider"),
        (json!({"channel_id": channel, "config": {}}), "config"),
        (json!({"provider": "pigeon"}), "provider"),
        (json!({"provider": "webhook", "config": {}}), "config.url"),
        (json!({"provider": "webhook", "body_template": "{{"}), "body_template"),
        (json!({"provider": "webhook", "event": {"type": "a b"}}), "event.type"),
        (json!({"provider": "webhook", "event": {"data": 1}}), "event.data"),
        (json!({"provider": "webhook", "event": {"severity": "loud"}}), "event.severity"),
    ] {
        let problem = client.post("/v1/channels/preview", &request).await.problem(422);
        assert_eq!(problem.fields(), [field], "{request}");
    }
    client.post("/v1/channels/preview", &json!({"channel_id": 999})).await.problem(404);
}
