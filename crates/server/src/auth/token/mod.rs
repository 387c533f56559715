//! Bearer tokens (JWT) of an issuer that the operator names: for people who sign in elsewhere.
//!
//! A token is checked before a face sees its request, because looking its key up may take a question to the issuer; the
//! result goes with the request. To the faces it is then a key of its tenant with the scopes of its roles: it can do
//! nothing that a key could not, and is never the platform's. Why a token is refused is told to the log only.
//!
//! The library checks the signature; what the claims say is checked here, by our own clock. The list of algorithms is
//! fixed: none of them lets whoever knows a public key sign.

mod keys;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::tenant::{Key, Scope};
use domain::{Clock, KeyId, Timestamp};
use engine::Engine;
use http::request::Parts;
use jsonwebtoken::{Algorithm, Validation};
use serde_json::{Map, Value};

use super::Refusal;
use super::login::{self, Login};
use crate::config::JwtConfig;
use keys::Keys;

/// How far the clocks of the issuer and this machine may differ.
const LEEWAY_S: i64 = 60;

/// Signatures with a private key, which the issuer alone has.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

/// What a reader's token may do.
const READER: [Scope; 4] = [Scope::EventsRead, Scope::ChannelsRead, Scope::DeliveriesRead, Scope::Inbox];

/// Checks tokens.
pub(crate) struct Tokens {
    config: JwtConfig,
    keys: Keys,
    clock: Arc<dyn Clock>,
}

/// What came of a request's token. Goes with the request.
#[derive(Clone, Debug)]
struct Checked(Result<Identity, Bad>);

/// Who a token speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    /// The slug of the tenant.
    tenant: String,
    scopes: Vec<Scope>,
    expires_at: Timestamp,
}

/// Why a token is no good.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Bad {
    #[error("it has expired")]
    Expired,
    #[error("{0}")]
    Invalid(&'static str),
}

/// The same routes, open to callers with a token.
pub(crate) fn with_tokens(router: Router, tokens: Arc<Tokens>) -> Router {
    router.layer(from_fn_with_state(tokens, check))
}

async fn check(State(tokens): State<Arc<Tokens>>, mut request: Request, next: Next) -> Response {
    if let Ok(Login::Bearer(text)) = login::read(request.headers())
        && is_token(text)
    {
        let checked = tokens.identity(text).await;
        if let Err(bad) = &checked {
            tracing::debug!(reason = %bad, "a bearer token is no good");
        }
        request.extensions_mut().insert(Checked(checked));
    }
    next.run(request).await
}

/// Three parts with dots between them. Keys may look the same, so whoever asks looks for a key first.
fn is_token(text: &str) -> bool {
    text.split('.').count() == 3
}

/// The token of a request as a key of its tenant; `None` when it has none.
pub(super) fn key_of(engine: &Engine, request: &Parts) -> Option<Result<Arc<Key>, Refusal>> {
    let Checked(checked) = request.extensions.get::<Checked>()?;
    Some(match checked {
        Ok(identity) => identity.as_key(engine),
        Err(Bad::Expired) => Err(Refusal::ExpiredKey),
        Err(Bad::Invalid(_)) => Err(Refusal::BadKey),
    })
}

impl Identity {
    fn as_key(&self, engine: &Engine) -> Result<Arc<Key>, Refusal> {
        let tenant = engine.tenant(&self.tenant).ok_or(Refusal::BadKey)?;
        Ok(Arc::new(Key {
            id: KeyId(0),
            tenant: Some(tenant.id),
            name: "token".to_owned(),
            hash: [0; 32],
            prefix: String::new(),
            username: None,
            scopes: self.scopes.clone(),
            created_at: engine.clock().now(),
            expires_at: Some(self.expires_at),
        }))
    }
}

