//! The in-app inbox: a message that Postrider itself keeps, for an application to show to its users.
//!
//! Nothing leaves the process: the step is written down with the result of its delivery, in one transaction, so an entry
//! is there exactly once however often the process dies. A body template is plain text.

use std::time::Duration;

use domain::Timestamp;
use domain::outcome::Outcome;
use domain::schedule::Schedule;
use serde_json::json;

use crate::config::Config;
use crate::message::{Message, PlanContext, PlanError};
use crate::spec::{Field, FieldKind, Markup, Size, Spec, Unit};
use crate::step::{InboxStep, Reply, Step};
use crate::summary::{Summary, one_line};
use crate::{Provider, judge};

const TITLE: &str = "title";
const TEXT: &str = "text";

const RECIPIENT: &str = "recipient";

static SPEC: Spec = Spec {
    name: "internal_notification",
    title: "In-app inbox",
    fields: &[Field {
        key: RECIPIENT,
        kind: FieldKind::Text { chars_max: 128 },
        required: false,
        secret: false,
        help: "Whose inbox it is, in the words of your application. Without it, the one that all of the tenant share.",
        example: "user-17",
    }],
    retry: Schedule::chat,
    time_to_live: Duration::from_hours(3 * 24),
    body_markup: Markup::Plain,
    sizes: &[
        Size { what: TITLE, max: 200, unit: Unit::Characters },
        // An inbox shows messages and stores no documents.
        Size { what: TEXT, max: 4_000, unit: Unit::Characters },
    ],
    rates: &[],
    base_url: None,
};

/// The in-app inbox.
pub struct InternalNotification;

impl Provider for InternalNotification {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, config: &Config, message: &Message<'_>, _: &PlanContext<'_>) -> Result<Vec<Step>, PlanError> {
        let summary = Summary::read(message)?;
        let subject = message.subject.map(|text| one_line(text, SPEC.size(TITLE).max)).filter(|text| !text.is_empty());
        let text = match message.body {
            Some(body) => Some(body.to_owned()),
            None => summary.text,
        };
        let fields: Vec<_> =
            summary.fields.iter().map(|field| json!({"name": field.name, "value": field.value})).collect();
        // A template says all that there is to say.
        let fields = if message.body.is_some() { Vec::new() } else { fields };
        let content = json!({
            "type": message.event_type,
            "title": subject.unwrap_or(summary.title),
            "text": text.map(|text| SPEC.size(TEXT).cut(&text, Markup::Plain)),
            "severity": message.severity.map(domain::event::Severity::name),
            "url": summary.link.map(String::from),
            "fields": fields,
        });
        let recipient = config.text(RECIPIENT).unwrap_or_default().to_owned();
        Ok(vec![Step::Inbox(InboxStep { recipient, content: content.to_string() })])
    }

    fn judge(&self, reply: &Reply, _: Timestamp) -> Outcome {
        match reply {
            Reply::Kept => Outcome::delivered(),
            Reply::Failed(failure) => judge::failure(failure),
            Reply::Http(_) | Reply::Smtp(_) => judge::foreign(),
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::EventId;
    use domain::event::Severity;
    use serde_json::Value;

    use super::*;
    use crate::trial::first_try;
    use crate::{Operator, create};

    fn entry(data: &str, subject: Option<&str>, body: Option<&str>) -> (String, Value) {
        let config = json!({"recipient": "ada"});
        let config = create(&InternalNotification, config.as_object().unwrap()).unwrap();
        let message = Message {
            event_id: EventId(1),
            event_type: "invoice.paid",
            data,
            occurred_at: Timestamp::from_ms(0),
            severity: Some(Severity::Info),
            subject,
            body,
            items: &[],
        };
        let operator = Operator::default();
        let context = first_try("dlv_1", Timestamp::from_ms(0), &operator);
        let mut steps = InternalNotification.plan(&config, &message, &context).unwrap();
        let Some(Step::Inbox(step)) = steps.pop() else { panic!("{steps:?}") };
        assert!(steps.is_empty());
        (step.recipient, serde_json::from_str(&step.content).unwrap())
    }

    #[test]
    fn an_entry_says_what_the_event_does() {
        let data = r#"{"title": "Paid", "message": "Thanks", "url": "https://a.test/7", "amount": 5}"#;
        let (recipient, content) = entry(data, None, None);
        let expected = json!({"type": "invoice.paid", "title": "Paid", "text": "Thanks", "severity": "info",
            "url": "https://a.test/7", "fields": [{"name": "amount", "value": "5"}]});
        assert_eq!((recipient.as_str(), content), ("ada", expected));
        assert_eq!(entry("{}", None, None).1["title"], "[info] invoice.paid");
    }

    #[test]
    fn templates_replace_title_and_text() {
        let (_, content) = entry(r#"{"title": "Paid", "amount": 5}"#, Some("Sub\njekt"), Some("five"));
        assert_eq!((&content["title"], &content["text"]), (&json!("Sub jekt"), &json!("five")));
        assert_eq!(content["fields"], json!([]));
        let (_, content) = entry("{}", None, Some(&"ü".repeat(4_001)));
        assert_eq!(content["text"].as_str().unwrap().chars().count(), 4_000);
    }
}
