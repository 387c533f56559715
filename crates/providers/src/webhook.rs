//! The generic webhook: a POST to the owner's own URL, signed after Standard Webhooks.
//!
//! The config's `format` says what the body is; `Format` is where another one is added. On the hot path (`standard`)
//! an event's data is copied once and never parsed, and everything that follows from the config alone is made once
//! (`Prepared`). Judgement differs from the shared table where a receiver may be in mid-deploy: almost everything is
//! tried again.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::outcome::{Outcome, Scope};
use domain::schedule::Schedule;
use domain::{Secret, Timestamp};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use url::Url;

use crate::config::{Config, FieldError, SECRET};
use crate::message::write_rfc3339;
use crate::message::{Message, PlanContext, PlanError};
use crate::pasted::{Form, decoded};
use crate::sign::{SigningKey, sign};
use crate::spec::{Field, FieldKind, Markup, Spec};
use crate::step::{HttpReply, HttpStep, Reply, Step, Trust};
use crate::{Provider, form, judge};

mod pasted;
pub mod thulium;

/// For the whole exchange; the specification recommends 15 to 30 s.
pub const TIMEOUT: Duration = Duration::from_secs(15);

const URL: &str = "url";
const FORMAT: &str = "format";
const HEADERS: &str = "headers";
const BASIC_USER: &str = "basic_user";
const BASIC_PASSWORD: &str = "basic_password";

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

static SPEC: Spec = Spec {
    name: "webhook",
    title: "Webhook",
    fields: &[
        Field {
            key: URL,
            kind: FieldKind::Url,
            required: true,
            secret: false,
            help: "Where events are posted to.",
            example: "https://example.com/hooks/postrider",
        },
        Field {
            key: FORMAT,
            kind: FieldKind::Choice(&[STANDARD_NAME, FORM_NAME, THULIUM_NAME, TEMPLATE_NAME]),
            required: false,
            secret: false,
            help: "The body: 'standard' is JSON with type, timestamp and data; 'form' is the data as flat form fields; \
                   'thulium' is the same with action and date; 'template' is the channel's body template.",
            example: STANDARD_NAME,
        },
        Field {
            key: SECRET,
            kind: FieldKind::SigningSecret,
            required: false,
            secret: true,
            help: "Signs every request after Standard Webhooks. Made for you when left out, except for 'form' and \
                   'thulium'. After a change the old secret signs as well for 24 hours.",
            example: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        },
        Field {
            key: HEADERS,
            kind: FieldKind::Headers,
            required: false,
            secret: true,
            help: "Headers to add to every request, by name: at most 32.",
            example: r#"{"x-team": "billing"}"#,
        },
        Field {
            key: BASIC_USER,
            kind: FieldKind::Text { chars_max: 256 },
            required: false,
            secret: false,
            help: "The user name for HTTP Basic, without ':'.",
            example: "postrider",
        },
        Field {
            key: BASIC_PASSWORD,
            kind: FieldKind::Text { chars_max: 1024 },
            required: false,
            secret: true,
            help: "The password for HTTP Basic.",
            example: "correct horse battery staple",
        },
    ],
    retry: Schedule::webhook,
    time_to_live: Duration::from_hours(4 * 24),
    body_markup: Markup::Json,
    sizes: &[],
    rates: &[],
    base_url: None,
};

const JSON: &str = "application/json";

const STANDARD_NAME: &str = "standard";
const FORM_NAME: &str = "form";
/// Also what the dialect of that name looks for.
pub const THULIUM_NAME: &str = "thulium";
const TEMPLATE_NAME: &str = "template";

/// What the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// `{"type":..,"timestamp":..,"data":..}`, as the specification recommends.
    Standard,
    /// The data's top-level keys as form fields.
    Form,
    /// The same with the fields that Thulium's receivers go by.
    Thulium,
    /// The rendered body template.
    Template,
}

impl Format {
    /// A config without format is older than the field.
    fn of(config: &Config) -> Option<Self> {
        match config.text(FORMAT).unwrap_or(STANDARD_NAME) {
            STANDARD_NAME => Some(Self::Standard),
            FORM_NAME => Some(Self::Form),
            THULIUM_NAME => Some(Self::Thulium),
            TEMPLATE_NAME => Some(Self::Template),
            _ => None,
        }
    }

    fn body(self, message: &Message<'_>, context: &PlanContext<'_>) -> Result<(Bytes, &'static str), PlanError> {
        const FORM_TYPE: &str = "application/x-www-form-urlencoded";
        match self {
            Self::Standard => Ok((standard_body(message).into(), JSON)),
            Self::Form => Ok((form::encode(message.data)?.into(), FORM_TYPE)),
            Self::Thulium => Ok((thulium::body(message, context.operator)?.into(), FORM_TYPE)),
            Self::Template => {
                let body = message.body.ok_or(PlanError::NoBody)?;
                let is_json = serde_json::from_str::<&RawValue>(body).is_ok();
                let content_type = if is_json { JSON } else { "text/plain; charset=utf-8" };
                Ok((Bytes::copy_from_slice(body.as_bytes()), content_type))
            }
        }
    }
}

