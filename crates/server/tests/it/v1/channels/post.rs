//! `POST /v1/channels`: what a channel is made of, and what is refused with the field that is wrong.

use serde_json::{Value, json};

use crate::harness::{Setup, is_signed_with, signatures, start};

#[tokio::test]
async fn a_generated_secret_is_shown_once_and_signs() {
    let (server, receiver) = start().await;
    let made = server.client.webhook(&receiver.url("/"), json!({})).await;
    let secret = made.secret().to_owned();
    assert!(secret.starts_with("whsec_") && secret.len() > 40, "{secret}");
    assert_eq!((made.event_types.as_slice(), made.is_active, made.concurrency), (&["*".to_owned()][..], true, 8));
    assert_eq!((made.time_to_live_seconds, made.paused.as_ref(), made.updated_at.as_ref()), (4 * 86_400, None, None));

    let shown = server.client.channel(made.id).await;
    assert_eq!(shown.secret(), "********");
    let listed = server.client.get("/v1/channels").await.text();
    assert!(!listed.contains(&secret) && listed.contains("********"), "{listed}");

    server.client.accept_one("a", json!({"text": "grüße"})).await;
    let received = receiver.wait_for_one("/").await;
    assert!(is_signed_with(&received, &secret));
    assert_eq!(signatures(&received).len(), 1);
}

#[tokio::test]
async fn a_given_secret_is_never_shown() {
    let (server, receiver) = start().await;
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let made = server.client.webhook(&receiver.url("/"), json!({"config": {"secret": secret}})).await;
    assert_eq!(made.secret(), "********");
    server.client.accept_one("a", json!({})).await;
    assert!(is_signed_with(&receiver.wait_for_one("/").await, secret));
}

#[tokio::test]
async fn every_setting_is_taken() {
    let server = Setup::new().start().await;
    let settings = json!({
        "is_active": false, "event_types": ["a", "b.*"], "filter": "x > 1", "subject_template": "{{ x }}",
        "body_template": "{}", "retry": {"delays_seconds": [0.5, 60]}, "time_to_live_seconds": 3600, "concurrency": 64,
        "rate_limit": {"count": 30, "per": "minute", "burst": 5}, "fifo": true, "on_unknown": "give_up",
        "digest": {"window_seconds": 60, "max_items": 20, "immediate_severity": "critical", "group_by": "customer.id"},
    });
    let made = server.client.webhook("https://example.com/", settings).await;
    assert_eq!(made, server.client.channel(made.id).await.unmasked(&made));
    assert_eq!(made.event_types, ["a", "b.*"]);
    assert_eq!((made.filter.as_deref(), made.is_active), (Some("x > 1"), false));
    assert_eq!((made.subject_template.as_deref(), made.body_template.as_deref()), (Some("{{ x }}"), Some("{}")));
    assert_eq!(made.retry, json!({"delays_seconds": [0.5, 60.0]}));
    assert_eq!((made.time_to_live_seconds, made.concurrency), (3600, 64));
    assert_eq!(made.rate_limit, json!({"count": 30, "per": "minute", "burst": 5}));
    assert_eq!((made.fifo, made.on_unknown.as_str()), (true, "give_up"));
    assert_eq!(
        made.digest,
        json!({"window_seconds": 60, "max_items": 20, "immediate_severity": "critical", "group_by": "customer.id",
               "enabled": true})
    );
    assert_eq!((made.dialect, made.managed), (None, false));
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let server = Setup::new().start().await;
    let good = json!({"name": "x", "provider": "webhook", "config": {"url": "https://example.com/"}});
    let check = async |key: &str, value: Value, fields: &[&str]| {
        let mut channel = good.clone();
        match value {
            Value::Null => drop(channel.as_object_mut().unwrap().remove(key)),
            value => channel[key] = value,
        }
        let problem = server.client.post("/v1/channels", &channel).await.problem(422);
        assert_eq!(problem.fields(), fields, "{channel}: {problem:?}");
    };
    check("name", json!(null), &["name"]).await;
    check("name", json!(""), &["name"]).await;
    check("name", json!("x".repeat(129)), &["name"]).await;
    check("provider", json!(null), &["provider"]).await;
    check("provider", json!("pigeon"), &["provider"]).await;
    check("config", json!(null), &["config"]).await;
    check("config", json!("https://example.com/"), &["config"]).await;
    check("config", json!({}), &["config.url"]).await;
    for url in ["example.com", "ftp://example.com/", "https://", "https://example.com/#x", "https://a b/"] {
        check("config", json!({"url": url}), &["config.url"]).await;
    }
    let with = |key: &str, value: Value| json!({"url": "https://example.com/", key: value});
    check("config", with("colour", json!("red")), &["config.colour"]).await;
    check("config", with("format", json!("xml")), &["config.format"]).await;
    check("config", with("secret", json!("whsec_short")), &["config.secret"]).await;
    check("config", with("secret", json!("********")), &["config.secret"]).await;
    check("config", with("headers", json!({"host": "x"})), &["config.headers.host"]).await;
    check("config", with("headers", json!({"x-a": "a\nb"})), &["config.headers.x-a"]).await;
    check("config", with("basic_password", json!("x")), &["config.basic_user"]).await;
    check("config", with("format", json!("template")), &["body_template"]).await;
    check("event_types", json!(["ok", "a.*.b"]), &["event_types[1]"]).await;
    check("event_types", json!(vec!["a"; 101]), &["event_types"]).await;
    check("concurrency", json!(0), &["concurrency"]).await;
    check("concurrency", json!(65), &["concurrency"]).await;
    check("rate_limit", json!({"count": 0, "per": "minute"}), &["rate_limit.count"]).await;
    check("rate_limit", json!({"count": 1, "per": "day"}), &["rate_limit.per"]).await;
    check("rate_limit", json!({"count": 1, "per": "hour", "burst": 0}), &["rate_limit.burst"]).await;
    let digest = |key: &str, value: Value| json!({"window_seconds": 60, key: value});
    check("digest", json!({"window_seconds": 7 * 86_400 + 1}), &["digest.window_seconds"]).await;
    check("digest", digest("max_items", json!(1001)), &["digest.max_items"]).await;
    check("digest", digest("immediate_severity", json!("loud")), &["digest.immediate_severity"]).await;
    check("digest", digest("group_by", json!("x >")), &["digest.group_by"]).await;
    check("on_unknown", json!("hope"), &["on_unknown"]).await;
    check("time_to_live_seconds", json!(0), &["time_to_live_seconds"]).await;
    check("time_to_live_seconds", json!(30 * 86_400 + 1), &["time_to_live_seconds"]).await;
    check("retry", json!({"delays_seconds": vec![1; 20]}), &["retry.delays_seconds"]).await;
    check("retry", json!({"delays_seconds": [-1]}), &["retry.delays_seconds"]).await;
    check("retry", json!({"delays_seconds": [86_401]}), &["retry.delays_seconds"]).await;
    check("retry", json!({"delays": []}), &["retry.delays"]).await;
    check("body_template", json!("{{ x"), &["body_template"]).await;
    check("subject_template", json!("{% if %}"), &["subject_template"]).await;
    check("body_template", json!("x".repeat(64 * 1024 + 1)), &["body_template"]).await;
    check("colour", json!("red"), &["colour"]).await;
}

