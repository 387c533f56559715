//! Standard Webhooks signatures, version `v1`: HMAC-SHA256 over `id.timestamp.body`.
//!
//! Follows the specification 1.0.0 (standardwebhooks.com). Both directions are here, because Postrider's own tests
//! and tools receive what it sends. The asymmetric `v1a` is not.

use std::fmt;
use std::io::Write;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_PAD_INDIFFERENT};
use domain::{Secret, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How far a signed timestamp may be from the receiver's clock, in either direction.
pub const TOLERANCE: Duration = Duration::from_mins(5);

/// What a signing secret's text begins with.
pub const KEY_PREFIX: &str = "whsec_";

const KEY_BYTES_MIN: usize = 24;
const KEY_BYTES_MAX: usize = 64;

/// Why a text is not a signing secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be '{KEY_PREFIX}' followed by {KEY_BYTES_MIN} to {KEY_BYTES_MAX} random bytes in base64")]
pub struct SigningKeyError;

/// A signing secret, ready to sign.
#[derive(Clone)]
pub struct SigningKey {
    text: Secret,
    /// Keyed once: saves two of the hash's blocks for each signature.
    mac: Hmac<Sha256>,
}

impl SigningKey {
    /// Reads `whsec_` and base64 of 24 to 64 bytes, with or without padding.
    pub fn parse(text: &str) -> Result<Self, SigningKeyError> {
        let encoded = text.strip_prefix(KEY_PREFIX).ok_or(SigningKeyError)?;
        let bytes = STANDARD_PAD_INDIFFERENT.decode(encoded).map_err(|_| SigningKeyError)?;
        if !(KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&bytes.len()) {
            return Err(SigningKeyError);
        }
        Ok(Self { text: Secret::new(text), mac: keyed(&bytes) })
    }

    /// A new secret out of 32 random bytes, used for nothing else.
    pub fn generate(entropy: [u8; 32]) -> Self {
        let mut text = KEY_PREFIX.to_owned();
        STANDARD.encode_string(entropy, &mut text);
        Self { text: Secret::new(text), mac: keyed(&entropy) }
    }

    /// The secret itself, as [`SigningKey::parse`] reads it.
    pub fn to_text(&self) -> String {
        self.text.reveal().to_owned()
    }

    fn mac(&self, id: &str, timestamp: &[u8], body: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        for part in [id.as_bytes(), b".", timestamp, b".", body] {
            mac.update(part);
        }
        mac
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?})", self.text)
    }
}

/// The signature of exactly these bytes, for the header `webhook-signature`: `v1,` and base64.
///
/// `id` must not hold a '.'; `timestamp_s` is the time of this try in seconds since 1970.
pub fn sign(key: &SigningKey, id: &str, timestamp_s: i64, body: &[u8]) -> String {
    let mut digits = [0_u8; 20];
    let mut rest = &mut digits[..];
    write!(rest, "{timestamp_s}").expect("an i64 has at most 20 characters");
    let unused = rest.len();
    let mac = key.mac(id, &digits[..digits.len() - unused], body);

    let mut signature = String::with_capacity(47);
    signature.push_str("v1,");
    STANDARD.encode_string(mac.finalize().into_bytes(), &mut signature);
    signature
}

/// Why a message is not taken as signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    #[error("webhook-timestamp is not a number of seconds")]
    Timestamp,
    #[error("webhook-timestamp is more than 5 minutes in the past: it was sent again, or a clock is wrong")]
    TooOld,
    #[error("webhook-timestamp is more than 5 minutes in the future: a clock is wrong")]
    TooNew,
    #[error("no signature in webhook-signature matches: the secret, the id or the body differs")]
    NoMatch,
}

/// Whether any of `keys` made any of the space-separated signatures. `id`, `timestamp` and `signatures` are the
/// headers' values as received, `body` the raw bytes. Signatures of other versions are passed over.
pub fn verify(
    keys: &[SigningKey],
    id: &str,
    timestamp: &str,
    signatures: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<(), VerifyError> {
    let seconds: i64 = timestamp.parse().map_err(|_| VerifyError::Timestamp)?;
    let now_s = now.as_seconds();
    if now_s.abs_diff(seconds) > TOLERANCE.as_secs() {
        return Err(if seconds < now_s { VerifyError::TooOld } else { VerifyError::TooNew });
    }
    let candidates: Vec<Vec<u8>> =
        signatures.split(' ').filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok()).collect();
    for key in keys {
        let mac = key.mac(id, timestamp.as_bytes(), body);
        // `verify_slice` compares in constant time.
        if candidates.iter().any(|candidate| mac.clone().verify_slice(candidate).is_ok()) {
            return Ok(());
        }
    }
    Err(VerifyError::NoMatch)
}

