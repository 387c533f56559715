//! The types of the wire, and how a webhook is read.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::error::{Fault, FieldFault};

/// A webhook as it is shown: these keys and no more.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ThuliumWebhook)]
pub(super) struct WebhookOut {
    pub(super) id: i64,
    pub(super) actions: Vec<String>,
    pub(super) subscription_url: String,
    /// Empty when there is none.
    pub(super) http_auth_user: String,
    /// Empty when there is none; masked for keys that may not change it.
    pub(super) http_auth_password: String,
}

/// A webhook as it is sent.
#[derive(Debug, PartialEq, Eq, ToSchema)]
#[schema(as = ThuliumWebhookIn)]
pub(super) struct WebhookIn {
    /// Names in capitals, like `CHAT_CONVERSATION_CREATED`: what it wants to hear of.
    pub(super) actions: Vec<String>,
    /// Where it is told.
    pub(super) subscription_url: String,
    /// For HTTP Basic. Empty text: none. Absent in a change: as it was.
    #[schema(required = false)]
    pub(super) http_auth_user: Option<String>,
    #[schema(required = false)]
    pub(super) http_auth_password: Option<String>,
}

/// Reads a body. Errors name every field that is wrong; keys that nobody knows are passed over, as the vendor does.
pub(super) fn read(bytes: &[u8]) -> Result<WebhookIn, Fault> {
    let body: Value = serde_json::from_slice(bytes).map_err(|error| Fault::not_json(&error))?;
    let Value::Object(mut fields) = body else { return Err(Fault::no_object()) };
    let mut faults = Vec::new();
    let actions = actions(fields.remove("actions"), &mut faults);
    let subscription_url = text(&mut fields, "subscription_url", &mut faults);
    if subscription_url.as_deref().is_none_or(str::is_empty) && faults.iter().all(|it| it.field != "subscription_url") {
        faults.push(required("subscription_url"));
    }
    let http_auth_user = text(&mut fields, "http_auth_user", &mut faults);
    let http_auth_password = text(&mut fields, "http_auth_password", &mut faults);
    if !faults.is_empty() {
        return Err(Fault::invalid(faults));
    }
    let subscription_url = subscription_url.unwrap_or_default();
    Ok(WebhookIn { actions, subscription_url, http_auth_user, http_auth_password })
}

/// In the order in which they were sent, each once.
fn actions(given: Option<Value>, faults: &mut Vec<FieldFault>) -> Vec<String> {
    let Some(Value::Array(given)) = given else {
        let no_array = || FieldFault::new("actions", "must be an array of names", "musi być tablicą nazw");
        faults.push(given.map_or_else(|| required("actions"), |_| no_array()));
        return Vec::new();
    };
    if given.is_empty() {
        let (english, polish) = ("must name at least one action", "musi zawierać co najmniej jedną akcję");
        faults.push(FieldFault::new("actions", english, polish));
    }
    let mut kept = Vec::new();
    for value in given {
        match value {
            Value::String(name) if !kept.contains(&name) => kept.push(name),
            Value::String(_) => {}
            _ => {
                faults.push(FieldFault::new("actions", "must hold texts only", "może zawierać tylko teksty"));
                break;
            }
        }
        // What is beyond any bound is refused later, and need not be compared with all before it.
        if kept.len() > engine::ops::EVENT_TYPES_MAX {
            break;
        }
    }
    kept
}

/// A text, or null for none.
fn text(fields: &mut Map<String, Value>, key: &'static str, faults: &mut Vec<FieldFault>) -> Option<String> {
    match fields.remove(key)? {
        Value::String(text) => Some(text),
        Value::Null => Some(String::new()),
        _ => {
            faults.push(FieldFault::new(key, "must be a text", "musi być tekstem"));
            None
        }
    }
}

fn required(field: &'static str) -> FieldFault {
    FieldFault::new(field, "is required", "jest wymagane")
}
