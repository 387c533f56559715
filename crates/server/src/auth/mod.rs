//! Who calls, and what for. Faces ask with what their wire carries; the answer is a tenant or a refusal.
//!
//! The rules are the same on every face: a tenant's key acts for its tenant within its scopes, a platform key for the
//! tenant that the `Postrider-Tenant` header names. A caller that [`local`] vouches for needs no key; it acts as the
//! platform, for the tenant `default` unless it names another. What a request carries as its login is read by
//! [`login`]; a [`token`] of another issuer stands for a key.

mod local;
mod login;
mod token;

use std::sync::Arc;

use domain::TenantId;
use domain::tenant::{Key, Scope};
use engine::Engine;
use engine::ops::BadKey;
use http::header::AUTHORIZATION;
use http::request::Parts;

pub(crate) use local::LocalRouter;
pub(crate) use token::{Tokens, with_tokens};

use crate::first_run::DEFAULT_TENANT;
use login::Login;

/// Names the tenant that a platform key acts for.
pub(crate) const TENANT_HEADER: &str = "postrider-tenant";

/// Why a call is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the Authorization header is missing; send 'Authorization: Bearer KEY'")]
    NoKey,
    #[error("the key is unknown or was revoked, or the token is not good here")]
    BadKey,
    #[error("the key has expired; ask for a new one")]
    ExpiredKey,
    #[error("the key lacks the scope {}", .0.name())]
    NoScope(Scope),
    #[error("the tenant of this key is suspended by the platform; ask whoever runs it")]
    Suspended,
    #[error("a platform key must name the tenant that it acts for, in the header Postrider-Tenant")]
    NoTenant,
    #[error("there is no tenant {0:?}; PUT /v1/tenants/{{slug}} makes one")]
    UnknownTenant(String),
    #[error("a tenant's key cannot act for another tenant; drop the Postrider-Tenant header or use a platform key")]
    OtherTenant,
}

/// For whom a call may do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acting {
    /// This tenant alone: a tenant's key.
    Tenant(TenantId),
    /// This tenant, and any other that the request names: a platform key with its header, or a local caller.
    PlatformFor(TenantId),
    /// Any tenant that the request names: a platform key without the header.
    Platform,
}

/// Which logins a face takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    Bearer,
    /// A key as the password of HTTP Basic, or as a bearer.
    BasicOrBearer,
}

/// For whom this call may do `scope`.
pub(crate) fn acting(engine: &Engine, request: &Parts, scope: Scope) -> Result<Acting, Refusal> {
    acting_by(engine, request, scope, Takes::Bearer)
}

fn acting_by(engine: &Engine, request: &Parts, scope: Scope, takes: Takes) -> Result<Acting, Refusal> {
    let named = request.headers.get(TENANT_HEADER).map(|value| value.to_str().unwrap_or_default());
    if acts_locally(request) {
        return tenant_named(engine, named.unwrap_or(DEFAULT_TENANT)).map(Acting::PlatformFor);
    }
    let key = key_of(engine, request, takes)?;
    if !key.allows(scope) {
        return Err(Refusal::NoScope(scope));
    }
    match (key.tenant, named) {
        (Some(tenant), None) => Ok(Acting::Tenant(tenant)),
        (Some(tenant), Some(slug)) => {
            let is_own = engine.tenant(slug).is_some_and(|named| named.id == tenant);
            if is_own { Ok(Acting::Tenant(tenant)) } else { Err(Refusal::OtherTenant) }
        }
        (None, None) => Ok(Acting::Platform),
        (None, Some(slug)) => tenant_named(engine, slug).map(Acting::PlatformFor),
    }
}

/// The tenant that this call may do `scope` for.
pub(crate) fn tenant_for(engine: &Engine, request: &Parts, scope: Scope) -> Result<TenantId, Refusal> {
    tenant_by(engine, request, scope, Takes::Bearer)
}

/// The same for a face with logins of its own choice.
pub(crate) fn tenant_by(engine: &Engine, request: &Parts, scope: Scope, takes: Takes) -> Result<TenantId, Refusal> {
    match acting_by(engine, request, scope, takes)? {
        Acting::Tenant(tenant) | Acting::PlatformFor(tenant) => Ok(tenant),
        Acting::Platform => Err(Refusal::NoTenant),
    }
}

/// The key that a call is made with; `None` when it needs none. For what is counted or shown by key.
pub(crate) fn calling_key(engine: &Engine, request: &Parts) -> Result<Option<Arc<Key>>, Refusal> {
    if acts_locally(request) { Ok(None) } else { key_of(engine, request, Takes::Bearer).map(Some) }
}

/// Whether this call comes from the platform.
pub(crate) fn check_platform(engine: &Engine, request: &Parts) -> Result<(), Refusal> {
    if acts_locally(request) {
        return Ok(());
    }
    let key = key_of(engine, request, Takes::Bearer)?;
    if key.allows(Scope::Platform) { Ok(()) } else { Err(Refusal::NoScope(Scope::Platform)) }
}

/// The key of a call. A user name that comes with it must be the key's own, where it has one.
fn key_of(engine: &Engine, request: &Parts, takes: Takes) -> Result<Arc<Key>, Refusal> {
    match login::read(&request.headers)? {
        Login::Bearer(secret) => match (key_with(engine, secret), token::key_of(engine, request)) {
            (Err(Refusal::BadKey), Some(token)) => unless_suspended(engine, token?),
            (key, _) => key,
        },
        Login::Basic { user, password } if takes == Takes::BasicOrBearer => {
            let key = key_with(engine, password.reveal())?;
            let is_named = key.username.as_deref().is_none_or(|name| name == user);
            if is_named { Ok(key) } else { Err(Refusal::BadKey) }
        }
        Login::Basic { .. } => Err(Refusal::NoKey),
    }
}

/// The key with this secret, unless it is of a tenant that is suspended.
pub(crate) fn key_with(engine: &Engine, secret: &str) -> Result<Arc<Key>, Refusal> {
    let key = engine.authenticate(secret).map_err(|bad| match bad {
        BadKey::Unknown => Refusal::BadKey,
        BadKey::Expired => Refusal::ExpiredKey,
    })?;
    unless_suspended(engine, key)
}

fn unless_suspended(engine: &Engine, key: Arc<Key>) -> Result<Arc<Key>, Refusal> {
    if key.tenant.is_some_and(|tenant| engine.is_suspended(tenant)) { Err(Refusal::Suspended) } else { Ok(key) }
}

/// Whether a caller on this machine acts in its own right. With a key it acts by the key, as everywhere else.
fn acts_locally(request: &Parts) -> bool {
    local::is_local(request) && !request.headers.contains_key(AUTHORIZATION)
}

fn tenant_named(engine: &Engine, slug: &str) -> Result<TenantId, Refusal> {
    engine.tenant(slug).map(|tenant| tenant.id).ok_or_else(|| Refusal::UnknownTenant(slug.to_owned()))
}
