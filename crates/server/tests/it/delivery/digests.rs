//! Digests: several deliveries of a channel in one message.

use serde_json::{Value, json};

use crate::harness::{Channel, Client, Delivery, Received, Receiver, Reply, Setup, ms, on_both_stores, start};

/// A channel that hears everything and merges by this rule.
async fn merging(client: &Client, receiver: &Receiver, digest: Value, more: Value) -> Channel {
    let mut fields = json!({"digest": digest, "retry": {"delays_seconds": [0.01, 0.01]}});
    fields.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    client.webhook(&receiver.url("/"), fields).await
}

async fn all_once(client: &Client, deliveries: &[i64], status: &str) -> Vec<Delivery> {
    let mut all = Vec::new();
    for delivery in deliveries {
        all.push(client.delivery_once(*delivery, status).await);
    }
    all
}

async fn post(client: &Client, numbers: std::ops::Range<i64>) -> Vec<i64> {
    let mut made = Vec::new();
    for n in numbers {
        made.push(client.accept_one("disk.full", json!({"n": n})).await);
    }
    made
}

fn numbers(body: &Value) -> Vec<i64> {
    body.as_array().expect("an array").iter().map(|event| event["data"]["n"].as_i64().expect("a number")).collect()
}

on_both_stores! {
    a_retry_and_a_crash_send_the_same_message,
    a_window_outlives_the_process,
}

#[tokio::test]
async fn a_window_merges_what_comes_within_it() {
    let (server, receiver) = start().await;
    let client = &server.client;
    let id = merging(client, &receiver, json!({"window_seconds": 2}), json!({})).await.id;
    let made = post(client, 0..3).await;

    let waiting = client.delivery(made[1]).await;
    let first = client.delivery(made[0]).await;
    assert_eq!((waiting.status.as_str(), waiting.digest_id), ("pending", None));
    let until = waiting.next_attempt_at.expect("a time");
    assert_eq!(ms(&until) - ms(&first.created_at), 2000, "from the first on");
    assert_eq!(waiting.reason.as_deref(), Some(format!("waits in a digest until {until}").as_str()));
    let why = client.get(&format!("/v1/events/{}/explain?channel_id={id}", waiting.event_id)).await;
    assert!(why.text().contains("waits in a digest until"), "{}", why.text());

    let sent = all_once(client, &made, "sent").await;
    let digest = sent[0].digest_id.expect("a digest");
    for delivery in &sent {
        assert_eq!(delivery.digest_id, Some(digest));
        assert_eq!(delivery.reason.as_deref(), Some(format!("merged in digest {digest}").as_str()));
        let attempts = client.attempts(delivery.id).await;
        let seen: Vec<_> =
            attempts.iter().map(|one| (one.number, one.status.as_str(), one.code, one.digest_id)).collect();
        assert_eq!(seen, [(1, "delivered", Some(200), Some(digest))]);
    }
    let [message] = receiver.received("/").try_into().expect("one message");
    assert_eq!(numbers(&message.json()), [0, 1, 2]);
    assert_eq!(message.json()[0]["type"], "disk.full");
    assert!(message.id().starts_with("dgs_"), "{}", message.id());
}

#[tokio::test]
async fn size_severity_and_group_decide_what_goes_together() {
    let (server, receiver) = start().await;
    let client = &server.client;
    let rule = json!({"window_seconds": 600, "max_items": 2, "immediate_severity": "error", "group_by": "host"});
    merging(client, &receiver, rule, json!({})).await;
    let mut made = Vec::new();
    for (n, host) in [(0, "a"), (1, "b"), (2, "a"), (3, "b")] {
        made.push(client.accept_one("disk.full", json!({"n": n, "host": host})).await);
    }
    let grave = json!({"type": "disk.full", "severity": "critical", "data": {"n": 4, "host": "a"}});
    let grave = client.accept(&grave).await.deliveries[0].id;
    let left = client.accept_one("disk.full", json!({"n": 5, "host": "a"})).await;

    let sent = all_once(client, &made, "sent").await;
    assert_eq!(client.delivery_once(grave, "sent").await.digest_id, None);
    assert_eq!((sent[0].digest_id, sent[1].digest_id), (sent[2].digest_id, sent[3].digest_id));
    assert_ne!(sent[0].digest_id, sent[1].digest_id);
    let bodies: Vec<Value> = receiver.received("/").iter().map(Received::json).collect();
    let arrays: std::collections::BTreeSet<_> = bodies.iter().filter(|body| body.is_array()).map(numbers).collect();
    assert_eq!(arrays, [vec![0, 2], vec![1, 3]].into());
    assert!(bodies.iter().any(|body| body["data"]["n"] == 4), "by itself, as an object");
    assert_eq!(client.delivery(left).await.status, "pending");

    // A person who asks does not wait for the window.
    assert_eq!(client.post(&format!("/v1/deliveries/{left}/retry"), &json!({})).await.status, 202);
    assert_eq!(client.delivery_once(left, "sent").await.digest_id, None);
}

