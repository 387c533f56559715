//! What chat providers share: their requests, their URLs, and the defaults of their SPECs.

use std::time::Duration;

use bytes::Bytes;
use domain::Secret;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Map, Value};
use url::{Position, Url};

use crate::config::{Config, FieldError};
use crate::message::PlanError;
use crate::pasted::service_url;
use crate::spec::{Field, FieldKind};
use crate::step::{HttpStep, Step, Trust};

/// For the whole exchange; chat services answer within a second or two.
const TIMEOUT: Duration = Duration::from_secs(15);

/// How long a message to people is worth sending.
pub(crate) const TIME_TO_LIVE: Duration = Duration::from_hours(3 * 24);

/// The field of every provider that posts to a secret URL.
pub(crate) const WEBHOOK_URL: &str = "webhook_url";

/// That field.
pub(crate) const fn webhook_field(help: &'static str, example: &'static str) -> Field {
    Field { key: WEBHOOK_URL, kind: FieldKind::WebhookUrl, required: true, secret: true, help, example }
}

/// The URL in that field.
pub(crate) fn webhook_url(config: &Config) -> Result<Url, PlanError> {
    config.text(WEBHOOK_URL).and_then(|text| Url::parse(text).ok()).ok_or(PlanError::Config(WEBHOOK_URL))
}

/// Where that URL leads, without its query.
pub(crate) fn webhook_place(config: &Config) -> Option<String> {
    let url = Url::parse(config.text(WEBHOOK_URL)?).ok()?;
    Some(url[..Position::AfterPath].to_owned())
}

/// Checks that field; the error says what is right and repeats nothing.
pub(crate) fn check_webhook_url(
    config: &Config,
    check: impl Fn(&Url) -> Result<(), String>,
) -> Result<(), Vec<FieldError>> {
    let url = webhook_url(config).map_err(|_| vec![FieldError::new(WEBHOOK_URL, "must be a URL")])?;
    check(&url).map_err(|message| vec![FieldError::new(WEBHOOK_URL, message)])
}

/// A config with that URL.
pub(crate) fn with_webhook(url: &Url) -> Map<String, Value> {
    Map::from_iter([(WEBHOOK_URL.to_owned(), url.as_str().into())])
}

/// The same, of these parts after the service's own.
pub(crate) fn pasted_webhook(base: &str, segments: &[&str]) -> Result<Map<String, Value>, String> {
    service_url(base, segments).map(|url| with_webhook(&url))
}

/// A POST of JSON.
pub(crate) fn post((url, trust): (Secret, Trust), body: &Value) -> Step {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"))]);
    let body = Bytes::from(body.to_string());
    Step::Http(HttpStep { method: Method::POST, url, headers, body, timeout: TIMEOUT, trust })
}

/// The same with credentials in its head, which nothing prints.
pub(crate) fn authorized(mut step: Step, credentials: &str) -> Step {
    if let (Some(http), Ok(mut value)) = (step.as_http_mut(), HeaderValue::try_from(credentials)) {
        value.set_sensitive(true);
        http.headers.insert(AUTHORIZATION, value);
    }
    step
}

/// The rendered body template with something in it, if there is one.
pub(crate) fn body(body: Option<&str>) -> Result<Option<&str>, PlanError> {
    match body {
        Some(text) if text.trim().is_empty() => Err(PlanError::Empty),
        other => Ok(other),
    }
}
