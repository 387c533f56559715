//! `/v1/redrives`: many deliveries tried again by one order, and past events for a channel made today.

use serde_json::{Value, json};

use crate::harness::{Client, Receiver, Reply, Setup, eventually, on_both_stores, start};

/// Waits until a redrive stands like this.
async fn redrive_once(client: &Client, id: i64, status: &str) -> Value {
    eventually(&format!("redrive {id} is {status}"), async || {
        let shown: Value = client.get(&format!("/v1/redrives/{id}")).await.read(200);
        (shown["status"] == status).then_some(shown)
    })
    .await
}

async fn order(client: &Client, order: Value) -> Value {
    client.post("/v1/redrives", &order).await.read(201)
}

/// So many dead letters of type `a`, and as many of type `b`, each of a channel that tries once.
async fn dead_letters(client: &Client, url: &str, count: usize) -> (i64, Vec<i64>) {
    dead_after(client, url, count, &[]).await
}

/// The same with these waits before they are given up.
async fn dead_after(client: &Client, url: &str, count: usize, delays_seconds: &[f64]) -> (i64, Vec<i64>) {
    let channel = client.webhook(url, json!({"retry": {"delays_seconds": delays_seconds}})).await.id;
    let mut dead = Vec::new();
    for event_type in ["a", "b"] {
        for number in 0..count {
            dead.push(client.accept_one(event_type, json!({"n": number})).await);
        }
    }
    for delivery in &dead {
        client.delivery_once(*delivery, "dead").await;
    }
    (channel, dead)
}

on_both_stores! {
    dead_letters_are_counted_first_and_then_sent_with_a_fresh_budget,
    a_channel_that_was_made_today_gets_what_it_would_have_heard,
    a_redrive_goes_on_after_the_process_was_killed,
}

async fn dead_letters_are_counted_first_and_then_sent_with_a_fresh_budget(setup: Setup) {
    let (server, receiver) = (setup.start().await, Receiver::start().await);
    receiver.script("/", [503, 503, 500, 503, 503, 503].map(Reply::status));
    let (channel, dead) = dead_letters(&server.client, &receiver.url("/"), 3).await;
    let filter = json!({"status": "dead", "code": 503, "channel_id": channel, "provider": "webhook",
        "event_type": "a", "since": "2020-01-01T00:00:00Z", "text": "http 503"});
    let preview: Value =
        server.client.post("/v1/redrives", &json!({"filter": filter, "dry_run": true})).await.read(200);
    assert_eq!((&preview["count"], &preview["is_lower_bound"]), (&json!(2), &json!(false)), "{preview}");
    let sample: Vec<_> = preview["deliveries"].as_array().unwrap().iter().map(|one| one["id"].as_i64()).collect();
    assert_eq!(sample, [Some(dead[0]), Some(dead[1])]);
    assert_eq!(server.client.deliveries("status=dead").await.len(), 6, "nothing was done");

    let begun = order(&server.client, json!({"filter": filter, "pace_per_second": 1000})).await;
    assert_eq!(
        (&begun["status"], &begun["from"], &begun["filter"]["code"]),
        (&json!("running"), &json!("dead"), &json!(503))
    );
    let done = redrive_once(&server.client, begun["id"].as_i64().unwrap(), "done").await;
    assert_eq!((&done["redriven"], &done["skipped"], &done["examined"]), (&json!(2), &json!(0), &json!(6)));
    assert!(done["ended_at"].is_string());
    for delivery in &dead[..2] {
        server.client.delivery_once(*delivery, "sent").await;
    }
    assert_eq!(server.client.deliveries("status=dead").await.len(), 4);
    let ids: Vec<_> = receiver.received("/").iter().map(|one| one.id().to_owned()).collect();
    assert!(ids.len() == 8 && ids[6..].iter().all(|id| ids[..2].contains(id)), "the same ids on the wire: {ids:?}");
}

async fn a_channel_that_was_made_today_gets_what_it_would_have_heard(setup: Setup) {
    let (server, receiver) = (setup.start().await, Receiver::start().await);
    server.client.webhook(&receiver.url("/old"), json!({"event_types": ["invoice.*"]})).await;
    let post = async |event_type: &str, amount: i64| {
        server.client.accept(&json!({"type": event_type, "data": {"amount": amount}})).await
    };
    for amount in [5, 50, 500] {
        post("invoice.paid", amount).await;
    }
    post("user.created", 500).await;
    let new = json!({"event_types": ["invoice.*"], "filter": "amount > 10"});
    let channel = server.client.webhook(&receiver.url("/new"), new).await.id;
    post("invoice.paid", 5000).await;
    receiver.wait_for("/new", 1).await;

    let asked = json!({"from": "history", "channel_id": channel, "filter": {"event_type": "invoice.paid"}});
    let mut dry = asked.clone();
    dry["dry_run"] = json!(true);
    let preview: Value = server.client.post("/v1/redrives", &dry).await.read(200);
    let events: Vec<_> = preview["events"].as_array().unwrap().iter().map(|one| one["id"].as_str()).collect();
    assert_eq!((&preview["count"], events), (&json!(2), vec![Some("evt_2"), Some("evt_3")]));

    let begun = order(&server.client, asked.clone()).await;
    let done = redrive_once(&server.client, begun["id"].as_i64().unwrap(), "done").await;
    assert_eq!((&done["redriven"], &done["channel_id"]), (&json!(2), &json!(channel)));
    receiver.wait_for("/new", 3).await;
    // Each comes once, however often it is asked for.
    let again = order(&server.client, asked).await;
    let done = redrive_once(&server.client, again["id"].as_i64().unwrap(), "done").await;
    assert_eq!(done["redriven"], json!(0));
    assert_eq!(receiver.count("/new"), 3);
    let shown = server.client.event("evt_2").await;
    assert_eq!(shown.deliveries.iter().map(|one| one.channel_id).collect::<Vec<_>>(), [1, channel]);
    let why: Value = server.client.get(&format!("/v1/events/evt_2/explain?channel_id={channel}")).await.read(200);
    assert!(why["delivery"]["id"].is_i64(), "{why}");

    let sent = json!({"from": "history", "channel_id": channel, "filter": {"status": "sent", "text": "5000"}});
    let begun = order(&server.client, sent).await;
    let done = redrive_once(&server.client, begun["id"].as_i64().unwrap(), "done").await;
    assert_eq!(done["redriven"], json!(1), "what was sent is sent once more when that is asked for");
    receiver.wait_for("/new", 4).await;
}

