//! Accepting: a request with events is checked, routed and made ready to be kept.
//!
//! Pure but for the registry that it reads: the same registry, request and time give the same result. Keeping it is
//! the store's business, and starting its deliveries dispatch's.

pub mod filter;
pub(crate) mod own;

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::event::{NewEvent, Severity, check_event_type};
use domain::routing::{ConfigVersion, Routed};
use domain::verdict::{Reason, Verdicts};
use domain::{ChannelId, TenantId, Timestamp, TraceContext};
use providers::FieldError;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use store::queue::{AcceptEvent, AcceptRequest, EVENT_DELIVERIES_MAX, IdempotencyKey, NewDelivery};

use crate::registry::{Registry, TenantRoutes};
use filter::Context;

/// The most events in one request.
pub const EVENTS_MAX: usize = 1000;

/// The most queue rows that one request may make at once.
pub const ROWS_MAX: usize = 10_000;

/// The most channels that an event may name.
pub const EXPLICIT_CHANNELS_MAX: usize = 1000;

/// The longest idempotency key, in bytes.
pub const KEY_BYTES_MAX: usize = 255;

/// How far in the future an event may lie: clocks differ, calendars do not.
const FUTURE_MAX_MS: i64 = 24 * 60 * 60 * 1000;

/// An event as a client tells it, in the types of its wire but not yet checked.
#[derive(Debug)]
pub struct EventIn {
    pub tenant: TenantId,
    pub event_type: String,
    /// Any JSON; it must be an object.
    pub data: Box<RawValue>,
    pub occurred_at: Option<Timestamp>,
    pub severity: Option<Severity>,
    pub channels: Option<Vec<ChannelId>>,
    pub idempotency_key: Option<String>,
    /// Its place in the producer's trace; no part of what an idempotency key stands for.
    pub trace: Option<TraceContext>,
}

/// Why a request is refused whole.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// Fields that are wrong, and what would be right.
    Invalid(Vec<FieldError>),
    /// It would make more deliveries at once than [`ROWS_MAX`]: how many.
    TooManyDeliveries(usize),
}

/// Checks and routes the events of one request, each for its own tenant. `is_list` says how fields are named in errors.
/// `key` covers the whole request and is `tenant`'s.
pub fn prepare(
    registry: &Registry,
    tenant: TenantId,
    events: Vec<EventIn>,
    is_list: bool,
    key: Option<&str>,
    now: Timestamp,
) -> Result<AcceptRequest, Refused> {
    let mut errors = Vec::new();
    if events.is_empty() || events.len() > EVENTS_MAX {
        errors.push(error("", &format!("must hold 1 to {EVENTS_MAX} events, and holds {}", events.len())));
    }
    if let Some(key) = key {
        check_key(key).unwrap_or_else(|message| errors.push(error("Idempotency-Key", &message)));
        if events.iter().any(|event| event.idempotency_key.is_some()) {
            errors.push(error(
                "idempotency_key",
                "must not be used together with the Idempotency-Key header: the header covers the whole request, \
                 the field a single event",
            ));
        }
    }
    for (position, event) in events.iter().enumerate() {
        let prefix = if is_list { format!("[{position}].") } else { String::new() };
        check_event(registry, event, &prefix, now, &mut errors);
    }
    if !errors.is_empty() {
        return Err(Refused::Invalid(errors));
    }
    let mut routes_of: BTreeMap<TenantId, (Arc<TenantRoutes>, ConfigVersion)> = BTreeMap::new();
    let mut whole = Sha256::new();
    let prepared: Vec<AcceptEvent> =
        events
            .into_iter()
            .map(|event| {
                let body_hash = (key.is_some() || event.idempotency_key.is_some()).then(|| body_hash(&event));
                if let Some(hash) = &body_hash {
                    whole.update(hash);
                }
                let event_key = event.idempotency_key.as_deref().zip(body_hash).map(|(key, body_hash)| {
                    IdempotencyKey { key_hash: Sha256::digest(key.as_bytes()).into(), body_hash }
                });
                let tenant = event.tenant;
                let (routes, config_version) = routes_of.entry(tenant).or_insert_with(|| registry.routes(tenant));
                let content = Arc::new(NewEvent {
                    tenant,
                    event_type: event.event_type.into(),
                    data: Box::<str>::from(event.data).into(),
                    occurred_at: event.occurred_at.unwrap_or(now),
                    severity: event.severity,
                    explicit_channels: event.channels,
                    trace: event.trace,
                });
                let routed = route(routes, &content);
                let (deliveries, skipped) = admit(registry, tenant, routed, now);
                let verdicts = Verdicts::new(*config_version, skipped);
                AcceptEvent { content, deliveries, verdicts, key: event_key, attempts_max: None }
            })
            .collect();
    let rows: usize = prepared.iter().map(|event| event.deliveries.len().min(EVENT_DELIVERIES_MAX)).sum();
    if rows > ROWS_MAX {
        return Err(Refused::TooManyDeliveries(rows));
    }
    let key = key.map(|key| IdempotencyKey {
        key_hash: Sha256::digest(format!("request\n{key}")).into(),
        body_hash: whole.finalize().into(),
    });
    Ok(AcceptRequest { tenant, now, key, events: prepared })
}

