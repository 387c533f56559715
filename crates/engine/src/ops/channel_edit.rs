//! What owners may say of a channel, and the rules for it.

use std::sync::Arc;
use std::time::Duration;

use domain::breaker::{BreakerRule, Drain, FAILURES_MAX, HELD_MAX, WAIT_MAX};
use domain::channel::{
    CONCURRENCY_MAX, ChannelSettings, DIGEST_ITEMS_MAX, DIGEST_WINDOW_MAX, DigestRule, OnUnknown, RATE_COUNT_MAX,
    RateLimit, TIME_TO_LIVE_MAX, shard_of,
};
use domain::routing::Pattern;
use domain::schedule::Schedule;
use domain::{Secret, Timestamp};
use providers::{Config, FieldError, Operator, Provider, Scopes};
use serde_json::{Map, Value, json};
use store::directory::NewRoute;

use super::{OpsError, check_name};
use crate::accept::filter::Filter;
use crate::render;

/// The most event types of one channel.
pub const EVENT_TYPES_MAX: usize = 100;

/// What may be changed of a channel. `None` leaves a field as it is; an inner `None` clears it.
#[derive(Debug, Default)]
pub struct ChannelEdit {
    pub name: Option<String>,
    pub config: Option<ConfigEdit>,
    pub is_active: Option<bool>,
    /// Patterns that bring events here; replaces those before.
    pub event_types: Option<Vec<String>>,
    /// One filter for all of `event_types`.
    pub filter: Option<Option<String>>,
    pub subject_template: Option<Option<String>>,
    pub body_template: Option<Option<String>>,
    pub retry: Option<Option<Schedule>>,
    pub time_to_live: Option<Option<Duration>>,
    pub concurrency: Option<u32>,
    pub breaker: Option<Option<BreakerRule>>,
    pub rate_limit: Option<Option<RateLimit>>,
    pub digest: Option<Option<DigestRule>>,
    pub is_fifo: Option<bool>,
    pub on_unknown: Option<OnUnknown>,
    /// Kept with a change of the config; without one it is passed over.
    pub wire_config: Option<WireConfig>,
}

/// A change of a channel's config. A masked secret means unchanged in each, as long as the provider stays.
#[derive(Debug)]
pub enum ConfigEdit {
    /// A merge patch: absent keeps, null removes.
    Patch(Map<String, Value>),
    /// The whole config: absent removes.
    Whole(Map<String, Value>),
    /// Another provider, and its whole config.
    Provider(String, Map<String, Value>),
}

/// A config in the words of one dialect.
#[derive(Clone, Debug)]
pub struct WireConfig {
    pub dialect: &'static str,
    /// Holds secrets.
    pub object: Map<String, Value>,
}

impl WireConfig {
    pub(super) fn seal(self) -> Secret {
        Secret::new(json!({"dialect": self.dialect, "object": self.object}).to_string())
    }

    /// The object that `dialect` kept, if it was this one.
    pub(super) fn opened(kept: &Secret, dialect: &str) -> Option<Map<String, Value>> {
        let mut value: Value = serde_json::from_str(kept.reveal()).ok()?;
        match value["object"].take() {
            Value::Object(object) if value["dialect"] == dialect => Some(object),
            _ => None,
        }
    }
}

impl ConfigEdit {
    /// The provider and the config that there are after this change.
    pub(super) fn applied(
        self,
        provider: &'static dyn Provider,
        before: &Config,
        operator: &Operator,
        (entropy, now): ([u8; 32], Timestamp),
    ) -> Result<(&'static dyn Provider, Config), OpsError> {
        let (provider, config) = match self {
            Self::Patch(patch) => (provider, providers::update(provider, before, &patch, now)),
            Self::Whole(given) => (provider, providers::update(provider, before, &as_patch(provider, given), now)),
            Self::Provider(name, given) if name == provider.spec().name => {
                (provider, providers::update(provider, before, &as_patch(provider, given), now))
            }
            Self::Provider(name, given) => {
                let provider = find_provider(&name)?;
                let made = providers::create(provider, &given).map(|mut config| {
                    provider.complete(&mut config, entropy);
                    config
                });
                (provider, made)
            }
        };
        let config = config.map_err(OpsError::Invalid)?;
        provider.check_operator(&config, operator).map_err(OpsError::Invalid)?;
        Ok((provider, config))
    }
}

