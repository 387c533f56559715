//! Described event types: those of a tenant, and the ones that are built in.
//!
//! A tenant may describe a built-in type anew; deleting that description brings the built-in one back.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use domain::event::check_event_type;
use domain::event_type::{
    DESCRIPTION_CHARS_MAX, EVENT_TYPES_MAX, EXAMPLE_CHARS_MAX, EventType, GROUPS_MAX, KEY_BYTES_MAX, KeptEventType,
    LABEL_CHARS_MAX, VARIABLES_MAX, Variable, VariableGroup, VariableKind, check_key,
};
use domain::{TenantId, Timestamp};
use providers::FieldError;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::{Engine, OpsError};
use crate::operational;

/// An event type as people see it.
#[derive(Clone, Debug)]
pub struct EventTypeShown {
    pub event_type: EventType,
    /// It comes with Postrider, and no tenant has described it anew.
    pub is_built_in: bool,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
}

impl From<&KeptEventType> for EventTypeShown {
    fn from(kept: &KeptEventType) -> Self {
        Self {
            event_type: kept.event_type.clone(),
            is_built_in: false,
            created_at: Some(kept.created_at),
            updated_at: kept.updated_at,
        }
    }
}

impl Engine {
    /// The event types of a tenant in order of name, those above `after`.
    pub fn event_types(&self, tenant: TenantId, after: &str, rows_max: usize) -> Vec<EventTypeShown> {
        let own = self.registry.event_types(tenant);
        let is_new = |built_in: &&EventType| !own.iter().any(|kept| kept.event_type.name == built_in.name);
        let built_in = |event_type: &EventType| EventTypeShown {
            event_type: event_type.clone(),
            is_built_in: true,
            created_at: None,
            updated_at: None,
        };
        let mut all: Vec<EventTypeShown> = own.iter().map(|kept| (&**kept).into()).collect();
        all.extend(built_in_types().filter(is_new).map(built_in));
        all.sort_by(|left, right| left.event_type.name.cmp(&right.event_type.name));
        all.into_iter().filter(|shown| shown.event_type.name.as_str() > after).take(rows_max).collect()
    }

    pub fn event_type(&self, tenant: TenantId, name: &str) -> Result<EventTypeShown, OpsError> {
        let all = self.event_types(tenant, "", usize::MAX);
        all.into_iter()
            .find(|shown| shown.event_type.name == name)
            .ok_or_else(|| OpsError::NotFound(format!("description of the event type {name:?}")))
    }

    /// Describes an event type, or describes it anew. Returns whether it is the tenant's first description of it.
    pub async fn put_event_type(
        &self,
        tenant: TenantId,
        event_type: EventType,
    ) -> Result<(EventTypeShown, bool), OpsError> {
        check(&event_type)?;
        let _changing = self.changing.lock().await;
        self.check_tenant(tenant)?;
        let own = self.registry.event_types(tenant);
        let is_first = !own.iter().any(|kept| kept.event_type.name == event_type.name);
        if is_first && own.len() >= EVENT_TYPES_MAX {
            return Err(OpsError::Conflict(format!("there are {EVENT_TYPES_MAX} described event types already")));
        }
        let kept = self.store.put_event_type(tenant, event_type, self.clock.now()).await?;
        let shown = (&kept).into();
        self.registry.put_event_type(kept);
        Ok((shown, is_first))
    }

    /// Forgets a description; events of the type are taken as before.
    pub async fn delete_event_type(&self, tenant: TenantId, name: &str) -> Result<(), OpsError> {
        let _changing = self.changing.lock().await;
        if self.store.delete_event_type(tenant, name.to_owned()).await? {
            self.registry.remove_event_type(tenant, name);
            return Ok(());
        }
        if built_in_types().any(|event_type| event_type.name == name) {
            return Err(OpsError::Conflict(format!(
                "{name} is built in and cannot be deleted; describe it anew instead"
            )));
        }
        Err(OpsError::NotFound(format!("description of the event type {name:?}")))
    }
}

/// Data made of the examples of a type: for tests and previews. Dots in keys lead into objects.
pub(super) fn sample(event_type: &EventType) -> Map<String, Value> {
    let mut data = Map::new();
    for variable in event_type.variables() {
        let read = || serde_json::from_str(&variable.example).ok();
        let value = if variable.kind.is_text() { None } else { read() };
        let value = value.unwrap_or_else(|| Value::from(variable.example.as_str()));
        let mut parts: Vec<&str> = variable.key.split('.').collect();
        let last = parts.pop().unwrap_or_default();
        let inner = parts.into_iter().try_fold(&mut data, |within, part| {
            within.entry(part).or_insert_with(|| Value::Object(Map::new())).as_object_mut()
        });
        // A key below one that holds no object has no place.
        if let Some(inner) = inner {
            inner.insert(last.to_owned(), value);
        }
    }
    data
}