fn error(field: &str, message: &str) -> FieldError {
    FieldError { field: field.to_owned(), message: message.to_owned() }
}

fn check_event(registry: &Registry, event: &EventIn, prefix: &str, now: Timestamp, errors: &mut Vec<FieldError>) {
    let mut wrong = |field: &str, message: &str| errors.push(error(&format!("{prefix}{field}"), message));
    if let Err(problem) = check_event_type(&event.event_type) {
        wrong("type", &problem.to_string());
    }
    if !event.data.get().starts_with('{') {
        wrong("data", "must be a JSON object, like {\"amount\": 12}");
    }
    if event.occurred_at.is_some_and(|at| at.as_ms() > now.as_ms() + FUTURE_MAX_MS) {
        wrong("occurred_at", "must not lie more than a day in the future");
    }
    if let Some(key) = &event.idempotency_key
        && let Err(message) = check_key(key)
    {
        wrong("idempotency_key", &message);
    }
    let named = event.channels.as_deref().unwrap_or_default();
    if named.len() > EXPLICIT_CHANNELS_MAX {
        wrong("channels", &format!("may name at most {EXPLICIT_CHANNELS_MAX} channels, and names {}", named.len()));
        return;
    }
    for (position, channel) in named.iter().enumerate() {
        if registry.channel_of(event.tenant, *channel).is_none() {
            wrong(&format!("channels[{position}]"), &format!("there is no channel {channel}"));
        }
    }
}

fn check_key(key: &str) -> Result<(), String> {
    let is_visible = key.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if (1..=KEY_BYTES_MAX).contains(&key.len()) && is_visible {
        return Ok(());
    }
    Err(format!("must be 1 to {KEY_BYTES_MAX} visible ASCII characters"))
}

/// What an idempotency key stands for: the same meaning gives the same hash, whatever the order of keys and the white
/// space.
fn body_hash(event: &EventIn) -> [u8; 32] {
    // A map of serde_json is in order of its keys; numbers keep their value.
    let data: serde_json::Value = serde_json::from_str(event.data.get()).unwrap_or_default();
    let channels = event.channels.as_ref().map(|ids| ids.iter().map(|id| id.0).collect::<Vec<_>>());
    let canonical = serde_json::json!([
        event.tenant.0,
        event.event_type,
        data,
        event.occurred_at.map(Timestamp::as_ms),
        event.severity.map(Severity::name),
        channels,
    ]);
    Sha256::digest(canonical.to_string()).into()
}

fn route(routes: &TenantRoutes, event: &NewEvent) -> Routed {
    if let Some(explicit) = &event.explicit_channels {
        let mut matched = explicit.clone();
        matched.sort_unstable();
        matched.dedup();
        return Routed { matched, skipped: Vec::new() };
    }
    let mut context = None;
    routes.routes.route(&event.event_type, |number| {
        routes.filters[number].evaluate(context.get_or_insert_with(|| Context::of(event)))
    })
}

/// Of the channels that an event is for, those that take deliveries now.
fn admit(
    registry: &Registry,
    tenant: TenantId,
    routed: Routed,
    now: Timestamp,
) -> (Vec<NewDelivery>, Vec<(ChannelId, Reason)>) {
    let Routed { matched, mut skipped } = routed;
    let mut deliveries = Vec::with_capacity(matched.len());
    registry.with_channels(tenant, |channel_of| {
        for channel in matched {
            // A channel that was deleted since the routes were made has no verdict: it is no longer there.
            let Some(live) = channel_of(channel) else { continue };
            if live.channel.settings.is_active {
                deliveries.push(NewDelivery { channel, expires_at: now.after(live.time_to_live) });
            } else {
                skipped.push((channel, Reason::ChannelInactive));
            }
        }
    });
    (deliveries, skipped)
}
