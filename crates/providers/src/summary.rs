//! What an event's data says to a person, read once for every provider that has to make a message of it by itself.
//!
//! Data is any JSON object; a few common keys are understood (`title`, `message`, `url`...) and everything else is a
//! table of fields. Nothing here knows a markup: texts are bounded and free of control characters, and escaping is for
//! whoever writes them.

use std::collections::BTreeMap;

use domain::Timestamp;
use domain::event::Severity;
use serde_json::value::RawValue;
use url::Url;

use crate::digest;
use crate::form::compact;
use crate::message::{Message, PlanError, rfc3339};

/// Bounds in characters: what people read, and no more than every client shows.
const TITLE_CHARS_MAX: usize = 200;
const TEXT_CHARS_MAX: usize = 20_000;
const NAME_CHARS_MAX: usize = 100;
const VALUE_CHARS_MAX: usize = 2_000;

/// The most fields that are listed; the rest is counted.
const FIELDS_MAX: usize = 50;

/// The longest link that is offered, in bytes.
const LINK_BYTES_MAX: usize = 2048;

const TITLE_KEYS: [&str; 2] = ["title", "subject"];
const TEXT_KEYS: [&str; 3] = ["message", "text", "description"];
const LINK_KEYS: [&str; 2] = ["url", "link"];

/// An event in the words of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// One line, never empty: what the data calls itself, or the severity and the type.
    pub title: String,
    /// Paragraphs.
    pub text: Option<String>,
    pub severity: Option<Severity>,
    /// Whether it is over what the event tells of.
    pub is_resolved: bool,
    pub event_type: String,
    /// The rest of the data, in order of key.
    pub fields: Vec<SummaryField>,
    /// How many fields more there are.
    pub fields_left_out: usize,
    /// Where more is to be seen: http or https.
    pub link: Option<Url>,
    pub occurred_at: Timestamp,
}

/// One top-level key of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummaryField {
    pub name: String,
    /// A text as it is, anything else as compact JSON.
    pub value: String,
}

impl Summary {
    /// Reads a message's data.
    pub fn read(message: &Message<'_>) -> Result<Self, PlanError> {
        if !message.items.is_empty() {
            return digest::summary(message);
        }
        let mut data: BTreeMap<String, &RawValue> = serde_json::from_str(message.data).map_err(|_| PlanError::Data)?;
        let is_resolved = is_resolved(message.event_type, &data);
        let title = take_text(&mut data, &TITLE_KEYS).map(|text| one_line(&text, TITLE_CHARS_MAX));
        let title = title.filter(|title| !title.is_empty()).unwrap_or_else(|| default_title(message));
        let text = take_text(&mut data, &TEXT_KEYS).map(|text| paragraphs(&text, TEXT_CHARS_MAX));
        let link = take_link(&mut data);
        let fields_left_out = data.len().saturating_sub(FIELDS_MAX);
        let fields = data.into_iter().take(FIELDS_MAX).map(|(name, value)| SummaryField {
            name: one_line(&name, NAME_CHARS_MAX),
            value: paragraphs(&shown(value), VALUE_CHARS_MAX),
        });
        Ok(Self {
            title: if is_resolved { resolved(title) } else { title },
            is_resolved,
            text: text.filter(|text| !text.is_empty()),
            severity: message.severity,
            event_type: one_line(message.event_type, TITLE_CHARS_MAX),
            fields: fields.collect(),
            fields_left_out,
            link,
            occurred_at: message.occurred_at,
        })
    }
}

