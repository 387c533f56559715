//! Who calls, and what for. Faces ask with what their wire carries; the answer is a tenant or a refusal.
//!
//! The rules are the same on every face: a tenant's key acts for its tenant within its scopes, a platform key for the
//! tenant that the `Postrider-Tenant` header names.

use domain::TenantId;
use domain::tenant::Scope;
use engine::Engine;
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// Names the tenant that a platform key acts for.
pub(crate) const TENANT_HEADER: &str = "postrider-tenant";

/// Why a call is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the Authorization header is missing; send 'Authorization: Bearer KEY'")]
    NoKey,
    #[error("the key is unknown, revoked or expired")]
    BadKey,
    #[error("the key lacks the scope {}", .0.name())]
    NoScope(Scope),
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
    /// This tenant, and any other that the request names: a platform key with its header.
    PlatformFor(TenantId),
    /// Any tenant that the request names: a platform key without the header.
    Platform,
}

/// For whom a call with these headers may do `scope`.
pub(crate) fn acting(engine: &Engine, headers: &HeaderMap, scope: Scope) -> Result<Acting, Refusal> {
    let key = engine.authenticate(bearer(headers)?).ok_or(Refusal::BadKey)?;
    if !key.allows(scope) {
        return Err(Refusal::NoScope(scope));
    }
    let named = headers.get(TENANT_HEADER).map(|value| value.to_str().unwrap_or_default());
    match (key.tenant, named) {
        (Some(tenant), None) => Ok(Acting::Tenant(tenant)),
        (Some(tenant), Some(slug)) => {
            let is_own = engine.tenant(slug).is_some_and(|named| named.id == tenant);
            if is_own { Ok(Acting::Tenant(tenant)) } else { Err(Refusal::OtherTenant) }
        }
        (None, None) => Ok(Acting::Platform),
        (None, Some(slug)) => {
            let tenant = engine.tenant(slug).ok_or_else(|| Refusal::UnknownTenant(slug.to_owned()))?;
            Ok(Acting::PlatformFor(tenant.id))
        }
    }
}

/// The tenant that a call with these headers may do `scope` for.
pub(crate) fn tenant_for(engine: &Engine, headers: &HeaderMap, scope: Scope) -> Result<TenantId, Refusal> {
    match acting(engine, headers, scope)? {
        Acting::Tenant(tenant) | Acting::PlatformFor(tenant) => Ok(tenant),
        Acting::Platform => Err(Refusal::NoTenant),
    }
}

/// Whether a call with these headers comes from the platform.
pub(crate) fn check_platform(engine: &Engine, headers: &HeaderMap) -> Result<(), Refusal> {
    let key = engine.authenticate(bearer(headers)?).ok_or(Refusal::BadKey)?;
    if key.allows(Scope::Platform) { Ok(()) } else { Err(Refusal::NoScope(Scope::Platform)) }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let text = headers.get(AUTHORIZATION).ok_or(Refusal::NoKey)?.to_str().map_err(|_| Refusal::BadKey)?;
    let (scheme, rest) = text.split_once(' ').ok_or(Refusal::NoKey)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::NoKey);
    }
    Ok(rest.trim())
}
