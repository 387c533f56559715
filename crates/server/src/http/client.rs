//! Who asks, and for which address: also behind reverse proxies.
//!
//! A proxy tells these in headers, and so could anybody. They are believed from the operator's trusted proxies alone.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use http::HeaderMap;
use http::header::{FORWARDED, HOST};
use ipnet::IpNet;
use url::Url;

use crate::config::ServerConfig;

/// Who asks and how it reached this server. Every request has one as an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    /// The nearest address on the way that is no trusted proxy: the client's, as far as anybody can know.
    pub(crate) address: IpAddr,
    /// Whether the request came straight from this machine and no proxy says that it passed it on.
    pub(crate) is_local: bool,
    /// `http` or `https`, as the client said it.
    pub(crate) scheme: &'static str,
    /// Host and perhaps port, as the client asked for; empty when it named none.
    pub(crate) host: String,
    /// What a proxy takes off the beginning of every path, without a slash at its end. Only the operator can tell.
    pub(crate) prefix: Arc<str>,
}

impl Client {
    /// Whether what passes between client and server cannot be read on the way, as far as we are told.
    pub(crate) fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    /// The URL of everything here as the client knows it, without a slash at its end. `None` when it named no host.
    pub(crate) fn base(&self) -> Option<String> {
        (!self.host.is_empty()).then(|| format!("{}://{}{}", self.scheme, self.host, self.prefix))
    }

    /// One that came over no network.
    pub(crate) fn on_this_machine(headers: &HeaderMap) -> Self {
        let host = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (scheme, host) = ("http", host.to_owned());
        Self { address: Ipv4Addr::LOCALHOST.into(), is_local: true, scheme, host, prefix: Arc::default() }
    }
}

/// Tells clients from the proxies before them.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    trusted: Arc<[IpNet]>,
    /// The operator's word, which is stronger than any header.
    public: Option<Public>,
}

/// The server's URL as clients know it: scheme, host and the prefix of every path.
#[derive(Clone, Debug)]
struct Public {
    scheme: &'static str,
    host: Arc<str>,
    prefix: Arc<str>,
}

impl Public {
    fn of(url: &Url) -> Self {
        let prefix = url.path().trim_end_matches('/').into();
        Self { scheme: scheme_of(url.scheme()), host: authority(url).into(), prefix }
    }
}

impl Clients {
    pub(crate) fn new(config: &ServerConfig) -> Self {
        let public = config.public_url.as_ref().map(Public::of);
        Self { trusted: config.trusted_proxies.clone().into(), public }
    }

    /// The client of a request that came from `peer` with these headers, over TLS or not.
    pub(crate) fn of(&self, peer: IpAddr, is_tls: bool, headers: &HeaderMap) -> Client {
        let peer = peer.to_canonical();
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let mut client = Client {
            address: peer,
            is_local: peer.is_loopback() && !is_passed_on(headers),
            scheme: if is_tls { "https" } else { "http" },
            host: text(HOST.as_str()).unwrap_or_default().to_owned(),
            prefix: Arc::default(),
        };
        if self.is_trusted(peer) {
            let way = Way::told_by(headers);
            // From the nearest on: each trusted proxy vouches for the one before it and for nobody else.
            for address in way.addresses.iter().rev() {
                let Some(address) = address else { break };
                client.address = *address;
                if !self.is_trusted(*address) {
                    break;
                }
            }
            client.scheme = way.scheme.map_or(client.scheme, |scheme| scheme_of(&scheme));
            client.host = way.host.unwrap_or(client.host);
        }
        if let Some(Public { scheme, host, prefix }) = &self.public {
            client.scheme = scheme;
            client.host = host.to_string();
            client.prefix = Arc::clone(prefix);
        }
        client
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address))
    }
}

/// What proxies say about the way of a request.
#[derive(Debug, Default)]
struct Way {
    /// From the client on; `None` where it is hidden or cannot be read.
    addresses: Vec<Option<IpAddr>>,
    scheme: Option<String>,
    host: Option<String>,
}

impl Way {
    /// The `X-Forwarded-` headers, or `Forwarded` (RFC 7239). A proxy sets the one and passes the other on as it came,
    /// so when both are there, either may be the client's own invention and neither is believed.
    fn told_by(headers: &HeaderMap) -> Self {
        let has_x = X_FORWARDED.iter().any(|name| headers.contains_key(*name));
        match (has_x, headers.contains_key(FORWARDED)) {
            (true, false) => Self::of_x_forwarded(headers),
            (false, true) => Self::of_forwarded(headers),
            (true, true) | (false, false) => Self::default(),
        }
    }

    fn of_x_forwarded(headers: &HeaderMap) -> Self {
        let last = |name: &str| items(headers, name).last().map(ToOwned::to_owned).filter(|text| !text.is_empty());
        Self {
            addresses: items(headers, "x-forwarded-for").map(node).collect(),
            scheme: last("x-forwarded-proto"),
            host: last("x-forwarded-host"),
        }
    }

