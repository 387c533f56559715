//! Objects of every provider, in every way that clients write them.

use serde_json::{Value, json};

use super::*;

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(object) = value else { panic!("{value}") };
    object
}

#[test]
fn objects_fill_the_fields_of_our_providers() {
    let check = |provider: &str, given: Value, expected: Value| {
        let fields = fields(provider, &object(given.clone()), &Map::new()).unwrap();
        assert_eq!(Value::Object(fields.clone()), expected, "{provider} {given}");
        // And these are fields that there are.
        let spec = providers::find(provider).unwrap().spec();
        assert!(fields.keys().all(|key| spec.field(key).is_some()), "{fields:?}");
    };
    check(
        "telegram",
        json!({"bot_token": "1:a", "chat_id": -7, "extra": 1}),
        json!({"bot_token": "1:a", "chat_id": -7}),
    );
    check(
        "telegram",
        json!({"token": "1:a", "chat_id": "@x", "parse_mode": "HTML"}),
        json!({"bot_token": "1:a", "chat_id": "@x", "parse_mode": "HTML"}),
    );
    check("discord", json!({"url": "https://d.test"}), json!({"webhook_url": "https://d.test"}));
    check("webhook", json!({"webhook_url": "u", "method": "post"}), json!({"url": "u", "headers": null}));
    check(
        "webhook",
        json!({"url": "u", "method": null, "headers": {"a": "b"}, "secret": "whsec_x"}),
        json!({"url": "u", "headers": {"a": "b"}, "secret": "whsec_x"}),
    );
    let mail = |more: Value, expected: Value| {
        let mut given = json!({"smtp_host": "m.test", "to": ["a@b.test"]});
        given.as_object_mut().unwrap().extend(object(more));
        let mut fields = json!({"smtp_host": "m.test", "smtp_port": null, "smtp_user": null, "smtp_password": null,
            "from": null, "to": ["a@b.test"], "smtp_tls": "starttls"});
        fields.as_object_mut().unwrap().extend(object(expected));
        check("email", given, fields);
    };
    mail(json!({}), json!({}));
    mail(json!({"port": 465, "use_tls": false}), json!({"smtp_port": 465, "smtp_tls": "implicit"}));
    mail(json!({"smtp_port": "587", "use_tls": true}), json!({"smtp_port": "587"}));
    mail(json!({"use_tls": false}), json!({"smtp_tls": "none"}));
    mail(
        json!({"smtp_username": "u", "password": "p", "use_tls": false, "sender": "s@b.test"}),
        json!({"smtp_user": "u", "smtp_password": "p", "from": "s@b.test"}),
    );
    let of_the_operator = fields("email", &object(json!({"recipients": "a@b.test"})), &Map::new()).unwrap();
    assert_eq!((&of_the_operator["smtp_tls"], &of_the_operator["to"]), (&Value::Null, &json!("a@b.test")));
}

#[test]
fn what_cannot_be_done_is_refused() {
    for (provider, given) in [
        ("webhook", json!({"url": "u", "method": "GET"})),
        ("webhook", json!({"url": "u", "method": 1})),
        ("email", json!({"to": "a", "use_tls": "yes"})),
    ] {
        assert_eq!(fields(provider, &object(given), &Map::new()), Err(Error::invalid()));
    }
}

#[test]
fn headers_that_are_gone_are_removed() {
    let current = object(json!({"headers": {"x-old": "1", "x-kept": "2"}}));
    let given = object(json!({"url": "u", "headers": {"X-Kept": "3"}}));
    let expected = json!({"X-Kept": "3", "x-old": null});
    assert_eq!(fields("webhook", &given, &current).unwrap()["headers"], expected);
}

#[test]
fn any_secret_signs() {
    let secret = |text: &str| fields("webhook", &object(json!({"url": "u", "secret": text})), &Map::new()).unwrap();
    assert_eq!(secret("abc")["secret"], "whsec_ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=");
    assert_eq!(secret("")["secret"], "");
}

#[test]
fn what_others_made_is_told_in_the_words_of_lenz() {
    let check = |provider: &str, fields: Value, expected: Value| {
        assert_eq!(Value::Object(canonical(provider, &object(fields))), expected, "{provider}");
    };
    check(
        "telegram",
        json!({"bot_token": "1:a", "chat_id": "7", "parse_mode": "HTML"}),
        json!({"bot_token": "1:a", "chat_id": "7"}),
    );
    check(
        "webhook",
        json!({"url": "u", "format": "form", "basic_user": "b"}),
        json!({"url": "u", "method": "POST", "headers": {}}),
    );
    check("email", json!({"to": ["a"]}), json!({"to": ["a"]}));
    check(
        "email",
        json!({"to": ["a"], "smtp_host": "h", "smtp_tls": "implicit", "smtp_user": "u", "smtp_password": "p"}),
        json!({"to": ["a"], "smtp_host": "h", "smtp_port": 465, "use_tls": true, "username": "u", "password": "p"}),
    );
}

#[test]
fn secrets_are_masked_and_masks_are_taken_for_what_they_hide() {
    let check = |provider: &str, before: Value, expected: Value| {
        let before = object(before);
        let masked = masked(provider, &before);
        assert_eq!(Value::Object(masked.clone()), expected, "{provider}");
        assert_eq!(unmasked(masked, provider, &before), Ok(before));
    };
    check("telegram", json!({"bot_token": "1:a", "chat_id": "7"}), json!({"bot_token": MASK, "chat_id": "7"}));
    check(
        "webhook",
        json!({"url": "u", "method": "POST", "headers": {"a": "b"}, "secret": "s", "x": {"y": ["z", 1, true]}}),
        json!({"url": "u", "method": "POST", "headers": {"a": MASK}, "secret": MASK, "x": {"y": [MASK, 1, true]}}),
    );
    check("discord", json!({"url": "https://d.test/s3cret"}), json!({"url": MASK}));
    check(
        "email",
        json!({"host": "h", "port": 25, "username": "u", "password": "p", "to": "a"}),
        json!({"host": "h", "port": 25, "username": "u", "password": MASK, "to": "a"}),
    );
    let before = object(json!({"bot_token": "1:a", "chat_id": "7"}));
    let changed = unmasked(object(json!({"bot_token": MASK, "chat_id": "8"})), "telegram", &before).unwrap();
    assert_eq!(Value::Object(changed), json!({"bot_token": "1:a", "chat_id": "8"}));
    for nothing in [json!({"token": MASK}), json!({"bot_token": format!("{MASK}x")}), json!({"a": [{"b": MASK}]})] {
        assert_eq!(unmasked(object(nothing), "telegram", &before), Err(Error::invalid()));
    }
}

#[test]
fn errors_name_what_clients_know() {
    for (field, name) in [
        ("config.smtp_user", "username"),
        ("config.bot_token", "bot_token"),
        ("config.url", "url"),
        ("name", "name"),
        ("config.unheard_of", "unheard_of"),
    ] {
        assert_eq!(known_as(field), name);
    }
}
