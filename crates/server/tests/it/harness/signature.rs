//! Standard Webhooks signatures from the specification's text, without the code that made them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::{Received, now_seconds};

/// The signatures that came with a request.
pub(crate) fn signatures(received: &Received) -> Vec<&str> {
    received.header("webhook-signature").map(|value| value.split(' ').collect()).unwrap_or_default()
}

/// Whether one of the request's signatures was made with `secret`, over exactly what arrived and just now.
pub(crate) fn is_signed_with(received: &Received, secret: &str) -> bool {
    let (Some(id), Some(timestamp)) = (received.header("webhook-id"), received.header("webhook-timestamp")) else {
        return false;
    };
    let age = now_seconds() - timestamp.parse::<i64>().expect("seconds");
    let expected = sign(secret, id, timestamp, &received.body);
    (-5..300).contains(&age) && signatures(received).contains(&expected.as_str())
}

/// What `webhook-signature` should be.
pub(crate) fn sign(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").expect("a signing secret")).expect("base64");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}
