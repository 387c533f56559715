//! The webhook against its wire facts (providers 1.8 and 2.2).

use domain::EventId;
use domain::outcome::Class;
use http::StatusCode;
use serde_json::json;

use super::*;
use crate::Operator;
use crate::config::{create, update};
use crate::sign::verify;
use crate::step::{Failure, FailureKind};
use crate::trial::first_try;

const NOW: Timestamp = Timestamp::from_ms(1_700_000_000_123);
const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn config(fields: &Value) -> Config {
    let mut given = fields.as_object().unwrap().clone();
    given.entry("url").or_insert(json!("https://a.test/hook"));
    create(&Webhook, &given).unwrap()
}

fn message<'a>(data: &'a str, body: Option<&'a str>) -> Message<'a> {
    let occurred_at = Timestamp::from_ms(1_600_000_000_000);
    let event_id = EventId(1);
    Message { event_id, event_type: "invoice.paid", data, occurred_at, severity: None, subject: None, body, items: &[] }
}

fn plan_at(config: &Config, message: &Message<'_>, now: Timestamp) -> Result<HttpStep, PlanError> {
    let steps = Webhook.plan(config, message, &first_try("dlv_7", now, &Operator::default()))?;
    let [Step::Http(step)] = <[Step; 1]>::try_from(steps).unwrap() else { panic!("one request") };
    Ok(step)
}

fn plan(config: &Config, message: &Message<'_>) -> Result<HttpStep, PlanError> {
    plan_at(config, message, NOW)
}

