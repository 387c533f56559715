//! The rules for single values, by [`FieldKind`].
//!
//! A rule says what would be right and never repeats the value, which may be a secret in the wrong place. What
//! concerns several fields together is each provider's `check`.

use std::collections::BTreeSet;

use domain::secret::MASK;
use http::{HeaderName, HeaderValue, Uri};
use serde_json::{Map, Value};
use url::{Host, Url};

use crate::address;
use crate::config::{self, FieldError};
use crate::sign::SigningKey;
use crate::spec::{Field, FieldKind};

/// The longest URL, in bytes: what receivers and proxies commonly take.
pub(crate) const URL_BYTES_MAX: usize = 2048;

/// The most headers of one channel.
pub(crate) const HEADERS_MAX: usize = 32;

/// The longest value of a header, in bytes: half of what common servers take for all headers.
pub(crate) const HEADER_VALUE_BYTES_MAX: usize = 4096;

/// Headers that belong to the connection (RFC 9110, 7.6.1) or follow from the request.
const TRANSPORT_HEADERS: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What to store for `value`; `None` to store nothing. `current` is what is stored now.
pub(crate) fn accept(field: &Field, value: &Value, current: Option<&Value>) -> Result<Option<Value>, Vec<FieldError>> {
    if value.is_null() || value.as_str() == Some("") {
        return Ok(None);
    }
    let accepted = match field.kind {
        FieldKind::Headers => return accept_headers(field.key, value, current.and_then(Value::as_object)),
        FieldKind::Addresses { count_max } => accept_addresses(value, count_max),
        FieldKind::Port => accept_port(value).map(Some),
        _ => accept_text(field, value, current).map(Some),
    };
    accepted.map_err(|message| vec![FieldError::new(field.key, message)])
}

/// Whether `text` is a URL that a message can be sent to.
pub(crate) fn check_url(text: &str) -> Result<(), String> {
    if text.len() > URL_BYTES_MAX {
        return Err(format!("must be at most {URL_BYTES_MAX} bytes long"));
    }
    // The parser forgives missing slashes and stray spaces; the owner should see what is really called.
    let scheme = ["http://", "https://"]
        .into_iter()
        .find(|scheme| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let Some(scheme) = scheme else {
        return Err("must be an absolute URL that begins with http:// or https://".to_owned());
    };
    if text[scheme.len()..].starts_with(['/', '\\']) {
        return Err(format!("must name a host after {scheme}"));
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("must not hold spaces or control characters: write a space as %20".to_owned());
    }
    let url = Url::parse(text).map_err(|error| format!("must be a URL: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user name or password: give them once, in the fields made for them".to_owned());
    }
    if url.fragment().is_some() {
        return Err("must not hold a fragment ('#...'), which is never sent".to_owned());
    }
    if url.as_str().len() > URL_BYTES_MAX || url.as_str().parse::<Uri>().is_err() {
        return Err("must be a URL with other characters percent-encoded".to_owned());
    }
    Ok(())
}

fn accept_text(field: &Field, value: &Value, current: Option<&Value>) -> Result<Value, String> {
    let text = value.as_str().ok_or("must be a text")?;
    let is_shown_form = || current.is_some_and(|current| config::mask(field, current).as_str() == Some(text));
    if field.secret && (text == MASK || is_shown_form()) {
        return current.cloned().ok_or_else(|| MASK_WITHOUT_VALUE.to_owned());
    }
    match field.kind {
        FieldKind::Url => check_url(text)?,
        FieldKind::WebhookUrl => check_webhook_url(text)?,
        FieldKind::Text { chars_max } => check_line(text, chars_max)?,
        FieldKind::Choice(choices) if !choices.contains(&text) => {
            return Err(format!("must be one of {}", choices.join(", ")));
        }
        FieldKind::SigningSecret => drop(SigningKey::parse(text).map_err(|error| error.to_string())?),
        FieldKind::Address => address::check(text)?,
        FieldKind::Host => check_host(text)?,
        FieldKind::Choice(_) | FieldKind::Addresses { .. } | FieldKind::Port | FieldKind::Headers => {}
    }
    Ok(value.clone())
}

const MASK_WITHOUT_VALUE: &str = "is the mask of a value that was never given: send the value or leave it out";

/// What carries a secret goes over TLS.
fn check_webhook_url(text: &str) -> Result<(), String> {
    check_url(text)?;
    if text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) {
        return if text.contains(MASK) { Err(MASK_WITHOUT_VALUE.to_owned()) } else { Ok(()) };
    }
    Err("must begin with https://, because the URL holds a secret".to_owned())
}