/// A whole config as a merge patch: what it does not name is removed.
fn as_patch(provider: &dyn Provider, mut given: Map<String, Value>) -> Map<String, Value> {
    for field in provider.spec().fields {
        given.entry(field.key).or_insert(Value::Null);
    }
    given
}

pub(super) fn find_provider(name: &str) -> Result<&'static dyn Provider, OpsError> {
    providers::find(name).ok_or_else(|| OpsError::invalid("provider", format!("must be one of {}", provider_names())))
}

/// Every provider, for people.
pub(super) fn provider_names() -> String {
    let names: Vec<_> = providers::all().iter().map(|provider| provider.spec().name).collect();
    names.join(", ")
}

pub(super) fn apply(settings: &mut ChannelSettings, edit: &ChannelEdit) -> Result<(), OpsError> {
    if let Some(name) = &edit.name {
        check_name(name)?;
        settings.name.clone_from(name);
    }
    let mut errors = Vec::new();
    for (field, template) in [("subject_template", &edit.subject_template), ("body_template", &edit.body_template)] {
        if let Some(Some(text)) = template
            && let Err(message) = render::check(text)
        {
            errors.push(FieldError { field: field.to_owned(), message });
        }
    }
    if edit.concurrency.is_some_and(|count| !(1..=CONCURRENCY_MAX).contains(&count)) {
        errors.push(FieldError { field: "concurrency".into(), message: format!("must be 1 to {CONCURRENCY_MAX}") });
    }
    let too_long = |wait: Duration| wait.is_zero() || wait > TIME_TO_LIVE_MAX;
    if edit.time_to_live.flatten().is_some_and(too_long) {
        let message = format!("must be 1 to {} seconds", TIME_TO_LIVE_MAX.as_secs());
        errors.push(FieldError { field: "time_to_live_seconds".into(), message });
    }
    errors.extend(edit.breaker.flatten().into_iter().flat_map(wrong_breaker));
    errors.extend(edit.rate_limit.flatten().and_then(wrong_rate_limit));
    errors.extend(edit.digest.iter().flatten().flat_map(wrong_digest));
    if !errors.is_empty() {
        return Err(OpsError::Invalid(errors));
    }
    let set = |field: &mut Option<String>, value: &Option<Option<String>>| {
        if let Some(value) = value {
            field.clone_from(value);
        }
    };
    set(&mut settings.subject_template, &edit.subject_template);
    set(&mut settings.body_template, &edit.body_template);
    settings.is_active = edit.is_active.unwrap_or(settings.is_active);
    settings.concurrency = edit.concurrency.unwrap_or(settings.concurrency);
    settings.time_to_live = edit.time_to_live.unwrap_or(settings.time_to_live);
    settings.breaker = edit.breaker.unwrap_or(settings.breaker);
    settings.rate_limit = edit.rate_limit.unwrap_or(settings.rate_limit);
    settings.is_fifo = edit.is_fifo.unwrap_or(settings.is_fifo);
    settings.on_unknown = edit.on_unknown.unwrap_or(settings.on_unknown);
    if settings.is_fifo && settings.breaker.is_some_and(|rule| rule.drain == Drain::NewestFirst) {
        let message = "must be oldest_first on a channel in strict order (fifo)";
        return Err(OpsError::invalid("breaker.drain", message));
    }
    if let Some(retry) = &edit.retry {
        settings.retry.clone_from(retry);
    }
    if let Some(digest) = &edit.digest {
        settings.digest.clone_from(digest);
    }
    Ok(())
}

