//! Configs: what the owner of a channel entered, checked against the provider's SPEC.
//!
//! [`create`] and [`update`] are the only ways in from outside, [`masked`] the only way out to people. A [`Config`]
//! shows nothing by accident: no serde, no `Display`, and a `Debug` with keys only. Rules for single values are in
//! `field.rs`.

use std::any::Any;
use std::cmp::Reverse;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use domain::outcome::ConfigPatch;
use domain::secret::MASK;
use domain::{Secret, Timestamp};
use serde_json::{Map, Value};
use url::{Position, Url};

use crate::spec::{Field, FieldKind};
use crate::{Provider, field};

/// How long the signing secret before the present one goes on signing, so that receivers can change over.
pub const SECRET_GRACE: Duration = Duration::from_hours(24);

/// The field of every provider that signs.
pub(crate) const SECRET: &str = "secret";

/// Internal: the secret before the present one.
const PREVIOUS_SECRET: &str = "previous_secret";

/// Internal: until when it signs, in milliseconds since 1970.
const PREVIOUS_SECRET_UNTIL_MS: &str = "previous_secret_until_ms";

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct FieldError {
    /// As the owner knows it, like `config.url` or `config.headers.x-team`.
    pub field: String,
    /// What would be right, to be read after the field's name. Holds no value of a secret field.
    pub message: String,
}

impl FieldError {
    /// An error about `config.{key}`. A key may come from outside, so only its beginning is repeated.
    pub fn new(key: &str, message: impl Into<String>) -> Self {
        let key: String = key.chars().take(100).collect();
        Self { field: format!("config.{key}"), message: message.into() }
    }
}

/// Stored text is no config. Without a source, because a JSON error may quote a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored config is not a JSON object")]
pub struct UnreadableConfig;

/// A channel's config: the fields of a SPEC and internal ones. Meant to be parsed once and kept.
#[derive(Clone, Default)]
pub struct Config {
    fields: Map<String, Value>,
    /// What the provider made of the fields for its own use; see [`Config::prepared`].
    prepared: OnceLock<Arc<dyn Any + Send + Sync>>,
    /// What [`secrets`] found, once somebody asked.
    secrets: OnceLock<Arc<[Secret]>>,
}

impl Config {
    /// Reads what [`Config::to_json`] wrote. Input from people goes through [`create`].
    pub fn parse(json: &str) -> Result<Self, UnreadableConfig> {
        let fields = serde_json::from_str(json).map_err(|_| UnreadableConfig)?;
        Ok(Self { fields, ..Self::default() })
    }

    /// Everything in clear, for the encrypted store alone.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.fields).expect("a map of JSON values can be written")
    }

    /// A field's text, also of a secret field: the caller keeps it out of logs, errors and answers.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.fields.get(key)?.as_str()
    }

    /// The texts in a field that holds a list.
    pub fn texts(&self, key: &str) -> impl Iterator<Item = &str> {
        self.fields.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }

    /// The number in a field of [`FieldKind::Port`].
    pub fn port(&self, key: &str) -> Option<u16> {
        self.fields.get(key)?.as_u64().and_then(|port| u16::try_from(port).ok())
    }

    /// The headers in a field of [`FieldKind::Headers`], names in lower case.
    pub fn headers(&self, key: &str) -> impl Iterator<Item = (&str, &str)> {
        let headers = self.fields.get(key).and_then(Value::as_object);
        headers.into_iter().flatten().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
    }

    /// The signing secret before the present one and when it ends, which may be past.
    pub fn previous_secret(&self) -> Option<(&str, Timestamp)> {
        let until = self.fields.get(PREVIOUS_SECRET_UNTIL_MS)?.as_i64()?;
        Some((self.text(PREVIOUS_SECRET)?, Timestamp::from_ms(until)))
    }

    /// The same config with one field as a provider says that it is now.
    #[must_use]
    pub fn patched(&self, patch: &ConfigPatch) -> Self {
        let mut config = self.clone();
        config.set_text(patch.key, patch.value.clone());
        config
    }

    pub(crate) fn set_text(&mut self, key: &str, text: String) {
        self.set(key, Value::String(text));
    }

    /// What `make` makes of this config, made once: keys parsed, headers checked. One provider uses one type.
    pub(crate) fn prepared<T: Any + Send + Sync>(&self, make: fn(&Self) -> T) -> &T {
        let prepared = self.prepared.get_or_init(|| Arc::new(make(self)));
        prepared.downcast_ref().expect("a config belongs to one provider, which prepares one type")
    }

    fn set(&mut self, key: &str, value: Value) {
        self.fields.insert(key.to_owned(), value);
        self.forget_what_follows();
    }

    fn remove(&mut self, key: &str) {
        self.fields.remove(key);
        self.forget_what_follows();
    }

    fn forget_what_follows(&mut self) {
        (self.prepared, self.secrets) = (OnceLock::new(), OnceLock::new());
    }

    /// Keeps the secret of `before` signing for a while, if it is no longer the present one.
    fn rotate(&mut self, before: &Self, now: Timestamp) {
        if let Some(old) = before.text(SECRET)
            && self.text(SECRET) != Some(old)
        {
            self.set(PREVIOUS_SECRET, Value::from(old));
            self.set(PREVIOUS_SECRET_UNTIL_MS, Value::from(now.after(SECRET_GRACE).as_ms()));
        } else if self.previous_secret().is_some_and(|(_, until)| until <= now) {
            self.remove(PREVIOUS_SECRET);
            self.remove(PREVIOUS_SECRET_UNTIL_MS);
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Config")?;
        f.debug_set().entries(self.fields.keys()).finish()
    }
}

