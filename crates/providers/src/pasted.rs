//! Pasted URLs: a channel in one line, as Apprise writes it.
//!
//! Here a URL is taken apart and its provider found; what the parts mean stands with each provider, in its
//! [`Form`]s. Parameters that only change how Apprise words or colours a message are passed over; what would change
//! where a message goes is taken or refused. Errors say what is right and repeat nothing, because nearly every part of
//! such a URL is a secret.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use url::Url;

use crate::field::URL_BYTES_MAX;
use crate::{Provider, all, create};

/// One way to write a provider's channel as a URL.
pub struct Form {
    /// What stands before `://`, in lower case. No two providers share one.
    pub schemes: &'static [&'static str],
    /// The form itself, for people.
    pub shown: &'static str,
    /// The config that a URL of these schemes says, or what would be right.
    pub read: fn(&Parts<'_>) -> Result<Map<String, Value>, String>,
}

/// The provider and the config that a URL says. The config is checked as far as the provider alone can.
///
/// # Errors
///
/// What would be right, to be read after the name of the field.
pub fn read(url: &str) -> Result<(&'static dyn Provider, Map<String, Value>), String> {
    let url = url.trim();
    if url.len() > URL_BYTES_MAX {
        return Err(format!("must be at most {URL_BYTES_MAX} bytes long"));
    }
    if url.contains(char::is_control) {
        return Err("must be a single line without control characters".to_owned());
    }
    let (scheme, rest) = url.split_once("://").ok_or_else(unknown)?;
    let scheme = scheme.to_ascii_lowercase();
    if matches!(scheme.as_str(), "http" | "https") {
        return Err("does not say which provider it is for: give provider and config instead, like \
                    {\"provider\": \"webhook\", \"config\": {\"url\": ...}}"
            .to_owned());
    }
    let forms = all().iter().flat_map(|provider| provider.pasted().iter().map(move |form| (*provider, form)));
    let (provider, form) =
        forms.into_iter().find(|(_, form)| form.schemes.contains(&scheme.as_str())).ok_or_else(unknown)?;
    let spec = provider.spec();
    let wrong = |message: String| format!("makes no {} channel: {message}. The form is {}", spec.title, form.shown);
    let config = (form.read)(&Parts::new(scheme, rest)).map_err(wrong)?;
    if let Err(errors) = create(provider, &config) {
        let messages: Vec<_> = errors.iter().map(ToString::to_string).collect();
        return Err(wrong(messages.join("; ")));
    }
    Ok((provider, config))
}

fn unknown() -> String {
    let schemes: Vec<_> = all()
        .iter()
        .flat_map(|provider| provider.pasted())
        .flat_map(|form| form.schemes)
        .map(|scheme| format!("{scheme}://"))
        .collect();
    format!("must begin with one of {}", schemes.join(", "))
}

/// A URL taken apart. Parts are given decoded.
pub struct Parts<'u> {
    pub scheme: String,
    /// Between the slashes, as it is written.
    authority: &'u str,
    path: &'u str,
    query: &'u str,
}

impl<'u> Parts<'u> {
    fn new(scheme: String, rest: &'u str) -> Self {
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = before.split_once('/').unwrap_or((before, ""));
        Self { scheme, authority, path, query }
    }

    /// The user and password before the last `@`.
    pub(crate) fn credentials(&self) -> (Option<String>, Option<String>) {
        let Some((credentials, _)) = self.authority.rsplit_once('@') else { return (None, None) };
        let (user, password) = credentials.split_once(':').map_or((credentials, None), |(user, it)| (user, Some(it)));
        let given = |text: &str| Some(decoded(text)).filter(|text| !text.is_empty());
        (given(user), password.and_then(given))
    }

    /// What follows the credentials: a host with its port, or the first token of a service.
    pub(crate) fn place(&self) -> String {
        decoded(self.authority.rsplit_once('@').map_or(self.authority, |(_, place)| place))
    }

    /// The whole authority.
    pub(crate) fn authority(&self) -> String {
        decoded(self.authority)
    }

    /// The parts of the path that hold something.
    pub(crate) fn segments(&self) -> Vec<String> {
        self.path.split('/').filter(|part| !part.is_empty()).map(decoded).collect()
    }

    /// The path as it is written, without the slash that it begins with.
    pub(crate) fn path(&self) -> &str {
        self.path
    }

    /// The parameters in order.
    pub(crate) fn parameters(&self) -> Vec<(String, String)> {
        let pairs = self.query.split('&').filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                // A key may begin with a plus sign that means no space.
                (decoded(key), decoded(&value.replace('+', " ")))
            })
            .collect()
    }

    /// The first parameter of one of these names that holds something.
    pub(crate) fn parameter(&self, names: &[&str]) -> Option<String> {
        let mut all = self.parameters().into_iter();
        let named =
            all.find(|(key, value)| !value.is_empty() && names.iter().any(|name| key.eq_ignore_ascii_case(name)));
        named.map(|(_, value)| value)
    }
}

/// A text without its percent signs, in which a plus is a plus.
pub(crate) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// A URL of a service with these parts after its path.
pub(crate) fn service_url(base: &str, segments: &[&str]) -> Result<Url, String> {
    let mut url = Url::parse(base).map_err(|_| "the host is none".to_owned())?;
    url.path_segments_mut().map_err(|()| "the host is none".to_owned())?.pop_if_empty().extend(segments);
    Ok(url)
}

#[cfg(test)]
mod tests;
