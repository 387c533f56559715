//! Telegram against its wire facts.

use domain::EventId;
use domain::event::Severity;
use domain::outcome::Class;
use http::{HeaderMap, StatusCode};
use proptest::prelude::*;

use super::*;
use crate::Operator;
use crate::config::create;
use crate::trial::first_try;

const NOW: Timestamp = Timestamp::from_ms(1_700_000_000_000);
const TOKEN: &str = "123:abc-DEF_ghi";

fn given(more: &Value) -> Map<String, Value> {
    let mut given = Map::from_iter([(BOT_TOKEN.to_owned(), json!(TOKEN)), (CHAT_ID.to_owned(), json!(-100))]);
    given.extend(more.as_object().unwrap().clone());
    given
}

fn plan(more: &Value, data: &str, body: Option<&str>) -> Result<Vec<Value>, PlanError> {
    let config = create(&Telegram, &given(more)).unwrap();
    let message = Message {
        event_id: EventId(1),
        event_type: "disk.full",
        data,
        occurred_at: NOW,
        severity: Some(Severity::Critical),
        subject: None,
        body,
        items: &[],
    };
    let operator = Operator::default();
    let context = first_try("dlv_1", NOW, &operator);
    let steps = Telegram.plan(&config, &message, &context)?;
    let bodies = steps.into_iter().map(|step| {
        let Step::Http(step) = step else { panic!("a request") };
        assert_eq!(step.url.reveal(), format!("https://api.telegram.org/bot{TOKEN}/sendMessage"));
        serde_json::from_slice(&step.body).unwrap()
    });
    Ok(bodies.collect())
}

#[test]
fn configs_are_checked() {
    let check = |more: Value, expected: Option<&str>| {
        let found = create(&Telegram, &given(&more)).err().map(|errors| errors[0].field.clone());
        assert_eq!(found.as_deref(), expected, "{more}");
    };
    check(json!({}), None);
    check(json!({"chat_id": "@news", "parse_mode": "html", "message_thread_id": 5}), None);
    check(json!({"chat_id": "news"}), Some("config.chat_id"));
    check(json!({"chat_id": 1.5}), Some("config.chat_id"));
    for token in ["abc", "1:", "1:a/b", "1:a b", ":abc", "bot1:abc"] {
        check(json!({"bot_token": token}), Some("config.bot_token"));
    }
    check(json!({"bot_token": "123456789:ABCdef..."}), None);
    check(json!({"message_thread_id": "a"}), Some("config.message_thread_id"));
    check(json!({"parse_mode": "LaTeX"}), Some("config.parse_mode"));
}

#[test]
fn an_event_is_a_message_without_any_template() {
    let data = r#"{"title": "Disk full", "message": "96 %", "host": "db_1", "url": "https://a.test/"}"#;
    let body = plan(&json!({"message_thread_id": 7}), data, None).unwrap().remove(0);
    let expected = json!({
        "chat_id": -100,
        "message_thread_id": 7,
        "link_preview_options": {"is_disabled": true},
        "text": "🔴 Disk full\n\n96 %\n\nhost: db_1\n\nOpen\n\ncritical · disk.full · 2023-11-14T22:13:20.000Z",
        "entities": [
            {"type": "bold", "offset": 3, "length": 9},
            {"type": "bold", "offset": 20, "length": 4},
            {"type": "text_link", "offset": 32, "length": 4, "url": "https://a.test/"},
            {"type": "italic", "offset": 38, "length": 47},
        ],
    });
    assert_eq!(body, expected);
}

#[test]
fn templates_are_read_in_their_markup() {
    let check = |mode: &str, body: &str, text: &str, entities: Value| {
        let found = plan(&json!({"parse_mode": mode}), "{}", Some(body)).unwrap().remove(0);
        assert_eq!((&found["text"], &found["entities"]), (&json!(text), &entities), "{body}");
    };
    let one = |kind: &str, offset: usize, length: usize| json!([{"type": kind, "offset": offset, "length": length}]);
    let link = json!([{"type": "text_link", "offset": 0, "length": 1, "url": "https://b.test/(c"}]);
    check("Markdown", "*critical* 😀", "critical 😀", one("bold", 0, 8));
    check("Markdown", r"*a\_b\** c", "a_b* c", one("bold", 0, 4));
    check("Markdown", "😀 _i_", "😀 i", one("italic", 3, 1));
    check("Markdown", "2 * 3 snake_case", "2 * 3 snake_case", Value::Null);
    check("Markdown", r"[a](https://b.test/\(c)", "a", link);
    check("Markdown", "[a](javascript:x) `x*y*`", "[a](javascript:x) x*y*", one("code", 18, 4));
    check("Markdown", "```rust\nlet x;\n```", "let x;", one("pre", 0, 6));
    check(
        "MarkdownV2",
        r"__u__\. ||s||",
        "u. s",
        json!([{"type": "underline", "offset": 0, "length": 1},
        {"type": "spoiler", "offset": 3, "length": 1}]),
    );
    check("HTML", "<b>a &lt; b</b> <x> &amp &#39;", "a < b <x> &amp '", one("bold", 0, 5));
    check(
        "html",
        "<a href=\"https://b.test/?x=1&amp;y\">a</a>",
        "a",
        json!([{"type": "text_link", "offset": 0,
        "length": 1, "url": "https://b.test/?x=1&y"}]),
    );
    check("plain", "*a* <b>", "*a* <b>", Value::Null);
    assert_eq!(plan(&json!({}), "{}", Some(" \n")), Err(PlanError::Empty));
    assert_eq!(plan(&json!({"parse_mode": "HTML"}), "{}", Some("<b></b>")), Err(PlanError::Empty));
}

