//! What tests of chat providers share: a plan as URLs and bodies, and rows of answers and outcomes.

use domain::event::Severity;
use domain::outcome::{Class, Outcome, Scope};
use domain::{EventId, Timestamp};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::config::create;
use crate::step::{HttpReply, Reply, Step};
use crate::{Message, Operator, PlanContext, PlanError, Provider};

pub(crate) const NOW: Timestamp = Timestamp::from_ms(1_700_000_000_000);

/// Hostile events for each provider; each of them is a large one, so fewer than proptest's usual 256.
pub(crate) const CASES: u32 = 48;

/// One event and what a channel makes of it.
pub(crate) struct Trial<'a> {
    pub(crate) provider: &'a dyn Provider,
    /// Over the provider's sample.
    pub(crate) config: Value,
    pub(crate) data: &'a str,
    pub(crate) body: Option<&'a str>,
}

/// A request as it would go out.
pub(crate) struct Request {
    pub(crate) url: String,
    pub(crate) authorization: Option<String>,
    pub(crate) bytes: usize,
    pub(crate) body: Value,
}

/// What a provider is told of the first try of a delivery that was made at this moment.
pub(crate) fn first_try<'a>(wire_id: &'a str, now: Timestamp, operator: &'a Operator) -> PlanContext<'a> {
    PlanContext { wire_id, attempt: 1, is_plain: false, now, made_at: now, operator }
}

impl Trial<'_> {
    pub(crate) fn plan(&self) -> Result<Vec<Request>, PlanError> {
        let mut given = self.provider.spec().sample();
        given.extend(self.config.as_object().cloned().unwrap_or_default());
        let config = create(self.provider, &given).unwrap();
        let message = Message {
            event_id: EventId(1),
            event_type: "disk.full",
            data: self.data,
            occurred_at: NOW,
            severity: Some(Severity::Critical),
            subject: None,
            body: self.body,
            items: &[],
        };
        let operator = Operator::default();
        let context = first_try("dlv_a_1", NOW, &operator);
        let request = |step: Step| {
            assert!(!step.is_independent(), "a part makes no sense without those before it");
            let Step::Http(step) = step else { panic!("a request") };
            assert!(!step.trust.is_operators());
            let authorization = step.headers.get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
            let body = serde_json::from_slice(&step.body).unwrap();
            Request { url: step.url.reveal().to_owned(), authorization, bytes: step.body.len(), body }
        };
        Ok(self.provider.plan(&config, &message, &context)?.into_iter().map(request).collect())
    }
}

/// The bodies for an event without a template.
pub(crate) fn default(provider: &dyn Provider, data: &str) -> Vec<Value> {
    let trial = Trial { provider, config: json!({}), data, body: None };
    trial.plan().unwrap().into_iter().map(|request| request.body).collect()
}

/// The bodies for a rendered template.
pub(crate) fn templated(provider: &dyn Provider, body: &str) -> Vec<Value> {
    let trial = Trial { provider, config: json!({}), data: "{}", body: Some(body) };
    trial.plan().unwrap().into_iter().map(|request| request.body).collect()
}

/// Checks what a webhook's URL says about itself: nothing when it is taken.
pub(crate) fn check_url(provider: &dyn Provider, url: &str, error: Option<&str>) {
    let given = Map::from_iter([("webhook_url".to_owned(), json!(url))]);
    match (create(provider, &given), error) {
        (Ok(_), None) => {}
        (Err(errors), Some(part)) => {
            let text = errors[0].to_string();
            assert!(text.starts_with("config.webhook_url: ") && text.contains(part), "{url}: {text}");
            assert!(!text.contains("s3cret"), "{text}");
        }
        (found, _) => panic!("{url}: {found:?}"),
    }
}

/// An answer: status, headers and body.
pub(crate) type Answer<'a> = (u16, &'a [(&'static str, &'a str)], &'a str);

/// What follows: class, scope and the hint in seconds.
pub(crate) type Verdict = (Class, Scope, Option<u64>);

pub(crate) fn judged(provider: &dyn Provider, (status, headers, body): Answer<'_>) -> Outcome {
    let header =
        |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    let headers: HeaderMap = headers.iter().map(header).collect();
    let status = StatusCode::from_u16(status).unwrap();
    provider.judge(&Reply::Http(HttpReply { status, headers, body: body.to_owned().into() }), NOW)
}

/// Checks an answer's outcome and that its note says this.
pub(crate) fn check(provider: &dyn Provider, answer: Answer<'_>, expected: Verdict, note: &str) {
    let outcome = judged(provider, answer);
    let found = (outcome.class, outcome.scope, outcome.hint.map(|hint| hint.as_secs()));
    assert_eq!(found, expected, "{answer:?}: {outcome:?}");
    assert!(outcome.note.contains(note), "{outcome:?}");
}

/// Data of an event with texts of the characters that matter.
pub(crate) fn hostile_data() -> impl Strategy<Value = String> {
    let text = "([-*_~`|>#<@&!:;/.()\\[\\]\\\\\"a \\n]|<!channel>|@everyone|<users/all>|\\PC|😀){0,30}";
    (text, text, text, 1usize..200, 0usize..50).prop_map(|(title, message, value, count, fields)| {
        let mut data = json!({"title": title, "message": message.repeat(count), "url": "https://a.test/_x_?a=(b)|>"});
        for number in 0..fields {
            data[format!("{number}{value}")] = value.repeat(count).into();
        }
        data.to_string()
    })
}

pub(crate) const DELIVERED: Verdict = (Class::Delivered, Scope::Message, None);
pub(crate) const RETRY: Verdict = (Class::Retry, Scope::Message, None);
pub(crate) const NEVER: Verdict = (Class::Permanent, Scope::Message, None);
pub(crate) const PAUSED: Verdict = (Class::Permanent, Scope::Channel, None);
