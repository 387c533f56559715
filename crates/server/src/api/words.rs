//! What a field or parameter of some name holds, wherever it stands: one word means one thing in all of the API.
//!
//! The types of the wire say what is a text and what is a number; bounds, forms and lists of values come from here, and
//! here from the domain.

use domain::channel::{OnUnknown, RatePeriod};
use domain::delivery::State;
use domain::event::Severity;
use domain::event_type::VariableKind;
use domain::ids::ID_MAX;
use domain::outcome::Class;
use domain::tenant::Scope;
use domain::{ReasonCode, breaker, channel, redrive, schedule};
use engine::accept;
use engine::ops::{EVENT_TYPES_MAX, IMPORTED_KEY_BYTES_MAX, IMPORTED_KEY_BYTES_MIN, TEXT_CHARS_MAX};
use serde_json::{Map, Value, json};

use super::page::{LIMIT_DEFAULT, LIMIT_MAX};

/// What every schema gets from the names of its fields.
pub(super) fn fill_in(name: &str, schema: &mut Value) {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (field, property) in properties {
        if let Some(more) = word(name, field) {
            merge(property, more);
        }
    }
}

/// What a parameter gets from its name: a schema, and an example beside it.
pub(super) fn parameter(owner: &str, parameter: &mut Value) {
    let name = parameter["name"].as_str().unwrap_or_default().to_owned();
    // Absent is the way to leave a parameter out; there is no null in a query.
    if let Some(kinds) = parameter["schema"]["type"].as_array() {
        let kind = kinds.iter().find(|kind| **kind != "null").cloned();
        parameter["schema"]["type"] = kind.unwrap_or_default();
    }
    let known = match name.as_str() {
        "limit" => Some(json!({"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT,
            "description": "The most rows of a page.", "example": LIMIT_DEFAULT})),
        "cursor" => Some(json!({"description": "The `next_cursor` of the page before.", "example": "1"})),
        "since" => Some(json!({"format": "date-time", "description": "From this time on.",
            "example": "2026-11-22T07:00:00Z"})),
        "until" => Some(json!({"format": "date-time", "description": "Before this time.",
            "example": "2036-11-22T07:00:00Z"})),
        "q" => Some(json!({"minLength": 1, "maxLength": TEXT_CHARS_MAX,
            "description": "To be found anywhere in the text, in whatever case.", "example": "paid"})),
        "event_type" => Some(json!({"description": "A type, or all that begin alike.", "example": "invoice.*"})),
        "type" if owner == "listEvents" => {
            Some(json!({"description": "A type, or all that begin alike.", "example": "invoice.*"}))
        }
        "code" => Some(json!({"description": "What the receiver answered.", "example": 503})),
        "provider" => Some(json!({"enum": providers(), "description": "The kind of destination."})),
        "is_active" | "paused" | "unread" => Some(json!({"description": "Only those that are, or are not."})),
        "recipient" => Some(json!({"description": "Whose entries; everybody's without it.", "example": "ann"})),
        "status" if owner == "listDeliveries" => word("Delivery", "status"),
        "status" => word("Attempt", "status"),
        _ => word("", &name),
    };
    let Some(Value::Object(mut known)) = known else { return };
    for key in ["description", "example"] {
        if let Some(value) = known.remove(key) {
            parameter[key] = value;
        }
    }
    merge(&mut parameter["schema"], known.into());
}

