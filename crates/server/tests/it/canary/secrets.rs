//! Secrets that are easy to find again, and the places for them: those of the providers come from their SPECs.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Method;
use providers::spec::{Field, FieldKind};
use providers::{Provider, Spec};
use serde_json::{Map, Value, json};

/// Where a secret may be seen, apart from the one answer that makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Never,
    /// The target of a channel is no secret of its SPEC: whoever may read channels sees it with the channel.
    WithItsChannel,
}

/// One secret.
#[derive(Clone, Debug)]
struct Canary {
    place: String,
    /// What is looked for; a part of the secret when that holds characters that are written in several ways.
    word: String,
    told: Told,
}

/// Every secret that was put somewhere.
#[derive(Debug, Default)]
pub(super) struct Canaries(Vec<Canary>);

impl Canaries {
    /// A new secret for this place. Its end is written differently in JSON, HTML and URLs.
    pub(super) fn plant(&mut self, place: &str) -> String {
        let word = format!("canary-{}-{place}-end", self.0.len());
        self.learn(place, &word, Told::Never);
        format!("{word}\"&<'>")
    }

    /// The same for a place that takes letters only.
    pub(super) fn plant_plain(&mut self, place: &str, told: Told) -> String {
        let word = format!("canary-{}-{place}-end", self.0.len());
        self.learn(place, &word, told);
        word
    }

    /// A signing secret.
    pub(super) fn plant_signing(&mut self, place: &str) -> String {
        let key = format!("{:32.32}", format!("canary {} {place}", self.0.len()));
        let text = format!("whsec_{}", STANDARD.encode(key));
        self.learn(place, &text["whsec_".len()..], Told::Never);
        text
    }

    /// A secret that somebody else has made.
    pub(super) fn learn(&mut self, place: &str, word: &str, told: Told) {
        self.0.push(Canary { place: place.to_owned(), word: word.to_owned(), told });
    }

    /// The places whose secrets can be read in `said`.
    pub(super) fn found_in(&self, said: &[u8], with_channels: bool) -> Vec<&str> {
        let text = String::from_utf8_lossy(said);
        let is_found = |canary: &&Canary| {
            let word = &canary.word;
            let encoded = [STANDARD.encode(word), URL_SAFE_NO_PAD.encode(word)];
            text.contains(word) || encoded.iter().any(|form| text.contains(form.trim_end_matches('=')))
        };
        let may_be_told = |canary: &&Canary| with_channels && canary.told == Told::WithItsChannel;
        self.0.iter().filter(|one| !may_be_told(one)).filter(is_found).map(|one| one.place.as_str()).collect()
    }
}

/// Where a channel leads: over HTTP and over SMTP.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) name: &'static str,
    pub(super) scheme: &'static str,
    pub(super) host: &'static str,
    pub(super) http_port: u16,
    pub(super) mail_port: u16,
}

/// A config with all fields of the SPEC, and a secret in each that takes one.
pub(super) fn whole(spec: &Spec, target: &Target, canaries: &mut Canaries) -> Map<String, Value> {
    spec.fields.iter().map(|field| (field.key.to_owned(), value(spec, field, target, canaries))).collect()
}

/// A config with the required fields alone.
pub(super) fn least(spec: &Spec, target: &Target, canaries: &mut Canaries) -> Map<String, Value> {
    let required = spec.fields.iter().filter(|field| field.required);
    required.map(|field| (field.key.to_owned(), value(spec, field, target, canaries))).collect()
}

fn value(spec: &Spec, field: &Field, target: &Target, canaries: &mut Canaries) -> Value {
    let place = format!("{}-{}-{}", spec.name, field.key.replace('_', "-"), target.name);
    match field.kind {
        FieldKind::Url if field.required => {
            let told = if field.secret { Told::Never } else { Told::WithItsChannel };
            let path = canaries.plant_plain(&format!("path-{place}"), told);
            let query = canaries.plant_plain(&format!("query-{place}"), told);
            let Target { scheme, host, http_port, .. } = target;
            json!(format!("{scheme}://{host}:{http_port}/hook/{path}?token={query}"))
        }
        FieldKind::SigningSecret => json!(canaries.plant_signing(&place)),
        FieldKind::Headers => json!({"x-canary": canaries.plant(&place)}),
        FieldKind::Host => json!(target.host),
        FieldKind::Port => json!(target.mail_port),
        _ if field.secret => json!(canaries.plant(&place)),
        _ => field.sample(),
    }
}

