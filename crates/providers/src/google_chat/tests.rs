//! Google Chat against its wire facts.

use domain::outcome::Class;
use proptest::prelude::*;

use super::*;
use crate::trial::{DELIVERED, NEVER, PAUSED, Trial, check, check_url, default, hostile_data, judged, templated};

#[test]
fn urls_are_checked_and_name_the_request() {
    let url = "https://chat.googleapis.com/v1/spaces/A/messages?key=k&token=s3cret";
    let config = json!({"webhook_url": url});
    let requests = Trial { provider: &GoogleChat, config, data: "{}", body: Some(&"a ".repeat(3000)) }.plan().unwrap();
    let urls: Vec<&str> = requests.iter().map(|request| request.url.as_str()).collect();
    assert_eq!(urls, [format!("{url}&requestId=dlv_a_1-0"), format!("{url}&requestId=dlv_a_1-1")]);
    check_url(&GoogleChat, "https://chat.googleapis.com/v1/spaces/A/messages?token=s3cret", Some("key"));
    check_url(&GoogleChat, "https://chat.google.com/v1/spaces/A/messages?key=k&token=s3cret", Some("must be like"));
    check_url(&GoogleChat, "https://chat.googleapis.com/v1/spaces/A?key=k&token=s3cret", Some("must be like"));
}

#[test]
fn an_event_is_a_card_without_any_template() {
    let data = r#"{"title": "Disk <full>", "message": "one\ntwo", "host": "<db>", "url": "https://a.test/"}"#;
    let widgets = json!([
        {"textParagraph": {"text": "🔴 <b>Disk &lt;full&gt;</b>"}},
        {"textParagraph": {"text": "one<br>two"}},
        {"decoratedText": {"topLabel": "host", "text": "&lt;db&gt;", "wrapText": true}},
        {"buttonList": {"buttons": [{"text": "Open", "onClick": {"openLink": {"url": "https://a.test/"}}}]}},
        {"textParagraph": {"text": "<font color=\"#b42318\">critical · disk.full · 2023-11-14T22:13:20.000Z</font>"}},
    ]);
    let card = json!({"cardId": "event", "card": {"sections": [{"widgets": widgets}]}});
    assert_eq!(default(&GoogleChat, data), [json!({"fallbackText": "Disk <full>", "cardsV2": [card]})]);
    assert_eq!(templated(&GoogleChat, "*a* "), [json!({"text": "*a*"})]);
}

#[test]
fn answers_are_judged() {
    let check = |status, body: &str, expected, note| check(&GoogleChat, (status, &[], body), expected, note);
    let named = r#"{"name": "spaces/A/messages/B"}"#;
    check(200, named, DELIVERED, "");
    assert_eq!(judged(&GoogleChat, (200, &[], named)).reference.as_deref(), Some("spaces/A/messages/B"));
    let slow = r#"{"error": {"code": 429, "message": "Quota", "status": "RESOURCE_EXHAUSTED"}}"#;
    check(429, slow, (Class::Throttled, Scope::Channel, None), "Quota");
    check(400, r#"{"error": {"message": "bad"}}"#, NEVER, "bad");
    for (status, note) in [(401, "401"), (403, "403"), (404, "404")] {
        check(status, "", PAUSED, note);
    }
    check(503, "", (Class::Retry, Scope::Message, Some(1)), "503");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::trial::CASES))]

    #[test]
    fn hostile_events_keep_the_limit(data in hostile_data()) {
        let requests = Trial { provider: &GoogleChat, config: json!({}), data: &data, body: None }.plan().unwrap();
        prop_assert!(requests.iter().all(|request| request.bytes <= 32_000));
    }
}
