//! JSON schemas of configs, made from SPECs: what an owner may give, what may change, and what is shown.
//!
//! A schema says less than [`accept`](crate::create): what several fields have to do with each other, and what makes a
//! host or an address a good one, is left to the check itself.

use serde_json::{Map, Value, json};

use crate::field::{HEADER_VALUE_BYTES_MAX, HEADERS_MAX, URL_BYTES_MAX};
use crate::spec::{Field, FieldKind, Spec};

/// The config of a new channel.
pub fn given(spec: &Spec) -> Value {
    let required: Vec<_> = spec.fields.iter().filter(|field| field.required).map(|field| field.key).collect();
    let mut schema = object(spec, |field| annotated(field, kind(field)));
    schema["required"] = required.into();
    schema["example"] = spec.sample().into();
    schema
}

/// A change of a config: nothing is required, and null removes a field.
pub fn changed(spec: &Spec) -> Value {
    object(spec, |field| annotated(field, json!({"anyOf": [kind(field), {"type": "null"}]})))
}

/// A config in an answer: secrets are masked, so their texts keep no form.
pub fn shown(spec: &Spec) -> Value {
    object(spec, |field| {
        let mut schema = match (field.secret, field.kind) {
            (_, FieldKind::Headers) => json!({"type": "object", "additionalProperties": {"type": "string"}}),
            (false, FieldKind::Addresses { .. }) => json!({"type": "array", "items": {"type": "string"}}),
            (false, FieldKind::Port) => kind(field),
            _ => json!({"type": "string"}),
        };
        let masked = if field.secret { " Masked." } else { "" };
        schema["description"] = format!("{}{masked}", field.help).into();
        schema
    })
}

fn object(spec: &Spec, schema: impl Fn(&Field) -> Value) -> Value {
    let properties: Map<_, _> = spec.fields.iter().map(|field| (field.key.to_owned(), schema(field))).collect();
    json!({"type": "object", "title": spec.title, "properties": properties, "additionalProperties": false})
}

fn annotated(field: &Field, mut schema: Value) -> Value {
    schema["description"] = field.help.into();
    schema["example"] = field.sample();
    if field.secret {
        schema["writeOnly"] = true.into();
    }
    schema
}

fn kind(field: &Field) -> Value {
    let mut schema = match field.kind {
        FieldKind::WebhookUrl => json!({"type": "string", "maxLength": URL_BYTES_MAX}),
        FieldKind::Url => json!({"type": "string", "format": "uri", "maxLength": URL_BYTES_MAX}),
        FieldKind::Text { chars_max } => json!({"type": "string", "maxLength": chars_max}),
        FieldKind::Choice(choices) => json!({"type": "string", "enum": choices, "default": choices.first()}),
        FieldKind::Address | FieldKind::Host => json!({"type": "string"}),
        FieldKind::Addresses { count_max } => json!({"anyOf": [
            {"type": "array", "items": {"type": "string"}, "maxItems": count_max},
            {"type": "string"},
        ]}),
        FieldKind::Port => json!({"type": "integer", "minimum": 1, "maximum": u16::MAX}),
        FieldKind::Headers => json!({
            "type": "object",
            "maxProperties": HEADERS_MAX,
            "additionalProperties": {"type": ["string", "null"], "maxLength": HEADER_VALUE_BYTES_MAX},
        }),
        FieldKind::SigningSecret => json!({"type": "string", "pattern": "^(whsec_|\\*)"}),
    };
    if field.secret && schema["type"] == "string" {
        schema["format"] = "password".into();
    }
    schema
}
