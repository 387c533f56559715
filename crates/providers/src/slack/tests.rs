//! Slack against its wire facts.

use domain::outcome::Class;
use proptest::prelude::*;

use super::*;
use crate::trial::{DELIVERED, NEVER, PAUSED, RETRY, check, check_url, default, hostile_data, templated};

#[test]
fn urls_are_checked() {
    let taken = |url: &str| check_url(&Slack, url, None);
    let refused = |url: &str, part: &str| check_url(&Slack, url, Some(part));
    taken("https://hooks.slack.com/services/T1/B1/s3cret");
    taken("https://hooks.slack-gov.com/services/T1/B1/s3cret");
    refused("http://hooks.slack.com/services/T1/B1/s3cret", "https://");
    refused("https://example.com/services/T1/B1/s3cret", "incoming webhooks");
    refused("https://hooks.slack.com.example.com/services/T1/B1/s3cret", "incoming webhooks");
    refused("https://hooks.slack.com/triggers/T1/1/s3cret", "'webhook'");
    refused("https://hooks.slack.com/services/T1/s3cret", "three parts");
}

#[test]
fn an_event_is_a_message_without_any_template() {
    let data =
        r#"{"title": "Disk <full>", "message": "96 % & more", "host": "db_1", "url": "https://a.test/?a=1&b=|"}"#;
    let expected = json!({
        "text": "*Disk &lt;full&gt;*",
        "attachments": [{"color": "#b42318", "fallback": "Disk &lt;full&gt;", "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": "96 % &amp; more"}},
            {"type": "section", "fields": [{"type": "mrkdwn", "text": "*host*\ndb_\u{200b}1"}]},
            {"type": "section", "text": {"type": "mrkdwn", "text": "<https://a.test/?a=1&amp;b=%7C|Open>"}},
            {"type": "context", "elements": [
                {"type": "mrkdwn", "text": "critical · disk.full · 2023-11-14T22:13:20.000Z"}]},
        ]}],
    });
    assert_eq!(default(&Slack, data), [expected]);
    let resolved = &default(&Slack, r#"{"title": "Disk", "status": "resolved"}"#)[0];
    assert_eq!(
        (&resolved["text"], &resolved["attachments"][0]["color"]),
        (&json!("*Resolved: Disk*"), &json!("#2d9d5c"))
    );
}

#[test]
fn templates_are_texts_and_long_ones_several() {
    assert_eq!(templated(&Slack, "*a* &lt; "), [json!({"text": "*a* &lt;"})]);
    let long = "word &amp; ".repeat(900);
    let parts: Vec<String> =
        templated(&Slack, &long).iter().map(|body| body["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(parts.len(), 3);
    assert!(
        parts.iter().all(|part| part.chars().count() <= 4000 && (part.ends_with("word") || part.ends_with("&amp;")))
    );
}

#[test]
fn answers_are_judged_by_their_word() {
    let check = |status, body, expected, note| check(&Slack, (status, &[], body), expected, note);
    check(200, "ok", DELIVERED, "");
    check(200, "<html>", RETRY, "expected: ok");
    for gone in ["channel_not_found", "no_service", "no_active_hooks", "invalid_token", "action_prohibited"] {
        check(404, gone, PAUSED, gone);
    }
    check(410, "channel_is_archived", PAUSED, "archived");
    for wrong in ["invalid_payload", "no_text", "invalid_blocks_format"] {
        check(400, wrong, NEVER, wrong);
    }
    check(500, "rollup_error", RETRY, "500");
    check(503, "", RETRY, "503");
    crate::trial::check(
        &Slack,
        (429, &[("retry-after", "30")], ""),
        (Class::Throttled, Scope::Channel, Some(30)),
        "429",
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::trial::CASES))]

    #[test]
    fn hostile_events_keep_the_limits(data in hostile_data()) {
        let body = default(&Slack, &data).remove(0);
        let blocks = body["attachments"][0]["blocks"].as_array().unwrap();
        prop_assert!(blocks.len() <= 50);
        for block in blocks {
            prop_assert!(block["text"]["text"].as_str().is_none_or(|text| text.chars().count() <= 3000));
            let fields = block["fields"].as_array();
            prop_assert!(fields.is_none_or(|fields| fields.len() <= 10));
            for field in fields.into_iter().flatten() {
                let text = field["text"].as_str().unwrap();
                prop_assert!(text.chars().count() <= 2000 && !text.contains(['<', '>']));
            }
        }
    }
}
