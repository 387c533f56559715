//! Mails, read by somebody else's parser; what hostile data does to them, which is nothing.

use domain::EventId;
use domain::event::Severity;
use mail_parser::{MessageParser, MimeHeaders as _};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::config::{create, update};
use crate::trial::first_try;

const NOW: Timestamp = Timestamp::from_ms(1_700_000_000_000);

fn operator() -> Operator {
    Operator { has_smtp: true, smtp_from: Some("Ops <ops@operator.test>".to_owned()), ..Operator::default() }
}

fn fields(config: Value) -> Map<String, Value> {
    let Value::Object(fields) = config else { panic!("{config}") };
    fields
}

fn config(given: Value) -> Config {
    create(&Email, &fields(given)).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn event(data: &str) -> Message<'_> {
    Message {
        event_id: EventId(1),
        event_type: "invoice.paid",
        data,
        occurred_at: NOW,
        severity: Some(Severity::Warning),
        subject: None,
        body: None,
        items: &[],
    }
}

fn plan_with(config: &Config, message: &Message<'_>, operator: &Operator) -> Result<Vec<SmtpStep>, PlanError> {
    let context = first_try("dlv_db_7", NOW, operator);
    let steps = Email.plan(config, message, &context)?;
    let mail = |step| match step {
        Step::Smtp(step) => step,
        other => panic!("{other:?}"),
    };
    Ok(steps.into_iter().map(mail).collect())
}

fn plan(config: &Config, message: &Message<'_>) -> Vec<SmtpStep> {
    plan_with(config, message, &operator()).unwrap()
}

fn parsed(step: &SmtpStep) -> mail_parser::Message<'_> {
    MessageParser::default().parse(&step.message[..]).expect("a mail")
}

