//! Channels: what is required, what is partial, what is shown to whom, and the pages of the list.

use http::Method;
use serde_json::{Value, json};

use super::{BOT_TOKEN, CHANNELS, Lenz, column, good, refused};
use crate::harness::{Channel, Page, Reply, Setup};
use crate::mail::harness::MailServer;

fn telegram(name: &str) -> Value {
    json!({"name": name, "provider": "telegram", "config": {"bot_token": BOT_TOKEN, "chat_id": "-100123456789"}})
}

#[tokio::test]
async fn what_is_left_out_has_a_default() {
    let lenz = Lenz::start().await;
    let made = lenz.create(&telegram("A")).await;
    assert_eq!(
        made,
        json!({"id": made["id"], "name": "A", "provider": "telegram",
            "config": {"bot_token": BOT_TOKEN, "chat_id": "-100123456789"}, "is_active": true, "subject_template": null,
            "body_template": null, "rate_limit": 0, "batch_enabled": false, "batch_window_seconds": 0,
            "batch_max_size": 0, "created_at": made["created_at"], "updated_at": null, "deleted_at": null})
    );
}

#[tokio::test]
async fn everything_that_is_given_is_kept_and_shown() {
    let lenz = Lenz::start().await;
    let mut given = telegram("A");
    let more = json!({"is_active": false, "subject_template": "S {{label}}", "body_template": "a\\nb\n{{ severity }}",
        "rate_limit": 30, "batch_enabled": true, "batch_window_seconds": 60, "batch_max_size": 10});
    given.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    given["config"]["unheard_of"] = json!({"a": [1, null]});
    let made = lenz.create(&given).await;
    for (key, value) in given.as_object().unwrap() {
        assert_eq!(made[key], *value, "{key}");
    }
    assert_eq!(lenz.show(&made["id"]).await, made);
    // It is the channel that the native API has.
    let same = lenz.server.client.channel(made["id"].as_i64().unwrap()).await;
    assert_eq!((same.dialect.as_deref(), same.event_types.as_slice()), (Some("lenz"), ["*".to_owned()].as_slice()));
    assert_eq!(same.rate_limit, json!({"count": 30, "per": "minute", "burst": null}));
    assert_eq!(
        (&same.digest["enabled"], &same.digest["window_seconds"], &same.digest["max_items"]),
        (&json!(true), &json!(60), &json!(10))
    );
}

#[tokio::test]
async fn what_is_required_is_named_and_the_rest_is_invalid() {
    let lenz = Lenz::start().await;
    let check = async |field: &str, value: Option<Value>, message: &str| {
        let mut body = telegram("A");
        match value.clone() {
            Some(value) => body[field] = value,
            None => drop(body.as_object_mut().unwrap().remove(field)),
        }
        let answer = lenz.client.post(CHANNELS, &body).await;
        assert_eq!(answer.status, 400, "{field} {value:?}: {}", answer.text());
        refused(&answer, 400, message);
    };
    for field in ["name", "provider", "config"] {
        check(field, None, &format!("{field} is required")).await;
        check(field, Some(Value::Null), &format!("{field} is required")).await;
    }
    for (field, value, missing) in [
        ("name", json!("  "), "name"),
        ("provider", json!(""), "provider"),
        ("config", json!({"chat_id": "7"}), "bot_token"),
        ("config", json!({"bot_token": BOT_TOKEN}), "chat_id"),
    ] {
        check(field, Some(value), &format!("{missing} is required")).await;
    }
    for (field, value) in [
        ("name", json!(7)),
        ("name", json!("x".repeat(129))),
        ("provider", json!("slack")),
        ("provider", json!("pigeon")),
        ("config", json!("x")),
        ("config", json!({"bot_token": "nonsense", "chat_id": "7"})),
        ("config", json!({"bot_token": "********", "chat_id": "7"})),
        ("is_active", json!("yes")),
        ("body_template", json!("{{ unclosed")),
        ("subject_template", json!(1)),
        ("rate_limit", json!(-1)),
        ("rate_limit", json!(1.5)),
        ("rate_limit", json!("5")),
        ("rate_limit", json!(1_000_001)),
        ("batch_enabled", json!(1)),
        ("batch_window_seconds", json!(-1)),
        ("batch_window_seconds", json!(86_400 * 7 + 1)),
        ("batch_max_size", json!(-5)),
        ("batch_max_size", json!(1001)),
    ] {
        check(field, Some(value), "invalid request").await;
    }
    for body in ["", "{", "[]", "null", "\"x\"", "{\"name\": \"a\", \"name\": \"b\"}"] {
        refused(&lenz.client.send(Method::POST, CHANNELS, &[], body).await, 400, "invalid request");
    }
    assert_eq!(lenz.get(CHANNELS).await["total"], 0);
}

