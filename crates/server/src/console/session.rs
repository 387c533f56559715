//! Sessions: who is signed in. A cookie holds a random token; the key that it stands for stays in this process.
//!
//! The key is asked for again with every request, so a session ends with its key: when that is revoked, when it expires,
//! and when the process stops. While the key's tenant is suspended, it is worth nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::tenant::{Key, Scope};
use domain::{Secret, Timestamp};
use engine::Engine;
use engine::random::Entropy;
use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use sha2::{Digest as _, Sha256};

use crate::auth;
use crate::http::client::Client;

/// How long a session lasts: a working day and a little.
pub(super) const LIFETIME_SECONDS: i64 = 12 * 60 * 60;

/// Sessions at a time; beyond it the one that ends first goes.
const SESSIONS_MAX: usize = 1000;

const COOKIE_NAME: &str = "postrider_session";

/// What a key must be allowed for its owner to see the console.
const SCOPES: [Scope; 2] = [Scope::DeliveriesRead, Scope::ChannelsRead];

/// Those who are signed in, by the hash of their token: whoever reads this memory cannot make a cookie of it.
pub(super) struct Sessions {
    by_token: Mutex<BTreeMap<[u8; 32], Session>>,
    entropy: Arc<dyn Entropy>,
}

struct Session {
    key: Secret,
    ends_at: Timestamp,
}

/// Somebody who is signed in.
pub(super) struct Visitor {
    pub(super) key: Arc<Key>,
    /// The key's own text, for the API.
    pub(super) secret: Secret,
}

/// The scope that a key lacks to see the console.
pub(super) fn lacking(key: &Key) -> Option<Scope> {
    SCOPES.into_iter().find(|scope| !key.allows(*scope))
}

impl Sessions {
    pub(super) fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self { by_token: Mutex::default(), entropy }
    }

    /// Begins a session; the cookie for it.
    pub(super) fn begin(&self, key: Secret, client: &Client, now: Timestamp) -> HeaderValue {
        let mut token = [0; 32];
        self.entropy.fill(&mut token);
        let text = URL_SAFE_NO_PAD.encode(token);
        let ends_at = Timestamp::from_ms(now.as_ms() + LIFETIME_SECONDS * 1000);
        let mut sessions = self.lock();
        sessions.retain(|_, session| session.ends_at > now);
        if sessions.len() >= SESSIONS_MAX {
            let first = sessions.iter().min_by_key(|(_, session)| session.ends_at).map(|(hash, _)| *hash);
            first.map(|hash| sessions.remove(&hash));
        }
        sessions.insert(hash_of(&text), Session { key, ends_at });
        cookie(&text, LIFETIME_SECONDS, client)
    }

    /// Ends the session of these headers, if there is one; the cookie that makes the browser forget its own.
    pub(super) fn end(&self, headers: &HeaderMap, client: &Client) -> HeaderValue {
        if let Some(token) = token_of(headers) {
            self.lock().remove(&hash_of(token));
        }
        cookie("", 0, client)
    }

    /// Who sent these headers; `None` when nobody who may see the console.
    pub(super) fn visitor(&self, engine: &Engine, headers: &HeaderMap) -> Option<Visitor> {
        let hash = hash_of(token_of(headers)?);
        let now = engine.clock().now();
        let secret = self.lock().get(&hash).filter(|session| session.ends_at > now)?.key.clone();
        let key = auth::key_with(engine, secret.reveal()).ok().filter(|key| lacking(key).is_none())?;
        Some(Visitor { key, secret })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], Session>> {
        self.by_token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For this server's pages alone, and out of reach of scripts and of other sites.
fn cookie(token: &str, seconds: i64, client: &Client) -> HeaderValue {
    let secure = if client.is_https() { "; Secure" } else { "" };
    let text = format!("{COOKIE_NAME}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::try_from(text).expect("a token is a header value")
}

fn hash_of(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

fn token_of(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE_NAME).map(|(_, token)| token)
}

/// Whether a request comes from a page of this server, or from the person directly. `SameSite` keeps the cookie from
/// others already; this also keeps others from signing somebody in.
pub(super) fn is_own(headers: &HeaderMap, client: &Client) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    let Some(origin) = text("origin") else { return true };
    let host = origin.split_once("://").map_or("", |(_, host)| host);
    host == client.host || Some(host) == text("host")
}
