//! Discord against its wire facts.

use domain::outcome::Class;
use proptest::prelude::*;

use super::*;
use crate::trial::{
    DELIVERED, NEVER, PAUSED, RETRY, Trial, check, check_url, default, hostile_data, judged, templated,
};

#[test]
fn urls_are_checked_and_asked_to_wait() {
    let sent_to = |url: &str| {
        let config = json!({"webhook_url": url});
        Trial { provider: &Discord, config, data: "{}", body: None }.plan().unwrap().remove(0).url
    };
    let base = "https://discord.com/api/webhooks/1/s3cret";
    assert_eq!(sent_to(base), format!("{base}?wait=true"));
    assert_eq!(sent_to(&format!("{base}/slack?thread_id=5&wait=false")), format!("{base}?thread_id=5&wait=true"));
    check_url(&Discord, "https://canary.discord.com/api/v10/webhooks/1/s3cret/", None);
    check_url(&Discord, "https://discordapp.com/api/webhooks/1/s3cret/github", None);
    for wrong in [
        "https://discord.com/api/webhooks/1",
        "https://discord.com/api/webhooks/a/s3cret",
        "https://discord.com/channels/1/s3cret",
        "https://discord.com.example.com/api/webhooks/1/s3cret",
    ] {
        check_url(&Discord, wrong, Some("api/webhooks/NUMBER/TOKEN"));
    }
}

#[test]
fn an_event_is_an_embed_without_any_template() {
    let data =
        r#"{"title": "Disk *full*", "message": "@everyone 96 %", "host": "db", "url": "https://a.test/", "none": ""}"#;
    let expected = json!({
        "allowed_mentions": {"parse": []},
        "embeds": [{
            "title": "Disk \\*full\\*",
            "description": "@\u{200b}everyone 96 %",
            "url": "https://a.test/",
            "color": 0xd6_24_6e,
            "fields": [
                {"name": "host", "value": "db", "inline": true},
                {"name": "none", "value": "\u{200b}", "inline": true},
            ],
            "footer": {"text": "critical · disk.full · 2023-11-14T22:13:20.000Z"},
            "timestamp": "2023-11-14T22:13:20.000Z",
        }],
    });
    assert_eq!(default(&Discord, data), [expected]);
}

#[test]
fn templates_are_texts_and_long_ones_several() {
    let parts = templated(&Discord, &r"**b** \* ".repeat(500));
    assert_eq!(parts.len(), 3);
    for part in parts {
        assert_eq!(part["allowed_mentions"], json!({"parse": []}));
        let text = part["content"].as_str().unwrap();
        assert!(text.chars().count() <= 2000 && !text.ends_with(r" \"), "{text}");
    }
}

#[test]
fn answers_are_judged_by_code_and_hint() {
    let check = |status, body: &str, expected, note| check(&Discord, (status, &[], body), expected, note);
    let coded = |code: u32| format!(r#"{{"message": "said", "code": {code}}}"#);
    check(200, r#"{"id": "77"}"#, DELIVERED, "");
    assert_eq!(judged(&Discord, (200, &[], r#"{"id": "77"}"#)).reference.as_deref(), Some("77"));
    check(204, "", DELIVERED, "");
    let bucket = |left| [("x-ratelimit-remaining", left), ("x-ratelimit-reset-after", "1.75")];
    assert_eq!(judged(&Discord, (204, &bucket("0"), "")).hint, Some(Duration::from_millis(1750)));
    assert_eq!(judged(&Discord, (204, &bucket("1"), "")).hint, None);
    let slow = r#"{"message": "You are being rate limited.", "retry_after": 64.57, "global": false}"#;
    check(429, slow, (Class::Throttled, Scope::Channel, Some(64)), "rate limited");
    let global = r#"{"message": "slow", "retry_after": 0.5, "global": true}"#;
    check(429, global, (Class::Throttled, Scope::Provider, Some(0)), "slow");
    check(429, r#"{"retry_after": -1}"#, (Class::Throttled, Scope::Channel, None), "429");
    check(429, "<html>", (Class::Throttled, Scope::Provider, Some(600)), "429");
    check(404, &coded(10_015), PAUSED, "said");
    check(404, "", PAUSED, "404");
    check(401, &coded(50_027), PAUSED, "said");
    for code in [50_035, 50_006, 50_109, 200_000, 240_000] {
        check(400, &coded(code), NEVER, "said");
    }
    check(413, &coded(40_005), NEVER, "said");
    check(400, &coded(220_001), PAUSED, "thread_id");
    check(503, &coded(130_000), RETRY, "said");
    check(502, "", RETRY, "502");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::trial::CASES))]

    #[test]
    fn hostile_events_keep_the_limits(data in hostile_data()) {
        let size = |value: &Value| value.as_str().map_or(0, |text| text.chars().count());
        for body in default(&Discord, &data) {
            let embed = &body["embeds"][0];
            prop_assert!(size(&embed["title"]) <= 256 && size(&embed["description"]) <= 4096);
            let fields = embed["fields"].as_array().cloned().unwrap_or_default();
            prop_assert!(fields.len() <= 25);
            for field in &fields {
                prop_assert!((1..=256).contains(&size(&field["name"])) && (1..=1024).contains(&size(&field["value"])));
            }
            prop_assert!(texts_in(embed) + size(&embed["footer"]["text"]) <= 6000);
        }
    }
}