/// The config of a new channel. Null and empty text count as not given.
pub fn create(provider: &dyn Provider, given: &Map<String, Value>) -> Result<Config, Vec<FieldError>> {
    merge(provider, &Config::default(), given)
}

/// The config after a merge patch: absent keeps, null removes, [`MASK`] in a secret field means unchanged; headers are
/// merged by name in the same way. Nothing changes when any field is wrong.
///
/// When the signing secret changes or is removed, the one before goes on signing for [`SECRET_GRACE`].
pub fn update(
    provider: &dyn Provider,
    current: &Config,
    patch: &Map<String, Value>,
    now: Timestamp,
) -> Result<Config, Vec<FieldError>> {
    let mut config = merge(provider, current, patch)?;
    config.rotate(current, now);
    Ok(config)
}

/// The config for people: secrets are [`MASK`], of headers the names are shown, internal fields are absent.
pub fn masked(provider: &dyn Provider, config: &Config) -> Map<String, Value> {
    let shown = |field: &Field| Some((field.key.to_owned(), mask(field, config.fields.get(field.key)?)));
    provider.spec().fields.iter().filter_map(shown).collect()
}

/// The config with its secrets in clear, for faces that give them back as they came. Internal fields are absent.
pub fn clear(provider: &dyn Provider, config: &Config) -> Map<String, Value> {
    let shown = |field: &Field| Some((field.key.to_owned(), config.fields.get(field.key)?.clone()));
    provider.spec().fields.iter().filter_map(shown).collect()
}

/// Every secret text of a config, to be struck out of what comes back from the wire, longer ones first. With the HTTP
/// Basic form of a user and password, which a receiver that echoes its request headers sends back; with the long parts
/// of URLs, which are commonly tokens; and each as it stands in JSON, HTML and URLs. Found once and kept with the config.
pub fn secrets<'a>(provider: &dyn Provider, config: &'a Config) -> &'a [Secret] {
    config.secrets.get_or_init(|| find_secrets(provider, config))
}

fn find_secrets(provider: &dyn Provider, config: &Config) -> Arc<[Secret]> {
    let mut texts = Vec::new();
    for field in provider.spec().fields {
        let Some(value) = config.fields.get(field.key) else { continue };
        if matches!(field.kind, FieldKind::Url | FieldKind::WebhookUrl) {
            texts.extend(value.as_str().map(tokens_of).unwrap_or_default());
        }
        if field.secret {
            texts.extend(texts_in(value));
            texts.extend(value.as_str().and_then(after_host));
        }
    }
    texts.extend(config.text(PREVIOUS_SECRET).map(ToOwned::to_owned));
    if let Some(user) = config.text("basic_user") {
        let pair = format!("{user}:{}", config.text("basic_password").unwrap_or_default());
        texts.push(base64::engine::general_purpose::STANDARD.encode(pair));
    }
    let mut forms: Vec<String> = texts.iter().flat_map(|text| written_forms(text)).collect();
    forms.append(&mut texts);
    // One that is a part of another would leave the rest of it.
    forms.sort_by_key(|form| Reverse(form.len()));
    forms.into_iter().map(Secret::new).collect()
}

/// The shortest part of a URL that is taken for a token.
const TOKEN_BYTES_MIN: usize = 16;

