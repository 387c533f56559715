//! Extractors: what a handler asks of a request, checked before it runs.

use std::marker::PhantomData;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use bytes::Bytes;
use domain::TenantId;
use domain::tenant::Scope;
use http::request::Parts;
use providers::FieldError;
use serde::de::DeserializeOwned;

use super::App;
use super::problem::Problem;
use crate::{auth, http as plumbing};

/// A caller that may do what `P` says, for its tenant.
pub(crate) struct Caller<P> {
    pub(crate) tenant: TenantId,
    permission: PhantomData<P>,
}

/// One scope, as a type.
pub(crate) trait Permission {
    const SCOPE: Scope;
}

macro_rules! permissions {
    ($($name:ident),+) => {$(
        pub(crate) struct $name;

        impl Permission for $name {
            const SCOPE: Scope = Scope::$name;
        }
    )+};
}

permissions!(EventsWrite, EventsRead, ChannelsRead, ChannelsWrite, DeliveriesRead, DeliveriesWrite);

impl<P: Permission> FromRequestParts<App> for Caller<P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, engine: &App) -> Result<Self, Problem> {
        let tenant = auth::tenant_for(engine, &parts.headers, P::SCOPE)?;
        Ok(Self { tenant, permission: PhantomData })
    }
}

/// A caller with a platform key.
pub(crate) struct Platform;

impl FromRequestParts<App> for Platform {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, engine: &App) -> Result<Self, Problem> {
        auth::check_platform(engine, &parts.headers)?;
        Ok(Self)
    }
}

/// The bytes of a body, to their bound.
pub(crate) struct Raw(pub(crate) Bytes);

impl FromRequest<App> for Raw {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &App) -> Result<Self, Problem> {
        Ok(Self(plumbing::body::read(request.into_body()).await?))
    }
}

/// A JSON body, whatever its content type says.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, engine: &App) -> Result<Self, Problem> {
        let Raw(bytes) = Raw::from_request(request, engine).await?;
        parse(&bytes, "").map(Self)
    }
}

/// Reads JSON. What is not JSON is malformed; what is not of the right form names its field, after `prefix`.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8], prefix: &str) -> Result<T, Problem> {
    let error = match serde_json::from_slice(bytes) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if !error.is_data() {
        return Err(Problem::malformed(format!("the body is not JSON: {error}")));
    }
    // Read again, slower, to find out which field it is.
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let located: Result<T, _> = serde_path_to_error::deserialize(&mut deserializer);
    let (path, message) = match located {
        Ok(value) => return Ok(value),
        Err(located) => (located.path().to_string(), located.inner().to_string()),
    };
    let message = message.split(" at line ").next().unwrap_or_default().to_owned();
    let path = if path == "." { String::new() } else { path };
    let field = missing_field(&message).map_or_else(|| format!("{prefix}{path}"), |name| join(prefix, &path, name));
    Err(Problem::invalid(vec![FieldError { field, message }]))
}

/// The name in serde's "missing field `name`" and "unknown field `name`, expected ...".
fn missing_field(message: &str) -> Option<&str> {
    let rest = message.strip_prefix("missing field `").or_else(|| message.strip_prefix("unknown field `"))?;
    rest.split_once('`').map(|(name, _)| name)
}

fn join(prefix: &str, path: &str, name: &str) -> String {
    if path.is_empty() || path.ends_with(name) {
        format!("{prefix}{path}{}", if path.ends_with(name) { "" } else { name })
    } else {
        format!("{prefix}{path}.{name}")
    }
}

/// The variable parts of a path.
pub(crate) struct PathParts<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for PathParts<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, engine: &App) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, engine).await;
        path.map(|Path(value)| Self(value)).map_err(|_| Problem::not_found("there is nothing at this path"))
    }
}

/// A number at the end of a path.
pub(crate) struct Id<T>(pub(crate) T);

impl<T: From<i64>> FromRequestParts<App> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, engine: &App) -> Result<Self, Problem> {
        let PathParts(text) = PathParts::<String>::from_request_parts(parts, engine).await?;
        let number = text.parse().ok().filter(|number| (1..=domain::ids::ID_MAX).contains(number));
        let number = number.ok_or_else(|| Problem::not_found(format!("there is nothing with the id {text:?}")))?;
        Ok(Self(T::from(number)))
    }
}

/// The query of a URL; an error names the parameter.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, engine: &App) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, engine).await;
        query
            .map(|Query(value)| Self(value))
            .map_err(|error| Problem::malformed(format!("the query: {}", error.body_text())))
    }
}