fn keyed(bytes: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(bytes).expect("HMAC takes keys of any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example in the specification's own libraries; every signature here agrees with Python's `hmac`
    /// and, where that takes the body, with its package `standardwebhooks`.
    const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    const OTHER_KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn key(text: &str) -> SigningKey {
        SigningKey::parse(text).unwrap()
    }

    #[test]
    fn signatures_are_the_specification() {
        let check = |key_text: &str, id: &str, at: i64, body: &[u8], expected: &str| {
            assert_eq!(sign(&key(key_text), id, at, body), expected);
        };
        check(KEY, ID, AT, BODY, SIGNATURE);
        check(
            OTHER_KEY,
            "dlv_1",
            1_700_000_000,
            "{\"text\":\"grüße\"}".as_bytes(),
            "v1,pdlTojF01J9tQ5LLOYIeEz/G/YiCPJKB4EZgFOwYKwU=",
        );
        let longest = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==";
        check(longest, "x", 0, b"", "v1,M0SN7lQPuaQC/WNqtLmdzeHAtch+GsFQTkXcxqY2udU=");
        let zeros = SigningKey::generate([0; 32]);
        check(&zeros.to_text(), "x", -1, &[0, 255], "v1,xxbW6iXX5RVpFjBbbwHcbemLygK2BZEVRemTMJV7Z2Q=");
        assert_eq!(sign(&zeros, "x", -1, &[0, 255]), sign(&key(&zeros.to_text()), "x", -1, &[0, 255]));
        assert!(sign(&zeros, "x", i64::MIN, b"").starts_with("v1,"));
    }

    #[test]
    fn secrets_are_read_strictly_and_never_shown() {
        for good in [KEY, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(key(good).to_text(), good);
            assert_eq!(format!("{:?}", key(good)), "SigningKey(********)");
        }
        let too_long = format!("whsec_{}", "A".repeat(88));
        for bad in ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAA", "whsec_ä", "whpk_AAAA", &too_long]
        {
            assert_eq!(SigningKey::parse(bad).unwrap_err(), SigningKeyError, "{bad}");
        }
    }

    #[test]
    fn verification_takes_any_match_in_time() {
        let now = |offset_s: i64| Timestamp::from_ms((AT + offset_s) * 1000);
        let check = |keys: &[&str], timestamp: &str, signatures: &str, offset_s, expected| {
            let keys: Vec<SigningKey> = keys.iter().map(|text| key(text)).collect();
            let found = verify(&keys, ID, timestamp, signatures, BODY, now(offset_s));
            assert_eq!(found, expected, "{timestamp} {signatures} {offset_s}");
        };
        let at = AT.to_string();
        let second = format!("v1,AAAA v1a,{} {SIGNATURE}", &SIGNATURE[3..]);
        for offset_s in [-300, 0, 300] {
            check(&[KEY], &at, SIGNATURE, offset_s, Ok(()));
            check(&[OTHER_KEY, KEY], &at, &second, offset_s, Ok(()));
        }
        check(&[KEY], &at, SIGNATURE, 301, Err(VerifyError::TooOld));
        check(&[KEY], &at, SIGNATURE, -301, Err(VerifyError::TooNew));
        for malformed in ["", "x", "1.5", " 1", "99999999999999999999"] {
            check(&[KEY], malformed, SIGNATURE, 0, Err(VerifyError::Timestamp));
        }
        check(&[KEY], &i64::MIN.to_string(), SIGNATURE, 0, Err(VerifyError::TooOld));
        check(&[OTHER_KEY], &at, SIGNATURE, 0, Err(VerifyError::NoMatch));
        check(&[], &at, SIGNATURE, 0, Err(VerifyError::NoMatch));
        let as_v1a = SIGNATURE.replace("v1", "v1a");
        for other in ["", "v1,", &SIGNATURE[3..], &as_v1a, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ"] {
            check(&[KEY], &at, other, 0, Err(VerifyError::NoMatch));
        }
        let later = (AT + 1).to_string();
        check(&[KEY], &later, SIGNATURE, 0, Err(VerifyError::NoMatch));
    }
}