/// The parts of a URL that are too long to be words, as they are written and as they are meant.
fn tokens_of(url: &str) -> Vec<String> {
    let Ok(url) = Url::parse(url) else { return Vec::new() };
    let segments = url.path_segments().into_iter().flatten();
    let values = url.query().into_iter().flat_map(|query| query.split(['&', '=']));
    let meant = url.query_pairs().map(|(_, value)| value.into_owned());
    let parts = segments.chain(values).map(ToOwned::to_owned).chain(meant);
    parts.filter(|part| part.len() >= TOKEN_BYTES_MIN).collect()
}

/// A text as receivers repeat it within something else, where that differs from the text itself.
fn written_forms(text: &str) -> Vec<String> {
    let json = Value::from(text).to_string();
    let json = json[1..json.len() - 1].to_owned();
    let html = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let quoted = html.replace('"', "&quot;");
    let form: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    let spaced = form.replace('+', "%20");
    let apostrophes = ["&#39;", "&#x27;", "&apos;"].map(|written| quoted.replace('\'', written));
    let mut forms = vec![json, html, quoted, form, spaced];
    forms.extend(apostrophes);
    forms.retain(|form| form != text);
    forms.sort();
    forms.dedup();
    forms
}

/// What follows the host of a URL, which is all that a receiver sees of it.
fn after_host(text: &str) -> Option<String> {
    Url::parse(text).ok().map(|url| url[Position::BeforePath..].to_owned()).filter(|rest| rest.len() > 1)
}

fn texts_in(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Object(values) => values.values().flat_map(texts_in).collect(),
        _ => Vec::new(),
    }
}

pub(crate) fn mask(field: &Field, value: &Value) -> Value {
    match value {
        _ if !field.secret => value.clone(),
        Value::String(text) if field.kind == FieldKind::WebhookUrl => {
            let shown = Url::parse(text).map(|url| format!("{}/{MASK}", &url[..Position::BeforePath]));
            Value::from(shown.unwrap_or_else(|_| MASK.to_owned()))
        }
        Value::Object(values) => values.keys().map(|name| (name.clone(), Value::from(MASK))).collect(),
        _ => Value::from(MASK),
    }
}

