//! Errors of the native API: RFC 9457 problem details.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use engine::ops::OpsError;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use providers::FieldError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Refusal;
use crate::http::body::BodyError;

/// What the `type` of a problem ends in.
pub(super) const TYPES: [&str; 13] = [
    "malformed",
    "unauthorized",
    "forbidden",
    "suspended",
    "not-found",
    "method-not-allowed",
    "too-slow",
    "conflict",
    "too-large",
    "quota-exceeded",
    "invalid",
    "internal",
    "unavailable",
];

/// An error as the client gets it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// What kind of problem it is, for programs.
    r#type: &'static str,
    title: &'static str,
    #[serde(serialize_with = "as_number")]
    #[schema(value_type = u16)]
    status: StatusCode,
    /// What happened and what to do, for people.
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldProblem>,
    /// For the header: seconds until it may be tried again.
    #[serde(skip)]
    retry_after: Option<u64>,
}

/// One field that is wrong.
#[derive(Debug, Serialize, ToSchema)]
struct FieldProblem {
    field: String,
    message: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde calls")]
fn as_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    fn new(status: StatusCode, r#type: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { r#type, title, status, detail: detail.into(), errors: Vec::new(), retry_after: None }
    }

    /// Fields of the request that are wrong.
    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        let errors = errors.into_iter().map(|error| FieldProblem { field: error.field, message: error.message });
        Self {
            errors: errors.collect(),
            ..Self::new(status, "urn:postrider:invalid", "Fields are not valid", detail.trim_start_matches(": "))
        }
    }

    pub(crate) fn invalid_field(field: &str, message: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError { field: field.to_owned(), message: message.into() }])
    }

    /// The same about fields that stand within another one.
    pub(crate) fn within(self, outer: &str) -> Self {
        let name =
            |error: FieldProblem| FieldError { field: format!("{outer}.{}", error.field), message: error.message };
        Self::invalid(self.errors.into_iter().map(name).collect())
    }

    /// A body that cannot be read at all.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "urn:postrider:malformed", "The request cannot be read", detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "urn:postrider:not-found", "Not found", detail)
    }

    pub(crate) fn method_not_allowed() -> Self {
        let detail = "this path knows other methods; see the Allow header";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "urn:postrider:method-not-allowed", "Method not allowed", detail)
    }

    fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "urn:postrider:too-large", "The request is too large", detail)
    }

    /// 429 where time makes room, 403 where it does not.
    fn quota_exceeded(detail: String, retry_after: Option<Duration>) -> Self {
        let status = retry_after.map_or(StatusCode::FORBIDDEN, |_| StatusCode::TOO_MANY_REQUESTS);
        let seconds = |after: Duration| u64::try_from(after.as_millis().div_ceil(1000)).unwrap_or(u64::MAX);
        let problem = Self::new(status, "urn:postrider:quota-exceeded", "A quota of the tenant has no room", detail);
        Self { retry_after: retry_after.map(seconds), ..problem }
    }

    fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "urn:postrider:unavailable", "Not available now", detail)
    }
}

impl From<OpsError> for Problem {
    fn from(error: OpsError) -> Self {
        match error {
            OpsError::Invalid(errors) => Self::invalid(errors),
            OpsError::NotFound(_) => Self::not_found(error.to_string()),
            OpsError::Conflict(detail) => {
                Self::new(StatusCode::CONFLICT, "urn:postrider:conflict", "Not possible as things stand", detail)
            }
            OpsError::TooLarge(detail) => Self::too_large(detail),
            OpsError::QuotaExceeded { message, retry_after } => Self::quota_exceeded(message, retry_after),
            OpsError::Unavailable(detail) => {
                tracing::warn!(%detail, "a request was turned away");
                Self::unavailable("nothing was kept: the database cannot be used now; try again later")
            }
            OpsError::Internal(detail) => {
                tracing::error!(%detail, "a request failed by a fault of ours");
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                Self::new(status, "urn:postrider:internal", "A fault of the server", "the server's log says more")
            }
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::NoKey | Refusal::BadKey | Refusal::ExpiredKey => {
                Self::new(StatusCode::UNAUTHORIZED, "urn:postrider:unauthorized", "Not authenticated", detail)
            }
            Refusal::NoScope(_) | Refusal::OtherTenant => {
                Self::new(StatusCode::FORBIDDEN, "urn:postrider:forbidden", "Not allowed", detail)
            }
            Refusal::Suspended => {
                Self::new(StatusCode::FORBIDDEN, "urn:postrider:suspended", "The tenant is suspended", detail)
            }
            Refusal::NoTenant => Self::malformed(detail),
            Refusal::UnknownTenant(_) => Self::not_found(detail),
        }
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge(_) => Self::too_large(error.to_string()),
            BodyError::TooSlow(_) => {
                let status = StatusCode::REQUEST_TIMEOUT;
                Self::new(status, "urn:postrider:too-slow", "The request took too long", error.to_string())
            }
            BodyError::Broken => Self::malformed(error.to_string()),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).expect("a problem is JSON");
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => drop(headers.insert(RETRY_AFTER, HeaderValue::from_static("1"))),
            StatusCode::UNAUTHORIZED => drop(headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            _ => {}
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}
