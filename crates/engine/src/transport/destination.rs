//! Where a URL leads, past the first wall: read and checked once for each text, because neither it nor the rules change.
//!
//! The wall stands before every step all the same: what is remembered was let through by the very rules that it is
//! remembered for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ::http::uri::{PathAndQuery, Scheme};
use ::http::{HeaderValue, Uri};
use bytes::Bytes;
use providers::step::{Failure, FailureKind};
use url::Url;

use super::failed;
use super::guard::EgressRules;

/// URLs remembered; beyond it all are read anew, which costs a few microseconds each.
const KNOWN_MAX: usize = 4_096;

/// Whom a connection leads to: connections to the same are interchangeable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin {
    pub(super) is_secure: bool,
    /// A name or an address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

/// What a checked URL comes to.
pub(super) struct Destination {
    pub(super) origin: Origin,
    /// The header `host`.
    pub(super) host: HeaderValue,
    /// Path and query: what the first line of a request names.
    pub(super) target: Uri,
}

/// The destinations that rules let through.
pub(super) struct Destinations {
    rules: EgressRules,
    known: Mutex<HashMap<String, Arc<Destination>>>,
}

impl Destinations {
    pub(super) fn new(rules: EgressRules) -> Self {
        Self { rules, known: Mutex::default() }
    }

    /// Where this URL leads. Fails as `Forbidden`.
    pub(super) fn of(&self, url: &str) -> Result<Arc<Destination>, Failure> {
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(destination) = known().get(url) {
            return Ok(Arc::clone(destination));
        }
        let destination = Arc::new(self.check(url)?);
        let mut known = known();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(url.to_owned(), Arc::clone(&destination));
        Ok(destination)
    }

    /// The first wall. Only the URL parser knows all the ways to write an address (`2130706433`, `0x7f.1`), so what it made
    /// of the text is what is checked, and then what is sent.
    fn check(&self, text: &str) -> Result<Destination, Failure> {
        let url = Url::parse(text).map_err(|error| forbidden(format!("not a URL: {error}")))?;
        self.rules.check_url(&url).map_err(|refusal| forbidden(refusal.to_string()))?;
        let uri = Uri::from_maybe_shared(Bytes::from(String::from(url)));
        let uri = uri.map_err(|error| forbidden(format!("not a URL that HTTP can carry: {error}")))?;
        Destination::of(&uri).ok_or_else(|| forbidden("the URL has no host".to_owned()))
    }
}

impl Destination {
    fn of(uri: &Uri) -> Option<Self> {
        let is_secure = uri.scheme() == Some(&Scheme::HTTPS);
        let host = uri.host()?;
        // A port that the scheme has anyway is no part of a URL that was read.
        let header = uri.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let target = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let origin = Origin { is_secure, host, port };
        Some(Self { origin, host: HeaderValue::try_from(header).ok()?, target: Uri::from(target) })
    }
}

fn forbidden(detail: String) -> Failure {
    failed(FailureKind::Forbidden, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_comes_to_whom_and_what() {
        let check = |url: &str, expected: (bool, &str, u16), host: &str, target: &str| {
            let found = Destinations::new(EgressRules::everything()).of(url).unwrap();
            let Origin { is_secure, host: to, port } = &found.origin;
            assert_eq!((*is_secure, to.as_str(), *port), expected, "{url}");
            assert_eq!((found.host.to_str().unwrap(), found.target.to_string().as_str()), (host, target), "{url}");
        };
        check("https://a.example", (true, "a.example", 443), "a.example", "/");
        check("http://a.example:80/x?y=z", (false, "a.example", 80), "a.example", "/x?y=z");
        check("https://a.example:80/#part", (true, "a.example", 80), "a.example:80", "/");
        check("http://[2001:db8::1]:8080/a%20b", (false, "2001:db8::1", 8080), "[2001:db8::1]:8080", "/a%20b");
        check("http://0x7f.1/?", (false, "127.0.0.1", 80), "127.0.0.1", "/?");
    }

    #[test]
    fn what_is_refused_is_refused_again_and_what_is_known_stays_bounded() {
        let destinations = Destinations::new(EgressRules::default());
        for _ in 0..2 {
            assert!(destinations.of("http://127.0.0.1/").is_err());
        }
        let url = |number: usize| format!("https://a.example/{number}");
        let first = destinations.of(&url(0)).unwrap();
        assert!(Arc::ptr_eq(&first, &destinations.of(&url(0)).unwrap()));
        for number in 1..=KNOWN_MAX {
            destinations.of(&url(number)).unwrap();
        }
        assert_eq!(destinations.known.lock().unwrap().len(), 1);
        assert_eq!(destinations.of(&url(0)).unwrap().origin, first.origin);
    }
}
