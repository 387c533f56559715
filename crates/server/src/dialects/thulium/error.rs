//! Errors as Thulium tells them: `{"request_id": "53678450401cf", "errors": [{"message": "...", "code": 111111}]}`.
//!
//! A [`Fault`] does not know which request it is about. It goes as an extension of its answer until
//! [`with_request_id`], which stands around every route, writes the body. Codes are ours, because the vendor lists
//! none: the status, and a number within it.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use engine::ops::OpsError;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use providers::FieldError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Refusal;
use crate::http::body::BodyError;
use crate::http::observe::RequestId;

/// An error as the client gets it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ThuliumErrors)]
pub(super) struct ErrorsOut {
    /// That of the header `X-Request-Id`.
    request_id: String,
    errors: Vec<ErrorOut>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ThuliumError)]
pub(super) struct ErrorOut {
    message: String,
    code: u32,
}

/// Why a request is refused.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    status: StatusCode,
    errors: Vec<ErrorOut>,
}

const MALFORMED: u32 = 400_001;
const INVALID: u32 = 400_002;
const NO_TENANT: u32 = 400_003;
const UNAUTHORIZED: u32 = 401_001;
const EXPIRED: u32 = 401_002;
const FORBIDDEN: u32 = 403_001;
const SUSPENDED: u32 = 403_002;
const QUOTA: u32 = 403_003;
const NOT_FOUND: u32 = 404_001;
const NO_SUCH_TENANT: u32 = 404_002;
const METHOD: u32 = 405_001;
const TOO_SLOW: u32 = 408_001;
const CONFLICT: u32 = 409_001;
const TOO_LARGE: u32 = 413_001;
const QUOTA_FOR_NOW: u32 = 429_001;
const INTERNAL: u32 = 500_001;
const UNAVAILABLE: u32 = 503_001;

impl Fault {
    /// The status is in the code.
    fn new(code: u32, message: impl Into<String>) -> Self {
        let status = u16::try_from(code / 1000).ok().and_then(|status| StatusCode::from_u16(status).ok());
        let errors = vec![ErrorOut { message: message.into(), code }];
        Self { status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), errors }
    }

    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::new(MALFORMED, message)
    }

    /// Fields that are wrong, by the names that they have here.
    pub(super) fn invalid(errors: Vec<FieldError>) -> Self {
        let told = |error: FieldError| ErrorOut {
            message: if error.field.is_empty() { error.message } else { format!("{} {}.", error.field, error.message) },
            code: INVALID,
        };
        Self { status: StatusCode::BAD_REQUEST, errors: errors.into_iter().map(told).collect() }
    }

    pub(super) fn not_found() -> Self {
        Self::new(NOT_FOUND, "Webhook not found.")
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(METHOD, "Method not allowed; see the Allow header.")
    }
}

impl From<OpsError> for Fault {
    fn from(error: OpsError) -> Self {
        match error {
            OpsError::Invalid(errors) => Self::invalid(errors.into_iter().map(super::map::named_here).collect()),
            OpsError::NotFound(_) => Self::not_found(),
            OpsError::Conflict(message) => Self::new(CONFLICT, message),
            OpsError::TooLarge(message) => Self::new(TOO_LARGE, message),
            OpsError::QuotaExceeded { message, retry_after } => {
                Self::new(retry_after.map_or(QUOTA, |_| QUOTA_FOR_NOW), message)
            }
            OpsError::Unavailable(detail) => {
                tracing::warn!(%detail, "a request was turned away");
                Self::new(UNAVAILABLE, "Service unavailable; nothing was changed, try again later.")
            }
            OpsError::Internal(detail) => {
                tracing::error!(%detail, "a request failed by a fault of ours");
                Self::new(INTERNAL, "Internal server error.")
            }
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::NoKey | Refusal::BadKey => UNAUTHORIZED,
            Refusal::ExpiredKey => EXPIRED,
            Refusal::NoScope(_) | Refusal::OtherTenant => FORBIDDEN,
            Refusal::Suspended => SUSPENDED,
            Refusal::NoTenant => NO_TENANT,
            Refusal::UnknownTenant(_) => NO_SUCH_TENANT,
        };
        match refusal {
            Refusal::NoKey => Self::new(code, "Log in with HTTP Basic: an API user and its password, which is a key."),
            other => Self::new(code, other.to_string()),
        }
    }
}

impl From<BodyError> for Fault {
    fn from(error: BodyError) -> Self {
        let code = match error {
            BodyError::TooLarge(_) => TOO_LARGE,
            BodyError::TooSlow(_) => TOO_SLOW,
            BodyError::Broken => MALFORMED,
        };
        Self::new(code, error.to_string())
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"Thulium API\""));
            }
            StatusCode::SERVICE_UNAVAILABLE => drop(headers.insert(RETRY_AFTER, HeaderValue::from_static("1"))),
            _ => {}
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the body of an answer that is a [`Fault`].
pub(super) async fn with_request_id(request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().cloned();
    let mut response = next.run(request).await;
    if let Some(fault) = response.extensions_mut().remove::<Fault>() {
        // A request that nobody observes has no id, as one of a command in this process.
        let request_id = id.as_ref().and_then(|RequestId(id)| id.to_str().ok()).unwrap_or("0").to_owned();
        let body = serde_json::to_vec(&ErrorsOut { request_id, errors: fault.errors }).expect("errors are JSON");
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().remove(http::header::CONTENT_LENGTH);
        *response.body_mut() = body.into();
    }
    response
}