#[test]
fn bodies_are_as_their_format_says() {
    let check = |format: &str, data: &str, body: Option<&str>, expected: Result<(&str, &str), PlanError>| {
        let found = plan(&config(&json!({"format": format})), &message(data, body));
        let found = found.map(|step| {
            let body = String::from_utf8(step.body.to_vec()).unwrap();
            (body, step.headers[CONTENT_TYPE].to_str().unwrap().to_owned())
        });
        assert_eq!(found, expected.map(|(body, kind)| (body.to_owned(), kind.to_owned())), "{format} {data}");
    };
    let data = "{ \"b\": 1.0,\t\"a\" :\"\\u00fc ü\"}";
    let standard = format!(r#"{{"type":"invoice.paid","timestamp":"2020-09-13T12:26:40.000Z","data":{data}}}"#);
    check("standard", data, Some("unused"), Ok((&standard, "application/json")));
    check(
        "thulium",
        r#"{"client_name":null,"action":"NOT_OURS","chat_queue_id":7}"#,
        None,
        Ok((
            "action=INVOICE_PAID&date=2020-09-13+12%3A26%3A40&chat_queue_id=7&client_name=",
            "application/x-www-form-urlencoded",
        )),
    );
    check(
        "thulium",
        r#"{"date":"2024-04-24 13:19:25"}"#,
        None,
        Ok(("action=INVOICE_PAID&date=2024-04-24+13%3A19%3A25", "application/x-www-form-urlencoded")),
    );
    check(
        "form",
        r#"{"is_ok":true,"url":"https://x"}"#,
        None,
        Ok(("is_ok=1&url=https%3A%2F%2Fx", "application/x-www-form-urlencoded")),
    );
    check("form", "[]", None, Err(PlanError::Data));
    check("template", "{}", Some(" {\"a\": 1}\n"), Ok((" {\"a\": 1}\n", "application/json")));
    check("template", "{}", Some("grüße"), Ok(("grüße", "text/plain; charset=utf-8")));
    check("template", "{}", Some(""), Ok(("", "text/plain; charset=utf-8")));
    check("template", "{}", None, Err(PlanError::NoBody));
}

#[test]
fn times_are_written_with_milliseconds() {
    let check = |ms: i64, expected: &str| {
        let mut out = Vec::new();
        crate::message::write_rfc3339(Timestamp::from_ms(ms), &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    };
    check(0, "1970-01-01T00:00:00.000Z");
    check(1_700_000_000_120, "2023-11-14T22:13:20.120Z");
    check(-1, "1969-12-31T23:59:59.999Z");
    check(i64::MAX, "9999-12-30T22:00:00.999Z");
}

#[test]
fn requests_carry_what_the_owner_set() {
    let fields = json!({"url": "HTTPS://A.test", "basic_user": "ü", "basic_password": "p:w",
        "headers": {"User-Agent": "mine", "X-Team": "ops"}});
    let step = plan(&config(&fields), &message("{}", None)).unwrap();
    assert_eq!((step.method, step.timeout, step.url.reveal()), (Method::POST, TIMEOUT, "https://a.test/"));
    let header = |name: &str| step.headers[name].to_str().unwrap();
    assert_eq!(header("authorization"), "Basic w7w6cDp3");
    assert_eq!((header("user-agent"), header("x-team")), ("mine", "ops"));
    assert!(!step.headers.contains_key(WEBHOOK_SIGNATURE));
    assert!(!format!("{:?}", step.headers).contains("ops"));

    let own_type = json!({"headers": {"content-type": "application/cloudevents+json"}});
    let step = plan(&config(&own_type), &message("{}", None)).unwrap();
    let types: Vec<_> = step.headers.get_all(CONTENT_TYPE).iter().collect();
    assert_eq!(types, ["application/cloudevents+json"]);
}

#[test]
fn signatures_verify_and_follow_a_rotation() {
    let keys =
        |texts: &[&str]| -> Vec<SigningKey> { texts.iter().map(|key| SigningKey::parse(key).unwrap()).collect() };
    let check = |config: &Config, now: Timestamp, good: &[&str], bad: &[&str]| {
        let step = plan_at(config, &message("{}", None), now).unwrap();
        let header = |name: &HeaderName| step.headers[name].to_str().unwrap();
        assert_eq!(header(&WEBHOOK_ID), "dlv_7");
        assert_eq!(header(&WEBHOOK_TIMESTAMP), now.as_seconds().to_string());
        let verified = |text: &str| {
            let (timestamp, signature) = (header(&WEBHOOK_TIMESTAMP), header(&WEBHOOK_SIGNATURE));
            verify(&keys(&[text]), "dlv_7", timestamp, signature, &step.body, now).is_ok()
        };
        assert!(good.iter().all(|key| verified(key)) && !bad.iter().any(|key| verified(key)), "{now:?}");
    };
    let first = config(&json!({"secret": OLD}));
    check(&first, NOW, &[OLD], &[NEW]);

    let patch = json!({"secret": NEW});
    let second = update(&Webhook, &first, patch.as_object().unwrap(), NOW).unwrap();
    let end = NOW.after(crate::config::SECRET_GRACE);
    check(&second, NOW, &[OLD, NEW], &[]);
    check(&second, Timestamp::from_ms(end.as_ms() - 1), &[OLD, NEW], &[]);
    check(&second, end, &[NEW], &[OLD]);

    // Removing the secret ends signing, until another is made: then the old one is still honoured.
    let patch = json!({"secret": null});
    let mut removed = update(&Webhook, &first, patch.as_object().unwrap(), NOW).unwrap();
    assert!(!plan(&removed, &message("{}", None)).unwrap().headers.contains_key(WEBHOOK_SIGNATURE));
    Webhook.complete(&mut removed, [7; 32]);
    let made = removed.text(SECRET).unwrap().to_owned();
    check(&removed, NOW, &[OLD, &made], &[NEW]);
}

#[test]
fn a_secret_is_made_where_receivers_can_check_it() {
    let check = |fields: &Value, expected: &[&str]| {
        let mut config = config(fields);
        assert_eq!(Webhook.complete(&mut config, [7; 32]), expected, "{fields}");
        assert_eq!(config.text(SECRET).is_some(), !expected.is_empty() || fields.get("secret").is_some());
    };
    check(&json!({}), &["secret"]);
    check(&json!({"format": "standard"}), &["secret"]);
    check(&json!({"format": "template"}), &["secret"]);
    check(&json!({"format": "form"}), &[]);
    check(&json!({"secret": OLD}), &[]);
}

#[test]
fn an_id_that_breaks_signatures_is_refused() {
    for wire_id in ["a.b", "a\nb", "ä"] {
        let operator = Operator::default();
        let context = first_try(wire_id, NOW, &operator);
        let found = Webhook.plan(&config(&json!({"secret": OLD})), &message("{}", None), &context);
        assert_eq!(found.unwrap_err(), PlanError::WireId, "{wire_id}");
    }
}

#[test]
fn credentials_leave_the_url() {
    let check = |url: &str, expected: (&str, Option<&str>, Option<&str>)| {
        let config = config(&json!({"url": url}));
        let found = (config.text(URL).unwrap(), config.text(BASIC_USER), config.text(BASIC_PASSWORD));
        assert_eq!(found, expected, "{url}");
    };
    check("https://a.test", ("https://a.test", None, None));
    check("https://u:p@a.test/x?y=@z", ("https://a.test/x?y=@z", Some("u"), Some("p")));
    check("http://u%40b:p%3A+%20ü@a.test/", ("http://a.test/", Some("u@b"), Some("p:+ ü")));
    check("https://u@a.test/", ("https://a.test/", Some("u"), None));

    // New credentials in a patched URL take the place of all that were there.
    let before = config(&json!({"basic_user": "old", "basic_password": "old"}));
    let patch = json!({"url": "https://new@a.test/"});
    let after = update(&Webhook, &before, patch.as_object().unwrap(), NOW).unwrap();
    assert_eq!((after.text(BASIC_USER), after.text(BASIC_PASSWORD)), (Some("new"), None));
}

#[test]
fn fields_that_do_not_go_together_are_refused() {
    let check = |fields: Value, field: &str, part: &str| {
        let mut given = fields.as_object().unwrap().clone();
        given.entry("url").or_insert(json!("https://a.test/"));
        let errors = create(&Webhook, &given).unwrap_err();
        assert_eq!((errors.len(), errors[0].field.as_str()), (1, field), "{errors:?}");
        assert!(errors[0].message.contains(part), "{}", errors[0].message);
    };
    check(json!({"basic_user": "a:b"}), "config.basic_user", "':'");
    check(json!({"basic_password": "p"}), "config.basic_user", "required");
    check(json!({"url": "https://:p@a.test/"}), "config.basic_user", "required");
    check(json!({"url": "https://u:p@a.test/", "basic_user": "v"}), "config.url", "user name");
    check(json!({"basic_user": "u", "headers": {"Authorization": "x"}}), "config.headers.authorization", "basic_user");
    check(json!({"format": "xml"}), "config.format", "standard, form, thulium, template");
    check(json!({"secret": "hunter2"}), "config.secret", "whsec_");
}

#[test]
fn a_stored_config_that_cannot_be_used_names_the_field() {
    let check = |json: &str, field: &'static str| {
        let config = Config::parse(json).unwrap();
        assert_eq!(plan(&config, &message("{}", None)).unwrap_err(), PlanError::Config(field), "{json}");
    };
    check("{}", "url");
    check(r#"{"url":"https://a.test/","format":"pigeon"}"#, "format");
    check(r#"{"url":"https://a.test/","secret":"x"}"#, "secret");
    check(r#"{"url":"https://a.test/","headers":{"a b":"x"}}"#, "headers");
}

#[test]
fn answers_are_judged_row_by_row() {
    use Class::{Delivered, Permanent, Retry, Throttled};
    let answer = |code: u16| {
        let headers = [("retry-after", "7"), ("location", "https://b.test/x?token=t")];
        let headers = headers.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let status = StatusCode::from_u16(code).unwrap();
        Reply::Http(HttpReply { status, headers: HeaderMap::from_iter(headers), body: Bytes::new() })
    };
    let check = |codes: &[u16], class: Class, scope: Scope, hinted: bool| {
        for code in codes {
            let outcome = Webhook.judge(&answer(*code), NOW);
            assert_eq!((outcome.class, outcome.scope), (class, scope), "{code}");
            assert_eq!(outcome.hint, hinted.then_some(Duration::from_secs(7)), "{code}");
        }
    };
    check(&[200, 201, 202, 204, 226], Delivered, Scope::Message, false);
    check(&[410], Permanent, Scope::Channel, false);
    check(&[429], Throttled, Scope::Channel, true);
    check(&[408, 425, 502, 503, 504], Retry, Scope::Message, true);
    check(&[400, 401, 403, 404, 405, 413, 415, 422, 500, 501, 505, 507, 520], Retry, Scope::Message, false);
    check(&[100, 300, 301, 302, 304, 307, 308], Retry, Scope::Message, false);

    let note = |code| Webhook.judge(&answer(code), NOW).note;
    assert_eq!(note(200), "");
    assert_eq!(note(503), "HTTP 503 Service Unavailable");
    assert_eq!(note(301), "redirect to https://b.test/x refused: put the final URL in the channel");
    let failed = Reply::Failed(Failure { kind: FailureKind::NoAnswer, detail: "15 s".to_owned() });
    assert_eq!(Webhook.judge(&failed, NOW).class, Class::Unknown);
}

#[test]
fn a_digest_is_an_array_of_what_its_events_would_be() {
    let items = ["{\"n\": 1}", "{ }"].map(|data| {
        let Message { event_id, event_type, data, occurred_at, severity, .. } = message(data, None);
        crate::Item { event_id, event_type, data, occurred_at, severity }
    });
    let single = |item: &crate::Item<'_>| plan(&config(&json!({})), &item.message()).unwrap().body;
    let expected = [b"[", &*single(&items[0]), b",", &*single(&items[1]), b"]"].concat();
    let digest = Message { items: &items, ..message("{}", None) };
    assert_eq!(plan(&config(&json!({})), &digest).unwrap().body, expected);
    assert!(Webhook.merges(&config(&json!({}))) && Webhook.merges(&config(&json!({"format": "template"}))));
    assert!(!Webhook.merges(&config(&json!({"format": "form"}))));
}
