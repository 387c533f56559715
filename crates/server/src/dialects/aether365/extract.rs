//! Extractors: what a handler asks of a request, checked before it runs.

use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use domain::TenantId;
use domain::tenant::Scope;
use http::request::Parts;

use super::App;
use super::error::Fault;
use crate::auth;
use crate::http::body;

/// A caller that may see its tenant's settings.
pub(super) struct Reader {
    pub(super) tenant: TenantId,
    /// Only who could change the Teams URL is shown it.
    pub(super) may_write: bool,
}

impl FromRequestParts<App> for Reader {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Fault> {
        let tenant = auth::tenant_for(&app.engine, parts, Scope::ChannelsRead)?;
        let may_write = auth::tenant_for(&app.engine, parts, Scope::ChannelsWrite).is_ok();
        Ok(Self { tenant, may_write })
    }
}

/// A caller that may change its tenant's settings.
pub(super) struct Writer {
    pub(super) tenant: TenantId,
}

impl FromRequestParts<App> for Writer {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Fault> {
        Ok(Self { tenant: auth::tenant_for(&app.engine, parts, Scope::ChannelsWrite)? })
    }
}

/// The bytes of a body, to their bound.
pub(super) struct Raw(pub(super) Bytes);

impl FromRequest<App> for Raw {
    type Rejection = Fault;

    async fn from_request(request: Request, _: &App) -> Result<Self, Fault> {
        Ok(Self(body::read(request).await?))
    }
}