/// The generic webhook.
pub struct Webhook;

impl Provider for Webhook {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    /// Credentials in the URL move to their own fields, where they are kept secret.
    fn tidy(&self, given: &mut Map<String, Value>) {
        if given.contains_key(BASIC_USER) || given.contains_key(BASIC_PASSWORD) {
            return;
        }
        let Some(Ok(mut url)) = given.get(URL).and_then(Value::as_str).map(Url::parse) else { return };
        let user = decoded(url.username());
        let password = url.password().map(decoded);
        if user.is_empty() && password.is_none() {
            return;
        }
        // Only a URL without host takes no credentials, and such a one is refused later.
        if url.set_username("").is_ok() && url.set_password(None).is_ok() {
            given.insert(URL.to_owned(), Value::from(String::from(url)));
            given.insert(BASIC_USER.to_owned(), Value::from(user));
            given.insert(BASIC_PASSWORD.to_owned(), password.map_or(Value::Null, Value::from));
        }
    }

    fn pasted(&self) -> &'static [Form] {
        &[
            Form {
                schemes: &["json", "jsons"],
                shown: "json://HOST/PATH, or jsons:// for https",
                read: |parts| pasted::read(parts, STANDARD_NAME),
            },
            Form {
                schemes: &["form", "forms"],
                shown: "form://HOST/PATH, or forms:// for https",
                read: |parts| pasted::read(parts, FORM_NAME),
            },
        ]
    }

    fn check(&self, config: &Config) -> Result<(), Vec<FieldError>> {
        let mut errors = Vec::new();
        match config.text(BASIC_USER) {
            Some(user) if user.contains(':') => {
                errors.push(FieldError::new(BASIC_USER, "must not hold ':', which HTTP Basic puts after it"));
            }
            None if config.text(BASIC_PASSWORD).is_some() => {
                errors.push(FieldError::new(BASIC_USER, "is required with basic_password"));
            }
            _ => {}
        }
        if config.text(BASIC_USER).is_some() && config.headers(HEADERS).any(|(name, _)| name == AUTHORIZATION) {
            let message = "cannot go with basic_user, which makes the same header: keep one of the two";
            errors.push(FieldError::new("headers.authorization", message));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// The flat forms go without, because their receivers are older than signatures.
    fn complete(&self, config: &mut Config, entropy: [u8; 32]) -> Vec<&'static str> {
        let is_signed = !matches!(Format::of(config), Some(Format::Form | Format::Thulium));
        if config.text(SECRET).is_some() || !is_signed {
            return Vec::new();
        }
        config.set_text(SECRET, SigningKey::generate(entropy).to_text());
        vec![SECRET]
    }

    fn plan(&self, config: &Config, message: &Message<'_>, context: &PlanContext<'_>) -> Result<Vec<Step>, PlanError> {
        let prepared = config.prepared(Prepared::new).as_ref().map_err(Clone::clone)?;
        let (body, content_type) = prepared.format.body(message, context)?;

        let mut headers = HeaderMap::with_capacity(prepared.headers.len() + 4);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        for (name, value) in &prepared.headers {
            // The owner's own content type wins.
            headers.insert(name, value.clone());
        }
        if let Some(key) = &prepared.key {
            prepared.sign(key, &mut headers, &body, context)?;
        }
        let url = prepared.url.clone();
        let step = HttpStep { method: Method::POST, url, headers, body, timeout: TIMEOUT, trust: Trust::NONE };
        Ok(vec![Step::Http(step)])
    }

    /// Form fields have no place for a second event.
    fn merges(&self, config: &Config) -> bool {
        matches!(Format::of(config), Some(Format::Standard | Format::Template))
    }

    /// The receiver is the owner's own, and may go on with the trace.
    fn passes_trace(&self) -> bool {
        true
    }

    fn judge(&self, reply: &Reply, now: Timestamp) -> Outcome {
        match reply {
            Reply::Http(reply) => judge_http(reply, now),
            Reply::Smtp(_) | Reply::Kept => judge::foreign(),
            Reply::Failed(failure) => judge::failure(failure),
        }
    }
}

