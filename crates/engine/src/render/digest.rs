//! A digest's content: what is sealed, and what it is planned from, however often it is sent.
//!
//! A template that asks for `items` is written for several events, and is rendered once. One that does not says what one
//! event has to say: it is rendered for each, and the results are joined, by blank lines or, for programs, as a JSON
//! array. Without a template the provider makes the message of the events, so these are part of the content.

use std::sync::Arc;

use domain::digest::DIGEST_BYTES_MAX;
use domain::event::{Event, Severity};
use domain::{EventId, Timestamp};
use providers::{Item, Message};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{BODY, Compiled, Rendered, SUBJECT, Templates, context_of, render_one};
use crate::accept::filter::Context;
use crate::registry::LiveChannel;

/// The type of a digest, where a single event has its own.
const DIGEST_TYPE: &str = "postrider.digest";

/// What a digest says, as the store keeps it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DigestRow {
    subject: Option<String>,
    body: Option<String>,
    /// What is wrong with a template; then nothing can be sent.
    error: Option<String>,
    items: Vec<ItemRow>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ItemRow {
    event: i64,
    r#type: Arc<str>,
    occurred_at: i64,
    severity: Option<String>,
    data: Box<RawValue>,
}

impl DigestRow {
    /// Renders events for a channel. Gives how many of them, from the first on, it took: as many as there is room for.
    pub(crate) fn render(live: &LiveChannel, events: &[&Event]) -> (Self, usize) {
        let (rendered, taken) = match live.templates.render_digest(live, events) {
            Ok((rendered, taken)) => (Ok(rendered), taken),
            Err(error) => (Err(error), events.len()),
        };
        let error = rendered.as_ref().err().cloned();
        let Rendered { subject, body } = rendered.unwrap_or_default();
        let items = events.iter().take(taken).map(|event| ItemRow::of(event)).collect();
        (Self { subject, body, error, items }, taken)
    }

    /// Reads what [`DigestRow::to_text`] wrote.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| format!("the sealed digest cannot be read: {error}"))
    }

    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers can be written to memory")
    }

    /// What came of the channel's templates.
    pub(crate) fn rendered(&self) -> Rendered {
        Rendered { subject: self.subject.clone(), body: self.body.clone() }
    }

    /// Lets `plan` make something of the digest as a message. The error says what is wrong with a template.
    pub(crate) fn with_message<T>(&self, plan: impl FnOnce(&Message<'_>) -> Result<T, String>) -> Result<T, String> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let items: Vec<Item<'_>> = self.items.iter().map(ItemRow::item).collect();
        let (Some(first), Some(last)) = (items.first(), items.last()) else {
            return Err("the sealed digest has no events".to_owned());
        };
        plan(&Message {
            event_id: first.event_id,
            event_type: DIGEST_TYPE,
            data: "{}",
            occurred_at: last.occurred_at,
            severity: items.iter().filter_map(|item| item.severity).max(),
            subject: self.subject.as_deref(),
            body: self.body.as_deref(),
            items: &items,
        })
    }
}

impl ItemRow {
    fn of(event: &Event) -> Self {
        let content = &event.content;
        let data = RawValue::from_string(content.data.to_string());
        Self {
            event: event.id.0,
            r#type: Arc::clone(&content.event_type),
            occurred_at: content.occurred_at.as_ms(),
            severity: content.severity.map(|severity| severity.name().to_owned()),
            data: data.unwrap_or_else(|_| RawValue::from_string("{}".to_owned()).expect("it is JSON")),
        }
    }

    fn item(&self) -> Item<'_> {
        Item {
            event_id: EventId(self.event),
            event_type: &self.r#type,
            data: self.data.get(),
            occurred_at: Timestamp::from_ms(self.occurred_at),
            severity: self.severity.as_deref().and_then(Severity::parse),
        }
    }
}

impl Templates {
    /// Renders what the channel has for several events, and how many of them there was room for.
    fn render_digest(&self, live: &LiveChannel, events: &[&Event]) -> Result<(Rendered, usize), String> {
        if self.subject.is_none() && self.body.is_none() {
            return Ok((Rendered::default(), events.len()));
        }
        let contexts: Vec<Context> = events.iter().map(|event| context_of(live, event)).collect();
        let Some(first) = contexts.first() else { return Err("there are no events".to_owned()) };
        let (body, taken) = match &self.body {
            Some(body) if !body.sees_items => {
                let (body, taken) = self.joined(body, &contexts)?;
                (Some(body), taken)
            }
            Some(body) => {
                let whole = first.with_items(contexts.clone());
                (Some(render_one(&body.environment, BODY, &whole)?), contexts.len())
            }
            None => (None, contexts.len()),
        };
        let subject = self.subject.as_ref().map(|subject| subject_of(subject, &contexts[..taken])).transpose()?;
        Ok((Rendered { subject, body }, taken))
    }

    /// The results for each event as one text, as many as there is room for, at least one.
    fn joined(&self, body: &Compiled, contexts: &[Context]) -> Result<(String, usize), String> {
        let mut parts = Vec::with_capacity(contexts.len());
        let mut bytes = 0;
        for context in contexts {
            let part = render_one(&body.environment, BODY, context)?;
            bytes += part.len() + 2;
            if bytes > DIGEST_BYTES_MAX && !parts.is_empty() {
                break;
            }
            parts.push(part);
        }
        let taken = parts.len();
        if self.is_json {
            let parts: Vec<String> = parts.into_iter().map(as_json).collect();
            return Ok((format!("[{}]", parts.join(",")), taken));
        }
        Ok((parts.join("\n\n"), taken))
    }
}

/// What is JSON as it is, and any other text as JSON's own.
fn as_json(part: String) -> String {
    let is_json = serde_json::from_str::<&RawValue>(&part).is_ok();
    if is_json { part } else { serde_json::Value::from(part).to_string() }
}

