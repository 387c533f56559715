//! Who calls: checked and counted before anything else, whatever is asked for.

use axum::extract::{FromRequest, FromRequestParts, Path, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use domain::tenant::Scope;
use domain::{ChannelId, TenantId};
use http::header::RETRY_AFTER;
use http::request::Parts;
use http::{HeaderValue, Method};

use super::App;
use super::error::Failure;
use crate::auth;
use crate::http::calls::{Calls, LIMIT, REMAINING, RESET};
use crate::http::form::Form;

/// Stands before every path of this API. A caller without key, on this machine, is not counted.
pub(super) async fn guard(State(altum): State<App>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let key = match auth::calling_key(&altum.engine, &parts) {
        Ok(key) => key,
        Err(refusal) => return Failure::from(refusal).into_response(),
    };
    let request = Request::from_parts(parts, body);
    let Some(key) = key else { return answer(request, next).await };
    let calls = altum.calls.count(key.id, altum.engine.clock().monotonic());
    let mut response = match calls {
        Calls::Left(_) => answer(request, next).await,
        Calls::Exhausted { seconds } => Failure::exhausted(seconds).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(LIMIT, altum.calls.calls_max().into());
    match calls {
        Calls::Left(left) => drop(headers.insert(REMAINING, left.into())),
        Calls::Exhausted { seconds } => {
            headers.insert(RESET, HeaderValue::from(seconds));
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
    }
    response
}

/// HEAD is no method of this API, although every GET could answer it.
async fn answer(request: Request, next: Next) -> Response {
    if request.method() == Method::HEAD { Failure::not_found().into_response() } else { next.run(request).await }
}

/// A caller that may read channels.
pub(super) struct Reader {
    pub(super) tenant: TenantId,
    /// Whether it sees secrets in clear: those who may write could replace them anyhow.
    pub(super) sees_secrets: bool,
}

impl FromRequestParts<App> for Reader {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, altum: &App) -> Result<Self, Failure> {
        let tenant = auth::tenant_for(&altum.engine, parts, Scope::ChannelsRead)?;
        let sees_secrets = auth::tenant_for(&altum.engine, parts, Scope::ChannelsWrite).is_ok();
        Ok(Self { tenant, sees_secrets })
    }
}

/// A caller that may change channels.
pub(super) struct Writer {
    pub(super) tenant: TenantId,
}

impl FromRequestParts<App> for Writer {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, altum: &App) -> Result<Self, Failure> {
        Ok(Self { tenant: auth::tenant_for(&altum.engine, parts, Scope::ChannelsWrite)? })
    }
}

/// The handler that the path names.
pub(super) struct Id(pub(super) ChannelId);

impl FromRequestParts<App> for Id {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, altum: &App) -> Result<Self, Failure> {
        let text = Path::<String>::from_request_parts(parts, altum).await.map_err(|_| Failure::not_found())?.0;
        let number = text.parse().ok().filter(|number| (1..=domain::ids::ID_MAX).contains(number));
        number.map(|number| Self(ChannelId(number))).ok_or_else(Failure::not_found)
    }
}

/// The fields of the body.
pub(super) struct Fields(pub(super) Form);

impl FromRequest<App> for Fields {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &App) -> Result<Self, Failure> {
        Ok(Self(Form::read(request).await?))
    }
}