fn check_line(text: &str, chars_max: usize) -> Result<(), String> {
    if text.chars().count() > chars_max {
        return Err(format!("must be at most {chars_max} characters long"));
    }
    if text.contains(char::is_control) {
        return Err("must be a single line without control characters".to_owned());
    }
    Ok(())
}

fn check_host(text: &str) -> Result<(), String> {
    const HOST_BYTES_MAX: usize = 253;
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    let is_host = Host::parse(text).is_ok() || Host::parse(&format!("[{text}]")).is_ok();
    if text.len() > HOST_BYTES_MAX || !text.chars().all(is_plain) || !is_host {
        return Err("must be the name or address of a server, without scheme and port".to_owned());
    }
    Ok(())
}

fn accept_port(value: &Value) -> Result<Value, String> {
    let port = match value {
        Value::Number(number) => number.as_u64().and_then(|port| u16::try_from(port).ok()),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    port.filter(|port| *port > 0).map(Value::from).ok_or_else(|| "must be a number from 1 to 65535".to_owned())
}

/// A list, or one text with commas. An empty one is none.
fn accept_addresses(value: &Value, count_max: usize) -> Result<Option<Value>, String> {
    const WRONG_KIND: &str = "must be a list of mail addresses, or one text with commas between them";
    let given: Vec<&str> = match value {
        Value::String(text) => address::split(text),
        Value::Array(values) => values.iter().map(|one| one.as_str().ok_or(WRONG_KIND)).collect::<Result<_, _>>()?,
        _ => return Err(WRONG_KIND.to_owned()),
    };
    let mut kept: Vec<&str> = Vec::new();
    let mut seen = BTreeSet::new();
    for (position, text) in given.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).enumerate() {
        let mailbox = address::parse(text).map_err(|message| format!("address {}: {message}", position + 1))?;
        if seen.insert(mailbox.email.to_string().to_lowercase()) {
            kept.push(text);
        }
    }
    if kept.len() > count_max {
        return Err(format!("must be at most {count_max} addresses"));
    }
    Ok((!kept.is_empty()).then(|| Value::from(kept)))
}

/// Merges headers by name; names are stored in lower case, so that a patch finds them however they are written.
fn accept_headers(
    key: &str,
    value: &Value,
    current: Option<&Map<String, Value>>,
) -> Result<Option<Value>, Vec<FieldError>> {
    let Some(given) = value.as_object() else {
        return Err(vec![FieldError::new(key, "must be an object of header names and values")]);
    };
    let mut merged = current.cloned().unwrap_or_default();
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (name, value) in given {
        let name = name.to_ascii_lowercase();
        let accepted = accept_header(&name, value, merged.get(&name));
        match accepted {
            _ if !seen.insert(name.clone()) => {
                errors.push(FieldError::new(&format!("{key}.{name}"), "is there twice: case makes no difference"));
            }
            Ok(Some(value)) => {
                merged.insert(name, value);
            }
            Ok(None) => {
                merged.remove(&name);
            }
            Err(message) => errors.push(FieldError::new(&format!("{key}.{name}"), message)),
        }
    }
    if merged.len() > HEADERS_MAX {
        errors.push(FieldError::new(key, format!("must be at most {HEADERS_MAX} headers")));
    }
    if errors.is_empty() { Ok((!merged.is_empty()).then_some(Value::Object(merged))) } else { Err(errors) }
}

