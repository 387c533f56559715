//! `postrider channel`: what it tells beyond what was asked for.

use serde_json::json;

use crate::harness::Setup;

#[tokio::test]
async fn a_template_that_asks_for_unknown_names_is_saved_with_a_warning() {
    let setup = Setup::new();
    let server = setup.start().await;
    let variable = json!({"key": "amount", "description": "In euro", "type": "number", "example": "5"});
    let described = json!({"type": "paid", "label": "Paid", "groups": [{"name": "Money", "variables": [variable]}]});
    server.client.post("/v1/event-types", &described).await.read::<serde_json::Value>(201);
    let warning = "warning: body_template: no event type that this channel hears has \"amuont\"";

    let fields = ["--name", "Chat", "--event-type", "paid", "format=template", "url=https://chat.example/"];
    let add = [&["channel", "add", "webhook", "--body-template", "{{ amuont }}"], &fields[..]].concat();
    setup.run(&add).await.ended_with(0).says(&["Channel 1 is there"]).remarks(&[warning]);
    let set = setup.run(&["channel", "set", "1", "--body-template", "{{ amuont }}!"]).await;
    set.ended_with(0).says(&["Channel 1"]).remarks(&[warning]);

    let mended = setup.run(&["channel", "set", "1", "--body-template", "{{ amount }}"]).await;
    assert!(!mended.ended_with(0).stderr.contains("warning"), "{mended:?}");
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_said_once() {
    let setup = Setup::new();
    let server = setup.start().await;
    server.client.webhook("http://127.0.0.1:1/", json!({})).await;
    let tested = setup.run(&["channel", "test", "1"]).await;
    tested.ended_with(1).says(&["no connection: Connection refused"]);
    assert_eq!(tested.stdout.matches("no connection").count(), 1, "{}", tested.stdout);
}

#[tokio::test]
async fn a_channel_is_made_from_one_url() {
    let setup = Setup::new();
    let server = setup.start().await;
    let add = setup.run(&["channel", "add", "discord://1234/token", "--event-type", "alert.*"]).await;
    add.ended_with(0).says(&["Channel 1 is there"]);
    let made = server.client.get("/v1/channels/1").await.read::<serde_json::Value>(200);
    assert_eq!((&made["name"], &made["provider"]), (&json!("Discord"), &json!("discord")));
    assert_eq!(made["event_types"], json!(["alert.*"]));
    let wrong = setup.run(&["channel", "add", "discord://canary"]).await;
    assert_ne!(wrong.code, Some(0));
    assert!(
        wrong.stderr.contains("discord://WEBHOOK_ID/WEBHOOK_TOKEN") && !wrong.stderr.contains("canary"),
        "{wrong:?}"
    );
}
