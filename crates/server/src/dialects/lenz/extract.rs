//! What a handler asks of a request, checked before it runs.

use std::marker::PhantomData;

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use bytes::Bytes;
use domain::TenantId;
use domain::tenant::Scope;
use http::request::Parts;

use super::App;
use super::error::Error;
use super::query::Query;
use crate::auth;
use crate::http::body;

/// A caller that may do what `P` says, for its tenant.
pub(super) struct Caller<P> {
    pub(super) tenant: TenantId,
    /// Whether it may change channels: then it sees their secrets.
    pub(super) may_write: bool,
    permission: PhantomData<P>,
}

/// One scope, as a type.
pub(super) trait Permission {
    const SCOPE: Scope;
}

macro_rules! permissions {
    ($($name:ident),+) => {$(
        pub(super) struct $name;

        impl Permission for $name {
            const SCOPE: Scope = Scope::$name;
        }
    )+};
}

permissions!(ChannelsRead, ChannelsWrite, DeliveriesRead, DeliveriesWrite);

impl<P: Permission> FromRequestParts<App> for Caller<P> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let tenant = auth::tenant_for(&app.engine, parts, P::SCOPE)?;
        let may_write = auth::tenant_for(&app.engine, parts, Scope::ChannelsWrite).is_ok();
        Ok(Self { tenant, may_write, permission: PhantomData })
    }
}

/// The number in a path. What is no number is no request; a number that nothing has is simply not there.
pub(super) struct Id<T>(pub(super) T);

impl<T: From<i64>> FromRequestParts<App> for Id<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let path = Path::<String>::from_request_parts(parts, app).await;
        let number = path.ok().and_then(|Path(text)| text.parse().ok());
        number.map(|number: i64| Self(T::from(number))).ok_or_else(Error::invalid)
    }
}

impl FromRequestParts<App> for Query {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Error> {
        Ok(Self::new(parts.uri.query().unwrap_or_default()))
    }
}

/// The bytes of a body, to their bound. It is JSON, whatever its content type says.
pub(super) struct Body(pub(super) Bytes);

impl FromRequest<App> for Body {
    type Rejection = Error;

    async fn from_request(request: Request, _: &App) -> Result<Self, Error> {
        Ok(Self(body::read(request).await?))
    }
}
