//! Extractors: what a handler asks of a request, checked before it runs.

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use domain::tenant::Scope;
use domain::{ChannelId, TenantId};
use http::request::Parts;

use super::App;
use super::error::Fault;
use super::wire::{self, WebhookIn};
use crate::auth::{self, Takes};
use crate::http::body;

/// A caller that may see webhooks.
pub(super) struct Reader {
    pub(super) tenant: TenantId,
    /// Only who could change a password is shown it.
    pub(super) may_write: bool,
}

impl FromRequestParts<App> for Reader {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, engine: &App) -> Result<Self, Fault> {
        let tenant = auth::tenant_by(engine, parts, Scope::ChannelsRead, Takes::BasicOrBearer)?;
        let may_write = auth::tenant_by(engine, parts, Scope::ChannelsWrite, Takes::BasicOrBearer).is_ok();
        Ok(Self { tenant, may_write })
    }
}

/// A caller that may change webhooks.
pub(super) struct Writer {
    pub(super) tenant: TenantId,
}

impl FromRequestParts<App> for Writer {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, engine: &App) -> Result<Self, Fault> {
        let tenant = auth::tenant_by(engine, parts, Scope::ChannelsWrite, Takes::BasicOrBearer)?;
        Ok(Self { tenant })
    }
}

/// The id at the end of a path.
pub(super) struct Id(pub(super) ChannelId);

impl FromRequestParts<App> for Id {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, engine: &App) -> Result<Self, Fault> {
        let path = Path::<String>::from_request_parts(parts, engine).await;
        let number = path.ok().and_then(|Path(text)| text.parse::<i64>().ok());
        number.map(|number| Self(ChannelId(number))).ok_or_else(Fault::not_found)
    }
}

/// The body is JSON, whatever its content type says.
impl FromRequest<App> for WebhookIn {
    type Rejection = Fault;

    async fn from_request(request: Request, _: &App) -> Result<Self, Fault> {
        wire::read(&body::read(request).await?)
    }
}