#[test]
fn each_recipient_gets_a_mail_of_their_own() {
    let config = config(json!({"to": "ann@a.test, Bob <bob@b.test>", "reply_to": "Help <help@x.test>",
        "unsubscribe_url": "https://x.test/u?a=1"}));
    let steps = plan(&config, &event(r#"{"title": "Bezahlt: 5 €", "message": "Danke!", "amount": 5}"#));
    assert_eq!(steps.iter().map(|step| step.to.as_str()).collect::<Vec<_>>(), ["ann@a.test", "bob@b.test"]);
    assert!(steps.iter().all(|step| step.from == "ops@operator.test" && step.server.is_none()));
    assert_eq!(steps[0].message_id, "<dlv_db_7@operator.test>");
    assert_eq!(steps[1].message_id, "<dlv_db_7.1@operator.test>");

    let mail = parsed(&steps[1]);
    assert_eq!(mail.message_id(), Some("dlv_db_7.1@operator.test"));
    assert_eq!(mail.subject(), Some("Bezahlt: 5 €"));
    let to = mail.to().unwrap().first().unwrap();
    assert_eq!((to.name(), to.address()), (Some("Bob"), Some("bob@b.test")));
    assert_eq!(mail.to().unwrap().iter().count(), 1, "nobody sees who else got it");
    assert_eq!(mail.from().unwrap().first().unwrap().name(), Some("Ops"));
    assert_eq!(mail.reply_to().unwrap().first().unwrap().address(), Some("help@x.test"));
    assert_eq!(mail.date().unwrap().to_timestamp(), NOW.as_seconds());
    let header = |name: &'static str| mail.header_raw(name).map(str::trim);
    assert_eq!(header("Auto-Submitted"), Some("auto-generated"));
    assert_eq!(header("X-Auto-Response-Suppress"), Some("All"));
    assert_eq!(mail.header_raw("List-Unsubscribe").map(str::trim), Some("<https://x.test/u?a=1>"));
    assert_eq!(header("List-Unsubscribe-Post"), Some("List-Unsubscribe=One-Click"));
    let text = mail.body_text(0).unwrap();
    assert!(
        text.contains("Danke!") && text.contains("amount: 5") && text.contains("Unsubscribe: https://x.test/u?a=1")
    );
    let html = mail.body_html(0).unwrap();
    for part in
        ["Bezahlt: 5 €", "Danke!", "amount", "warning", "color-scheme", "2023-11-14T22:13:20.000Z", "Unsubscribe"]
    {
        assert!(html.contains(part), "{part}: {html}");
    }
    let kinds: Vec<_> = mail.parts.iter().map(|part| part.content_type().unwrap().subtype().unwrap()).collect();
    assert_eq!(kinds, ["alternative", "plain", "html"]);
    assert!(steps[1].message.is_ascii());
    assert!(steps[1].message.split(|byte| *byte == b'\n').all(|line| line.len() <= 999));
}

#[test]
fn an_unsubscribe_url_may_tell_the_type() {
    let config = config(json!({"to": "ann@a.test", "unsubscribe_url": "https://x.test/u/abc.{event_type}"}));
    let steps = plan(&config, &event("{}"));
    let header = parsed(&steps[0]).header_raw("List-Unsubscribe").map(|value| value.trim().to_owned());
    assert_eq!(header.as_deref(), Some("<https://x.test/u/abc.invoice.paid>"));
}

#[test]
fn an_unsubscribe_url_may_be_signed_for_the_type() {
    let url = "https://x.test/u/abc.{event_type}.{signature}";
    let config = config(json!({"to": "ann@a.test", "unsubscribe_url": url, "unsubscribe_secret": "secret"}));
    let steps = plan(&config, &event("{}"));
    let header = parsed(&steps[0]).header_raw("List-Unsubscribe").map(|value| value.trim().to_owned());
    let expected =
        format!("<https://x.test/u/abc.invoice.paid.{}>", super::unsubscribe::sign("secret", "invoice.paid"));
    assert_eq!(header, Some(expected));
}

#[test]
fn every_try_gives_the_same_bytes() {
    let config = config(json!({"to": "ann@a.test, bob@b.test"}));
    let message = event(r#"{"a": "b"}"#);
    let operator = operator();
    let bytes = |attempt: u32, now: Timestamp| -> Vec<_> {
        let context =
            PlanContext { wire_id: "dlv_db_7", attempt, is_plain: false, now, made_at: NOW, operator: &operator };
        let steps = Email.plan(&config, &message, &context).unwrap();
        steps.iter().map(Step::content).collect()
    };
    assert_eq!(bytes(1, NOW), bytes(5, NOW.after(Duration::from_hours(60))));
}

#[test]
fn templates_make_subject_and_both_bodies() {
    let config = config(json!({"to": "ann@a.test"}));
    let body = "<h1>Hello &lt;Ann&gt;</h1><p>Your invoice is <b>paid</b>.</p><style>p{}</style>";
    let message = Message { subject: Some("Paid\r\nBcc: x@y.test\u{0}"), body: Some(body), ..event("{}") };
    let steps = plan(&config, &message);
    let mail = parsed(&steps[0]);
    assert_eq!(mail.subject(), Some("Paid  Bcc: x@y.test"));
    assert!(mail.bcc().is_none());
    assert_eq!(mail.body_html(0).unwrap(), body);
    let text = mail.body_text(0).unwrap();
    assert!(text.contains("Hello <Ann>") && text.contains("paid") && !text.contains("p{}"), "{text}");
    let empty = Message { subject: Some(" \n "), ..event("{}") };
    assert_eq!(parsed(&plan(&config, &empty)[0]).subject(), Some("[warning] invoice.paid"));
}

#[test]
fn everything_in_the_default_form_is_escaped() {
    let data =
        r#"{"title": "<script>", "message": "a & b\n\"c\"", "<k>": "<img src=x>", "url": "https://x.test/\"><i>"}"#;
    let steps = plan(&config(json!({"to": "ann@a.test"})), &event(data));
    let mail = parsed(&steps[0]);
    let html = mail.body_html(0).unwrap();
    for part in ["&lt;script&gt;", "a &amp; b<br>", "&quot;c&quot;", "&lt;k&gt;", "&lt;img src=x&gt;"] {
        assert!(html.contains(part), "{part}: {html}");
    }
    for part in ["<script", "<img", "<k>", "<i>"] {
        assert!(!html.contains(part), "{part}: {html}");
    }
}

#[test]
fn the_server_is_the_channels_or_the_operators() {
    let check = |given: Value, port: u16, tls: SmtpTls| {
        let mut all = fields(json!({"to": "ann@a.test", "from": "x@x.test", "smtp_host": "mail.test"}));
        all.extend(fields(given));
        let config = create(&Email, &all).unwrap();
        let step = plan_with(&config, &event("{}"), &Operator::default()).unwrap().remove(0);
        let server = step.server.unwrap();
        assert_eq!((server.host.as_str(), server.port, server.tls), ("mail.test", port, tls));
    };
    check(json!({}), 587, SmtpTls::StartTls);
    check(json!({"smtp_tls": "implicit"}), 465, SmtpTls::Implicit);
    check(json!({"smtp_tls": "none"}), 25, SmtpTls::None);
    check(json!({"smtp_port": "2525", "smtp_user": "u", "smtp_password": "p"}), 2525, SmtpTls::StartTls);

    for (given, host) in [("BÜCHER.example", "xn--bcher-kva.example"), ("0x7f.1", "127.0.0.1"), ("::1", "::1")] {
        let config = config(json!({"to": "ann@a.test", "from": "x@x.test", "smtp_host": given}));
        assert_eq!(server(&config).unwrap().unwrap().host, host);
    }

    let bare = config(json!({"to": "ann@a.test"}));
    let nothing = Operator::default();
    assert_eq!(plan_with(&bare, &event("{}"), &nothing).unwrap_err(), PlanError::NoServer);
    let senderless = Operator { has_smtp: true, ..Operator::default() };
    assert_eq!(plan_with(&bare, &event("{}"), &senderless).unwrap_err(), PlanError::NoSender);
    let errors: Vec<_> = Email.check_operator(&bare, &nothing).unwrap_err().iter().map(ToString::to_string).collect();
    assert!(errors[0].starts_with("config.smtp_host:") && errors[0].contains("POSTRIDER_SMTP__URL"), "{errors:?}");
    assert!(errors[1].starts_with("config.from:") && errors[1].contains("POSTRIDER_SMTP__FROM"), "{errors:?}");
    assert_eq!(Email.check_operator(&bare, &operator()), Ok(()));
}

#[test]
fn fields_that_do_not_go_together_are_named() {
    let check = |given: Value, named: &[&str]| {
        let mut all = fields(json!({"to": "ann@a.test"}));
        all.extend(fields(given));
        let errors = create(&Email, &all).unwrap_err();
        let found: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(found, named, "{errors:?}");
    };
    let host = "mail.test";
    check(json!({"smtp_host": host, "smtp_tls": "none", "smtp_user": "u", "smtp_password": "p"}), &["config.smtp_tls"]);
    check(json!({"smtp_host": host, "smtp_user": "u"}), &["config.smtp_password"]);
    check(json!({"smtp_host": host, "smtp_password": "p"}), &["config.smtp_user"]);
    check(json!({"smtp_port": 25}), &["config.smtp_port"]);
    check(json!({"smtp_user": "u", "smtp_password": "p"}), &["config.smtp_user", "config.smtp_password"]);
    check(json!({"unsubscribe_url": format!("https://x.test/{}", "x".repeat(900))}), &["config.unsubscribe_url"]);
    check(json!({"unsubscribe_url": "https://x.test/{signature}"}), &["config.unsubscribe_secret"]);
    check(json!({"to": "nobody"}), &["config.to"]);
    check(json!({"from": "a@b.test\r\nBcc: c@d.test"}), &["config.from"]);
    let current = config(json!({"to": "ann@a.test"}));
    assert_eq!(update(&Email, &current, &fields(json!({"to": []})), NOW).unwrap_err()[0].field, "config.to");
}

/// Texts with everything that ends lines, opens headers or closes quotes.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\r\n".to_owned()),
        Just("\n".to_owned()),
        Just("\r".to_owned()),
        Just("\u{0}".to_owned()),
        Just("\u{85}\u{2028}".to_owned()),
        Just("\r\nBcc: evil@evil.test\r\n".to_owned()),
        Just("\r\n.\r\nMAIL FROM:<evil@evil.test>".to_owned()),
        Just("--=_dlv_db_7".to_owned()),
        Just("=?utf-8?q?=0D=0ABcc:_evil@evil.test?=".to_owned()),
        Just("\"<>,;:@()\\".to_owned()),
        "\\PC{0,12}",
        any::<String>(),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn nothing_from_outside_reaches_the_headers(
        title in hostile(), text in hostile(), key in hostile(), subject in hostile(), body in hostile(), name in hostile(),
    ) {
        let given = json!({"to": [format!("{name} <ann@a.test>")], "from": "x@x.test"});
        // A name that is refused is as good as one that is cleaned.
        let config = create(&Email, &fields(given)).unwrap_or_else(|_| config(json!({"to": "ann@a.test"})));
        let data = json!({"title": title, "message": text, key: "value"}).to_string();
        for message in [
            event(&data),
            Message { subject: Some(&subject), ..event(&data) },
            Message { subject: Some(&subject), body: Some(&body), ..event(&data) },
        ] {
            let step = plan(&config, &message).remove(0);
            let mail = String::from_utf8(step.message.to_vec()).unwrap();
            let (head, rest) = mail.split_once("\r\n\r\n").unwrap();
            let known = ["Date", "From", "To", "Subject", "Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress",
                "MIME-Version", "Content-Type"];
            for line in head.split("\r\n").filter(|line| !line.starts_with([' ', '\t'])) {
                let name = line.split(':').next().unwrap();
                prop_assert!(known.contains(&name), "{line:?} in {head}");
            }
            prop_assert!(!mail.replace("\r\n", "").contains(['\r', '\n', '\0']));
            prop_assert_eq!(rest.matches("--=_dlv_db_7").count(), 3, "{}", rest);
            let read = parsed(&step);
            prop_assert!(read.bcc().is_none() && read.parts.len() == 3);
            prop_assert!(!read.subject().unwrap_or_default().contains(char::is_control));
        }
    }
}
