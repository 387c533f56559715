//! Filters: expressions over an event that decide whether it goes to a channel.
//!
//! An expression sees the keys of the event's data on the top level, and `event` with `type`, `severity`,
//! `occurred_at` and `data`. It compares and does not calculate, and it has fuel, so that none can hold up accepting
//! (see `expression.rs`). A name that is missing is undefined, which is false.

use std::sync::{Arc, LazyLock};

use domain::digest::GROUP_KEY_BYTES_MAX;
use domain::event::NewEvent;
use domain::routing::FilterResult;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, Expression};
use sha2::{Digest as _, Sha256};

use crate::expression;

/// The longest filter, in bytes.
pub const FILTER_BYTES_MAX: usize = 2000;

/// Instructions that one evaluation may take; a comparison takes about five.
const FUEL: u64 = 10_000;

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| expression::environment(FUEL));

/// A compiled filter.
pub struct Filter(Option<Expression<'static, 'static>>);

impl Filter {
    /// Compiles a filter from its owner. The error says what is wrong with it.
    pub fn compile(text: &str) -> Result<Self, String> {
        if text.len() > FILTER_BYTES_MAX {
            return Err(format!("must be at most {FILTER_BYTES_MAX} bytes long"));
        }
        expression::check_expression(text)?;
        ENVIRONMENT
            .compile_expression_owned(text.to_owned())
            .map(|expression| Self(Some(expression)))
            .map_err(|error| format!("is not an expression like 'severity == \"critical\"': {error}"))
    }

    /// Compiles a filter that was checked when it was saved.
    pub(crate) fn compile_stored(text: &str) -> Self {
        Self::compile(text).unwrap_or(Self(None))
    }

    /// What the filter says about an event.
    pub fn evaluate(&self, event: &Context) -> FilterResult {
        let Some(expression) = &self.0 else { return FilterResult::Failed };
        match expression.eval(event.0.clone()) {
            Ok(value) if value.is_true() => FilterResult::Pass,
            Ok(_) => FilterResult::Reject,
            Err(_) => FilterResult::Failed,
        }
    }
}

/// The value of an expression over an event, as a text: what a digest groups by. Nothing, and what fails, is the empty
/// text; a long one is its hash.
pub(crate) fn value(filter: &Filter, event: &Context) -> String {
    let found = filter.0.as_ref().and_then(|expression| expression.eval(event.0.clone()).ok());
    let Some(found) = found.filter(|value| !value.is_undefined() && !value.is_none()) else { return String::new() };
    let text = found.as_str().map_or_else(|| expression::json(&found).unwrap_or_default(), ToOwned::to_owned);
    if text.len() <= GROUP_KEY_BYTES_MAX {
        return text;
    }
    Sha256::digest(&text).iter().fold(String::new(), |hash, byte| hash + &format!("{byte:02x}"))
}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Filter")
    }
}

/// What expressions and templates see of an event.
#[derive(Clone, Debug)]
pub struct Context(pub(crate) Value);

impl Context {
    /// Reads the event's data. Data nested more than 128 deep cannot be read and counts as empty.
    pub fn of(event: &NewEvent) -> Self {
        Self::with(event, [])
    }

    /// The same with further names on the top level, which data cannot hide.
    pub(crate) fn with(event: &NewEvent, more: impl IntoIterator<Item = (&'static str, Value)>) -> Self {
        let data: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&event.data).unwrap_or_default();
        let about = Value::from_pairs([
            ("type", Value::from(Arc::clone(&event.event_type))),
            ("severity", event.severity.map_or(Value::UNDEFINED, |severity| Value::from(severity.name()))),
            ("occurred_at", Value::from(providers::message::rfc3339(event.occurred_at))),
            ("data", Value::from(Serde(&data))),
        ]);
        let mut names: std::collections::BTreeMap<String, Value> =
            data.into_iter().map(|(key, value)| (key, Value::from(Serde(value)))).collect();
        names.insert("event".to_owned(), about);
        names.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
        Self(Value::from_pairs(names))
    }

    /// The same with `items`: what is seen of several events.
    pub(crate) fn with_items(&self, items: Vec<Self>) -> Self {
        let items: Value = items.into_iter().map(|item| item.0).collect();
        let keys = self.0.try_iter().into_iter().flatten();
        let kept = keys.filter_map(|key| Some((key.as_str()?.to_owned(), self.0.get_item(&key).ok()?)));
        let names: std::collections::BTreeMap<String, Value> = kept.chain([("items".to_owned(), items)]).collect();
        Self(Value::from_pairs(names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::event::Severity;
    use domain::{TenantId, Timestamp};

    fn event(data: &str) -> NewEvent {
        NewEvent {
            tenant: TenantId(1),
            event_type: "invoice.paid".into(),
            data: data.into(),
            occurred_at: Timestamp::from_ms(0),
            severity: Some(Severity::Error),
            explicit_channels: None,
            trace: None,
        }
    }

    #[test]
    fn filters_see_the_event() {
        let context =
            Context::of(&event(r#"{"amount": 12.5, "customer": {"country": "DE"}, "tags": ["a"], "event": 1}"#));
        let check = |text: &str, expected: FilterResult| {
            assert_eq!(Filter::compile(text).unwrap().evaluate(&context), expected, "{text}");
        };
        check("amount > 10", FilterResult::Pass);
        check("amount > 20", FilterResult::Reject);
        check("customer.country == 'DE' and 'a' in tags", FilterResult::Pass);
        check("event.type == 'invoice.paid' and event.severity == 'error'", FilterResult::Pass);
        check("event.data.amount == 12.5", FilterResult::Pass);
        check("event.occurred_at == '1970-01-01T00:00:00.000Z'", FilterResult::Pass);
        check("missing", FilterResult::Reject);
        check("missing.deeper.still == 1", FilterResult::Reject);
        check("'inv' in event.type and customer.country | lower == 'de'", FilterResult::Pass);
        check("{} - 3 > amount", FilterResult::Failed);
    }

    #[test]
    fn what_events_have_in_common_is_a_text() {
        let long = "x".repeat(300);
        let data = format!(r#"{{"customer": {{"id": 7}}, "name": "Ada", "none": null, "long": "{long}"}}"#);
        let context = Context::of(&event(&data));
        let check = |text: &str, expected: &str| {
            assert_eq!(value(&Filter::compile(text).unwrap(), &context), expected, "{text}");
        };
        check("name", "Ada");
        check("customer.id", "7");
        check("customer", r#"{"id":7}"#);
        check("[event.type, name]", r#"["invoice.paid","Ada"]"#);
        check("missing.deeper", "");
        check("none", "");
        check("{} - 3", "");
        assert_eq!(value(&Filter::compile("long").unwrap(), &context).len(), 64);
    }

    #[test]
    fn a_bad_filter_is_refused_with_a_reason() {
        let error = Filter::compile("amount >").unwrap_err();
        assert!(error.contains("is not an expression"), "{error}");
        let error = Filter::compile("([1] * 100000000) | length > 0").unwrap_err();
        assert!(error.contains("not calculate"), "{error}");
        assert!(Filter::compile(&"x".repeat(2001)).unwrap_err().contains("2000"));
    }
}
