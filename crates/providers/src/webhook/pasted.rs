//! A webhook's channel in one URL: `json://`, `jsons://`, `form://` and `forms://`.

use serde_json::{Map, Value};
use url::Url;

use super::{BASIC_PASSWORD, BASIC_USER, FORMAT, HEADERS, URL};
use crate::pasted::Parts;

/// `format` is that of the body.
pub(super) fn read(parts: &Parts<'_>, format: &str) -> Result<Map<String, Value>, String> {
    let scheme = if parts.scheme.ends_with('s') { "https" } else { "http" };
    let mut url = Url::parse(&format!("{scheme}://{}/{}", parts.place(), parts.path()))
        .map_err(|_| "it must name a host".to_owned())?;
    let mut headers = Map::new();
    for (key, value) in parts.parameters() {
        match key.split_at_checked(1) {
            Some(("+", name)) => drop(headers.insert(name.to_owned(), value.into())),
            Some(("-", name)) => drop(url.query_pairs_mut().append_pair(name, &value)),
            Some((":", _)) => {
                return Err("it names fields of the body (:NAME=VALUE), which a body_template writes".to_owned());
            }
            _ if key.eq_ignore_ascii_case("method") && !value.eq_ignore_ascii_case("post") => {
                return Err("it asks for another method, and webhooks are sent with POST".to_owned());
            }
            _ => {}
        }
    }
    let (user, password) = parts.credentials();
    let mut config = Map::from_iter([
        (URL.to_owned(), String::from(url).into()),
        (FORMAT.to_owned(), format.into()),
        (HEADERS.to_owned(), headers.into()),
    ]);
    config.extend(user.map(|user| (BASIC_USER.to_owned(), user.into())));
    config.extend(password.map(|password| (BASIC_PASSWORD.to_owned(), password.into())));
    Ok(config)
}
