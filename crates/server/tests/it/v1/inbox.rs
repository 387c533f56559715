//! `/v1/inbox`: entries that channels of the in-app inbox bring, read and marked.

use serde_json::{Value, json};

use crate::harness::{Client, Page, Setup, eventually, on_both_stores};

async fn inbox_channel(client: &Client, recipient: Option<&str>, more: Value) -> i64 {
    let mut channel = json!({"name": "Inbox", "provider": "internal_notification", "config": {}});
    channel["config"] = recipient.map_or_else(|| json!({}), |recipient| json!({"recipient": recipient}));
    channel.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.create_channel(&channel).await.id
}

async fn list(client: &Client, query: &str) -> Vec<Value> {
    client.get(&format!("/v1/inbox?{query}")).await.read::<Page<Value>>(200).data
}

async fn unread(client: &Client, query: &str) -> Value {
    client.get(&format!("/v1/inbox/unread?{query}")).await.read(200)
}

/// Posts an event and waits until all that it brings is in the inbox.
async fn bring(client: &Client, data: Value) {
    let accepted = client.accept(&json!({"type": "invoice.paid", "data": data, "severity": "warning"})).await;
    for made in accepted.deliveries {
        client.delivery_once(made.id, "sent").await;
    }
}

on_both_stores! {
    an_event_is_there_to_be_read,
    what_is_old_goes,
}

async fn an_event_is_there_to_be_read(setup: Setup) {
    let server = setup.start().await;
    let client = &server.client;
    let channel = inbox_channel(client, None, json!({})).await;
    bring(client, json!({"title": "Paid", "message": "Thanks", "url": "https://a.test/7", "amount": 5})).await;
    let entry = list(client, "").await.remove(0);
    let expected = json!({"type": "invoice.paid", "title": "Paid", "text": "Thanks", "severity": "warning",
        "url": "https://a.test/7", "fields": [{"name": "amount", "value": "5"}]});
    assert_eq!((&entry["content"], &entry["channel_id"]), (&expected, &json!(channel)));
    assert_eq!((&entry["recipient"], &entry["read_at"]), (&json!(""), &Value::Null));
    let attempts = client.attempts(entry["id"].as_i64().unwrap()).await;
    assert_eq!((attempts.len(), attempts[0].status.as_str()), (1, "delivered"));
    assert_eq!(unread(client, "").await, json!({"unread": 1, "more": false}));

    let path = format!("/v1/inbox/{}/read", entry["id"]);
    let read: Value = client.post(&path, &json!({})).await.read(200);
    assert!(read["read_at"].is_string());
    let again: Value = client.post(&path, &json!({})).await.read(200);
    assert_eq!(again["read_at"], read["read_at"]);
    assert_eq!(unread(client, "").await["unread"], 0);
    assert!(list(client, "unread=true").await.is_empty());
    let unmarked: Value = client.delete(&path).await.read(200);
    assert_eq!((&unmarked["read_at"], list(client, "unread=true").await.len()), (&Value::Null, 1));
}

#[tokio::test]
async fn each_recipient_has_an_inbox() {
    let server = Setup::new().start().await;
    let client = &server.client;
    for recipient in ["ada", "bob"] {
        inbox_channel(client, Some(recipient), json!({})).await;
    }
    for number in 0..3 {
        bring(client, json!({"n": number})).await;
    }
    assert_eq!((list(client, "recipient=ada").await.len(), list(client, "").await.len()), (3, 6));
    let page: Value = client.get("/v1/inbox?recipient=bob&limit=2").await.read(200);
    let rest = list(client, &format!("recipient=bob&cursor={}", page["next_cursor"].as_str().unwrap())).await;
    assert_eq!(rest.len(), 1);
    let marked: Value = client.post("/v1/inbox/read-all", &json!({"recipient": "ada"})).await.read(200);
    assert_eq!(marked, json!({"marked": 3}));
    assert_eq!((unread(client, "recipient=ada").await["unread"].clone(), unread(client, "").await), {
        (json!(0), json!({"unread": 3, "more": false}))
    });
    assert_eq!(client.post("/v1/inbox/read-all", &json!({})).await.read::<Value>(200), json!({"marked": 3}));
}

#[tokio::test]
async fn entries_outlive_a_kill_and_come_once() {
    let setup = Setup::new();
    let server = setup.start().await;
    inbox_channel(&server.client, None, json!({})).await;
    let events: Vec<_> = (0..200).map(|n| json!({"type": "a", "data": {"n": n}})).collect();
    server.client.post("/v1/events", &json!(events)).await.read::<Value>(202);
    server.kill().await;
    let server = setup.start().await;
    let client = &server.client;
    crate::harness::eventually("all entries", async || {
        let stats: Value = client.get("/v1/stats").await.read(200);
        (stats["sent"] == 200).then_some(())
    })
    .await;
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page: Value = client.get(&format!("/v1/inbox?limit=150{cursor}")).await.read(200);
        seen.extend(page["data"].as_array().unwrap().iter().map(|row| row["event_id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let distinct: std::collections::BTreeSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), distinct.len()), (200, 200));
}

#[tokio::test]
async fn templates_and_errors() {
    let server = Setup::new().start().await;
    let client = &server.client;
    let templates = json!({"subject_template": "{{ name }}", "body_template": "<b>{{ name }}</b>"});
    inbox_channel(client, None, templates).await;
    bring(client, json!({"name": "A & B"})).await;
    let content = list(client, "").await[0]["content"].clone();
    assert_eq!((&content["title"], &content["text"]), (&json!("A & B"), &json!("<b>A & B</b>")));

    client.post("/v1/inbox/999/read", &json!({})).await.problem(404);
    let long = "x".repeat(129);
    assert_eq!(client.get(&format!("/v1/inbox?recipient={long}")).await.problem(422).fields(), ["recipient"]);
    let key = client.create_key("default", &["events:write"]).await.key.unwrap();
    server.client_with(&key).get("/v1/inbox").await.problem(403);
    let key = client.create_key("default", &["inbox"]).await.key.unwrap();
    server.client_with(&key).get("/v1/inbox").await.read::<Value>(200);
}

/// Retention as it is run by a server: at its start, and every minute from then on.
async fn what_is_old_goes(setup: Setup) {
    let server = setup.start().await;
    inbox_channel(&server.client, None, json!({})).await;
    bring(&server.client, json!({"title": "Old"})).await;
    assert!(server.stop().await.success());
    // Half an hour is not yet old, and a tenth of a second is.
    let half_an_hour = setup.clone().set("POSTRIDER_RETENTION__INBOX_DAYS", "0.02");
    let server = half_an_hour.start().await;
    assert_eq!(list(&server.client, "").await.len(), 1);
    assert!(server.stop().await.success());
    let server = setup.set("POSTRIDER_RETENTION__INBOX_DAYS", "0.000001").start().await;
    eventually("it is gone", async || list(&server.client, "").await.is_empty().then_some(())).await;
    assert_eq!(server.client.deliveries("status=sent").await.len(), 1, "each kind has its own time");
}