async fn a_retry_and_a_crash_send_the_same_message(setup: Setup) {
    let receiver = Receiver::start().await;
    let server = setup.start().await;
    let gate = crate::harness::Gate::closed();
    receiver.script("/", [Reply::status(500), Reply::status(200).behind(&gate)]);
    merging(&server.client, &receiver, json!({"window_seconds": 600, "max_items": 3}), json!({})).await;
    let made = post(&server.client, 0..3).await;
    receiver.wait_for("/", 2).await;
    server.kill().await;

    let server = setup.start().await;
    all_once(&server.client, &made, "sent").await;
    let received = receiver.wait_for("/", 3).await;
    for again in &received {
        assert_eq!((again.id(), &again.body), (received[0].id(), &received[0].body));
    }
    for delivery in made {
        let attempts = server.client.attempts(delivery).await;
        let seen: Vec<_> = attempts.iter().map(|one| (one.number, one.status.as_str())).collect();
        assert_eq!(seen, [(1, "failed"), (2, "unknown"), (3, "delivered")]);
        assert!(attempts.iter().all(|one| one.digest_id.is_some() && one.digest_id == attempts[0].digest_id));
    }
}

async fn a_window_outlives_the_process(setup: Setup) {
    let receiver = Receiver::start().await;
    let server = setup.start().await;
    merging(&server.client, &receiver, json!({"window_seconds": 3}), json!({})).await;
    let mut made = post(&server.client, 0..2).await;
    server.kill().await;

    let server = setup.start().await;
    made.extend(post(&server.client, 2..3).await);
    let sent = all_once(&server.client, &made, "sent").await;
    assert!(sent.iter().all(|one| one.digest_id.is_some() && one.digest_id == sent[0].digest_id));
    let [message] = receiver.received("/").try_into().expect("one message");
    assert_eq!(numbers(&message.json()), [0, 1, 2]);
    assert!(ms(sent[0].settled_at.as_ref().unwrap()) - ms(&sent[0].created_at) >= 3000);
}

#[tokio::test]
async fn a_dead_digest_is_retried_as_it_was() {
    let (server, receiver) = start().await;
    let client = &server.client;
    receiver.script("/", [Reply::status(500)]);
    let rule = json!({"window_seconds": 600, "max_items": 2});
    merging(client, &receiver, rule, json!({"retry": {"delays_seconds": []}})).await;
    let made = post(client, 0..2).await;
    let dead = all_once(client, &made, "dead").await;
    assert!(dead[1].reason.as_ref().unwrap().starts_with("digest "), "{dead:?}");
    assert_eq!(client.post(&format!("/v1/deliveries/{}/retry", made[1]), &json!({})).await.status, 202);
    let sent = all_once(client, &made, "sent").await;
    assert_eq!(sent[0].digest_id, dead[0].digest_id);
    let [first, second] = receiver.received("/").try_into().expect("two");
    assert_eq!((first.id(), &first.body), (second.id(), &second.body));
}

#[tokio::test]
async fn a_change_of_the_channel_reaches_what_is_collected() {
    let (server, receiver) = start().await;
    let client = &server.client;
    let id = merging(client, &receiver, json!({"window_seconds": 600}), json!({})).await.id;
    let made = post(client, 0..2).await;
    client.patch_channel(id, &json!({"digest": null})).await;
    for delivery in all_once(client, &made, "sent").await {
        assert_eq!(delivery.digest_id, None);
    }
    client.patch_channel(id, &json!({"digest": {"window_seconds": 600}})).await;
    let made = post(client, 2..4).await;
    client.patch_channel(id, &json!({"is_active": false})).await;
    all_once(client, &made, "cancelled").await;
    assert_eq!(receiver.count("/"), 2);
}

#[tokio::test]
async fn templates_see_the_items_or_are_joined() {
    let (server, receiver) = start().await;
    let client = &server.client;
    let whole = r#"{"count": {{ items | length }}, "first": "{{ n }}", "all": [{% for item in items %}{{ item.n }},{% endfor %}0]}"#;
    let check = async |template: &str, expected: Value| {
        let before = receiver.count("/");
        let url = receiver.url("/");
        let channel = json!({"name": "T", "provider": "webhook", "config": {"url": url, "format": "template"},
            "body_template": template, "digest": {"window_seconds": 600, "max_items": 2}});
        let id = client.create_channel(&channel).await.id;
        let made = post(client, 5..7).await;
        all_once(client, &made, "sent").await;
        assert_eq!(receiver.wait_for("/", before + 1).await[before].json(), expected, "{template}");
        client.delete(&format!("/v1/channels/{id}")).await;
    };
    check(whole, json!({"count": 2, "first": "5", "all": [5, 6, 0]})).await;
    check(r#"{"n": {{ n }}}"#, json!([{"n": 5}, {"n": 6}])).await;
}

#[tokio::test]
async fn a_preview_shows_a_digest() {
    let (server, _) = start().await;
    let preview = async |provider: &str, config: Value, items: u32| {
        let asked = json!({"provider": provider, "config": config, "items": items,
            "event": {"type": "disk.full", "data": {"title": "Disk full"}}});
        server.client.post("/v1/channels/preview", &asked).await
    };
    let shown: Value = preview("slack", Value::Null, 25).await.read(200);
    let part = shown["parts"][0].as_str().unwrap();
    assert!(part.contains("25 × disk.full") && part.contains("and 5 more"), "{part}");
    let url = json!({"url": "https://example.com", "format": "form"});
    let problem = preview("webhook", url, 2).await.problem(422);
    assert_eq!(problem.fields(), ["items"]);
    let problem = preview("slack", Value::Null, 101).await.problem(422);
    assert_eq!(problem.fields(), ["items"]);
}
