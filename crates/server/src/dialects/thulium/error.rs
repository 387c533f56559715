//! Errors as Thulium tells them: `{"request_id": "53678450401cf", "errors": [{"message": "...", "code": 111111}]}`.
//!
//! A [`Fault`] does not know which request it is about. It goes as an extension of its answer until [`written`], which
//! stands around every route, writes the body with the request's id and in its language. Codes are ours, because the
//! vendor lists none: the status, and a number within it.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use engine::ops::OpsError;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use providers::FieldError;
use serde::Serialize;
use utoipa::ToSchema;

use super::language::{Language, Text};
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

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ThuliumError)]
struct ErrorOut {
    message: String,
    code: u32,
}

/// Why a request is refused.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    status: StatusCode,
    code: u32,
    /// At least one.
    texts: Vec<Text>,
}

/// A field that is wrong, by the name that it has here.
#[derive(Debug)]
pub(super) struct FieldFault {
    pub(super) field: &'static str,
    /// What is wrong with it, as the end of a sentence in each language.
    pub(super) english: String,
    pub(super) polish: String,
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

impl FieldFault {
    pub(super) fn new(field: &'static str, english: impl Into<String>, polish: impl Into<String>) -> Self {
        Self { field, english: english.into(), polish: polish.into() }
    }
}

impl Fault {
    fn new(code: u32, text: Text) -> Self {
        Self::of_texts(code, vec![text])
    }

    /// The status is in the code.
    fn of_texts(code: u32, texts: Vec<Text>) -> Self {
        let status = u16::try_from(code / 1000).ok().and_then(|status| StatusCode::from_u16(status).ok());
        Self { status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), code, texts }
    }

    pub(super) fn not_json(error: &serde_json::Error) -> Self {
        let english = format!("The body is not JSON, or was cut short: {error}.");
        Self::new(MALFORMED, Text::new(english, format!("Treść nie jest JSON-em albo została ucięta ({error}).")))
    }

    pub(super) fn no_object() -> Self {
        Self::new(MALFORMED, Text::new("The body must be a JSON object.", "Treść musi być obiektem JSON."))
    }

    pub(super) fn invalid(faults: Vec<FieldFault>) -> Self {
        let text = |FieldFault { field, english, polish }| {
            Text::new(format!("{field} {english}."), format!("Pole {field} {polish}."))
        };
        Self::of_texts(INVALID, faults.into_iter().map(text).collect())
    }

    pub(super) fn not_found() -> Self {
        Self::new(NOT_FOUND, Text::new("Webhook not found.", "Nie znaleziono webhooka."))
    }

    pub(super) fn method_not_allowed() -> Self {
        let english = "Method not allowed; see the Allow header.";
        Self::new(METHOD, Text::new(english, "Niedozwolona metoda; dozwolone są w nagłówku Allow."))
    }
}

/// What the engine says of a field: its reason has one language.
fn refused(error: FieldError) -> Text {
    let FieldError { field, message } = super::map::named_here(error);
    if field.is_empty() {
        return Text::new(message.clone(), format!("Niewłaściwe dane ({message})."));
    }
    Text::new(format!("{field} {message}."), format!("Pole {field} ma niewłaściwą wartość ({message})."))
}

impl From<OpsError> for Fault {
    fn from(error: OpsError) -> Self {
        match error {
            OpsError::Invalid(errors) => Self::of_texts(INVALID, errors.into_iter().map(refused).collect()),
            OpsError::NotFound(_) => Self::not_found(),
            OpsError::Conflict(reason) => {
                Self::new(CONFLICT, Text::new(reason.clone(), format!("Nie można tego teraz zrobić ({reason}).")))
            }
            OpsError::TooLarge(reason) => Self::new(TOO_LARGE, too_large(reason)),
            OpsError::QuotaExceeded { message, retry_after } => {
                let code = retry_after.map_or(QUOTA, |_| QUOTA_FOR_NOW);
                Self::new(code, Text::new(message.clone(), format!("Limit klienta jest wyczerpany ({message}).")))
            }
            OpsError::Unavailable(detail) => {
                tracing::warn!(%detail, "a request was turned away");
                let english = "Service unavailable; nothing was changed, try again later.";
                let polish = "Usługa jest niedostępna; nic nie zostało zmienione, spróbuj później.";
                Self::new(UNAVAILABLE, Text::new(english, polish))
            }
            OpsError::Internal(detail) => {
                tracing::error!(%detail, "a request failed by a fault of ours");
                Self::new(INTERNAL, Text::new("Internal server error.", "Wewnętrzny błąd serwera."))
            }
        }
    }
}

fn too_large(reason: String) -> Text {
    let polish = format!("Żądanie jest za duże ({reason}).");
    Text::new(reason, polish)
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let (code, polish) = match &refusal {
            Refusal::NoKey => {
                let english = "Log in with HTTP Basic: an API user and its password, which is a key.";
                let polish = "Zaloguj się przez HTTP Basic: użytkownik API i jego hasło, którym jest klucz.";
                return Self::new(UNAUTHORIZED, Text::new(english, polish));
            }
            Refusal::BadKey => (UNAUTHORIZED, "Nieznany użytkownik API albo hasło.".to_owned()),
            Refusal::ExpiredKey => (EXPIRED, "Klucz stracił ważność.".to_owned()),
            Refusal::NoScope(scope) => (FORBIDDEN, format!("Klucz nie ma uprawnienia {}.", scope.name())),
            Refusal::OtherTenant => (FORBIDDEN, "Klucz należy do innej organizacji.".to_owned()),
            Refusal::Suspended => (SUSPENDED, "Organizacja jest zawieszona.".to_owned()),
            Refusal::NoTenant => (NO_TENANT, "Nagłówek Postrider-Tenant musi wskazać organizację.".to_owned()),
            Refusal::UnknownTenant(slug) => (NO_SUCH_TENANT, format!("Nie ma organizacji {slug}.")),
        };
        Self::new(code, Text::new(refusal.to_string(), polish))
    }
}

impl From<BodyError> for Fault {
    fn from(error: BodyError) -> Self {
        let english = error.to_string();
        match error {
            BodyError::TooLarge(_) => Self::new(TOO_LARGE, too_large(english)),
            BodyError::TooSlow(_) => Self::new(TOO_SLOW, Text::new(english, "Treść żądania nadchodziła zbyt długo.")),
            BodyError::Broken => Self::new(MALFORMED, Text::new(english, "Treść żądania nie nadeszła w całości.")),
        }
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
pub(super) async fn written(request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().cloned();
    let language = Language::wanted(request.headers());
    let mut response = next.run(request).await;
    if let Some(Fault { code, texts, .. }) = response.extensions_mut().remove::<Fault>() {
        // A request that nobody observes has no id, as one of a command in this process.
        let request_id = id.as_ref().and_then(|RequestId(id)| id.to_str().ok()).unwrap_or("0").to_owned();
        let errors = texts.into_iter().map(|text| ErrorOut { message: text.in_language(language), code }).collect();
        let body = serde_json::to_vec(&ErrorsOut { request_id, errors }).expect("errors are JSON");
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().remove(http::header::CONTENT_LENGTH);
        *response.body_mut() = body.into();
    }
    response
}
