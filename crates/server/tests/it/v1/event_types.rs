//! `/v1/event-types`: descriptions of event types and their variables.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Client, Page, Setup, on_both_stores};

fn invoice_paid() -> Value {
    json!({"type": "invoice.paid", "label": "Invoice paid", "description": "Money has come", "groups": [
        {"name": "Money", "variables": [
            {"key": "amount", "description": "In euro", "type": "number", "example": "12.5"},
            {"key": "customer.name", "description": "", "type": "string", "example": "Ada"}]}]})
}

/// Those that are not about Postrider itself.
async fn names(client: &Client) -> Vec<String> {
    let page: Page<Value> = client.get("/v1/event-types").await.read(200);
    let all = page.data.iter().map(|row| row["type"].as_str().unwrap().to_owned());
    all.filter(|name| !name.starts_with("postrider.")).collect()
}

on_both_stores! {
    they_are_described_and_forgotten,
}

async fn they_are_described_and_forgotten(setup: Setup) {
    let server = setup.start().await;
    let client = &server.client;
    let made: Value = client.post("/v1/event-types", &invoice_paid()).await.read(201);
    assert_eq!((&made["groups"], &made["built_in"]), (&invoice_paid()["groups"], &json!(false)));
    assert_eq!(client.get("/v1/event-types/invoice.paid").await.read::<Value>(200), made);
    let again = client.send(Method::PUT, "/v1/event-types/invoice.paid", &[], r#"{"label": "Paid"}"#).await;
    let again: Value = again.read(200);
    assert_eq!((&again["label"], &again["groups"], &again["description"]), (&json!("Paid"), &json!([]), &json!("")));
    client.send(Method::PUT, "/v1/event-types/a.b", &[], "{}").await.read::<Value>(201);
    assert_eq!(names(client).await, ["a.b", "alert_history", "invoice.paid"]);
    let page: Value = client.get("/v1/event-types?limit=2").await.read(200);
    let next: Page<Value> =
        client.get(&format!("/v1/event-types?cursor={}", page["next_cursor"].as_str().unwrap())).await.read(200);
    assert_eq!(next.data[0]["type"], "invoice.paid");
    assert_eq!(client.delete("/v1/event-types/a.b").await.status, 204);
    client.delete("/v1/event-types/a.b").await.problem(404);
    client.get("/v1/event-types/a.b").await.problem(404);
}

#[tokio::test]
async fn alert_history_is_built_in() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let shown: Value = client.get("/v1/event-types/alert_history").await.read(200);
    assert_eq!((&shown["label"], &shown["built_in"]), (&json!("Alert History"), &json!(true)));
    let variables = shown["groups"][0]["variables"].as_array().unwrap();
    let keys: Vec<_> = variables.iter().map(|variable| variable["key"].as_str().unwrap()).collect();
    assert_eq!(keys, ["severity", "stream_name", "label", "timestamp", "alert_rule", "event_id", "status"]);
    assert_eq!(variables[3]["type"], "datetime");
    client.delete("/v1/event-types/alert_history").await.problem(409);
    // A tenant's own description stands in front of it.
    client.send(Method::PUT, "/v1/event-types/alert_history", &[], "{}").await.read::<Value>(201);
    assert_eq!(names(client).await, ["alert_history"]);
    assert_eq!(client.delete("/v1/event-types/alert_history").await.status, 204);
    assert_eq!(client.get("/v1/event-types/alert_history").await.read::<Value>(200)["built_in"], true);
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let variable = |variable: Value| json!({"type": "a", "groups": [{"name": "g", "variables": [variable]}]});
    for (described, field) in [
        (json!({}), "type"),
        (json!({"type": "a b"}), "type"),
        (json!({"type": "postrider.x"}), "type"),
        (json!({"type": "a", "label": ""}), "label"),
        (json!({"type": "a", "label": "x".repeat(129)}), "label"),
        (variable(json!({})), "groups[0].variables[0].key"),
        (variable(json!({"key": "9"})), "groups[0].variables[0].key"),
        (variable(json!({"key": "a", "type": "colour"})), "groups[0].variables[0].type"),
        (variable(json!({"key": "a", "type": "number", "example": "many"})), "groups[0].variables[0].example"),
    ] {
        assert_eq!(client.post("/v1/event-types", &described).await.problem(422).fields(), [field], "{described}");
    }
    let other = client.send(Method::PUT, "/v1/event-types/a", &[], r#"{"type": "b"}"#).await;
    assert_eq!(other.problem(422).fields(), ["type"]);
}

#[tokio::test]
async fn templates_with_unknown_names_are_warned_of() {
    let server = Setup::new().start().await;
    let client = &server.client;
    client.post("/v1/event-types", &invoice_paid()).await.read::<Value>(201);
    let config = json!({"url": "http://127.0.0.1:9/", "format": "template"});
    let warnings = async |event_types: Value, template: &str| {
        let channel = json!({"name": "T", "provider": "webhook", "config": config, "event_types": event_types,
            "body_template": template});
        let made: Value = client.post("/v1/channels", &channel).await.read(201);
        made.get("warnings").cloned().unwrap_or_else(|| json!([]))
    };
    let fine =
        "{{ amount }} {{ customer.name }} {{ event.type }} {{ channel.name }} {% for x in amount %}{{ x }}{% endfor %}";
    assert_eq!(warnings(json!(["invoice.paid"]), fine).await, json!([]));
    let warned = warnings(json!(["invoice.*"]), "{{ amout }}").await;
    let text = warned[0].as_str().unwrap();
    assert!(text.contains("body_template") && text.contains("amout"), "{text}");
    // Nobody knows what an event holds that nobody described.
    assert_eq!(warnings(json!(["order.placed"]), "{{ amout }}").await, json!([]));
}