fn word(schema: &str, field: &str) -> Option<Value> {
    let id = || json!({"minimum": 1, "maximum": ID_MAX, "example": 1});
    let is_time = field.ends_with("_at") || matches!(field, "since" | "until" | "time");
    Some(match (schema, field) {
        ("Attempt", "status") => json!({"enum": Class::ALL.map(Class::name)}),
        ("Redrive", "status") => json!({"enum": redrive::Progress::ALL.map(redrive::Progress::name)}),
        ("Redrive" | "NewRedrive", "from") => json!({"enum": redrive::Source::ALL.map(redrive::Source::name)}),
        ("NewRedrive", "pace_per_second") => {
            json!({"minimum": 1, "maximum": redrive::PACE_MAX, "default": redrive::PACE_DEFAULT,
                "description": "Deliveries a second."})
        }
        ("RedriveFilter", "text") => json!({"minLength": 1, "maxLength": TEXT_CHARS_MAX}),
        ("RedriveFilter", "code") => json!({"description": "What the receiver answered last.", "example": 503}),
        ("RedriveFilter", "event_type") => {
            json!({"description": "A type, or all that begin alike.", "example": "invoice.*"})
        }
        ("RedriveFilter" | "RedriveFilterShown", "status") => {
            let ends = State::ALL.into_iter().filter(|state| state.is_final()).map(State::name);
            json!({"enum": ends.collect::<Vec<_>>()})
        }
        ("Delivery", "status") => {
            json!({"enum": State::ALL.iter().map(|state| state.name()).collect::<Vec<_>>()})
        }
        ("Variable", "type") => json!({"enum": VariableKind::ALL.map(VariableKind::name)}),
        ("Event" | "Accepted" | "ListedEvent", "id") | (_, "event_id") => {
            json!({"pattern": "^evt_[0-9]+$", "example": "evt_1"})
        }
        ("CloudEvent", "id") => json!({"minLength": 1, "example": "7"}),
        ("CloudEvent", "specversion") => json!({"const": "1.0"}),
        ("Problem", "status") => json!({"minimum": 400, "maximum": 599}),
        ("NewKey", "scopes") => {
            json!({"minItems": 1, "items": {"type": "string", "enum": Scope::TENANT.map(Scope::name)}})
        }
        ("Key", "scopes") => json!({"items": {"type": "string", "enum": Scope::ALL.map(Scope::name)}}),
        ("NewKey", "key") => {
            json!({"minLength": IMPORTED_KEY_BYTES_MIN, "maxLength": IMPORTED_KEY_BYTES_MAX, "format": "password",
                "writeOnly": true})
        }
        ("Key", "key") => json!({"format": "password"}),
        ("NewChannel", "url") => {
            json!({"format": "uri", "writeOnly": true, "example": "slack://TOKEN_A/TOKEN_B/TOKEN_C"})
        }
        ("NewTenant" | "Tenant", "providers") => json!({"items": {"type": "string", "enum": providers()}}),
        ("NewChannel" | "ChannelPatch" | "NewKey", "name") => {
            json!({"minLength": 1, "maxLength": channel::NAME_CHARS_MAX})
        }
        ("NewEvent", "channels") => {
            json!({"maxItems": accept::EXPLICIT_CHANNELS_MAX, "description": "The ids of the channels that get it, \
            instead of those that subscriptions choose."})
        }
        ("NewEvent", "idempotency_key") => json!({"minLength": 1, "maxLength": accept::KEY_BYTES_MAX}),
        ("NewChannel" | "ChannelPatch" | "NewPreview" | "Channel" | "RedriveFilter", "provider") => {
            json!({"enum": providers()})
        }
        ("NewChannel" | "ChannelPatch", "event_types") => json!({"maxItems": EVENT_TYPES_MAX}),
        ("NewChannel" | "ChannelPatch", "time_to_live_seconds") => {
            json!({"minimum": 1, "maximum": channel::TIME_TO_LIVE_MAX.as_secs()})
        }
        ("NewChannel" | "ChannelPatch", "concurrency") => {
            json!({"minimum": 1, "maximum": channel::CONCURRENCY_MAX, "default": channel::CONCURRENCY_DEFAULT})
        }
        ("BreakerIn", "failures") => json!({"minimum": 0, "maximum": breaker::FAILURES_MAX}),
        ("BreakerIn", "lasting_seconds" | "probe_seconds" | "probe_max_seconds") => {
            json!({"minimum": 0, "maximum": breaker::WAIT_MAX.as_secs()})
        }
        ("BreakerIn", "held_max") => json!({"minimum": 1, "maximum": breaker::HELD_MAX}),
        ("BreakerIn", "held_seconds") => {
            json!({"exclusiveMinimum": 0, "maximum": channel::TIME_TO_LIVE_MAX.as_secs()})
        }
        ("BreakerIn" | "Breaker", "drain") => json!({"enum": breaker::Drain::ALL.map(breaker::Drain::name)}),
        (_, "reason_code") => {
            json!({"enum": ReasonCode::ALL.iter().map(|code| code.name()).collect::<Vec<_>>(),
                "description": "Why, as a code that keeps its meaning."})
        }
        ("RateLimitIn", "count" | "burst") => json!({"minimum": 1, "maximum": channel::RATE_COUNT_MAX}),
        ("RateLimitIn" | "RateLimit", "per") => json!({"enum": RatePeriod::ALL.map(RatePeriod::name)}),
        ("DigestIn", "window_seconds") => json!({"minimum": 0, "maximum": channel::DIGEST_WINDOW_MAX.as_secs()}),
        ("DigestIn", "max_items") => json!({"minimum": 0, "maximum": channel::DIGEST_ITEMS_MAX}),
        ("NewChannel" | "ChannelPatch" | "Channel", "on_unknown") => {
            json!({"enum": OnUnknown::ALL.map(OnUnknown::name)})
        }
        ("RetryIn", "delays_seconds") => {
            let longest = schedule::WAIT_MAX.as_secs();
            json!({"maxItems": schedule::ATTEMPTS_MAX - 1,
                "items": {"type": "number", "minimum": 0, "maximum": longest}})
        }
        (_, "filter") => json!({"description": "An expression over the event.", "example": "amount > 10"}),
        (_, "slug") => json!({"minLength": 1, "maxLength": 63, "pattern": "^[a-z0-9-]+$", "example": "acme"}),
        (_, "severity" | "immediate_severity") => json!({"enum": Severity::ALL.map(Severity::name)}),
        (_, "id" | "channel_id" | "delivery_id") => id(),
        _ if is_time => json!({"format": "date-time", "example": "2026-11-22T07:00:00.000Z"}),
        _ => return None,
    })
}

fn providers() -> Vec<&'static str> {
    providers::all().iter().map(|provider| provider.spec().name).collect()
}

/// Adds keys to a schema. A list of values takes in null where the type does.
fn merge(schema: &mut Value, more: Value) {
    let is_nullable = schema["type"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "null"));
    let Value::Object(more) = more else { return };
    if !schema.is_object() {
        *schema = Map::new().into();
    }
    for (key, mut value) in more {
        if key == "description" && schema.get("description").is_some() {
            continue;
        }
        if let (true, "enum", Value::Array(values)) = (is_nullable, key.as_str(), &mut value) {
            values.push(Value::Null);
        }
        schema[key] = value;
    }
}
