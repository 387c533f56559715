//! Configs: in clear to those who may change them, masked for others, and one with what the native API has.

use http::Method;
use serde_json::{Value, json};

use super::{BOT_TOKEN, CHANNELS, Lenz, good, refused};
use crate::harness::is_signed_with;

#[tokio::test]
async fn secrets_are_shown_to_those_who_may_change_them() {
    let lenz = Lenz::start().await;
    let config = json!({"bot_token": BOT_TOKEN, "chat_id": "7", "extra": "s3cret"});
    let id = lenz.create(&json!({"name": "A", "provider": "telegram", "config": config})).await["id"].clone();
    let reader = lenz.server.client.create_key("default", &["channels:read"]).await.key.unwrap();
    let reader = lenz.server.client_with(&reader);
    let masked = json!({"bot_token": "********", "chat_id": "7", "extra": "********"});
    let path = format!("{CHANNELS}/{id}");
    assert_eq!(good(&reader.get(&path).await)["result"]["config"], masked);
    assert_eq!(good(&reader.get(CHANNELS).await)["result"][0]["config"], masked);
    refused(&reader.send(Method::PUT, &path, &[], "{}").await, 403, "the key lacks the scope channels:write");
    assert_eq!(lenz.show(&id).await["config"], config);
    // A mask that comes back means what it hides.
    let mut back = masked.clone();
    back["chat_id"] = "8".into();
    let changed = lenz.put(&id, &json!({"config": back})).await;
    assert_eq!(changed["config"], json!({"bot_token": BOT_TOKEN, "chat_id": "8", "extra": "s3cret"}));
    let moved = json!({"config": {"bot_token": "1:a", "chat_id": "********"}}).to_string();
    refused(&lenz.client.send(Method::PUT, &path, &[], moved).await, 400, "invalid request");
}

#[tokio::test]
async fn a_channel_is_the_same_on_every_face() {
    let lenz = Lenz::start().await;
    let given = json!({"token": BOT_TOKEN, "chat_id": -7, "note": "kept"});
    let id = lenz.create(&json!({"name": "A", "provider": "telegram", "config": given})).await["id"].clone();
    let number = id.as_i64().unwrap();
    let v1 = &lenz.server.client;
    let same = v1.channel(number).await;
    assert_eq!(
        (same.id, &same.config["bot_token"], &same.config["chat_id"]),
        (number, &json!("********"), &json!("-7"))
    );
    // What the native API changes beside the config leaves the object as it is.
    v1.patch_channel(number, &json!({"name": "B"})).await;
    assert_eq!(lenz.show(&id).await["config"], given);
    // What it changes of the config is told in our own words.
    v1.patch_channel(number, &json!({"config": {"chat_id": "-8", "parse_mode": "HTML"}})).await;
    assert_eq!(lenz.show(&id).await["config"], json!({"bot_token": BOT_TOKEN, "chat_id": "-8"}));
    // And what Lenz has no words for stays.
    lenz.put(&id, &json!({"config": {"bot_token": BOT_TOKEN, "chat_id": "-9"}})).await;
    assert_eq!(v1.channel(number).await.config["parse_mode"], "HTML");
}

#[tokio::test]
async fn what_the_native_api_made_is_shown_and_changed() {
    let lenz = Lenz::start().await;
    let url = lenz.receiver.url("/a");
    let more = json!({"config": {"basic_user": "u", "basic_password": "p", "headers": {"x-a": "1", "x-b": "2"}},
        "rate_limit": {"count": 2, "per": "second", "burst": 9}});
    let made = lenz.server.client.webhook(&url, more).await;
    let id = json!(made.id);
    let shown = lenz.show(&id).await;
    let secret = made.secret();
    let config = json!({"url": url, "method": "POST", "headers": {"x-a": "1", "x-b": "2"}, "secret": secret});
    assert_eq!((&shown["config"], &shown["rate_limit"]), (&config, &json!(120)));
    // A form that sends everything back changes nothing.
    lenz.put(&id, &shown).await;
    let same = lenz.server.client.channel(made.id).await;
    assert_eq!((&same.rate_limit, same.config.len()), (&json!({"count": 2, "per": "second", "burst": 9}), 6));
    // A header that is left out is gone; the credentials, which Lenz has no words for, are not.
    lenz.put(&id, &json!({"config": {"url": url, "headers": {"x-b": "3"}}})).await;
    lenz.alert(&id, "sent").await;
    let received = lenz.receiver.wait_for_one("/a").await;
    assert_eq!((received.header("x-a"), received.header("x-b")), (None, Some("3")));
    assert!(received.header("authorization").is_some_and(|value| value.starts_with("Basic ")));
    assert!(is_signed_with(&received, secret));
}

#[tokio::test]
async fn other_spellings_are_taken_and_come_back() {
    let lenz = Lenz::start().await;
    let check = async |provider: &str, config: Value, fields: Value| {
        let made = lenz.create(&json!({"name": "A", "provider": provider, "config": config})).await;
        assert_eq!(made["config"], config, "{provider}");
        let ours = lenz.server.client.channel(made["id"].as_i64().unwrap()).await.config;
        for (key, value) in fields.as_object().unwrap() {
            assert_eq!(ours.get(key), Some(value), "{provider} {key}: {ours:?}");
        }
    };
    check("discord", json!({"url": "https://discord.com/api/webhooks/1/abc"}), json!({})).await;
    check(
        "webhook",
        json!({"webhook_url": "https://a.test/"}),
        json!({"url": "https://a.test/", "format": "standard"}),
    )
    .await;
    check(
        "email",
        json!({"host": "m.test", "port": 465, "smtp_username": "u", "smtp_password": "p", "sender": "a@b.test",
            "to_email": "c@d.test, e@f.test"}),
        json!({"smtp_host": "m.test", "smtp_port": 465, "smtp_tls": "implicit", "smtp_user": "u", "from": "a@b.test",
            "to": ["c@d.test", "e@f.test"]}),
    )
    .await;
    check(
        "email",
        json!({"smtp_host": "m.test", "smtp_port": 587, "username": "u", "password": "p", "from": "a@b.test",
            "to": ["c@d.test"], "use_tls": true}),
        json!({"smtp_port": 587, "smtp_tls": "starttls", "to": ["c@d.test"]}),
    )
    .await;
    let get = json!({"name": "A", "provider": "webhook", "config": {"url": "https://a.test/", "method": "GET"}});
    refused(&lenz.client.post(CHANNELS, &get).await, 400, "invalid request");
}