fn wrong_breaker(rule: BreakerRule) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut wrong = |field: &str, message: String| {
        errors.push(FieldError { field: format!("breaker.{field}"), message });
    };
    if rule.failures > FAILURES_MAX {
        wrong("failures", format!("must be at most {FAILURES_MAX}"));
    }
    if rule.lasting > WAIT_MAX {
        wrong("lasting_seconds", format!("must be at most {}", WAIT_MAX.as_secs()));
    }
    if rule.probe_first.is_zero() || rule.probe_first > rule.probe_max {
        wrong("probe_seconds", "must be more than 0, and at most probe_max_seconds".to_owned());
    }
    if rule.probe_max > WAIT_MAX {
        wrong("probe_max_seconds", format!("must be at most {}", WAIT_MAX.as_secs()));
    }
    if rule.held_max.is_some_and(|max| !(1..=HELD_MAX).contains(&max)) {
        wrong("held_max", format!("must be 1 to {HELD_MAX}"));
    }
    if rule.held_for.is_some_and(|age| age.is_zero() || age > TIME_TO_LIVE_MAX) {
        wrong("held_seconds", format!("must be more than 0, and at most {}", TIME_TO_LIVE_MAX.as_secs()));
    }
    errors
}

fn wrong_rate_limit(limit: RateLimit) -> Option<FieldError> {
    let wrong = |field: &str| {
        Some(FieldError { field: format!("rate_limit.{field}"), message: format!("must be 1 to {RATE_COUNT_MAX}") })
    };
    let is_right = |count: u32| (1..=RATE_COUNT_MAX).contains(&count);
    if !is_right(limit.count) {
        return wrong("count");
    }
    if limit.burst.is_some_and(|burst| !is_right(burst)) { wrong("burst") } else { None }
}

fn wrong_digest(rule: &DigestRule) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut wrong = |field: &str, message: String| {
        errors.push(FieldError { field: format!("digest.{field}"), message });
    };
    if rule.window > DIGEST_WINDOW_MAX {
        wrong("window_seconds", format!("must be at most {}", DIGEST_WINDOW_MAX.as_secs()));
    }
    if rule.items_max > DIGEST_ITEMS_MAX {
        wrong("max_items", format!("must be at most {DIGEST_ITEMS_MAX}"));
    }
    if let Some(text) = &rule.group_by
        && let Err(message) = Filter::compile(text)
    {
        wrong("group_by", message);
    }
    errors
}

/// The shard of the channels that share a credential: one owner dispatches them all, so that their limits hold together.
pub(super) fn shard_of_credential(provider: &dyn Provider, config: &Config) -> Option<u8> {
    Scopes::of(provider, config).credential.map(|scope| shard_of(&scope.0.to_be_bytes()))
}

/// A body format that needs a template has one.
pub(super) fn check_format(config: &Config, settings: &ChannelSettings) -> Result<(), OpsError> {
    if config.text("format") == Some("template") && settings.body_template.is_none() {
        return Err(OpsError::invalid("body_template", "is required when config.format is 'template'"));
    }
    Ok(())
}

pub(super) fn check_routes(patterns: &[String], filter: Option<&str>) -> Result<Vec<NewRoute>, OpsError> {
    if patterns.len() > EVENT_TYPES_MAX {
        let message = format!("may hold at most {EVENT_TYPES_MAX} patterns, and holds {}", patterns.len());
        return Err(OpsError::invalid("event_types", message));
    }
    let filter: Option<Arc<str>> = filter.map(Into::into);
    if let Some(text) = &filter {
        Filter::compile(text).map_err(|message| OpsError::invalid("filter", message))?;
    }
    let mut errors = Vec::new();
    let mut routes = Vec::new();
    for (position, text) in patterns.iter().enumerate() {
        match Pattern::parse(text) {
            Ok(pattern) => routes.push(NewRoute { pattern, filter: filter.clone() }),
            Err(error) => errors.push(FieldError {
                field: format!("event_types[{position}]"),
                message: format!("{error}; patterns are '*', 'prefix.*' or a type"),
            }),
        }
    }
    if errors.is_empty() { Ok(routes) } else { Err(OpsError::Invalid(errors)) }
}