impl Tokens {
    /// Reads the issuer's keys where they are a file; an error says what is wrong with it.
    pub(crate) fn new(config: JwtConfig, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let keys = Keys::new(&config, Arc::clone(&clock))?;
        Ok(Self { config, keys, clock })
    }

    async fn identity(&self, token: &str) -> Result<Identity, Bad> {
        let (algorithm, key_id) = head(token)?;
        let key =
            self.keys.find(key_id.as_deref(), algorithm).await.ok_or(Bad::Invalid("no key of its issuer fits"))?;
        let mut validation = Validation::new(algorithm);
        // The library would ask the system for the time.
        (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
        validation.required_spec_claims.clear();
        let claims = jsonwebtoken::decode::<Map<String, Value>>(token, &key, &validation)
            .map_err(|_| Bad::Invalid("its signature does not fit, or it is no token"))?
            .claims;
        self.read(&claims, self.clock.now())
    }

    /// What the claims of a token say whose signature fits.
    fn read(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<Identity, Bad> {
        if claims.get("iss").and_then(Value::as_str) != Some(&self.config.issuer) {
            return Err(Bad::Invalid("its issuer is another"));
        }
        if !texts(claims.get("aud")).any(|audience| self.config.audiences.iter().any(|own| own == audience)) {
            return Err(Bad::Invalid("it is for another audience"));
        }
        let expires_s = seconds(claims.get("exp")).ok_or(Bad::Invalid("it never expires"))?;
        if expires_s.saturating_add(LEEWAY_S) <= now.as_seconds() {
            return Err(Bad::Expired);
        }
        if claims.contains_key("nbf")
            && seconds(claims.get("nbf")).is_none_or(|begin| begin.saturating_sub(LEEWAY_S) > now.as_seconds())
        {
            return Err(Bad::Invalid("its time has not come"));
        }
        let tenant = claims.get(&self.config.tenant_claim).and_then(Value::as_str);
        let tenant = tenant.ok_or(Bad::Invalid("it names no tenant"))?.to_owned();
        let has = |roles: &[String]| {
            texts(claims.get(&self.config.role_claim)).any(|role| roles.iter().any(|known| known == role))
        };
        let scopes = match () {
            () if has(&self.config.writer_roles) => Scope::TENANT.to_vec(),
            () if has(&self.config.reader_roles) => READER.to_vec(),
            () => Vec::new(),
        };
        let expires_at = Timestamp::from_ms(expires_s.saturating_mul(1000));
        Ok(Identity { tenant, scopes, expires_at })
    }
}

/// The algorithm and the key's id, of a token that asks for nothing that nobody here knows.
fn head(token: &str) -> Result<(Algorithm, Option<String>), Bad> {
    let part = token.split('.').next().unwrap_or_default();
    let head = URL_SAFE_NO_PAD.decode(part).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let head = head.ok_or(Bad::Invalid("its head cannot be read"))?;
    if head.get("crit").is_some() {
        return Err(Bad::Invalid("it asks for extensions"));
    }
    let name = head["alg"].as_str().unwrap_or_default();
    let algorithm = ALGORITHMS.into_iter().find(|known| format!("{known:?}") == name);
    let algorithm = algorithm.ok_or(Bad::Invalid("it is signed by another algorithm than RS256, ES256 or EdDSA"))?;
    Ok((algorithm, head["kid"].as_str().map(ToOwned::to_owned)))
}

/// One text, or those of a list.
fn texts(claim: Option<&Value>) -> impl Iterator<Item = &str> {
    let (one, list) = match claim {
        Some(Value::Array(list)) => (None, list.as_slice()),
        other => (other, &[][..]),
    };
    one.into_iter().chain(list).filter_map(Value::as_str)
}

/// Seconds since 1970, parts of one dropped.
fn seconds(claim: Option<&Value>) -> Option<i64> {
    let number = claim?.as_number()?;
    #[expect(clippy::cast_possible_truncation, reason = "a cast of a float is to the nearest number that there is")]
    number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds as i64))
}
