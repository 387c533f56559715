//! What carries the fields: parts, a urlencoded form, or JSON.

use http::Method;
use serde_json::{Value, json};

use super::{Data, HANDLERS, Saved, Site, errors, post_form, setup};

const BOUNDARY: &str = "----WebKitFormBoundary7MA4YWxkTrZu0gW";

fn in_parts(fields: &[(&str, &str)]) -> String {
    let part = |(name, text): &(&str, &str)| {
        format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
    };
    fields.iter().map(part).collect::<String>() + &format!("--{BOUNDARY}--\r\n")
}

#[tokio::test]
async fn every_carrier_makes_the_same_handler() {
    let site = Site::start().await;
    let fields = [
        ("name", "Näme & more"),
        ("type", "webhook"),
        ("webhook", "https://example.com/?a=b&c=%20"),
        ("is_enabled", "0"),
    ];
    let pairs = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let object = json!({"name": "Näme & more", "type": "webhook", "webhook": "https://example.com/?a=b&c=%20",
        "is_enabled": false})
    .to_string();
    let parts = format!("multipart/form-data; boundary={BOUNDARY}");
    for (content_type, body) in [
        (parts.as_str(), in_parts(&fields)),
        ("application/x-www-form-urlencoded", pairs.clone()),
        ("application/x-www-form-urlencoded; charset=UTF-8", pairs),
        ("application/json", object.clone()),
        ("application/x-www-form-urlencoded", object.replace("https://", "https:\\/\\/")),
    ] {
        let answer = site.client.send(Method::POST, HANDLERS, &[("content-type", content_type)], body).await;
        let handler = site.handler(answer.read::<Data<Saved>>(201).data.id).await;
        assert_eq!((handler.name.as_str(), handler.is_enabled), ("Näme & more", false), "{content_type}");
        assert_eq!(Value::from(handler.settings), json!({"webhook": "https://example.com/?a=b&c=%20"}));
    }
}

#[tokio::test]
async fn numbers_and_null_in_json_are_fields_and_none() {
    let site = Site::start().await;
    let body = json!({"name": "Bot", "type": "telegram", "telegram": "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0",
        "telegram_chat_id": -1_001_234_567_890_i64, "is_enabled": 1, "email": null});
    let id = site.client.post(HANDLERS, &body).await.read::<Data<Saved>>(201).data.id;
    let handler = site.handler(id).await;
    assert_eq!((&handler.settings["telegram_chat_id"], handler.is_enabled), (&json!("-1001234567890"), true));
}

#[tokio::test]
async fn what_cannot_be_read_is_said() {
    let site = Site::start().await;
    let good = in_parts(&[("name", "N"), ("type", "internal_notification")]);
    let check = async |content_type: &str, body: &str, status: u16| {
        let headers = [("content-type", content_type)];
        errors(&site.client.send(Method::POST, HANDLERS, &headers, body.to_owned()).await, status);
    };
    check("multipart/form-data", &good, 400).await;
    check("multipart/form-data; boundary=", &good, 400).await;
    check("multipart/form-data; boundary=another", &good, 400).await;
    check(&format!("multipart/form-data; boundary={BOUNDARY}"), &good[..good.len() - 9], 400).await;
    check("application/json", "{\"name\":", 400).await;
    check("application/json", "[]", 400).await;
    check("application/json", "{\"name\": {\"a\": 1}}", 400).await;
    check("application/json", &"[".repeat(10_000), 400).await;
    check("application/x-www-form-urlencoded", &"a=b&".repeat(101), 413).await;
    check("application/x-www-form-urlencoded", &format!("name={}", "x".repeat(70_000)), 413).await;
    check("application/x-www-form-urlencoded", "", 400).await;
    check("image/png", "\u{1}\u{2}", 400).await;
    assert_eq!(site.list("").await.meta.total, 0);
}

#[tokio::test]
async fn a_body_has_the_size_that_the_operator_allows() {
    let site = Site::with(&setup().set("POSTRIDER_LIMITS__BODY_BYTES_MAX", "2048")).await;
    let long = "x".repeat(2048);
    let told = errors(&post_form(&site.client, HANDLERS, &[("name", &long)]).await, 413);
    assert!(told[0].contains("2,048 bytes"), "{told:?}");
}