impl Summary {
    /// How severe it is, or that it is over.
    pub fn state(&self) -> Option<&'static str> {
        if self.is_resolved { Some("resolved") } else { self.severity.map(Severity::name) }
    }

    /// The colour of that, 0xRRGGBB: readable on white and on near-black.
    pub const fn colour(&self) -> u32 {
        match self.severity {
            _ if self.is_resolved => 0x2f_a3_5e,
            Some(Severity::Critical) => 0xd6_24_6e,
            Some(Severity::Error) => 0xe5_48_4d,
            Some(Severity::Warning) => 0xd9_8a_06,
            Some(Severity::Info) => 0x3b_82_f6,
            Some(Severity::Debug) | None => 0x80_88_94,
        }
    }

    /// The same in one character, for clients that show no colours.
    pub fn sign(&self) -> Option<&'static str> {
        match self.severity {
            _ if self.is_resolved => Some("🟢"),
            Some(Severity::Critical | Severity::Error) => Some("🔴"),
            Some(Severity::Warning) => Some("🟠"),
            Some(Severity::Info) => Some("🔵"),
            Some(Severity::Debug) => Some("⚪"),
            None => None,
        }
    }

    /// The small line below everything: how severe, of what type, and when.
    pub fn footer(&self) -> String {
        let at = rfc3339(self.occurred_at);
        self.state().into_iter().chain([self.event_type.as_str(), &at]).collect::<Vec<_>>().join(" · ")
    }

    /// What is said of the fields that are not listed.
    pub fn left_out(&self) -> Option<String> {
        (self.fields_left_out > 0).then(|| format!("and {} fields more", self.fields_left_out))
    }
}

/// By the event type's last word, the data's `status`, or the `is_ok` of uptime monitors.
fn is_resolved(event_type: &str, data: &BTreeMap<String, &RawValue>) -> bool {
    const WORDS: [&str; 4] = ["resolved", "recovered", "ok", "up"];
    let is_word = |text: &str| WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    let status: Option<String> = data.get("status").and_then(|value| serde_json::from_str(value.get()).ok());
    let is_ok = data.get("is_ok").is_some_and(|value| matches!(value.get(), "true" | "1"));
    event_type.rsplit('.').next().is_some_and(is_word) || status.as_deref().is_some_and(is_word) || is_ok
}

fn resolved(title: String) -> String {
    let says_so = title.to_lowercase();
    if ["resolved", "recovered"].iter().any(|word| says_so.contains(word)) {
        return title;
    }
    bounded(&format!("Resolved: {title}"), TITLE_CHARS_MAX)
}

/// A text on one line: control characters become spaces. What is longer ends in an ellipsis.
pub fn one_line(text: &str, chars_max: usize) -> String {
    let spaced: String = text.chars().map(|c| if is_forbidden(c) { ' ' } else { c }).collect();
    bounded(spaced.trim(), chars_max)
}

/// A text on several lines: of control characters only line feeds and tabs stay.
fn paragraphs(text: &str, chars_max: usize) -> String {
    let text = text.replace("\r\n", "\n");
    let kept: String = text.chars().filter(|c| matches!(c, '\n' | '\t') || !is_forbidden(*c)).collect();
    bounded(kept.trim(), chars_max)
}

/// Control characters, and the two that Unicode has for ending lines and paragraphs.
fn is_forbidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

fn bounded(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(chars_max - 1).chain(['…']).collect(),
    }
}

fn default_title(message: &Message<'_>) -> String {
    let event_type = one_line(message.event_type, TITLE_CHARS_MAX);
    message.severity.map_or_else(|| event_type.clone(), |severity| format!("[{severity}] {event_type}"))
}

/// The first of these keys that holds a text with something in it; it is no field any more.
fn take_text(data: &mut BTreeMap<String, &RawValue>, keys: &[&str]) -> Option<String> {
    let (key, text) = keys.iter().find_map(|key| {
        let text: String = serde_json::from_str(data.get(*key)?.get()).ok()?;
        (!text.trim().is_empty()).then_some((*key, text))
    })?;
    data.remove(key);
    Some(text)
}

fn take_link(data: &mut BTreeMap<String, &RawValue>) -> Option<Url> {
    let (key, link) = LINK_KEYS.iter().find_map(|key| {
        let text: String = serde_json::from_str(data.get(*key)?.get()).ok()?;
        let url = Url::parse(&text).ok()?;
        let is_web = matches!(url.scheme(), "http" | "https") && url.as_str().len() <= LINK_BYTES_MAX;
        is_web.then_some((*key, url))
    })?;
    data.remove(key);
    Some(link)
}