fn merge(provider: &dyn Provider, current: &Config, given: &Map<String, Value>) -> Result<Config, Vec<FieldError>> {
    let spec = provider.spec();
    let mut given = given.clone();
    provider.tidy(&mut given);
    let mut errors: Vec<FieldError> =
        given.keys().filter(|key| spec.field(key).is_none()).map(|key| unknown(provider, key)).collect();

    let mut config = current.clone();
    for field in spec.fields {
        if let Some(value) = given.get(field.key) {
            match field::accept(field, value, current.fields.get(field.key)) {
                Ok(Some(value)) => config.set(field.key, value),
                Ok(None) => config.remove(field.key),
                Err(wrong) => {
                    errors.extend(wrong);
                    continue;
                }
            }
        }
        if !config.fields.contains_key(field.key) {
            match field.kind {
                FieldKind::Choice([first, ..]) if !field.required => config.set(field.key, Value::from(*first)),
                _ if field.required => errors.push(FieldError::new(field.key, "is required")),
                _ => {}
            }
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    provider.check(&config)?;
    Ok(config)
}

fn unknown(provider: &dyn Provider, key: &str) -> FieldError {
    let spec = provider.spec();
    let known: Vec<&str> = spec.fields.iter().map(|field| field.key).collect();
    FieldError::new(key, format!("is not a field of {}, which has {}", spec.name, known.join(", ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::webhook::Webhook;

    const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn created(given: &Value) -> Config {
        create(&Webhook, &map(given)).unwrap()
    }

    fn patched(config: &Config, patch: &Value, now_ms: i64) -> Config {
        update(&Webhook, config, &map(patch), Timestamp::from_ms(now_ms)).unwrap()
    }

    #[test]
    fn a_patch_merges() {
        let before = json!({"url": "https://a.test/", "basic_user": "u", "basic_password": "p",
            "headers": {"X-A": "1", "X-B": "2"}});
        let check = |patch: &Value, expected: &Value| {
            let config = patched(&created(&before), patch, 0);
            assert_eq!(config.fields, map(expected), "{patch}");
        };
        let with = |changes: &Value| {
            let mut all = json!({"url": "https://a.test/", "format": "standard", "basic_user": "u",
                "basic_password": "p", "headers": {"x-a": "1", "x-b": "2"}});
            for (key, value) in map(changes) {
                all[key] = value;
            }
            all
        };
        check(&json!({}), &with(&json!({})));
        check(&json!({"url": "https://b.test/"}), &with(&json!({"url": "https://b.test/"})));
        check(&json!({"basic_password": MASK, "headers": {"x-a": MASK}}), &with(&json!({})));
        check(&json!({"headers": {"X-a": "3", "x-B": null}}), &with(&json!({"headers": {"x-a": "3"}})));
        check(&json!({"format": "form"}), &with(&json!({"format": "form"})));
        check(&json!({"format": null}), &with(&json!({"format": "standard"})));
        check(
            &json!({"basic_user": null, "basic_password": "", "headers": null}),
            &json!({"url": "https://a.test/", "format": "standard"}),
        );
    }

    #[test]
    fn errors_name_the_field_and_leave_the_rest_alone() {
        let current = created(&json!({"url": "https://a.test/"}));
        let check = |patch: &Value, fields: &[&str]| {
            let errors = update(&Webhook, &current, &map(patch), Timestamp::from_ms(0)).unwrap_err();
            let named: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
            assert_eq!(named, fields, "{patch}: {errors:?}");
        };
        check(&json!({"url": null}), &["config.url"]);
        check(&json!({"colour": "red", "url": 7}), &["config.colour", "config.url"]);
        check(&json!({"previous_secret": OLD}), &["config.previous_secret"]);
        check(&json!({"secret": MASK}), &["config.secret"]);
        check(&json!({"headers": {"x-a": MASK}}), &["config.headers.x-a"]);
        assert_eq!(create(&Webhook, &Map::new()).unwrap_err()[0].to_string(), "config.url: is required");
    }

    #[test]
    fn a_changed_secret_goes_on_signing_for_a_day() {
        let grace_ms = i64::try_from(SECRET_GRACE.as_millis()).unwrap();
        let first = created(&json!({"url": "https://a.test/", "secret": OLD}));
        assert_eq!(first.previous_secret(), None);

        for same in [json!({"secret": OLD}), json!({"secret": MASK}), json!({"url": "https://b.test/"})] {
            assert_eq!(patched(&first, &same, 5).previous_secret(), None, "{same}");
        }
        let second = patched(&first, &json!({"secret": NEW}), 5);
        assert_eq!(second.text(SECRET), Some(NEW));
        assert_eq!(second.previous_secret(), Some((OLD, Timestamp::from_ms(5 + grace_ms))));
        assert_eq!(Config::parse(&second.to_json()).unwrap().previous_secret(), second.previous_secret());

        let within = patched(&second, &json!({"basic_user": "u"}), 4 + grace_ms);
        assert!(within.previous_secret().is_some());
        let beyond = patched(&second, &json!({"basic_user": "u"}), 5 + grace_ms);
        assert_eq!(beyond.previous_secret(), None);

        let removed = patched(&first, &json!({"secret": null}), 5);
        assert_eq!((removed.text(SECRET), removed.previous_secret().unwrap().0), (None, OLD));
    }

    #[test]
    fn what_is_struck_out_is_known_in_every_form() {
        let check = |given: &Value, expected: &[&str]| {
            let config = created(given);
            let found = secrets(&Webhook, &config);
            let found: Vec<&str> = found.iter().map(Secret::reveal).collect();
            for text in expected {
                assert!(found.contains(text), "{text}: {found:?}");
            }
            assert!(found.is_sorted_by_key(|text| Reverse(text.len())), "{found:?}");
        };
        let config = json!({"url": "https://a.test/hooks/0123456789abcdef?key=fedcba9876543210%2F",
            "basic_user": "u", "basic_password": "a\"b<c>&d' e"});
        check(&config, &["0123456789abcdef", "fedcba9876543210%2F", "fedcba9876543210/"]);
        check(&config, &["a\"b<c>&d' e", "a\\\"b<c>&d' e", "a\"b&lt;c&gt;&amp;d' e", "a&quot;b&lt;c&gt;&amp;d&#39; e"]);
        check(&config, &["a%22b%3Cc%3E%26d%27+e", "a%22b%3Cc%3E%26d%27%20e"]);
        let plain = created(&json!({"url": "https://a.test/hooks/orders?list=billing"}));
        assert!(secrets(&Webhook, &plain).is_empty(), "words are no tokens");
    }

    #[test]
    fn a_changed_config_has_other_secrets() {
        let mut config = created(&json!({"url": "https://a.test/", "basic_user": "u", "basic_password": "before"}));
        for password in ["before", "after"] {
            config.set_text("basic_password", password.to_owned());
            assert!(secrets(&Webhook, &config).iter().any(|secret| secret.reveal() == password), "{password}");
        }
    }

    #[test]
    fn only_an_object_is_a_config() {
        for json in ["", "[]", "\"whsec_x\"", "{"] {
            assert_eq!(Config::parse(json).unwrap_err(), UnreadableConfig, "{json}");
        }
    }
}
