//! Where a mail's reader unsubscribes: the channel's URL, with the event's type in it and a signature over that.
//!
//! A signature says that the link was made for mails about this type, so that nobody turns it into one for another.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use url::Url;

/// What stands for the event's type in a URL.
const EVENT_TYPE_PLACE: &str = "{event_type}";

/// What stands for the signature.
const SIGNATURE_PLACE: &str = "{signature}";

/// Of a signature: enough that nobody guesses one.
const SIGNATURE_BYTES: usize = 16;

/// The signature of links in mails about events of a type: the first 16 bytes of an HMAC-SHA256, as base64 for URLs.
pub fn sign(secret: &str, event_type: &str) -> String {
    URL_SAFE_NO_PAD.encode(&mac(secret, event_type).finalize().into_bytes()[..SIGNATURE_BYTES])
}

/// Whether [`sign`] made this signature with the same secret for the same type.
pub fn is_signed(secret: &str, event_type: &str, signature: &str) -> bool {
    let bytes = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
    bytes.len() == SIGNATURE_BYTES && mac(secret, event_type).verify_truncated_left(&bytes).is_ok()
}

fn mac(secret: &str, event_type: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(event_type.as_bytes());
    mac
}

/// Whether a channel's URL can only be completed with a secret.
pub(super) fn needs_secret(text: &str) -> bool {
    text.contains(SIGNATURE_PLACE)
}

/// The channel's URL for mails about events of a type. Without a secret nothing is signed.
pub(super) fn url(text: &str, secret: Option<&str>, event_type: &str) -> Option<Url> {
    let signature = secret.map(|secret| sign(secret, event_type)).unwrap_or_default();
    let encoded: String = url::form_urlencoded::byte_serialize(event_type.as_bytes()).collect();
    Url::parse(&text.replace(SIGNATURE_PLACE, &signature).replace(EVENT_TYPE_PLACE, &encoded)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_good_for_its_type_and_its_secret_alone() {
        let signature = sign("secret", "scan.failed");
        assert!(is_signed("secret", "scan.failed", &signature));
        assert!(!is_signed("secret", "scan.completed", &signature));
        assert!(!is_signed("other", "scan.failed", &signature));
        for wrong in ["", "AAAA", &signature[1..], &format!("{signature}AA"), &format!("{signature}=")] {
            assert!(!is_signed("secret", "scan.failed", wrong), "{wrong}");
        }
    }

    #[test]
    fn a_signature_is_what_others_compute() {
        // printf invoice.paid | openssl dgst -sha256 -hmac secret -binary | head -c 16 | basenc --base64url
        assert_eq!(sign("secret", "invoice.paid"), "X9xTjO2YDcUg38m0Gka8Rg");
    }
}
