//! Configs: the objects of Lenz clients, and the fields that our providers have.
//!
//! Lenz publishes the keys of Telegram alone. Those of the others are read in every way that clients are seen to write
//! them ([`Known::aliases`]); the first is how we write them ourselves. An object is kept as it came, whatever else is
//! in it, and comes back like that.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::secret::MASK;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::error::Error;

const WEBHOOK: &str = "webhook";
const EMAIL: &str = "email";

const METHOD: &str = "method";
const HEADERS: &str = "headers";
const SECRET: &str = "secret";
const USE_TLS: &str = "use_tls";
const SMTP_HOST: &str = "smtp_host";
const SMTP_PORT: &str = "smtp_port";
const SMTP_TLS: &str = "smtp_tls";
const SMTP_PASSWORD: &str = "smtp_password";

/// The port of SMTP with TLS from the start.
const SMTPS_PORT: u16 = 465;

/// One key of an object and the field that it fills.
struct Known {
    field: &'static str,
    /// The first is the one that we show.
    aliases: &'static [&'static str],
    /// Whether an object without it says that there is none. Otherwise it is beyond Lenz, and stays as it is.
    is_of_lenz: bool,
}

const fn known(field: &'static str, aliases: &'static [&'static str]) -> Known {
    Known { field, aliases, is_of_lenz: true }
}

const fn beyond(field: &'static str, aliases: &'static [&'static str]) -> Known {
    Known { field, aliases, is_of_lenz: false }
}

fn keys(provider: &str) -> &'static [Known] {
    const TELEGRAM: &[Known] = &[
        known("bot_token", &["bot_token", "token"]),
        known("chat_id", &["chat_id"]),
        beyond("parse_mode", &["parse_mode"]),
        beyond("message_thread_id", &["message_thread_id"]),
    ];
    const DISCORD: &[Known] = &[known("webhook_url", &["webhook_url", "url"])];
    const OF_WEBHOOK: &[Known] =
        &[known("url", &["url", "webhook_url"]), known(HEADERS, &[HEADERS]), beyond(SECRET, &[SECRET])];
    const OF_EMAIL: &[Known] = &[
        known(SMTP_HOST, &[SMTP_HOST, "host"]),
        known(SMTP_PORT, &[SMTP_PORT, "port"]),
        known("smtp_user", &["username", "user", "smtp_user", "smtp_username"]),
        known(SMTP_PASSWORD, &["password", SMTP_PASSWORD]),
        known("from", &["from", "from_email", "sender"]),
        known("to", &["to", "recipients", "to_email"]),
    ];
    match provider {
        "telegram" => TELEGRAM,
        "discord" => DISCORD,
        WEBHOOK => OF_WEBHOOK,
        EMAIL => OF_EMAIL,
        _ => &[],
    }
}

/// What a client calls a field of ours, as in `config.smtp_user`.
pub(super) fn known_as(field: &str) -> &str {
    let field = field.strip_prefix("config.").unwrap_or(field);
    let known = super::PROVIDERS.iter().flat_map(|provider| keys(provider)).find(|known| known.field == field);
    known.map_or(field, |known| known.aliases[0])
}

/// The fields that an object fills, as a patch of what there is; `current` is that, for the same provider.
pub(super) fn fields(
    provider: &str,
    object: &Map<String, Value>,
    current: &Map<String, Value>,
) -> Result<Map<String, Value>, Error> {
    let mut fields = Map::new();
    for known in keys(provider) {
        let given = known.aliases.iter().filter_map(|alias| object.get(*alias)).find(|value| !value.is_null());
        match given {
            Some(value) => drop(fields.insert(known.field.to_owned(), value.clone())),
            None if known.is_of_lenz => drop(fields.insert(known.field.to_owned(), Value::Null)),
            None => {}
        }
    }
    match provider {
        WEBHOOK => webhook(object, current, &mut fields)?,
        EMAIL => fields.extend([(SMTP_TLS.to_owned(), smtp_tls(object, &fields)?)]),
        _ => {}
    }
    Ok(fields)
}

fn webhook(
    object: &Map<String, Value>,
    current: &Map<String, Value>,
    fields: &mut Map<String, Value>,
) -> Result<(), Error> {
    let method = object.get(METHOD).filter(|method| !method.is_null());
    // Any other would be a promise that nobody keeps.
    if method.is_some_and(|method| !method.as_str().is_some_and(|name| name.eq_ignore_ascii_case("POST"))) {
        return Err(Error::invalid());
    }
    if let Some(Value::String(text)) = fields.get_mut(SECRET) {
        *text = signing_secret(std::mem::take(text));
    }
    // Headers are patched by name: those that are no longer there are removed.
    let gone = current.get(HEADERS).and_then(Value::as_object).into_iter().flat_map(Map::keys);
    if let Some(Value::Object(given)) = fields.get_mut(HEADERS) {
        let is_given = |name: &String| given.keys().any(|one| one.eq_ignore_ascii_case(name));
        let gone: Vec<_> = gone.filter(|name| !is_given(name)).map(|name| (name.clone(), Value::Null)).collect();
        given.extend(gone);
    }
    Ok(())
}

/// A secret as Standard Webhooks has it. Any other text is one, too: its key is the SHA-256 of it.
fn signing_secret(text: String) -> String {
    if text.is_empty() || text.starts_with("whsec_") {
        return text;
    }
    format!("whsec_{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

/// How the mail server is talked to. A password never goes in clear, whatever `use_tls` says.
fn smtp_tls(object: &Map<String, Value>, fields: &Map<String, Value>) -> Result<Value, Error> {
    let use_tls = match object.get(USE_TLS) {
        None | Some(Value::Null) => true,
        Some(Value::Bool(use_tls)) => *use_tls,
        Some(_) => return Err(Error::invalid()),
    };
    if fields[SMTP_HOST].is_null() {
        return Ok(Value::Null);
    }
    let port = match &fields[SMTP_PORT] {
        Value::String(text) => text.parse().ok(),
        port => port.as_u64().and_then(|port| u16::try_from(port).ok()),
    };
    let has_password = fields[SMTP_PASSWORD].as_str().is_some_and(|password| !password.is_empty());
    Ok(Value::from(match (port, use_tls) {
        (Some(SMTPS_PORT), _) => "implicit",
        (_, false) if !has_password => "none",
        _ => "starttls",
    }))
}

/// The object of a channel that was made or changed elsewhere: our fields in the words of Lenz.
pub(super) fn canonical(provider: &str, fields: &Map<String, Value>) -> Map<String, Value> {
    let mut object = Map::new();
    for known in keys(provider).iter().filter(|known| known.is_of_lenz || known.field == SECRET) {
        if let Some(value) = fields.get(known.field) {
            object.insert(known.aliases[0].to_owned(), value.clone());
        }
    }
    let mut add = |key: &str, value: Value| {
        object.entry(key).or_insert(value);
    };
    match provider {
        WEBHOOK => {
            add(METHOD, json!("POST"));
            add(HEADERS, json!({}));
        }
        EMAIL if fields.contains_key(SMTP_HOST) => {
            let tls = fields.get(SMTP_TLS).and_then(Value::as_str);
            let usual_port = match tls {
                Some("implicit") => SMTPS_PORT,
                Some("none") => 25,
                _ => 587,
            };
            add(SMTP_PORT, json!(usual_port));
            add(USE_TLS, json!(tls != Some("none")));
        }
        _ => {}
    }
    object
}

/// The object for those who may not see secrets. What nobody knows may be one.
pub(super) fn masked(provider: &str, object: &Map<String, Value>) -> Map<String, Value> {
    let spec = providers::find(provider).map(providers::Provider::spec);
    let is_open = |key: &str| {
        let known = keys(provider).iter().find(|known| known.aliases.contains(&key));
        let field = known.and_then(|known| spec?.field(known.field));
        field.map_or(matches!(key, METHOD | USE_TLS), |field| !field.secret)
    };
    let shown = |(key, value): (&String, &Value)| {
        (key.clone(), if is_open(key) { value.clone() } else { without_texts(value) })
    };
    object.iter().map(shown).collect()
}

fn without_texts(value: &Value) -> Value {
    match value {
        Value::String(text) if !text.is_empty() => MASK.into(),
        Value::Array(values) => values.iter().map(without_texts).collect(),
        Value::Object(values) => values.iter().map(|(key, value)| (key.clone(), without_texts(value))).collect(),
        other => other.clone(),
    }
}

/// An object that was sent back: where it holds the mask of something, that is meant. A mask of nothing is refused.
pub(super) fn unmasked(
    given: Map<String, Value>,
    provider: &str,
    before: &Map<String, Value>,
) -> Result<Map<String, Value>, Error> {
    let restored = restore(Value::Object(given), before.clone().into(), &masked(provider, before).into());
    match restored {
        Value::Object(object) if !holds_mask(&object) => Ok(object),
        _ => Err(Error::invalid()),
    }
}

fn restore(given: Value, before: Value, masked: &Value) -> Value {
    match (given, before) {
        (given, before) if given == *masked => before,
        (Value::Object(given), Value::Object(mut before)) => {
            let one = |(key, value): (String, Value)| {
                let restored = match (before.remove(&key), masked.get(&key)) {
                    (Some(before), Some(masked)) => restore(value, before, masked),
                    _ => value,
                };
                (key, restored)
            };
            given.into_iter().map(one).collect()
        }
        (given, _) => given,
    }
}

pub(super) fn holds_mask(object: &Map<String, Value>) -> bool {
    fn is_in(value: &Value) -> bool {
        match value {
            Value::String(text) => text.contains(MASK),
            Value::Array(values) => values.iter().any(is_in),
            Value::Object(values) => values.values().any(is_in),
            _ => false,
        }
    }
    object.values().any(is_in)
}

#[cfg(test)]
mod tests;