/// As [`accept`], for one header.
fn accept_header(name: &str, value: &Value, current: Option<&Value>) -> Result<Option<Value>, String> {
    check_header_name(name)?;
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        Value::String(text) if text == MASK => current.cloned().map(Some).ok_or_else(|| MASK_WITHOUT_VALUE.to_owned()),
        Value::String(text) => check_header_value(text).map(|()| Some(value.clone())),
        _ => Err("must be a text".to_owned()),
    }
}

fn check_header_name(name: &str) -> Result<(), String> {
    if HeaderName::from_lowercase(name.as_bytes()).is_err() {
        return Err("is not a header name: use letters, digits and '-'".to_owned());
    }
    if TRANSPORT_HEADERS.contains(&name) || name.starts_with("webhook-") {
        return Err("is set by Postrider: leave it out".to_owned());
    }
    Ok(())
}

fn check_header_value(text: &str) -> Result<(), String> {
    if text.len() > HEADER_VALUE_BYTES_MAX {
        return Err(format!("must be at most {HEADER_VALUE_BYTES_MAX} bytes long"));
    }
    if HeaderValue::from_str(text).is_err() {
        return Err("must be a single line without control characters".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HEADERS: Field =
        Field { key: "headers", kind: FieldKind::Headers, required: false, secret: true, help: "", example: "{}" };

    #[test]
    fn urls_are_absolute_and_bare() {
        let check = |text: &str, expected: Result<(), &str>| match (check_url(text), expected) {
            (Ok(()), Ok(())) => {}
            (Err(message), Err(part)) => assert!(message.contains(part), "{text}: {message}"),
            (found, _) => panic!("{text}: {found:?}"),
        };
        for good in [
            "https://example.com",
            "HTTP://127.0.0.1:8080/a?b=c&d=%20",
            "https://[::1]/",
            "https://bücher.example/ä?ö=|{}",
            &format!("https://example.com/{}", "x".repeat(URL_BYTES_MAX - 20)),
        ] {
            check(good, Ok(()));
        }
        check(&format!("https://example.com/{}", "x".repeat(URL_BYTES_MAX - 19)), Err("2048"));
        check(&format!("https://example.com/{}", "ä".repeat(600)), Err("percent-encoded"));
        for relative in ["example.com", "/hook", "ftp://example.com/", "https:example.com", "javascript:x", "ä"] {
            check(relative, Err("http:// or https://"));
        }
        for hostless in ["https:///hook", "http://\\hook"] {
            check(hostless, Err("name a host"));
        }
        for malformed in ["https://", "https://:80/", "https://a:99999/", "http://[::1", "https://?x"] {
            check(malformed, Err("must be a URL"));
        }
        check("https://a.test/x y", Err("%20"));
        check("https://a.test/\n", Err("%20"));
        check("https://u:p@a.test/", Err("user name"));
        check("https://:p@a.test/", Err("user name"));
        check("https://a.test/#x", Err("fragment"));
    }

    #[test]
    fn headers_are_checked_one_by_one() {
        let check = |given: Value, expected: &[(&str, &str)]| {
            let errors = accept(&HEADERS, &given, None).err().unwrap_or_default();
            assert_eq!(errors.len(), expected.len(), "{given}: {errors:?}");
            for (error, (field, part)) in errors.iter().zip(expected) {
                assert_eq!(error.field, *field);
                assert!(error.message.contains(part), "{given}: {}", error.message);
            }
        };
        check(json!({"User-Agent": "x", "Authorization": "Bearer y", "X-Ü": ""}), &[("config.headers.x-Ü", "name")]);
        check(json!({"user-agent": "x", "content-type": "text/csv", "x-gone": null, "x-text": "ü"}), &[]);
        for name in TRANSPORT_HEADERS.into_iter().chain(["Webhook-Id", "webhook-other", "Host"]) {
            let field = format!("config.headers.{}", name.to_lowercase());
            check(json!({name: "x"}), &[(&field, "Postrider")]);
        }
        check(json!({"x-a": 1, "x-b": "a\r\nb"}), &[("config.headers.x-a", "text"), ("config.headers.x-b", "line")]);
        check(json!({"x-a": "x".repeat(HEADER_VALUE_BYTES_MAX + 1)}), &[("config.headers.x-a", "4096")]);
        check(json!({"X-A": "1", "x-a": "2"}), &[("config.headers.x-a", "twice")]);
        check(json!({"": "x"}), &[("config.headers.", "name")]);
        check(json!(["x"]), &[("config.headers", "object")]);
        let many: Map<String, Value> = (0..=HEADERS_MAX).map(|number| (format!("x-{number}"), json!("x"))).collect();
        check(Value::Object(many), &[("config.headers", "32")]);
    }

    #[test]
    fn addresses_are_a_list_or_a_text() {
        let kind = FieldKind::Addresses { count_max: 3 };
        let field = Field { key: "to", kind, required: true, secret: false, help: "", example: "" };
        let check = |value: Value, expected: Result<Value, &str>| {
            let found = accept(&field, &value, None).map_err(|errors| errors[0].message.clone());
            match expected {
                Ok(stored) => assert_eq!(found, Ok(Some(stored)), "{value}"),
                Err(part) => assert!(found.as_ref().is_err_and(|message| message.contains(part)), "{found:?}"),
            }
        };
        check(json!("a@x.test"), Ok(json!(["a@x.test"])));
        check(json!("a@x.test, \"Doe, J\" <b@x.test> ,"), Ok(json!(["a@x.test", "\"Doe, J\" <b@x.test>"])));
        check(json!(["a@x.test", "A@X.test", "Ann <a@x.test>", "b@x.test"]), Ok(json!(["a@x.test", "b@x.test"])));
        check(json!(["a@x.test", "nobody"]), Err("address 2: must be"));
        check(json!(["a@x.test", 7]), Err("list of mail addresses"));
        check(json!({"a": 1}), Err("list of mail addresses"));
        check(json!("a@x.test,b@x.test,c@x.test,d@x.test"), Err("at most 3"));
        assert_eq!(accept(&field, &json!([]), None), Ok(None));
        assert_eq!(accept(&field, &json!(" , "), None), Ok(None));
    }

    #[test]
    fn servers_are_a_host_and_a_port() {
        for good in ["mail.example.com", "bücher.example", "127.0.0.1", "::1", "localhost", "a_b.test"] {
            assert_eq!(check_host(good), Ok(()), "{good}");
        }
        let long = "x".repeat(254);
        for bad in ["mail.example.com:25", "smtp://a.test", "a b", "[::1]", "a/b", "", "a\r\nb", "user@host", &long] {
            assert!(check_host(bad).is_err(), "{bad}");
        }
        for (given, expected) in [(json!(587), Some(587)), (json!("25"), Some(25)), (json!(65_535), Some(65_535))] {
            assert_eq!(accept_port(&given).ok(), expected.map(Value::from), "{given}");
        }
        for wrong in [json!(0), json!(65_536), json!(-1), json!(1.5), json!("smtp"), json!(true)] {
            assert!(accept_port(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn texts_are_single_lines() {
        let kind = FieldKind::Text { chars_max: 3 };
        let field = Field { key: "user", kind, required: false, secret: false, help: "", example: "x" };
        let check = |value: Value, expected: Result<Option<&str>, &str>| {
            let found = accept(&field, &value, None).map_err(|errors| errors[0].message.clone());
            match expected {
                Ok(stored) => assert_eq!(found, Ok(stored.map(Value::from)), "{value}"),
                Err(part) => assert!(found.as_ref().is_err_and(|message| message.contains(part)), "{found:?}"),
            }
        };
        check(json!("äöü"), Ok(Some("äöü")));
        check(json!(""), Ok(None));
        check(json!(null), Ok(None));
        check(json!("abcd"), Err("3 characters"));
        check(json!("a\nb"), Err("single line"));
        check(json!(["a"]), Err("text"));
    }
}
