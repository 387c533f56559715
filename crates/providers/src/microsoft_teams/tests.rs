//! Microsoft Teams against its wire facts.

use domain::outcome::Class;
use proptest::prelude::*;

use super::*;
use crate::trial::{DELIVERED, NEVER, PAUSED, RETRY, Trial, check, default, hostile_data, judged, templated};

const CONNECTOR: &str = "https://acme.webhook.office.com/webhookb2/1@2/IncomingWebhook/3/4";

#[test]
fn urls_stay_as_they_are_and_all_get_a_card_and_a_text() {
    let check = |url: &str| {
        let config = json!({"webhook_url": url});
        let request = Trial { provider: &MicrosoftTeams, config, data: "{}", body: None }.plan().unwrap().remove(0);
        assert_eq!((request.url.as_str(), &request.body["text"]), (url, &json!(r"\[critical\] disk.full")));
        assert_eq!(request.body["attachments"][0].get("contentUrl"), Some(&Value::Null));
    };
    check(CONNECTOR);
    check("https://outlook.office.com/webhook/1@2/IncomingWebhook/3/4");
    check(
        "https://prod-1.westeurope.logic.azure.com/workflows/a/triggers/manual/paths/invoke?sp=%2Ftriggers%2F&sig=a-_",
    );
    check("https://x.environment.api.powerplatform.com/powerautomate/a/paths/invoke?api-version=1&sp=%2Fa");
    check("https://hooks.example.com/teams");
}

#[test]
fn a_retired_kind_of_url_is_warned_of() {
    let warnings = |url: &str| {
        let given = serde_json::Map::from_iter([("webhook_url".to_owned(), json!(url))]);
        MicrosoftTeams.warnings(&crate::create(&MicrosoftTeams, &given).unwrap(), None)
    };
    assert!(warnings(CONNECTOR)[0].contains("make a workflow"));
    assert!(warnings("https://prod-1.westeurope.logic.azure.com/workflows/a").is_empty());
}

#[test]
fn an_event_is_a_card_without_any_template() {
    let data = r#"{"title": "Disk *full*", "message": "one\ntwo", "host": "db", "url": "https://a.test/"}"#;
    let card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": [
            {"type": "TextBlock", "text": r"Disk \*full\*", "wrap": true, "weight": "Bolder", "size": "Medium",
             "color": "Attention"},
            {"type": "TextBlock", "text": "one\n\ntwo", "wrap": true},
            {"type": "FactSet", "facts": [{"title": "host", "value": "db"}]},
            {"type": "TextBlock", "text": r"critical · disk.full · 2023\-11\-14T22:13:20.000Z", "wrap": true,
             "size": "Small", "isSubtle": true},
        ],
        "actions": [{"type": "Action.OpenUrl", "title": "Open", "url": "https://a.test/"}],
    });
    let attachment =
        json!({"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card});
    let whole = json!({"type": "message", "text": r"Disk \*full\*", "attachments": [attachment]});
    assert_eq!(default(&MicrosoftTeams, data), [whole]);
    let text = &templated(&MicrosoftTeams, "**a**")[0]["attachments"][0]["content"]["body"];
    assert_eq!(*text, json!([{"type": "TextBlock", "text": "**a**", "wrap": true}]));
}

#[test]
fn answers_are_judged_by_their_body() {
    let check = |status, body: &str, expected, note| check(&MicrosoftTeams, (status, &[], body), expected, note);
    let wrapped = |status: u16| {
        format!(
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error {status} with x"
        )
    };
    check(200, "1", DELIVERED, "");
    check(200, "", DELIVERED, "");
    check(202, "", DELIVERED, "");
    let run = judged(&MicrosoftTeams, (202, &[("x-ms-workflow-run-id", "085")], ""));
    assert_eq!(run.reference.as_deref(), Some("085"));
    check(200, &wrapped(429), (Class::Throttled, Scope::Channel, Some(30)), "429");
    check(200, &wrapped(413), NEVER, "413");
    check(200, &wrapped(404), PAUSED, "404");
    check(200, &wrapped(502), RETRY, "502");
    check(200, "Something else", RETRY, "expected: 1");
    check(400, "Summary or Text is required.", NEVER, "Summary");
    let coded = |code: &str| format!(r#"{{"error": {{"code": "{code}", "message": "said"}}}}"#);
    check(400, &coded("TriggerInputSchemaMismatch"), NEVER, "said: the workflow");
    check(400, &coded("WorkflowTriggerIsNotEnabled"), PAUSED, "said");
    check(404, &coded("WorkflowNotFound"), PAUSED, "said");
    check(401, &coded("DirectApiAuthorizationRequired"), PAUSED, "said");
    check(410, "", PAUSED, "410");
    check(503, "", RETRY, "503");
    let slow: crate::trial::Answer = (429, &[("retry-after", "7")], "");
    crate::trial::check(&MicrosoftTeams, slow, (Class::Throttled, Scope::Channel, Some(7)), "429");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::trial::CASES))]

    #[test]
    fn hostile_events_keep_the_limit(data in hostile_data(), body in "([\"\\\\<*a]|\\PC){1,40}", count in 1usize..800) {
        let body = body.repeat(count);
        for body in [None, Some(body.as_str()).filter(|body| !body.trim().is_empty())] {
            for url in [CONNECTOR, "https://prod-1.westeurope.logic.azure.com/workflows/a"] {
                let config = json!({"webhook_url": url});
                let request = Trial { provider: &MicrosoftTeams, config, data: &data, body }.plan().unwrap().remove(0);
                prop_assert!(request.bytes <= 14_000);
            }
        }
    }
}