fn shown(value: &RawValue) -> String {
    let json = value.get();
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str(json).unwrap_or_else(|_| json.to_owned()),
        Some(b'{' | b'[') => compact(json),
        _ => json.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use domain::EventId;

    use super::*;

    fn message(data: &str, severity: Option<Severity>) -> Message<'_> {
        let occurred_at = Timestamp::from_ms(0);
        Message {
            event_id: EventId(1),
            event_type: "a.b",
            data,
            occurred_at,
            severity,
            subject: None,
            body: None,
            items: &[],
        }
    }

    fn read(data: &str) -> Summary {
        Summary::read(&message(data, None)).unwrap()
    }

    #[test]
    fn titles_are_what_the_data_says_or_the_type() {
        let check = |data: &str, severity, expected: &str| {
            assert_eq!(Summary::read(&message(data, severity)).unwrap().title, expected, "{data}");
        };
        check("{}", None, "a.b");
        check("{}", Some(Severity::Critical), "[critical] a.b");
        check(r#"{"title": "Paid", "subject": "x"}"#, Some(Severity::Info), "Paid");
        check(r#"{"title": 7, "subject": "Paid\r\nBcc: x@y.test"}"#, None, "Paid  Bcc: x@y.test");
        check(r#"{"title": " \u0000 "}"#, None, "a.b");
        let long = format!(r#"{{"title": "{}"}}"#, "ä".repeat(300));
        assert_eq!(read(&long).title, "ä".repeat(199) + "…");
    }

    #[test]
    fn texts_links_and_fields_are_told_apart() {
        let summary = read(
            r#"{"message": "One\r\nTwo\u0007", "text": "three", "url": "javascript:alert(1)", "link": "https://a.test/ x",
                "n": 1.50, "list": [ 1, "a b" ], "yes": true, "none": null}"#,
        );
        assert_eq!(summary.text.as_deref(), Some("One\nTwo"));
        assert_eq!(summary.link.unwrap().as_str(), "https://a.test/%20x");
        let fields: Vec<_> = summary.fields.iter().map(|one| (one.name.as_str(), one.value.as_str())).collect();
        let expected = [
            ("list", r#"[1,"a b"]"#),
            ("n", "1.50"),
            ("none", "null"),
            ("text", "three"),
            ("url", "javascript:alert(1)"),
            ("yes", "true"),
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn what_is_over_looks_so() {
        let check = |event_type: &str, data: &str, expected: Option<&str>| {
            let message = Message { event_type, ..message(data, Some(Severity::Critical)) };
            let summary = Summary::read(&message).unwrap();
            assert_eq!(summary.is_resolved.then_some(summary.title.as_str()), expected, "{event_type} {data}");
            assert_eq!(summary.sign(), Some(if expected.is_some() { "🟢" } else { "🔴" }));
            assert_eq!(summary.footer().starts_with("resolved · "), expected.is_some());
        };
        check("alert.fired", r#"{"title": "Disk full"}"#, None);
        check("alert.resolved", r#"{"title": "Disk full"}"#, Some("Resolved: Disk full"));
        check("alert.resolved", "{}", Some("[critical] alert.resolved"));
        check("alert", r#"{"title": "Disk", "status": "Resolved"}"#, Some("Resolved: Disk"));
        check("alert", r#"{"title": "Disk recovered", "is_ok": 1}"#, Some("Disk recovered"));
        check("alert", r#"{"title": "Disk", "status": "firing", "is_ok": 0}"#, None);
        check("backup", r#"{"title": "Disk", "status": 7}"#, None);
    }

    #[test]
    fn everything_is_bounded() {
        let many: Vec<String> = (0..60).map(|number| format!(r#""{number:03}": "{}""#, "x".repeat(3000))).collect();
        let summary = read(&format!("{{{}}}", many.join(",")));
        assert_eq!((summary.fields.len(), summary.fields_left_out), (FIELDS_MAX, 10));
        assert!(summary.fields.iter().all(|field| field.value.chars().count() == VALUE_CHARS_MAX));
        assert_eq!(Summary::read(&message("[]", None)), Err(PlanError::Data));
    }
}
