//! Errors of Lenz: `{"ok":false,"message":...}`, with the texts that its clients know.
//!
//! Those that only Postrider has (too large, not allowed...) are put in the same form.

use axum::Json;
use axum::response::{IntoResponse, Response};
use engine::ops::OpsError;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::config;
use crate::auth::Refusal;
use crate::http::body::BodyError;

/// What Lenz says of most things that are wrong.
pub(super) const INVALID: &str = "invalid request";

/// What it says of a channel that is not there, to those who want to see it.
pub(super) const NO_CHANNEL: &str = "channel not found";

/// An error as the client gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Error {
    status: StatusCode,
    message: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LenzError)]
pub(super) struct ErrorOut {
    ok: bool,
    message: String,
}

impl Error {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(super) fn invalid() -> Self {
        Self::new(StatusCode::BAD_REQUEST, INVALID)
    }

    pub(super) fn required(field: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("{field} is required"))
    }

    pub(super) fn not_active() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "channel is not active")
    }

    /// The provider did not take a test, and why; the reason holds no secret.
    pub(super) fn not_sent(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, reason)
    }

    /// A path that leads nowhere.
    pub(super) fn nowhere() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not found")
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
    }

    /// An operation that was not done; `missing` is what this call says of something that is not there.
    pub(super) fn of(error: OpsError, missing: &str) -> Self {
        match error {
            OpsError::NotFound(_) => Self::new(StatusCode::NOT_FOUND, missing),
            OpsError::Invalid(errors) => {
                tracing::debug!(?errors, "a Lenz client sent what cannot be taken");
                let lacking = errors.iter().find(|error| error.message.starts_with("is required"));
                lacking.map_or_else(Self::invalid, |error| Self::required(config::known_as(&error.field)))
            }
            OpsError::Conflict(reason) => {
                tracing::debug!(reason, "a Lenz client asked for what cannot be done");
                Self::invalid()
            }
            OpsError::TooLarge(_) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "request too large"),
            // Lenz knows no quotas: whoever holds the key reads what to do.
            OpsError::QuotaExceeded { message, retry_after } => {
                Self::new(retry_after.map_or(StatusCode::FORBIDDEN, |_| StatusCode::TOO_MANY_REQUESTS), message)
            }
            OpsError::Unavailable(detail) => {
                tracing::warn!(%detail, "a request was turned away");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "service unavailable")
            }
            OpsError::Internal(detail) => {
                tracing::error!(%detail, "a request failed by a fault of ours");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal server error")
            }
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoKey | Refusal::BadKey | Refusal::ExpiredKey => {
                Self::new(StatusCode::UNAUTHORIZED, "unauthorized")
            }
            // Of these Lenz says nothing: whoever holds the key reads what to do.
            Refusal::NoScope(_) | Refusal::OtherTenant | Refusal::Suspended => {
                Self::new(StatusCode::FORBIDDEN, refusal.to_string())
            }
            Refusal::NoTenant => Self::new(StatusCode::BAD_REQUEST, refusal.to_string()),
            Refusal::UnknownTenant(_) => Self::new(StatusCode::NOT_FOUND, refusal.to_string()),
        }
    }
}

impl From<BodyError> for Error {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge(_) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "request too large"),
            BodyError::TooSlow(_) => Self::new(StatusCode::REQUEST_TIMEOUT, "request timeout"),
            BodyError::Broken => Self::invalid(),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(ErrorOut { ok: false, message: self.message })).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => drop(headers.insert(RETRY_AFTER, HeaderValue::from_static("1"))),
            StatusCode::UNAUTHORIZED => drop(headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::tenant::Scope;
    use providers::FieldError;

    use super::*;

    #[test]
    fn whatever_goes_wrong_has_a_status_and_a_text() {
        let check = |error: Error, status: u16, message: &str| {
            assert_eq!((error.status.as_u16(), error.message.as_str()), (status, message));
        };
        let of = |error| Error::of(error, NO_CHANNEL);
        let invalid = |field: &str, message: &str| {
            of(OpsError::Invalid(vec![FieldError { field: field.to_owned(), message: message.to_owned() }]))
        };
        check(invalid("name", "must be 1 to 128 characters"), 400, INVALID);
        check(invalid("config.smtp_password", "is required with smtp_user"), 400, "password is required");
        check(of(OpsError::NotFound("channel 7".into())), 404, NO_CHANNEL);
        check(of(OpsError::Conflict("it is sent".into())), 400, INVALID);
        check(of(OpsError::TooLarge("by far".into())), 413, "request too large");
        check(of(OpsError::Unavailable("busy".into())), 503, "service unavailable");
        // What went wrong within is for the log.
        check(of(OpsError::Internal("a table is missing".into())), 500, "internal server error");
        check(BodyError::TooLarge(7).into(), 413, "request too large");
        check(BodyError::TooSlow(Duration::from_secs(1)).into(), 408, "request timeout");
        check(BodyError::Broken.into(), 400, INVALID);
        check(Refusal::BadKey.into(), 401, "unauthorized");
        check(Refusal::NoScope(Scope::ChannelsRead).into(), 403, "the key lacks the scope channels:read");
    }
}
