//! X against its wire facts.

use domain::outcome::{Class, Remedy};
use proptest::prelude::*;

use super::*;
use crate::trial::{DELIVERED, NEVER, RETRY, Trial, check, default, hostile_data, judged, templated};

#[test]
fn a_post_is_signed_and_short() {
    let data = r#"{"title": "Disk full", "message": "see example.com, @ann", "url": "https://a.test/"}"#;
    let plan = || Trial { provider: &X, config: json!({}), data, body: None }.plan().unwrap().remove(0);
    let request = plan();
    assert_eq!(request.url, "https://api.x.com/2/tweets");
    let text = "🔴 Disk full\n\nsee example.\u{200b}com, @\u{200b}ann";
    assert_eq!(request.body, json!({"text": text}));
    let header = request.authorization.clone().unwrap();
    for part in ["OAuth oauth_consumer_key=\"xvz1", "oauth_timestamp=\"1700000000\"", "oauth_signature=\""] {
        assert!(header.contains(part), "{header}");
    }
    assert_eq!(plan().authorization, request.authorization, "the same arguments give the same request");
}

#[test]
fn templates_are_cut_and_never_split() {
    assert_eq!(templated(&X, " a\n"), [json!({"text": "a"})]);
    let cut = &templated(&X, &"漢".repeat(200))[0]["text"];
    assert_eq!(cut.as_str().unwrap(), format!("{}…", "漢".repeat(139)));
    let linked = templated(&X, &format!("https://example.com/{}", "a".repeat(40)));
    assert_eq!(linked.len(), 1);
}

#[test]
fn a_link_in_a_template_is_warned_of() {
    let warnings = |template| X.warnings(&Config::default(), template);
    assert!(warnings(Some("see https://a.test/"))[0].contains("charges"));
    assert!(warnings(Some("{{ title }}")).is_empty() && warnings(None).is_empty());
}

#[test]
fn answers_are_judged() {
    let row = |status, body: &str, expected, note| check(&X, (status, &[], body), expected, note);
    let posted = r#"{"data": {"id": "1445880548472328192", "text": "a"}}"#;
    row(201, posted, DELIVERED, "");
    assert_eq!(judged(&X, (201, &[], posted)).reference.as_deref(), Some("1445880548472328192"));
    let duplicate = r#"{"detail": "You are not allowed to create a Tweet with duplicate content."}"#;
    row(403, duplicate, NEVER, "duplicate content");
    assert_eq!(judged(&X, (403, &[], duplicate)).remedy, Some(Remedy::HasAlready));
    let keys = (Class::Permanent, Scope::Credential, None);
    row(403, r#"{"title": "Forbidden", "detail": "client-forbidden"}"#, keys, "client-forbidden");
    row(401, r#"{"title": "Unauthorized"}"#, keys, "clock");
    row(503, "", RETRY, "503");
    row(400, "", NEVER, "400");
    row(429, r#"{"title": "x", "type": "https://api.x.com/2/problems/usage-capped"}"#, keys, "used up");
    let slow = |headers: &[(&'static str, &str)], wait: Option<u64>| {
        check(&X, (429, headers, ""), (Class::Throttled, Scope::Credential, wait), "429");
    };
    slow(&[("x-rate-limit-reset", "1700000090")], Some(90));
    slow(&[("x-rate-limit-reset", "1600000000")], Some(0));
    slow(&[("x-app-limit-24hour-remaining", "0"), ("x-app-limit-24hour-reset", "1700003600")], Some(3600));
    slow(&[("x-rate-limit-reset", "soon")], None);
    slow(&[("x-rate-limit-reset", "9223372036854775807")], None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::trial::CASES))]

    #[test]
    fn hostile_events_keep_the_limit_and_call_nobody(data in hostile_data()) {
        let body = default(&X, &data).remove(0);
        let text = body["text"].as_str().unwrap();
        prop_assert!(Unit::Weighted.size(text) <= 280, "{text}");
        let signs = text.match_indices('@').all(|(at, _)| text[at + 1..].starts_with(['\u{200b}', '…']));
        prop_assert!(signs, "{text}");
    }
}