#[test]
fn long_texts_are_parted_with_their_styles() {
    let body = format!("*{}*", "😀".repeat(3000));
    let parts = plan(&json!({}), "{}", Some(&body)).unwrap();
    let sizes: Vec<_> = parts.iter().map(|part| part["entities"][0]["length"].as_u64().unwrap()).collect();
    assert_eq!(sizes, [4096, 1904]);
    let many = "*a* ".repeat(150);
    assert_eq!(plan(&json!({}), "{}", Some(&many)).unwrap()[0]["entities"].as_array().unwrap().len(), 100);
}

#[test]
fn answers_are_judged_by_what_they_say() {
    let check = |status: u16, body: &str, class: Class, scope: Scope, hint_s: Option<u64>, note: &str| {
        let status = StatusCode::from_u16(status).unwrap();
        let reply = Reply::Http(HttpReply { status, headers: HeaderMap::new(), body: body.to_owned().into() });
        let outcome = Telegram.judge(&reply, NOW);
        let found = (outcome.class, outcome.scope, outcome.hint.map(|hint| hint.as_secs()));
        assert_eq!(found, (class, scope, hint_s), "{body}: {outcome:?}");
        assert!(outcome.note.contains(note), "{outcome:?}");
    };
    let failed = |text: &str| format!(r#"{{"ok":false,"description":"{text}"}}"#);
    let remedy = |body: String| {
        let (status, headers) = (StatusCode::BAD_REQUEST, HeaderMap::new());
        Telegram.judge(&Reply::Http(HttpReply { status, headers, body: body.into() }), NOW).remedy
    };
    let patch = ConfigPatch { key: CHAT_ID, value: "-1005".to_owned() };
    let moved = r#"{"ok":false,"description":"x","parameters":{"migrate_to_chat_id":-1005}}"#;
    assert_eq!(remedy(moved.to_owned()), Some(Remedy::Move(patch)));
    assert_eq!(remedy(failed("Bad Request: can't parse entities: x")), Some(Remedy::Plain));
    assert_eq!(remedy(failed("Bad Request: message is too long")), None);
    check(200, r#"{"ok":true,"result":{"message_id":5}}"#, Class::Delivered, Scope::Message, None, "");
    check(200, "<html>", Class::Retry, Scope::Message, None, "confirmation");
    let slow = r#"{"ok":false,"description":"Too Many Requests: retry after 7","parameters":{"retry_after":7}}"#;
    check(429, slow, Class::Throttled, Scope::Channel, Some(7), "retry after 7");
    let moved = r#"{"ok":false,"description":"Bad Request: x","parameters":{"migrate_to_chat_id":-1005}}"#;
    check(400, moved, Class::Permanent, Scope::Channel, None, "set config.chat_id to -1005");
    check(400, &failed("Bad Request: can't parse entities"), Class::Permanent, Scope::Message, None, "parse");
    check(400, &failed("Bad Request: message is too long"), Class::Permanent, Scope::Message, None, "long");
    check(400, &failed("Bad Request: chat not found"), Class::Permanent, Scope::Channel, None, "chat not found");
    check(403, &failed("Forbidden: bot was blocked by the user"), Class::Permanent, Scope::Channel, None, "blocked");
    check(401, &failed("Unauthorized"), Class::Permanent, Scope::Credential, None, "token");
    check(404, &failed("Not Found"), Class::Permanent, Scope::Credential, None, "token");
    check(409, &failed("Conflict"), Class::Retry, Scope::Message, None, "Conflict");
    check(502, "", Class::Retry, Scope::Message, None, "502");
    let huge = r#"{"ok":false,"parameters":{"retry_after":1e300}}"#;
    check(429, huge, Class::Throttled, Scope::Channel, None, "429");
}

proptest! {
    #[test]
    fn hostile_values_stay_text(value in "([-_*`\\[\\]()<>&;!.~|\\\\a ]|\\PC){1,30}") {
        for (mode, markup, around) in [
            ("Markdown", Markup::TelegramMarkdown, "*"),
            ("MarkdownV2", Markup::TelegramMarkdownV2, "*"),
            ("HTML", Markup::Html, ""),
        ] {
            let config = create(&Telegram, &given(&json!({"parse_mode": mode}))).unwrap();
            let body = format!("{around}x{}x{around}", markup.value(&value));
            let rich = Telegram.read(&config, &body);
            prop_assert_eq!(&rich.text, &format!("x{value}x"));
            let parts = rich.parts(SPEC.size(TEXT), 100);
            prop_assert_eq!(parts[0].1.len(), around.len());
        }
    }

    #[test]
    fn any_template_keeps_the_limits(body in "([-_*`\\[\\]()<>&;!a ]|<b>|\\PC|😀){0,60}", count in 1usize..200) {
        for mode in MODES {
            let Ok(parts) = plan(&json!({"parse_mode": mode}), "{}", Some(&body.repeat(count))) else { continue };
            for part in parts {
                let size = Unit::Utf16.size(part["text"].as_str().unwrap());
                prop_assert!((1..=4096).contains(&size));
                for entity in part["entities"].as_array().into_iter().flatten() {
                    let end = entity["offset"].as_u64().unwrap() + entity["length"].as_u64().unwrap();
                    prop_assert!(usize::try_from(end).unwrap() <= size);
                }
            }
        }
    }
}
