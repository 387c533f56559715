//! Errors as Aether365 tells them: `{"success": false, "error": {"code": "...", "message": "...", "details": {}}}`.

use axum::response::{IntoResponse, Response};
use engine::ops::OpsError;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::wire::TEAMS_WEBHOOK_URL;
use crate::auth::Refusal;
use crate::http::body::BodyError;

/// An error as the client gets it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AetherError)]
pub(super) struct ErrorOut {
    success: bool,
    error: ErrorBody,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AetherErrorBody)]
pub(super) struct ErrorBody {
    code: &'static str,
    message: String,
    /// By field, what is wrong with it; empty when it is about no field.
    #[schema(value_type = Object)]
    details: Map<String, Value>,
}

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct Fault {
    status: StatusCode,
    error: ErrorBody,
}

impl Fault {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, error: ErrorBody { code, message: message.into(), details: Map::new() } }
    }

    /// A body that is wrong as a whole.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", message)
    }

    /// Fields that are wrong, and what would be right.
    pub(super) fn invalid_fields(details: Map<String, Value>) -> Self {
        let names: Vec<_> = details.keys().map(String::as_str).collect();
        let mut fault = Self::invalid(format!("Not valid: {}", names.join(", ")));
        fault.error.details = details;
        fault
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", "There is nothing at this path")
    }

    pub(super) fn method_not_allowed() -> Self {
        let message = "This path knows other methods; see the Allow header";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", message)
    }
}

impl From<OpsError> for Fault {
    fn from(error: OpsError) -> Self {
        match error {
            OpsError::Invalid(errors) => {
                // The one field that the engine checks once more.
                let told = |error: providers::FieldError| match error.field.as_str() {
                    "config.webhook_url" => (TEAMS_WEBHOOK_URL.to_owned(), error.message.into()),
                    _ => (error.field, error.message.into()),
                };
                Self::invalid_fields(errors.into_iter().map(told).collect())
            }
            OpsError::NotFound(_) => Self::new(StatusCode::NOT_FOUND, "TENANT_NOT_FOUND", "There is no such tenant"),
            OpsError::Conflict(message) => Self::new(StatusCode::CONFLICT, "CONFLICT", message),
            OpsError::TooLarge(message) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", message),
            OpsError::QuotaExceeded { message, retry_after } => {
                let status = retry_after.map_or(StatusCode::FORBIDDEN, |_| StatusCode::TOO_MANY_REQUESTS);
                Self::new(status, "QUOTA_EXCEEDED", message)
            }
            OpsError::Unavailable(detail) => {
                tracing::warn!(%detail, "a request was turned away");
                let message = "Nothing was changed; try again later";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE", message)
            }
            OpsError::Internal(detail) => {
                tracing::error!(%detail, "a request failed by a fault of ours");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", "A fault of the server")
            }
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let (status, code) = match refusal {
            Refusal::NoKey => (StatusCode::UNAUTHORIZED, "AUTH_MISSING_TOKEN"),
            Refusal::BadKey => (StatusCode::UNAUTHORIZED, "AUTH_INVALID_TOKEN"),
            Refusal::ExpiredKey => (StatusCode::UNAUTHORIZED, "AUTH_EXPIRED_TOKEN"),
            Refusal::NoScope(_) => (StatusCode::FORBIDDEN, "AUTH_INSUFFICIENT_SCOPE"),
            Refusal::Suspended | Refusal::OtherTenant | Refusal::NoTenant => {
                (StatusCode::FORBIDDEN, "TENANT_ACCESS_DENIED")
            }
            Refusal::UnknownTenant(_) => (StatusCode::NOT_FOUND, "TENANT_NOT_FOUND"),
        };
        Self::new(status, code, refusal.to_string())
    }
}

impl From<BodyError> for Fault {
    fn from(error: BodyError) -> Self {
        let message = error.to_string();
        match error {
            BodyError::TooLarge(_) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", message),
            BodyError::TooSlow(_) => Self::new(StatusCode::REQUEST_TIMEOUT, "REQUEST_TIMEOUT", message),
            BodyError::Broken => Self::invalid(message),
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let body = axum::Json(ErrorOut { success: false, error: self.error });
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => drop(headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            StatusCode::SERVICE_UNAVAILABLE => drop(headers.insert(RETRY_AFTER, HeaderValue::from_static("1"))),
            _ => {}
        }
        response
    }
}