/// The path of a config's URL.
pub(super) fn path_of(config: &Map<String, Value>) -> Option<String> {
    let texts = config.values().filter_map(Value::as_str).filter_map(|text| url::Url::parse(text).ok());
    texts.map(|url| url.path().to_owned()).find(|path| path.starts_with("/hook/"))
}

/// Other secrets for the fields that had one.
pub(super) fn changed(provider: &dyn Provider, canaries: &mut Canaries) -> Map<String, Value> {
    let spec = provider.spec();
    let change = |field: &Field, canaries: &mut Canaries| match field.kind {
        FieldKind::SigningSecret => json!(canaries.plant_signing(&format!("{}-{}-changed", spec.name, field.key))),
        FieldKind::Headers => json!({"x-canary": canaries.plant(&format!("{}-header-changed", spec.name))}),
        _ => json!(canaries.plant(&format!("{}-{}-changed", spec.name, field.key))),
    };
    let secret = spec.fields.iter().filter(|field| field.secret && field.kind != FieldKind::Url);
    secret.map(|field| (field.key.to_owned(), change(field, canaries))).collect()
}

/// A good body for everything that can be written.
pub(super) fn writes(channel: i64) -> Vec<(Method, String, Value)> {
    let event = json!({"type": "a", "data": {}, "severity": "info", "occurred_at": "2026-01-01T00:00:00Z",
        "channels": [1], "idempotency_key": "k", "tenant": "default"});
    let cloud = json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "a", "time": "2026-01-01T00:00:00Z",
        "datacontenttype": "application/json", "data": {}});
    let description = json!({"type": "a.b", "label": "A", "description": "B", "groups": [{"name": "G", "variables":
        [{"key": "k", "description": "D", "type": "number", "example": "1"}]}]});
    let tenant = json!({"slug": "acme", "name": "Acme", "email": "a@x.test"});
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

/// `body` with `word` at every place of it in forms that this place does not take, as texts. A text that a plain field
/// would take is left alone, and so is one that an error may well repeat, like the name of a scope.
pub(super) fn misplaced(body: &Value, word: &str) -> Vec<String> {
    let mut all =
        vec![word.to_owned(), format!("{{\"a\": {word}}}"), json!(word).to_string(), json!([word]).to_string()];
    let mut pointers = Vec::new();
    collect(body, "", &mut pointers);
    for pointer in pointers {
        let is_secret = ["/config/secret", "/config/basic_password", "/config/smtp_password", "/config/headers/x-team"];
        let place = body.pointer(&pointer).expect("it was found there");
        let mut wrong = vec![json!({"a": word}), json!([{"a": word}]), json!([[word]])];
        if !place.is_array() {
            wrong.push(json!([word]));
        }
        if !place.is_string() {
            wrong.push(json!(word));
        }
        if pointer.contains("/config/") || pointer == "/key" {
            let long = word.repeat(800);
            let forms = [&format!("{word}\n"), &format!("\0{word}"), &long, &format!("whsec_{word}!"), "canary ü"];
            wrong.extend(forms.map(|form| json!(form)));
            wrong.extend([json!(format!("http://{word}:{word}@")), json!(format!("ftp://u:{word}@x.test/"))]);
        }
        if is_secret.contains(&pointer.as_str()) {
            wrong.push(json!(format!("{word}\r\nx-injected: 1")));
        }
        for value in wrong {
            let mut copy = body.clone();
            *copy.pointer_mut(&pointer).expect("it was found there") = value;
            all.push(copy.to_string());
        }
    }
    all
}

fn collect(value: &Value, pointer: &str, found: &mut Vec<String>) {
    if !pointer.is_empty() {
        found.push(pointer.to_owned());
    }
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| collect(value, &format!("{pointer}/{key}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| collect(item, &format!("{pointer}/{index}"), found));
        }
        _ => {}
    }
}