fn check(event_type: &EventType) -> Result<(), OpsError> {
    let mut faults = Faults::default();
    if let Err(error) = check_event_type(&event_type.name) {
        faults.add("type", error.to_string());
    }
    if event_type.label.is_empty() {
        faults.add("label", "must not be empty");
    }
    faults.check_length("label", &event_type.label, LABEL_CHARS_MAX);
    faults.check_length("description", &event_type.description, DESCRIPTION_CHARS_MAX);
    if event_type.groups.len() > GROUPS_MAX {
        faults.add("groups", format!("may be at most {GROUPS_MAX}"));
    }
    if event_type.variables().count() > VARIABLES_MAX {
        faults.add("groups", format!("may hold at most {VARIABLES_MAX} variables together"));
    }
    let mut keys = BTreeSet::new();
    for (position, group) in event_type.groups.iter().enumerate() {
        faults.check_length(&format!("groups[{position}].name"), &group.name, LABEL_CHARS_MAX);
        for (number, variable) in group.variables.iter().enumerate() {
            let at = format!("groups[{position}].variables[{number}]");
            faults.check_variable(&at, variable);
            if !keys.insert(&variable.key) {
                faults.add(&format!("{at}.key"), "is there twice");
            }
        }
    }
    if faults.0.is_empty() { Ok(()) } else { Err(OpsError::Invalid(faults.0)) }
}

/// What is wrong with a description.
#[derive(Default)]
struct Faults(Vec<FieldError>);

impl Faults {
    fn add(&mut self, field: &str, message: impl Into<String>) {
        self.0.push(FieldError { field: field.to_owned(), message: message.into() });
    }

    fn check_length(&mut self, field: &str, text: &str, chars_max: usize) {
        if text.chars().count() > chars_max {
            self.add(field, format!("must be at most {chars_max} characters"));
        }
    }

    fn check_variable(&mut self, at: &str, variable: &Variable) {
        if !check_key(&variable.key) {
            let message = format!(
                "must be names of letters, digits and '_' with dots between, at most {KEY_BYTES_MAX} characters"
            );
            self.add(&format!("{at}.key"), message);
        }
        self.check_length(&format!("{at}.description"), &variable.description, DESCRIPTION_CHARS_MAX);
        let field = format!("{at}.example");
        self.check_length(&field, &variable.example, EXAMPLE_CHARS_MAX);
        let is_json = serde_json::from_str::<IgnoredAny>(&variable.example).is_ok();
        if !variable.kind.is_text() && !variable.example.is_empty() && !is_json {
            self.add(&field, format!("must be JSON, because the type is {}", variable.kind.name()));
        }
    }
}

/// Every type that comes with Postrider.
fn built_in_types() -> impl Iterator<Item = &'static EventType> {
    BUILT_IN.iter().chain(operational::EVENT_TYPES.iter())
}

/// The types that every tenant has: what a video analytics product posts for its alerts. Wording and examples are those
/// that clients of its API know.
static BUILT_IN: LazyLock<Arc<[EventType]>> = LazyLock::new(|| {
    let variable = |(key, description, kind, example): (&str, &str, VariableKind, &str)| Variable {
        key: key.to_owned(),
        description: description.to_owned(),
        kind,
        example: example.to_owned(),
    };
    let variables = [
        ("severity", "Tingkat keparahan alert", VariableKind::String, "CRITICAL"),
        ("stream_name", "Nama stream atau kamera", VariableKind::String, "Gate A - Main Entrance"),
        ("label", "Label event yang terdeteksi", VariableKind::String, "VIP Detected"),
        ("timestamp", "Waktu kejadian", VariableKind::Datetime, "2026-01-26 14:30:00"),
        ("alert_rule", "Nama alert rule yang terpicu", VariableKind::String, "VIP Detection"),
        ("event_id", "ID unik event", VariableKind::String, "evt_123456"),
        ("status", "Status event", VariableKind::String, "match"),
    ];
    let group = VariableGroup { name: "Alert Info".to_owned(), variables: variables.map(variable).to_vec() };
    let alert_history = EventType {
        name: "alert_history".to_owned(),
        label: "Alert History".to_owned(),
        description: "Dipicu saat sebuah alert rule menghasilkan event baru.".to_owned(),
        groups: vec![group],
    };
    [alert_history].into()
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_made_of_examples() {
        let variable = |key: &str, kind, example: &str| Variable {
            key: key.to_owned(),
            description: String::new(),
            kind,
            example: example.to_owned(),
        };
        let event_type = EventType {
            name: "a".to_owned(),
            label: "A".to_owned(),
            description: String::new(),
            groups: vec![VariableGroup {
                name: String::new(),
                variables: vec![
                    variable("amount", VariableKind::Number, "12.5"),
                    variable("customer.name", VariableKind::String, "12"),
                    variable("customer.tags", VariableKind::Array, "[1]"),
                    variable("amount.deeper", VariableKind::String, "nowhere"),
                ],
            }],
        };
        let expected = serde_json::json!({"amount": 12.5, "customer": {"name": "12", "tags": [1]}});
        assert_eq!(Value::Object(sample(&event_type)), expected);
    }

    #[test]
    fn what_is_built_in_is_as_it_should_be() {
        for event_type in built_in_types() {
            // Their names are ours: no tenant could describe them.
            check(&EventType { name: "a".to_owned(), ..event_type.clone() }).unwrap();
        }
    }
}
