//! Reading what was given: each text becomes the type that its setting has, and every one that cannot is told.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use domain::Secret;
use ipnet::IpNet;
use jiff::tz::TimeZone;
use url::Url;

use super::given::{Given, SECRETS, Source, Value};

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingError {
    pub setting: String,
    pub source: Source,
    /// What is wrong and what would be right. Never holds the value of a secret.
    pub message: String,
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.setting, self.source, self.message)
    }
}

/// Reads settings by name. What is wrong is kept, and its default is read in its place, so that one look finds
/// everything that is wrong.
pub(super) struct Reader<'a> {
    given: &'a BTreeMap<String, Given>,
    defaults: &'a BTreeMap<String, Given>,
    errors: Vec<SettingError>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(given: &'a BTreeMap<String, Given>, defaults: &'a BTreeMap<String, Given>) -> Self {
        Self { given, defaults, errors: Vec::new() }
    }

    /// What was wrong.
    pub(super) fn finish(self) -> Vec<SettingError> {
        self.errors
    }

    /// A text that `parse` understands; its error says what would be right, as in `must be a number`.
    pub(super) fn parsed<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> T {
        let Given { value, source } = &self.given[name];
        let (text, result) = match value {
            Value::Text(text) => (text.as_str(), parse(text)),
            Value::List(_) => ("", Err("must be a single value and not a list".to_owned())),
        };
        match result {
            Ok(value) => value,
            Err(right) => {
                self.wrong(name, source, text, &right);
                let Value::Text(default) = &self.defaults[name].value else { unreachable!("{name} is no list") };
                parse(default).expect("a default is right")
            }
        }
    }

    /// The same for a setting that is left out by an empty text.
    pub(super) fn optional<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Option<T> {
        self.parsed(name, |text| if text.is_empty() { Ok(None) } else { parse(text).map(Some) })
    }

    /// A list, or one text with commas.
    pub(super) fn list<T>(&mut self, name: &str, parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let Given { value, source } = &self.given[name];
        let texts: Vec<&str> = match value {
            Value::Text(text) => text.split(',').collect(),
            Value::List(texts) => texts.iter().map(String::as_str).collect(),
        };
        let mut list = Vec::new();
        for text in texts.into_iter().map(str::trim).filter(|text| !text.is_empty()) {
            match parse(text) {
                Ok(item) => list.push(item),
                Err(right) => self.wrong(name, source, text, &right),
            }
        }
        list
    }

    pub(super) fn path(&mut self, name: &str) -> Option<PathBuf> {
        self.optional(name, |text| Ok(PathBuf::from(text)))
    }

    pub(super) fn secret(&mut self, name: &str) -> Option<Secret> {
        self.optional(name, |text| Ok(Secret::new(text)))
    }

    /// A whole number within bounds.
    pub(super) fn number<T>(&mut self, name: &str, bounds: RangeInclusive<T>) -> T
    where
        T: std::str::FromStr + PartialOrd + fmt::Display,
    {
        self.parsed(name, |text| {
            let number = text.parse().ok().filter(|number| bounds.contains(number));
            number.ok_or_else(|| format!("must be a whole number, {} to {}", bounds.start(), bounds.end()))
        })
    }

    pub(super) fn seconds(&mut self, name: &str, bounds: RangeInclusive<u64>) -> Duration {
        Duration::from_secs(self.number(name, bounds))
    }

    /// One of some names.
    pub(super) fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> T {
        self.parsed(name, |text| {
            let names = || choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" or ");
            let found = choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice);
            found.ok_or_else(|| format!("must be {}", names()))
        })
    }

    /// Notes what several settings have to do with each other: what is wrong with `name` because of what was said by
    /// `asks`.
    pub(super) fn refuse(&mut self, name: &str, asks: &str, message: &str) {
        let source = self.given[asks].source.clone();
        self.errors.push(SettingError { setting: name.to_owned(), source, message: message.to_owned() });
    }

    fn wrong(&mut self, name: &str, source: &Source, text: &str, right: &str) {
        let is_shown = !SECRETS.contains(&name) && !text.is_empty();
        let message = if is_shown { format!("{right}; it is {text:?}") } else { right.to_owned() };
        self.errors.push(SettingError { setting: name.to_owned(), source: source.clone(), message });
    }
}

/// A network; a single address is a network of one.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| address()).map_err(|_| "must hold networks like 10.0.0.0/8 or 127.0.0.1/32".to_owned())
}

/// The address of a server: a scheme, a host and perhaps a path, and nothing else.
pub(super) fn base_url(text: &str) -> Result<Url, String> {
    let right = || "must be an http or https URL without user, query and fragment, like https://example.com".to_owned();
    let url = Url::parse(text).map_err(|_| right())?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    let is_base = matches!(url.scheme(), "http" | "https") && url.has_host() && url.fragment().is_none();
    if is_plain && is_base { Ok(url) } else { Err(right()) }
}

/// A zone of the IANA database, which the binary brings along, or an offset.
pub(super) fn time_zone(text: &str) -> Result<TimeZone, String> {
    let zone = jiff::fmt::temporal::DateTimeParser::new().parse_time_zone(text);
    zone.map_err(|_| "must be a zone like Asia/Jakarta, or an offset like +07:00".to_owned())
}

/// What a browser sends as `Origin`.
pub(super) fn origin(text: &str) -> Result<http::HeaderValue, String> {
    let right = || "must hold origins like https://app.example.com, without a path".to_owned();
    let url = base_url(text).map_err(|_| right())?;
    let origin = url.origin().ascii_serialization();
    if origin != text.to_ascii_lowercase() {
        return Err(right());
    }
    http::HeaderValue::try_from(origin).map_err(|_| right())
}

/// A header as `name=value`, marked so that nothing prints it.
pub(super) fn header(text: &str) -> Result<(http::HeaderName, http::HeaderValue), String> {
    let parse = || {
        let (name, value) = text.split_once('=')?;
        let mut value = http::HeaderValue::try_from(value.trim()).ok()?;
        value.set_sensitive(true);
        Some((http::HeaderName::try_from(name.trim()).ok()?, value))
    };
    parse().ok_or_else(|| "must hold headers like authorization=KEY".to_owned())
}
