//! Errors of this API: `{"errors": [{"title", "status"}]}`.

use axum::response::{IntoResponse, Response};
use engine::ops::OpsError;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use providers::FieldError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Refusal;
use crate::http::body::BodyError;
use crate::http::form::FormError;

/// An error as the client gets it.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    /// At least one; for people.
    titles: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AltumErrors)]
pub(super) struct ErrorsOut {
    errors: Vec<ErrorOut>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AltumError)]
struct ErrorOut {
    /// What happened, for people.
    title: String,
    /// The status of the answer.
    status: u16,
}

impl Failure {
    pub(super) fn new(status: StatusCode, title: impl Into<String>) -> Self {
        Self { status, titles: vec![title.into()] }
    }

    /// Fields of the request that are wrong.
    pub(super) fn invalid(status: StatusCode, errors: Vec<FieldError>) -> Self {
        Self { status, titles: errors.into_iter().map(|error| error.to_string()).collect() }
    }

    /// No such handler, no such path, or no such method: the original tells them by one answer.
    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is no such notification handler, path or method")
    }

    pub(super) fn exhausted(seconds: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, format!("too many requests: try again in {seconds} s"))
    }

    /// An operation that was not done for another reason than its fields.
    pub(super) fn of_operation(error: OpsError) -> Self {
        match error {
            OpsError::NotFound(_) => Self::not_found(),
            OpsError::Invalid(_) | OpsError::Conflict(_) => Self::new(StatusCode::BAD_REQUEST, error.to_string()),
            OpsError::TooLarge(detail) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, detail),
            OpsError::QuotaExceeded { message, retry_after } => {
                Self::new(retry_after.map_or(StatusCode::FORBIDDEN, |_| StatusCode::TOO_MANY_REQUESTS), message)
            }
            OpsError::Unavailable(detail) => {
                tracing::warn!(%detail, "a request was turned away");
                let title = "nothing was kept: the database cannot be used now; try again later";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, title)
            }
            OpsError::Internal(detail) => {
                tracing::error!(%detail, "a request failed by a fault of ours");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "a fault of the server; its log says more")
            }
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal {
            Refusal::NoKey | Refusal::BadKey | Refusal::ExpiredKey => StatusCode::UNAUTHORIZED,
            Refusal::NoScope(_) | Refusal::OtherTenant | Refusal::Suspended => StatusCode::FORBIDDEN,
            Refusal::NoTenant => StatusCode::BAD_REQUEST,
            Refusal::UnknownTenant(_) => StatusCode::NOT_FOUND,
        };
        Self::new(status, refusal.to_string())
    }
}

impl From<FormError> for Failure {
    fn from(error: FormError) -> Self {
        let status = match error {
            FormError::Body(BodyError::TooLarge(_)) | FormError::TooManyFields | FormError::FieldTooLarge => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            FormError::Body(BodyError::TooSlow(_)) => StatusCode::REQUEST_TIMEOUT,
            FormError::Body(BodyError::Broken) | FormError::Malformed(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = self.status.as_u16();
        let errors = self.titles.into_iter().map(|title| ErrorOut { title, status }).collect();
        let mut response = (self.status, axum::Json(ErrorsOut { errors })).into_response();
        let headers = response.headers_mut();
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => drop(headers.insert(RETRY_AFTER, HeaderValue::from_static("1"))),
            StatusCode::UNAUTHORIZED => drop(headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            _ => {}
        }
        response
    }
}