#[tokio::test]
async fn a_template_that_cannot_be_read_names_its_line() {
    let server = Setup::new().start().await;
    let channel = json!({"name": "x", "provider": "webhook", "config": {"url": "https://example.com/"},
                         "body_template": "{\n\n{{ x"});
    let problem = server.client.post("/v1/channels", &channel).await.problem(422);
    assert!(problem.errors[0].message.contains("line 3"), "{problem:?}");
}

#[tokio::test]
async fn a_pasted_url_makes_a_channel() {
    let server = Setup::new().start().await;
    let check = async |channel: Value, name: &str, provider: &str, config: Value| {
        let made = server.client.create_channel(&channel).await;
        let shown = server.client.get(&format!("/v1/channels/{}", made.id)).await.read::<Value>(200);
        assert_eq!((&shown["name"], &shown["provider"], &shown["config"]), (&json!(name), &json!(provider), &config));
    };
    let hook = json!({"webhook_url": "https://hooks.slack.com/********"});
    check(json!({"url": "slack://T00/B00/XYZ"}), "Slack", "slack", hook).await;
    let form = json!({"url": "http://localhost/x", "format": "form"});
    check(json!({"url": "form://localhost/x", "name": "Old", "is_active": false}), "Old", "webhook", form).await;
}

#[tokio::test]
async fn a_pasted_url_that_is_wrong_says_what_is_right_and_repeats_nothing() {
    let server = Setup::new().start().await;
    let check = async |channel: Value, part: &str| {
        let problem = server.client.post("/v1/channels", &channel).await.problem(422);
        assert_eq!(problem.fields(), ["url"], "{channel}: {problem:?}");
        let told = &problem.errors[0].message;
        assert!(told.contains(part) && !told.contains("canary"), "{told}");
    };
    check(json!({"url": "slack://T00/canary"}), "slack://TOKEN_A/TOKEN_B/TOKEN_C").await;
    check(json!({"url": "tgram://canary/1"}), "tgram://BOT_TOKEN/CHAT_ID").await;
    check(json!({"url": "pager://canary"}), "discord://").await;
    check(json!({"url": "slack://canary/b/c", "provider": "slack"}), "leave those out").await;
    let made = server.client.webhook("https://example.com/", json!({})).await;
    let patch = json!({"url": "slack://canary/b/c"});
    let problem = server.client.patch(&format!("/v1/channels/{}", made.id), &patch).await.problem(422);
    assert_eq!(problem.fields(), ["url"]);
}
