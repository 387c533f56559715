//! OAuth 1.0a (RFC 5849) with HMAC-SHA1: the header that says who asks. Bodies of JSON are no part of what is signed.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use url::{Position, Url};

/// Whose request it is.
pub(super) struct Keys<'a> {
    pub(super) consumer_key: &'a str,
    pub(super) consumer_secret: &'a str,
    pub(super) token: &'a str,
    pub(super) token_secret: &'a str,
}

/// The value of `Authorization`. `form` are the fields of a form body, if the body is one.
pub(super) fn header(
    keys: &Keys<'_>,
    method: &str,
    url: &str,
    form: &[(&str, &str)],
    nonce: &str,
    timestamp_s: i64,
) -> String {
    let timestamp = timestamp_s.to_string();
    let own = [
        ("oauth_consumer_key", keys.consumer_key),
        ("oauth_nonce", nonce),
        ("oauth_signature_method", "HMAC-SHA1"),
        ("oauth_timestamp", &timestamp),
        ("oauth_token", keys.token),
        ("oauth_version", "1.0"),
    ];
    let signature = signature(keys, &base_string(method, url, own.iter().chain(form)));
    let with_signature = own.into_iter().chain([("oauth_signature", signature.as_str())]);
    let fields: Vec<String> = with_signature.map(|(name, value)| format!("{name}=\"{}\"", encoded(value))).collect();
    format!("OAuth {}", fields.join(", "))
}

/// RFC 5849, 3.4.1: the method, the URL without its query, and every parameter in order.
fn base_string<'a>(method: &str, url: &str, parameters: impl Iterator<Item = &'a (&'a str, &'a str)>) -> String {
    let mut pairs: Vec<(String, String)> = parameters.map(|(name, value)| (encoded(name), encoded(value))).collect();
    let mut bare = url.to_owned();
    if let Ok(url) = Url::parse(url) {
        pairs.extend(url.query_pairs().map(|(name, value)| (encoded(&name), encoded(&value))));
        url[..Position::AfterPath].clone_into(&mut bare);
    }
    pairs.sort();
    let joined: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{method}&{}&{}", encoded(&bare), encoded(&joined.join("&")))
}

fn signature(keys: &Keys<'_>, base: &str) -> String {
    let key = format!("{}&{}", encoded(keys.consumer_secret), encoded(keys.token_secret));
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(base.as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// RFC 3986: everything but unreserved characters.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            // A text can always be written to memory.
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of X's own documentation.
    #[test]
    fn the_documented_example_is_signed_alike() {
        let keys = Keys {
            consumer_key: "xvz1evFS4wEEPTGEFPHBog",
            consumer_secret: "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw",
            token: "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
            token_secret: "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE",
        };
        let url = "https://api.x.com:443/1.1/statuses/update.json?include_entities=true";
        let form = [("status", "Hello Ladies + Gentlemen, a signed OAuth request!")];
        let nonce = "kYjzVBB8Y0ZFabxSWbWovY3uYSQ2pTgmZeNu2VS4cg";
        let header = header(&keys, "POST", url, &form, nonce, 1_318_622_958);
        let signature = format!("oauth_signature=\"{}\"", encoded("Ls93hJiZbQ3akF3HF3x1Bz8/zU4="));
        assert!(header.starts_with("OAuth oauth_consumer_key=") && header.ends_with(&signature), "{header}");
    }

    #[test]
    fn parameters_are_encoded_and_in_order() {
        let pairs = [("b", "x y"), ("a", "ü&=")];
        let base = base_string("POST", "HTTP://A.test:80/p?c=%2B", pairs.iter());
        assert_eq!(base, "POST&http%3A%2F%2Fa.test%2Fp&a%3D%25C3%25BC%2526%253D%26b%3Dx%2520y%26c%3D%252B");
    }
}
