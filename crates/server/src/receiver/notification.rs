//! What one received request says: its id, whether its signature holds, its event type and its body.
//!
//! Everything here came from the wire and may be hostile; making it fit for a terminal is the matter of
//! [`terminal`](super::terminal).

use bytes::Bytes;
use domain::Timestamp;
use hyper::HeaderMap;
use providers::sign::{SigningKey, verify};
use serde::Deserialize;
use std::sync::{Arc, PoisonError, RwLock};

/// One notification as it arrived.
#[derive(Debug)]
pub(crate) struct Notification {
    pub(crate) received_at: Timestamp,
    /// The `webhook-id` header, the same on every repeat.
    pub(crate) id: Option<String>,
    pub(crate) signature: Signature,
    /// The `type` of a Standard Webhooks body.
    pub(crate) event_type: Option<String>,
    pub(crate) body: Bytes,
}

/// What the signature headers are worth.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Signature {
    /// Made with a known secret, this many seconds before it arrived.
    Good { age_seconds: i64 },
    /// Signed, but the signature does not hold; why.
    Wrong(String),
    /// Signed, and this receiver knows no secret to check it with.
    Unchecked,
    /// No `webhook-signature` header.
    Missing,
}

/// The secrets that a receiver checks signatures with, shared with whoever learns them.
#[derive(Clone, Default)]
pub(crate) struct Keys(Arc<RwLock<Vec<SigningKey>>>);

impl Keys {
    /// Replaces the secrets; any one of them makes a signature good.
    pub(crate) fn set(&self, keys: Vec<SigningKey>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    fn judge(&self, id: Option<&str>, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Signature {
        let Some(signature) = text(headers, "webhook-signature") else {
            return Signature::Missing;
        };
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if keys.is_empty() {
            return Signature::Unchecked;
        }
        let (Some(id), Some(timestamp)) = (id, text(headers, "webhook-timestamp")) else {
            return Signature::Wrong("the header webhook-id or webhook-timestamp is missing".to_owned());
        };
        match verify(&keys, id, &timestamp, &signature, body, now) {
            Ok(()) => {
                let signed_at = timestamp.parse().unwrap_or(now.as_seconds());
                Signature::Good { age_seconds: now.as_seconds().saturating_sub(signed_at) }
            }
            Err(error) => Signature::Wrong(error.to_string()),
        }
    }
}

impl Notification {
    /// Reads a request that arrived at `received_at`, and checks its signature with `keys`.
    pub(super) fn read(headers: &HeaderMap, body: Bytes, keys: &Keys, received_at: Timestamp) -> Self {
        #[derive(Deserialize)]
        struct TypeIn {
            r#type: Option<String>,
        }
        let id = text(headers, "webhook-id");
        let signature = keys.judge(id.as_deref(), headers, &body, received_at);
        let event_type = serde_json::from_slice::<TypeIn>(&body).ok().and_then(|body| body.r#type);
        Self { received_at, id, signature, event_type, body }
    }
}

/// The header as text; bytes that are not UTF-8 become replacement characters and so spoil a signature, as they must.
fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}
