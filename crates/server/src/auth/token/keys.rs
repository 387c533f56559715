//! The issuer's public keys: a JWKS, from a file or a URL of the operator's.
//!
//! It is read again when it is old and when a token names a key that is not in it, though never more often than the
//! operator lets: a flood of made-up key ids asks the issuer nothing. While it cannot be read, the keys that were there
//! last stay good.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use domain::{Clock, Secret};
use engine::transport::{EgressRules, GuardedHttp, TlsRoots, Transport as _};
use http::{HeaderMap, Method};
use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use providers::step::{HttpStep, Reply, Step, Trust};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::config::{JwtConfig, KeySource};

/// How long keys are good without looking whether there are others.
const AGE_MAX: Duration = Duration::from_mins(10);

/// For one request to the issuer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The most keys of one issuer.
const KEYS_MAX: usize = 64;

/// The keys, and where they come from.
pub(super) struct Keys {
    source: Source,
    clock: Arc<dyn Clock>,
    held: RwLock<Arc<Held>>,
    /// When it was tried last to read them. Whoever reads holds it, so one at a time does.
    tried: Mutex<Option<Duration>>,
    refetch: Duration,
}

enum Source {
    File(PathBuf),
    Url { url: Secret, transport: Box<GuardedHttp> },
}

#[derive(Default)]
struct Held {
    keys: Vec<IssuerKey>,
    /// When they were read; `None`: never.
    since: Option<Duration>,
}

/// One key of the issuer.
struct IssuerKey {
    id: Option<String>,
    /// The only one that it is for, if it says so.
    algorithm: Option<KeyAlgorithm>,
    key: Arc<DecodingKey>,
}

impl IssuerKey {
    /// `None` when it is for something else than checking signatures.
    fn new(value: &Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
        let is_for_signatures = jwk.common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature);
        let key = DecodingKey::from_jwk(&jwk).ok().filter(|_| is_for_signatures)?;
        Some(Self { id: jwk.common.key_id, algorithm: jwk.common.key_algorithm, key: Arc::new(key) })
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        let named = match algorithm {
            Algorithm::RS256 => KeyAlgorithm::RS256,
            Algorithm::ES256 => KeyAlgorithm::ES256,
            Algorithm::EdDSA => KeyAlgorithm::EdDSA,
            _ => return false,
        };
        self.key.family() == algorithm.family() && self.algorithm.is_none_or(|only| only == named)
    }
}

impl Held {
    /// The key of this id; of a token that names none, the only one that fits.
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Arc<DecodingKey>> {
        let mut fitting = self.keys.iter().filter(|key| key.fits(algorithm));
        if id.is_some() {
            return fitting.find(|key| key.id.as_deref() == id).map(|key| Arc::clone(&key.key));
        }
        let (first, second) = (fitting.next()?, fitting.next());
        second.is_none().then(|| Arc::clone(&first.key))
    }
}

impl Keys {
    /// Reads a file at once; a URL is asked when the first token comes.
    pub(super) fn new(config: &JwtConfig, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let mut held = Held::default();
        let source = match &config.keys {
            KeySource::File(path) => {
                let keys = std::fs::read(path).map_err(anyhow::Error::from).and_then(|bytes| parse(&bytes));
                held.keys = keys.with_context(|| format!("jwt.jwks: {} cannot be used", path.display()))?;
                held.since = Some(clock.monotonic());
                Source::File(path.clone())
            }
            KeySource::Url(url) => {
                // The issuer is the operator's choice and may be anywhere; the rules are for what tenants configure.
                let everywhere = ["0.0.0.0/0", "::/0"].map(|network| network.parse().expect("a network"));
                let rules = EgressRules::new(everywhere.to_vec(), Vec::new());
                let transport = GuardedHttp::new(rules, TlsRoots::system()).context("jwt.jwks cannot be asked")?;
                Source::Url { url: Secret::new(url.as_str()), transport: Box::new(transport) }
            }
        };
        let held = RwLock::new(Arc::new(held));
        Ok(Self { source, clock, held, tried: Mutex::default(), refetch: config.refetch })
    }

    /// The key that a token names.
    pub(super) async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<Arc<DecodingKey>> {
        let held = self.held();
        let is_old = held.since.is_none_or(|since| self.clock.monotonic().saturating_sub(since) > AGE_MAX);
        match held.find(id, algorithm) {
            Some(key) if !is_old => Some(key),
            Some(key) => {
                // One request looks; the others go on with what there is.
                let Ok(mut tried) = self.tried.try_lock() else { return Some(key) };
                self.read_again(&mut tried).await;
                self.held().find(id, algorithm)
            }
            None => {
                let mut tried = self.tried.lock().await;
                // Whoever had it before may have found the key.
                if let Some(key) = self.held().find(id, algorithm) {
                    return Some(key);
                }
                self.read_again(&mut tried).await;
                self.held().find(id, algorithm)
            }
        }
    }

    fn held(&self) -> Arc<Held> {
        Arc::clone(&self.held.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn read_again(&self, tried: &mut Option<Duration>) {
        let now = self.clock.monotonic();
        if tried.is_some_and(|last| now.saturating_sub(last) < self.refetch) {
            return;
        }
        *tried = Some(now);
        let bytes = match &self.source {
            Source::File(path) => std::fs::read(path).map(Bytes::from).map_err(anyhow::Error::from),
            Source::Url { url, transport } => fetch(transport, url).await,
        };
        match bytes.and_then(|bytes| parse(&bytes)) {
            Ok(keys) => {
                let held = Held { keys, since: Some(now) };
                *self.held.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(held);
            }
            Err(error) => tracing::warn!(%error, "jwt.jwks cannot be read; the keys that were there last stay good"),
        }
    }
}

async fn fetch(transport: &GuardedHttp, url: &Secret) -> anyhow::Result<Bytes> {
    let step = HttpStep {
        method: Method::GET,
        url: url.clone(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        timeout: TIMEOUT,
        trust: Trust::NONE,
    };
    match transport.send(Step::Http(step)).await {
        Reply::Http(answer) if answer.status.is_success() => Ok(answer.body),
        Reply::Http(answer) => anyhow::bail!("it answered {}", answer.status),
        Reply::Smtp(_) | Reply::Kept => anyhow::bail!("it did not answer as HTTP does"),
        Reply::Failed(failure) => anyhow::bail!("{}", failure.detail),
    }
}

/// The keys of a JWKS. One that nobody here can use is left out, like those of new kinds.
fn parse(bytes: &[u8]) -> anyhow::Result<Vec<IssuerKey>> {
    let whole: Value = serde_json::from_slice(bytes).context("it is not JSON")?;
    let listed = whole["keys"].as_array().context("it has no list of keys")?;
    Ok(listed.iter().take(KEYS_MAX).filter_map(IssuerKey::new).collect())
}