#[tokio::test]
async fn a_body_is_json_whatever_it_says_it_is() {
    let lenz = Lenz::start().await;
    let headers = [("content-type", "text/plain")];
    good(&lenz.client.send(Method::POST, CHANNELS, &headers, telegram("A").to_string()).await);
}

#[tokio::test]
async fn a_put_changes_what_it_names() {
    let lenz = Lenz::start().await;
    let mut given = telegram("A");
    given["rate_limit"] = 5.into();
    given["body_template"] = "x".into();
    given["batch_window_seconds"] = 9.into();
    let made = lenz.create(&given).await;
    let id = &made["id"];
    let mut expected = made.clone();
    let mut check = async |change: Value, more: &[(&str, Value)]| {
        let changed = lenz.put(id, &change).await;
        expected["updated_at"] = changed["updated_at"].clone();
        assert!(changed["updated_at"].is_string());
        for (key, value) in more {
            expected[*key] = value.clone();
        }
        assert_eq!(changed, expected, "{change}");
    };
    check(json!({}), &[]).await;
    check(json!({"name": "B"}), &[("name", json!("B"))]).await;
    check(json!({"rate_limit": 0}), &[("rate_limit", json!(0))]).await;
    check(json!({"batch_max_size": 4}), &[("batch_max_size", json!(4))]).await;
    check(json!({"batch_enabled": true}), &[("batch_enabled", json!(true))]).await;
    check(json!({"body_template": null}), &[("body_template", Value::Null)]).await;
    check(json!({"subject_template": "s"}), &[("subject_template", json!("s"))]).await;
    check(json!({"subject_template": ""}), &[("subject_template", Value::Null)]).await;
    check(json!({"name": null, "is_active": null, "config": null}), &[]).await;
    // The config is one field.
    let config = json!({"bot_token": BOT_TOKEN, "chat_id": "8", "note": "x"});
    check(json!({"config": config}), &[("config", config)]).await;
    // What was shown comes back and changes nothing.
    let shown = lenz.show(id).await;
    check(shown, &[]).await;
    // What is wrong changes nothing, also not what is right beside it.
    for wrong in [
        json!({"name": "C", "rate_limit": -1}),
        json!({"name": "C", "provider": "slack"}),
        json!({"name": "C", "config": {"bot_token": "x"}}),
        json!({"name": "C", "body_template": "{% if %}"}),
    ] {
        let answer = lenz.client.send(Method::PUT, &format!("{CHANNELS}/{id}"), &[], wrong.to_string()).await;
        assert_eq!(answer.status, 400, "{wrong}");
    }
    let answer = lenz.client.send(Method::PUT, &format!("{CHANNELS}/{id}"), &[], r#"{"name": ""}"#).await;
    refused(&answer, 400, "name is required");
    assert_eq!(lenz.show(id).await["name"], "B");
}

#[tokio::test]
async fn another_provider_comes_with_its_config() {
    let lenz = Lenz::start().await;
    let id = lenz.create(&telegram("A")).await["id"].clone();
    let change = json!({"provider": "webhook"}).to_string();
    let answer = lenz.client.send(Method::PUT, &format!("{CHANNELS}/{id}"), &[], change).await;
    refused(&answer, 400, "config is required");
    let config = json!({"url": lenz.receiver.url("/now"), "method": "POST"});
    let changed = lenz.put(&id, &json!({"provider": "webhook", "config": config})).await;
    assert_eq!((&changed["provider"], &changed["config"]), (&json!("webhook"), &config));
    lenz.alert(&id, "sent").await;
    assert_eq!(lenz.receiver.count("/now"), 1);
}

#[tokio::test]
async fn what_is_deleted_is_gone_and_its_log_remains() {
    let lenz = Lenz::start().await;
    let id = lenz.webhook("/a").await["id"].clone();
    lenz.alert(&id, "sent").await;
    good(&lenz.client.delete(&format!("{CHANNELS}/{id}")).await);
    let path = format!("{CHANNELS}/{id}");
    refused(&lenz.client.get(&path).await, 404, "channel not found");
    refused(&lenz.client.send(Method::PUT, &path, &[], "{}").await, 404, "invalid request");
    refused(&lenz.client.delete(&path).await, 404, "invalid request");
    refused(&lenz.client.post(&format!("{path}/test"), &json!({})).await, 404, "invalid request");
    assert_eq!(lenz.get(CHANNELS).await["result"], json!([]));
    let log = lenz.get(super::LOGS).await;
    assert_eq!((column(&log, "channel_id"), &log["total"]), (vec![id], &json!(1)));
}

#[tokio::test]
async fn pages_are_counted() {
    let lenz = Lenz::start().await;
    let mut ids = Vec::new();
    for number in 1..=23 {
        ids.push(lenz.create(&telegram(&format!("Alert {number}"))).await["id"].clone());
    }
    lenz.put(&ids[4], &json!({"is_active": false})).await;
    let hook = lenz.webhook("/a").await["id"].clone();
    let check = async |query: &str, expected: &[Value], total: usize| {
        let page = lenz.get(&format!("{CHANNELS}{query}")).await;
        assert_eq!((column(&page, "id").as_slice(), &page["total"]), (expected, &json!(total)), "{query}");
    };
    let all: Vec<Value> = ids.iter().chain([&hook]).cloned().collect();
    check("", &all[..20], 24).await;
    check("?page=2", &all[20..], 24).await;
    check("?page=2&limit=10", &all[10..20], 24).await;
    check("?page=3&limit=10", &all[20..], 24).await;
    check("?page=9&limit=10", &[], 24).await;
    check("?page=0&limit=5000", &all, 24).await;
    check("?limit=0", &all[..1], 24).await;
    check("?provider=webhook", &[hook], 1).await;
    check("?is_active=false", &ids[4..5], 1).await;
    check("?search=aLERT+2&limit=2", &[ids[1].clone(), ids[19].clone()], 5).await;
    check("?search=nothing", &[], 0).await;
    check("?is_active=&provider=&search=&page=&limit=&unheard_of=1", &all[..20], 24).await;
    for wrong in ["page=x", "limit=1.5", "provider=slack", "is_active=1", "is_active=TRUE"] {
        refused(&lenz.client.get(&format!("{CHANNELS}?{wrong}")).await, 400, "invalid request");
    }
}

#[tokio::test]
async fn channels_of_other_kinds_are_not_there() {
    let lenz = Lenz::start().await;
    let slack =
        json!({"name": "S", "provider": "slack", "config": {"webhook_url": "https://hooks.slack.com/services/a/b/c"}});
    let inbox = json!({"name": "I", "provider": "internal_notification", "config": {}});
    for other in [slack, inbox] {
        let id = lenz.server.client.create_channel(&other).await.id;
        refused(&lenz.client.get(&format!("{CHANNELS}/{id}")).await, 404, "channel not found");
        refused(&lenz.client.delete(&format!("{CHANNELS}/{id}")).await, 404, "invalid request");
        refused(&lenz.client.post(&format!("{CHANNELS}/{id}/test"), &json!({})).await, 404, "invalid request");
        lenz.server.client.channel(id).await;
    }
    assert_eq!(lenz.get(CHANNELS).await["total"], 0);
    // Nor is what they delivered.
    let delivery = lenz.server.client.accept(&json!({"type": "a", "data": {}, "channels": [2]})).await.deliveries[0].id;
    lenz.server.client.delivery_once(delivery, "sent").await;
    assert_eq!(lenz.get(super::LOGS).await["total"], 0);
    assert_eq!(lenz.get(super::STATS).await["result"]["sent_today"], 0);
    let path = format!("/api/notification-queue/{delivery}/retry");
    refused(&lenz.client.post(&path, &json!({})).await, 404, "invalid request");
}

#[tokio::test]
async fn what_another_dialect_steers_is_not_there() {
    let mut mail = MailServer::start_plain();
    let setup = Setup::new().set("POSTRIDER_SMTP__FROM", "ops@operator.test");
    let lenz = Lenz::start_with(setup.set("POSTRIDER_SMTP__URL", &format!("smtp://127.0.0.1:{}", mail.port))).await;
    let v1 = &lenz.server.client;
    v1.send(Method::PUT, "/v1/tenants/default", &[], r#"{"email": "owner@acme.test"}"#).await.read::<Value>(200);
    lenz.client.patch("/tenants/me/notifications", &json!({"emailOnFail": true})).await.read::<Value>(200);
    let steered: Page<Channel> = v1.get("/v1/channels").await.read(200);
    assert_eq!((steered.data.len(), steered.data[0].managed, steered.data[0].provider.as_str()), (1, true, "email"));
    let path = format!("{CHANNELS}/{}", steered.data[0].id);
    refused(&lenz.client.get(&path).await, 404, "channel not found");
    refused(&lenz.client.send(Method::PUT, &path, &[], "{}").await, 404, "invalid request");
    refused(&lenz.client.delete(&path).await, 404, "invalid request");
    refused(&lenz.client.post(&format!("{path}/test"), &json!({})).await, 404, "invalid request");
    let scan = json!({"type": "scan.failed", "data": {"id": "scan_1", "scan_type": "exposure"}});
    let delivery = v1.accept(&scan).await.deliveries[0].id;
    mail.mails(1).await;
    v1.delivery_once(delivery, "sent").await;
    assert_eq!((&lenz.get(CHANNELS).await["total"], &lenz.get(super::LOGS).await["total"]), (&json!(0), &json!(0)));
    assert_eq!(lenz.get(super::STATS).await["result"]["sent_today"], 0);
}

#[tokio::test]
async fn another_tenant_sees_nothing_of_it() {
    let lenz = Lenz::start().await;
    lenz.receiver.always("/broken", Reply::status(503));
    let id = lenz.webhook("/broken").await["id"].clone();
    let delivery = lenz.alert(&id, "dead").await;
    lenz.server.client.send(Method::PUT, "/v1/tenants/other", &[], "{}").await.read::<Value>(200);
    let scopes = ["channels:read", "channels:write", "deliveries:read", "deliveries:write"];
    let other = lenz.server.client_with(&lenz.server.client.create_key("other", &scopes).await.key.unwrap());
    let path = format!("{CHANNELS}/{id}");
    refused(&other.get(&path).await, 404, "channel not found");
    refused(&other.send(Method::PUT, &path, &[], "{}").await, 404, "invalid request");
    refused(&other.delete(&path).await, 404, "invalid request");
    refused(&other.post(&format!("{path}/test"), &json!({})).await, 404, "invalid request");
    let retry = format!("/api/notification-queue/{delivery}/retry");
    refused(&other.post(&retry, &json!({})).await, 404, "invalid request");
    for list in [CHANNELS, super::DEAD_LETTERS, super::LOGS, &format!("{}?filter[channel_id]={id}", super::LOGS)] {
        assert_eq!(good(&other.get(list).await)["result"], json!([]), "{list}");
    }
    let nothing = json!({"pending": 0, "processing": 0, "sent_today": 0, "failed_today": 0, "dead_letter": 0});
    assert_eq!(good(&other.get(super::STATS).await)["result"], nothing);
}

#[tokio::test]
async fn event_types_of_the_tenant_are_in_the_catalogue() {
    let lenz = Lenz::start().await;
    let path = format!("{CHANNELS}/template-variables");
    let described = json!({"type": "a.b", "label": "A", "groups": [{"name": "G", "variables":
        [{"key": "amount", "type": "number", "example": "12.5"}]}]});
    lenz.server.client.post("/v1/event-types", &described).await.read::<Value>(201);
    let names = |told: Value| -> Vec<Value> {
        told["data"]["event_types"].as_array().unwrap().iter().map(|one| one["type"].clone()).collect()
    };
    let all = names(lenz.get(&path).await);
    assert_eq!(all, ["alert_history", "a.b"], "the one that clients know comes first");
    let told = lenz.get(&format!("{path}?event_type=a.b")).await;
    let variable = json!({"key": "amount", "description": "", "type": "number", "example": "12.5"});
    assert_eq!(told["data"]["event_types"][0]["groups"][0]["variables"], json!([variable]));
    assert!(names(lenz.get(&format!("{path}?event_type=unheard.of")).await).is_empty());
    let ours = "postrider.channel.tripped";
    assert_eq!(names(lenz.get(&format!("{path}?event_type={ours}")).await), [ours]);
}
