//! What holds for every provider, checked from the SPECs alone: a new provider is covered by being in the list.

mod docs;

use std::collections::BTreeSet;

use domain::secret::MASK;
use domain::{EventId, Timestamp};
use serde_json::{Map, Value, json};

use crate::config::{Config, create, masked, update};
use crate::message::Message;
use crate::spec::{FieldKind, Spec};
use crate::trial::first_try;
use crate::{Operator, Provider, all, find};

const NOW: Timestamp = Timestamp::from_ms(1_700_000_000_000);

fn each(mut check: impl FnMut(&'static dyn Provider, &'static Spec)) {
    for provider in all() {
        check(*provider, provider.spec());
    }
}

fn sample(provider: &dyn Provider) -> Config {
    create(provider, &provider.spec().sample()).unwrap_or_else(|errors| panic!("{errors:?}"))
}

/// Every text of the sample that must not be shown.
fn secrets(spec: &Spec) -> Vec<String> {
    let values = spec.fields.iter().filter(|field| field.secret).map(crate::Field::sample);
    let texts = values.flat_map(|value| match value {
        Value::Object(values) => values.into_iter().map(|(_, value)| value).collect(),
        other => vec![other],
    });
    texts.map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[test]
fn specs_are_whole() {
    let names: BTreeSet<&str> = all().iter().map(|provider| provider.spec().name).collect();
    assert_eq!(names.len(), all().len(), "two providers of one name");
    each(|_, spec| {
        assert!(spec.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", spec.name);
        assert_eq!(find(spec.name).unwrap().spec().name, spec.name);
        assert!((spec.retry)().attempts_max() > 1);
        assert!(spec.time_to_live <= domain::channel::TIME_TO_LIVE_MAX);
        let keys: BTreeSet<&str> = spec.fields.iter().map(|field| field.key).collect();
        assert_eq!(keys.len(), spec.fields.len(), "{}: two fields of one key", spec.name);
        for field in spec.fields {
            assert!(field.help.ends_with('.'), "{}.{}", spec.name, field.key);
            let is_signing = field.kind == FieldKind::SigningSecret;
            assert_eq!(is_signing, field.key == crate::config::SECRET, "{}.{}", spec.name, field.key);
            assert!(!is_signing || field.secret);
        }
    });
    assert!(find("nonesuch").is_none());
}

#[test]
fn samples_are_accepted_and_kept() {
    each(|provider, spec| {
        let config = sample(provider);
        assert_eq!(Config::parse(&config.to_json()).unwrap().to_json(), config.to_json(), "{}", spec.name);
        let required = spec.fields.iter().filter(|field| field.required);
        let least: Map<String, Value> = required.map(|field| (field.key.to_owned(), field.sample())).collect();
        create(provider, &least).unwrap_or_else(|errors| panic!("{}: {errors:?}", spec.name));
    });
}

#[test]
fn errors_name_their_field() {
    each(|provider, spec| {
        for field in spec.fields {
            let mut given = spec.sample();
            // No kind of field takes a truth value.
            given.insert(field.key.to_owned(), json!(true));
            let errors = create(provider, &given).unwrap_err();
            assert_eq!(errors[0].field, format!("config.{}", field.key), "{}", spec.name);
        }
        for field in spec.fields.iter().filter(|field| field.required) {
            for nothing in [Value::Null, json!("")] {
                let mut given = spec.sample();
                given.insert(field.key.to_owned(), nothing);
                let errors = create(provider, &given).unwrap_err();
                assert_eq!(errors[0].to_string(), format!("config.{}: is required", field.key));
            }
        }
    });
}

#[test]
fn secrets_are_masked_and_a_mask_sent_back_changes_nothing() {
    each(|provider, spec| {
        let config = sample(provider);
        let shown = masked(provider, &config);
        let text = Value::Object(shown.clone()).to_string();
        for secret in secrets(spec) {
            assert!(!text.contains(&secret), "{} shows a secret", spec.name);
        }
        assert_eq!(text.contains(MASK), spec.fields.iter().any(|field| field.secret));
        assert!(shown.keys().all(|key| spec.field(key).is_some()), "{}: {text}", spec.name);

        let after = update(provider, &config, &shown, NOW).unwrap();
        assert_eq!(after.to_json(), config.to_json(), "{}", spec.name);
    });
}

#[test]
fn nothing_secret_is_in_debug_or_in_errors() {
    each(|provider, spec| {
        let config = sample(provider);
        let message = Message {
            event_id: EventId(1),
            event_type: "invoice.paid",
            data: "{}",
            occurred_at: NOW,
            severity: None,
            subject: None,
            body: None,
            items: &[],
        };
        let operator = Operator::default();
        let context = first_try("dlv_1", NOW, &operator);
        let steps = provider.plan(&config, &message, &context).unwrap();
        // Every secret in the place of every field, where most are wrong.
        let misplaced = spec.fields.iter().flat_map(|field| {
            secrets(spec).into_iter().map(move |secret| Map::from_iter([(field.key.to_owned(), json!([secret]))]))
        });
        let errors: Vec<_> = misplaced.map(|given| create(provider, &given).unwrap_err()).collect();
        let debug = format!("{config:?} {steps:?} {errors:?}");
        for secret in secrets(spec) {
            assert!(!debug.contains(&secret), "{} shows a secret", spec.name);
        }
    });
}

#[test]
fn schemes_belong_to_one_provider() {
    let mut seen = BTreeSet::new();
    each(|provider, spec| {
        for form in provider.pasted() {
            assert!(form.schemes.iter().all(|scheme| seen.insert(*scheme)), "{}", spec.name);
            assert!(form.schemes.iter().any(|scheme| form.shown.starts_with(scheme)), "{}", spec.name);
        }
    });
}

#[test]
fn completing_twice_changes_nothing() {
    each(|provider, spec| {
        let mut config = create(provider, &spec.sample()).unwrap();
        provider.complete(&mut config, [1; 32]);
        let once = config.to_json();
        assert!(provider.complete(&mut config, [2; 32]).is_empty(), "{}", spec.name);
        assert_eq!(config.to_json(), once);
    });
}

#[test]
fn a_digest_of_many_events_can_be_sent() {
    each(|provider, spec| {
        let config = sample(provider);
        let item = crate::Item {
            event_id: EventId(1),
            event_type: "invoice.paid",
            data: r#"{"title": "<b>Paid</b> *in* full", "amount": 12}"#,
            occurred_at: NOW,
            severity: Some(domain::event::Severity::Warning),
        };
        let items = vec![item; 300];
        let message = Message { event_type: "postrider.digest", data: "{}", items: &items, ..item.message() };
        let operator = Operator::default();
        let context = first_try("dgs_a_1", NOW, &operator);
        let steps = provider.plan(&config, &message, &context).unwrap();
        assert!(!steps.is_empty() && steps.len() <= 2, "{}: {} steps", spec.name, steps.len());
        let said = steps[0].content();
        assert!(said.contains("300") || said.matches("invoice.paid").count() == 300, "{}: {said}", spec.name);
    });
}