/// The subject of several events: that of the first, and how many more there are.
fn subject_of(subject: &Compiled, contexts: &[Context]) -> Result<String, String> {
    let [first, rest @ ..] = contexts else { return Ok(String::new()) };
    if subject.sees_items {
        return render_one(&subject.environment, SUBJECT, &first.with_items(contexts.to_vec()));
    }
    let text = render_one(&subject.environment, SUBJECT, first)?;
    Ok(if rest.is_empty() { text } else { format!("{text} (and {} more)", rest.len()) })
}

#[cfg(test)]
mod tests {
    use domain::channel::{Channel, ChannelSettings};
    use domain::event::NewEvent;
    use domain::schedule::Schedule;
    use domain::{ChannelId, Secret, TenantId};
    use providers::{Config, Markup};

    use super::*;
    use crate::registry::ProviderRef;

    const NOW: Timestamp = Timestamp::from_ms(0);

    fn live(subject: Option<&str>, body: Option<&str>, markup: Markup) -> LiveChannel {
        let mut settings = ChannelSettings::new("Chat".to_owned(), "webhook".to_owned(), Secret::new("{}"));
        settings.subject_template = subject.map(ToOwned::to_owned);
        settings.body_template = body.map(ToOwned::to_owned);
        let (id, tenant) = (ChannelId(1), TenantId(1));
        LiveChannel {
            provider: ProviderRef(providers::find("webhook").unwrap()),
            provider_name: "webhook".into(),
            config: Config::default(),
            templates: Templates::compile(&settings, markup),
            digest: None,
            schedule: Schedule::mail(),
            time_to_live: std::time::Duration::from_secs(60),
            held_max: 100,
            held_for: None,
            channel: Channel { id, tenant, settings, pause: None, created_at: NOW, updated_at: None, deleted_at: None },
            subscriptions: Vec::new(),
            scopes: providers::Scopes::default(),
            trip: Arc::default(),
            suspension: Arc::default(),
            is_new: false,
        }
    }

    fn events(count: i64, data: impl Fn(i64) -> String) -> Vec<Event> {
        let content = |n| NewEvent {
            tenant: TenantId(1),
            event_type: "disk.full".into(),
            data: data(n).into(),
            occurred_at: NOW,
            severity: Some(Severity::Warning),
            explicit_channels: None,
            trace: None,
        };
        (1..=count).map(|n| Event { id: EventId(n), accepted_at: NOW, content: Arc::new(content(n)) }).collect()
    }

    fn render(live: &LiveChannel, events: &[Event]) -> (DigestRow, usize) {
        let (row, taken) = DigestRow::render(live, &events.iter().collect::<Vec<_>>());
        (DigestRow::read(&row.to_text()).unwrap(), taken)
    }

    #[test]
    fn templates_of_one_event_are_joined_and_those_of_many_are_not() {
        let three = events(3, |n| format!(r#"{{"n": {n}, "host": "<a>"}}"#));
        let check = |subject: &str, body: &str, markup, expected: (&str, &str)| {
            let (row, taken) = render(&live(Some(subject), Some(body), markup), &three);
            assert_eq!((row.error, taken), (None, 3), "{body}");
            assert_eq!((row.subject.as_deref(), row.body.as_deref()), (Some(expected.0), Some(expected.1)), "{body}");
        };
        check("n {{ n }}", "{{ host }} {{ n }}", Markup::Plain, ("n 1 (and 2 more)", "<a> 1\n\n<a> 2\n\n<a> 3"));
        check("x", r#"{"n": {{ n }}}"#, Markup::Json, ("x (and 2 more)", r#"[{"n": 1},{"n": 2},{"n": 3}]"#));
        check("x", "n {{ n }}", Markup::Json, ("x (and 2 more)", r#"["n 1","n 2","n 3"]"#));
        check(
            "{{ items | length }} of {{ event.type }}",
            "{% for item in items %}<p>{{ item.host }} {{ item.event.severity }}</p>{% endfor %}{{ channel.name }}",
            Markup::Html,
            ("3 of disk.full", &("<p>&lt;a&gt; warning</p>".repeat(3) + "Chat")),
        );
    }

    #[test]
    fn what_has_no_room_is_left_for_the_next() {
        let long = events(10, |n| format!(r#"{{"text": "{}", "n": {n}}}"#, "x".repeat(200_000)));
        let (row, taken) = render(&live(None, Some("{{ text }}"), Markup::Plain), &long);
        assert_eq!((taken, row.items.len()), (5, 5));
        let (row, taken) = render(&live(None, None, Markup::Plain), &long);
        assert_eq!((taken, row.items.len(), row.body), (10, 10, None));
    }

    #[test]
    fn a_template_that_fails_says_so_whenever_it_is_sent() {
        let (row, taken) =
            render(&live(None, Some("{{ items[0].n - 'a' }}"), Markup::Plain), &events(2, |_| "{}".into()));
        assert_eq!(taken, 2);
        let error = row.with_message(|_| Ok(())).unwrap_err();
        assert!(error.starts_with("body_template, line 1"), "{error}");
    }

    #[test]
    fn a_message_is_of_all_its_events() {
        let (row, _) = render(&live(None, None, Markup::Plain), &events(2, |n| format!(r#"{{ "n":{n} }}"#)));
        row.with_message(|message| {
            let data: Vec<_> = message.items.iter().map(|item| item.data).collect();
            assert_eq!(data, [r#"{ "n":1 }"#, r#"{ "n":2 }"#], "byte for byte");
            assert_eq!((message.event_type, message.severity), (DIGEST_TYPE, Some(Severity::Warning)));
            Ok(())
        })
        .unwrap();
    }
}