/// The shared table assumes that the address is right and the interface known. Here neither is: 404 or 401 may be a
/// deployment under way, so only 410 ends the channel.
fn judge_http(reply: &HttpReply, now: Timestamp) -> Outcome {
    let status = reply.status;
    match status.as_u16() {
        200..=299 => Outcome::delivered(),
        300..=399 => Outcome::retry(judge::redirect_note(status, &reply.headers)),
        410 => Outcome::permanent(Scope::Channel, judge::status_note(status)),
        408 | 425 | 429 | 502..=504 => judge::http(status, &reply.headers, now),
        _ => Outcome::retry(judge::status_note(status)),
    }
}

/// What follows from a config alone.
struct Prepared {
    url: Secret,
    format: Format,
    headers: Vec<(HeaderName, HeaderValue)>,
    key: Option<SigningKey>,
    /// Signs as well, until then.
    previous: Option<(SigningKey, Timestamp)>,
}

impl Prepared {
    fn new(config: &Config) -> Result<Self, PlanError> {
        let url = config.text(URL).and_then(|text| Url::parse(text).ok()).ok_or(PlanError::Config(URL))?;
        let key_of = |text| SigningKey::parse(text).map_err(|_| PlanError::Config(SECRET));
        let previous = config.previous_secret().map(|(text, until)| Ok((key_of(text)?, until))).transpose()?;
        Ok(Self {
            url: Secret::new(url),
            format: Format::of(config).ok_or(PlanError::Config(FORMAT))?,
            headers: headers(config)?,
            key: config.text(SECRET).map(key_of).transpose()?,
            previous,
        })
    }

    fn sign(
        &self,
        key: &SigningKey,
        headers: &mut HeaderMap,
        body: &[u8],
        context: &PlanContext<'_>,
    ) -> Result<(), PlanError> {
        let id = context.wire_id;
        let id_header = HeaderValue::from_str(id).ok().filter(|value| !id.contains('.') && value.to_str().is_ok());
        let timestamp_s = context.now.as_seconds();
        let mut signatures = sign(key, id, timestamp_s, body);
        if let Some((previous, until)) = &self.previous
            && context.now < *until
        {
            signatures.push(' ');
            signatures.push_str(&sign(previous, id, timestamp_s, body));
        }
        headers.insert(WEBHOOK_ID, id_header.ok_or(PlanError::WireId)?);
        headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(timestamp_s));
        headers.insert(WEBHOOK_SIGNATURE, HeaderValue::try_from(signatures).expect("base64 is visible ASCII"));
        Ok(())
    }
}

/// The owner's headers and HTTP Basic, marked so that nothing prints them.
fn headers(config: &Config) -> Result<Vec<(HeaderName, HeaderValue)>, PlanError> {
    let mut headers = Vec::new();
    for (name, value) in config.headers(HEADERS) {
        let name = HeaderName::try_from(name).map_err(|_| PlanError::Config(HEADERS))?;
        headers.push((name, HeaderValue::try_from(value).map_err(|_| PlanError::Config(HEADERS))?));
    }
    if let Some(user) = config.text(BASIC_USER) {
        let credentials = format!("{user}:{}", config.text(BASIC_PASSWORD).unwrap_or_default());
        let value = format!("Basic {}", STANDARD.encode(credentials));
        headers.push((AUTHORIZATION, HeaderValue::try_from(value).expect("base64 is visible ASCII")));
    }
    for (_, value) in &mut headers {
        value.set_sensitive(true);
    }
    Ok(headers)
}

/// Written by hand around the data, so that it arrives as it came. A digest is an array of what its events would be by
/// themselves.
fn standard_body(message: &Message<'_>) -> Vec<u8> {
    let [first, rest @ ..] = message.items else {
        let mut body = Vec::with_capacity(message.event_type.len() + message.data.len() + ENVELOPE_BYTES);
        write_envelope(&mut body, message.event_type, message.occurred_at, message.data);
        return body;
    };
    let size: usize = message.items.iter().map(|item| item.event_type.len() + item.data.len() + ENVELOPE_BYTES).sum();
    let mut body = Vec::with_capacity(size);
    body.push(b'[');
    write_envelope(&mut body, first.event_type, first.occurred_at, first.data);
    for item in rest {
        body.push(b',');
        write_envelope(&mut body, item.event_type, item.occurred_at, item.data);
    }
    body.push(b']');
    body
}

/// What the envelope adds to type and data, at most.
const ENVELOPE_BYTES: usize = 64;

fn write_envelope(body: &mut Vec<u8>, event_type: &str, occurred_at: Timestamp, data: &str) {
    body.extend_from_slice(br#"{"type":"#);
    serde_json::to_writer(&mut *body, event_type).expect("a text can be written to memory");
    body.extend_from_slice(br#","timestamp":""#);
    write_rfc3339(occurred_at, body);
    body.extend_from_slice(br#"","data":"#);
    body.extend_from_slice(data.as_bytes());
    body.push(b'}');
}

#[cfg(test)]
mod tests;
