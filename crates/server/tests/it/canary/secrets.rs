//! Secrets that are easy to find again, and the places for them: those of the providers come from their SPECs.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use providers::spec::{Field, FieldKind};
use providers::{Provider, Spec};
use serde_json::{Map, Value, json};

use crate::harness::places;

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
        FieldKind::Url | FieldKind::WebhookUrl if field.required => {
            let told = if field.secret { Told::Never } else { Told::WithItsChannel };
            let path = canaries.plant_plain(&format!("path-{place}"), told);
            let query = canaries.plant_plain(&format!("query-{place}"), told);
            let Target { scheme, host, http_port, .. } = target;
            let scheme = if field.kind == FieldKind::WebhookUrl { "https" } else { scheme };
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

/// A config of a provider that takes only the URLs and tokens of its vendor: the samples, with a secret at the end of each
/// that is one.
pub(super) fn of_vendor(spec: &Spec, canaries: &mut Canaries) -> Map<String, Value> {
    let end = |field: &Field, canaries: &mut Canaries| {
        let sample = field.sample();
        let text = sample.as_str().unwrap_or_default();
        let place = format!("{}-{}-of-its-vendor", spec.name.replace('_', "-"), field.key.replace('_', "-"));
        let kept = text.rfind(['/', '=', ':']).map_or(0, |last| last + 1);
        json!(format!("{}{}", &text[..kept], canaries.plant_plain(&place, Told::Never)))
    };
    let value =
        |field: &Field, canaries: &mut Canaries| if field.secret { end(field, canaries) } else { field.sample() };
    spec.fields.iter().map(|field| (field.key.to_owned(), value(field, canaries))).collect()
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
    let secret = spec
        .fields
        .iter()
        .filter(|field| field.secret && !matches!(field.kind, FieldKind::Url | FieldKind::WebhookUrl));
    secret.map(|field| (field.key.to_owned(), change(field, canaries))).collect()
}

/// `body` with `word` at every place of it in forms that this place does not take, as texts. A text that a plain field
/// would take is left alone, and so is one that an error may well repeat, like the name of a scope.
pub(super) fn misplaced(body: &Value, word: &str) -> Vec<String> {
    let mut all =
        vec![word.to_owned(), format!("{{\"a\": {word}}}"), json!(word).to_string(), json!([word]).to_string()];
    for pointer in places(body) {
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