#[tokio::test]
async fn a_redrive_is_paused_goes_on_and_is_ended() {
    let (server, receiver) = start().await;
    receiver.script("/", [500; 4].map(Reply::status));
    dead_letters(&server.client, &receiver.url("/"), 2).await;
    let begun = order(&server.client, json!({"pace_per_second": 1})).await;
    let id = begun["id"].as_i64().unwrap();
    let steer = async |to: &str| server.client.post(&format!("/v1/redrives/{id}/{to}"), &json!({})).await;
    let paused: Value = steer("pause").await.read(200);
    assert_eq!(paused["status"], json!("paused"));
    let redriven = paused["redriven"].as_u64().unwrap();
    assert!(redriven <= 1, "at one a second: {paused}");
    assert_eq!(steer("resume").await.read::<Value>(200)["status"], json!("running"));
    eventually("it goes on", async || {
        let shown: Value = server.client.get(&format!("/v1/redrives/{id}")).await.read(200);
        (shown["redriven"].as_u64().unwrap() > redriven).then_some(())
    })
    .await;
    let ended: Value = steer("cancel").await.read(200);
    assert_eq!((&ended["status"], &ended["reason"]), (&json!("cancelled"), &json!("somebody asked for it")));
    assert!(steer("resume").await.problem(409).detail.contains("is cancelled and stays so"));
    assert!(!server.client.deliveries("status=dead").await.is_empty());
    let listed: Value = server.client.get("/v1/redrives").await.read(200);
    assert_eq!(listed["data"], json!([ended]));
    server.client.get("/v1/redrives/99").await.problem(404);
}

async fn a_redrive_goes_on_after_the_process_was_killed(setup: Setup) {
    let receiver = Receiver::start().await;
    let server = setup.start().await;
    receiver.script("/", [500; 12].map(Reply::status));
    // Two tries: one that was under way when the process died counts as unknown.
    let (_, dead) = dead_after(&server.client, &receiver.url("/"), 3, &[0.01]).await;
    let id = order(&server.client, json!({"pace_per_second": 4})).await["id"].as_i64().unwrap();
    eventually("it has begun", async || {
        let shown: Value = server.client.get(&format!("/v1/redrives/{id}")).await.read(200);
        (shown["redriven"].as_u64().unwrap() > 0).then_some(())
    })
    .await;
    server.kill().await;
    let server = setup.start().await;
    let done = redrive_once(&server.client, id, "done").await;
    assert_eq!((&done["redriven"], &done["skipped"]), (&json!(6), &json!(0)));
    for delivery in dead {
        server.client.delivery_once(delivery, "sent").await;
    }
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let server = Setup::new().start().await;
    let channel = server.client.webhook("https://example.com/", json!({"is_active": false})).await.id;
    let check = async |order: Value, fields: &[&str]| {
        let problem = server.client.post("/v1/redrives", &order).await.problem(422);
        assert_eq!(problem.fields(), fields, "{order}: {problem:?}");
    };
    check(json!({"from": "yesterday"}), &["from"]).await;
    check(json!({"pace_per_second": 0}), &["pace_per_second"]).await;
    check(json!({"channel_id": channel}), &["channel_id"]).await;
    check(json!({"filter": {"status": "sent"}}), &["filter.status"]).await;
    check(json!({"filter": {"status": "lost"}}), &["filter.status"]).await;
    check(json!({"filter": {"channel_id": 99}}), &["filter.channel_id"]).await;
    check(json!({"filter": {"provider": "pigeon"}}), &["filter.provider"]).await;
    check(json!({"filter": {"event_type": "a.*.b"}}), &["filter.event_type"]).await;
    check(json!({"filter": {"since": "yesterday"}}), &["filter.since"]).await;
    check(json!({"filter": {"text": ""}}), &["filter.text"]).await;
    check(json!({"filter": {"colour": "red"}}), &["filter.colour"]).await;
    let history = |filter: Value| json!({"from": "history", "channel_id": channel, "filter": filter});
    check(json!({"from": "history"}), &["channel_id"]).await;
    check(json!({"from": "history", "channel_id": 99}), &["channel_id"]).await;
    check(history(json!({"channel_id": channel})), &["filter.channel_id"]).await;
    assert!(server.client.post("/v1/redrives", &history(json!({}))).await.problem(409).detail.contains("switched off"));
    server.client.patch_channel(channel, &json!({"is_active": true})).await;
    check(history(json!({"status": "dead"})), &["filter.status"]).await;
    check(history(json!({"code": 503})), &["filter.code"]).await;
    check(history(json!({"provider": "webhook"})), &["filter.provider"]).await;
}