    fn of_forwarded(headers: &HeaderMap) -> Self {
        let mut way = Self::default();
        for element in items(headers, FORWARDED.as_str()) {
            let mut address = None;
            for (name, value) in element.split(';').filter_map(|pair| pair.split_once('=')) {
                let value = value.trim().trim_matches('"');
                match name.trim().to_ascii_lowercase().as_str() {
                    "for" => address = node(value),
                    "proto" => way.scheme = Some(value.to_owned()),
                    "host" => way.host = Some(value.to_owned()),
                    _ => {}
                }
            }
            way.addresses.push(address);
        }
        way
    }
}

const X_FORWARDED: [&str; 3] = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"];

/// Whether somebody says to have passed the request on.
fn is_passed_on(headers: &HeaderMap) -> bool {
    let others = [FORWARDED.as_str(), "via", "x-real-ip"];
    X_FORWARDED.iter().chain(&others).any(|name| headers.contains_key(*name))
}

/// The items of a list that may be spread over several headers.
fn items<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().map(|value| value.to_str().unwrap_or_default());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn node(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<std::net::SocketAddr>().map(|address| address.ip());
    let in_brackets = || text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    text.parse().or_else(|_| with_port()).or_else(|_| in_brackets()).ok().map(|address| address.to_canonical())
}

fn scheme_of(text: &str) -> &'static str {
    if text.eq_ignore_ascii_case("https") { "https" } else { "http" }
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(trusted: &[&str], public_url: Option<&str>) -> Clients {
        Clients::new(&ServerConfig {
            public_url: public_url.map(|url| url.parse().unwrap()),
            trusted_proxies: trusted.iter().map(|network| network.parse().unwrap()).collect(),
            cors_origins: Vec::new(),
        })
    }

    fn headers(given: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn headers_are_believed_from_trusted_proxies_alone() {
        let behind = clients(&["10.0.0.0/8", "127.0.0.1/32"], None);
        let check = |peer: &str, given: &[(&'static str, &'static str)], address: &str, scheme: &str, host: &str| {
            let client = behind.of(peer.parse().unwrap(), false, &headers(given));
            assert_eq!(
                (client.address.to_string().as_str(), client.scheme, client.host.as_str()),
                (address, scheme, host)
            );
        };
        let x = [("host", "inner"), ("x-forwarded-for", "203.0.113.9"), ("x-forwarded-proto", "https")];
        check("10.1.2.3", &x, "203.0.113.9", "https", "inner");
        check("192.0.2.1", &x, "192.0.2.1", "http", "inner");
        check("::ffff:10.1.2.3", &x, "203.0.113.9", "https", "inner");
        // What the client itself put in front is passed over.
        check("10.0.0.1", &[("x-forwarded-for", "1.1.1.1, 203.0.113.9, 10.0.0.2")], "203.0.113.9", "http", "");
        check(
            "10.0.0.1",
            &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "203.0.113.9")],
            "203.0.113.9",
            "http",
            "",
        );
        check("10.0.0.1", &[("x-forwarded-for", "nonsense, 10.0.0.2")], "10.0.0.2", "http", "");
        check("10.0.0.1", &[("x-forwarded-for", "")], "10.0.0.1", "http", "");
        check("10.0.0.1", &[("x-forwarded-for", "10.0.0.3")], "10.0.0.3", "http", "");
        check("10.0.0.1", &[("x-forwarded-host", "a.example, b.example")], "10.0.0.1", "http", "b.example");
        let forwarded = [("forwarded", "for=1.1.1.1, For=\"[2001:db8::7]:4711\";Proto=https;host=a.example")];
        check("10.0.0.1", &forwarded, "2001:db8::7", "https", "a.example");
        check("10.0.0.1", &[("forwarded", "for=_hidden"), ("host", "h")], "10.0.0.1", "http", "h");
        // Which of the two the proxy has set cannot be told.
        check("10.0.0.1", &[("forwarded", "for=1.1.1.1"), ("x-forwarded-for", "2.2.2.2")], "10.0.0.1", "http", "");
    }

    #[test]
    fn the_public_address_is_the_operators_word() {
        let given = headers(&[("host", "elsewhere"), ("x-forwarded-proto", "http")]);
        let check = |url: &str, scheme: &str, host: &str, base: &str| {
            let client = clients(&["127.0.0.1/32"], Some(url)).of([127, 0, 0, 1].into(), false, &given);
            assert_eq!((client.scheme, client.host.as_str(), client.base().as_deref()), (scheme, host, Some(base)));
        };
        check("https://notify.example.com/", "https", "notify.example.com", "https://notify.example.com");
        let with_port = "http://notify.example.com:8080";
        check(with_port, "http", "notify.example.com:8080", with_port);
        let with_path = "https://example.com/push/api";
        check(&format!("{with_path}/"), "https", "example.com", with_path);
    }

    #[test]
    fn what_was_passed_on_is_not_local() {
        let check = |peer: [u8; 4], given: &[(&'static str, &'static str)], expected: bool| {
            assert_eq!(clients(&[], None).of(peer.into(), false, &headers(given)).is_local, expected, "{given:?}");
        };
        check([127, 0, 0, 1], &[("host", "localhost")], true);
        check([192, 0, 2, 1], &[], false);
        for name in ["x-forwarded-for", "x-forwarded-proto", "forwarded", "via", "x-real-ip"] {
            check([127, 0, 0, 1], &[(name, "1.1 somebody")], false);
        }
    }
}
