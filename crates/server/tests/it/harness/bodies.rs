//! A good body for everything that can be written, to be made wrong by tests.

use http::Method;
use serde_json::{Value, json};

/// A good body for everything that can be written.
pub(crate) fn writes(channel: i64) -> Vec<(Method, String, Value)> {
    let event = json!({"type": "a", "data": {}, "severity": "info", "occurred_at": "2026-01-01T00:00:00Z",
        "channels": [1], "idempotency_key": "k", "tenant": "default"});
    let cloud = json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "a", "time": "2026-01-01T00:00:00Z",
        "datacontenttype": "application/json", "data": {}});
    let description = json!({"type": "a.b", "label": "A", "description": "B", "groups": [{"name": "G", "variables":
        [{"key": "k", "description": "D", "type": "number", "example": "1"}]}]});
    let tenant = json!({"slug": "acme", "name": "Acme", "email": "a@x.test",
        "providers": ["email", "webhook"]});
    let key = json!({"name": "k", "scopes": ["inbox"], "username": "u", "expires_at": "2099-01-01T00:00:00Z",
        "key": "imported-key-of-a-customer"});
    let preview = json!({"channel_id": channel, "subject_template": "s", "body_template": "b", "event":
        {"type": "a", "data": {}, "occurred_at": "2026-01-01T00:00:00Z", "severity": "info"}});
    let mut all = vec![
        (Method::POST, "/v1/events".to_owned(), event.clone()),
        (Method::POST, "/v1/events".to_owned(), json!([event])),
        (Method::POST, "/v1/events".to_owned(), cloud),
        (Method::POST, "/v1/channels/preview".to_owned(), preview),
        (
            Method::POST,
            "/v1/subscriptions".to_owned(),
            json!({"channel_id": channel, "event_type": "a", "filter": "b"}),
        ),
        (Method::POST, "/v1/event-types".to_owned(), description.clone()),
        (Method::PUT, "/v1/event-types/a.b".to_owned(), description),
        (Method::POST, "/v1/inbox/read-all".to_owned(), json!({"recipient": "r"})),
        (Method::POST, "/v1/tenants".to_owned(), tenant.clone()),
        (Method::PUT, "/v1/tenants/acme".to_owned(), tenant),
        (Method::POST, "/v1/tenants/default/keys".to_owned(), key),
    ];
    for provider in providers::all() {
        let spec = provider.spec();
        let config = Value::Object(spec.sample());
        let channel_in = json!({"name": "n", "provider": spec.name, "config": config, "is_active": true,
            "event_types": ["a"], "filter": "b", "subject_template": "s", "body_template": "b",
            "retry": {"delays_seconds": [1]}, "time_to_live_seconds": 60, "concurrency": 1});
        all.push((Method::POST, "/v1/channels".to_owned(), channel_in.clone()));
        all.push((Method::POST, "/v1/channels/preview".to_owned(), json!({"provider": spec.name, "config": config})));
        if spec.name == "webhook" {
            let mut patch = channel_in;
            patch.as_object_mut().expect("an object").remove("provider");
            all.push((Method::PATCH, format!("/v1/channels/{channel}"), patch));
        }
    }
    all
}

/// Every place within a body, as a JSON pointer.
pub(crate) fn places(body: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(body, "", &mut found);
    found
}

fn collect(value: &Value, pointer: &str, found: &mut Vec<String>) {
    if !pointer.is_empty() {
        found.push(pointer.to_owned());
    }
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                collect(field, &format!("{pointer}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, &format!("{pointer}/{index}"), found);
            }
        }
        _ => {}
    }
}
