//! `GET /metrics`: the figures in the text format of Prometheus, `OpenMetrics`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use engine::Engine;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

use super::metrics::Metrics;
use crate::auth::{self, Refusal};
use crate::http::client::Client;

pub(crate) const PATH: &str = "/metrics";

/// What `/metrics` is answered from.
#[derive(Clone)]
struct Desk {
    engine: Arc<Engine>,
    metrics: Arc<Metrics>,
    /// Whether everybody may read them.
    is_public: bool,
}

pub(crate) fn router(engine: Arc<Engine>, metrics: Arc<Metrics>, is_public: bool) -> Router {
    Router::new().route(PATH, get(show)).with_state(Desk { engine, metrics, is_public })
}

async fn show(State(desk): State<Desk>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    let is_local = request.extensions.get::<Client>().is_some_and(|client| client.is_local);
    if !desk.is_public
        && !is_local
        && let Err(refusal) = auth::check_platform(&desk.engine, &request)
    {
        return refuse(&refusal);
    }
    match desk.engine.figures().await {
        Ok(figures) => {
            let format = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
            ([(CONTENT_TYPE, format)], desk.metrics.page(&figures)).into_response()
        }
        Err(error) => {
            tracing::warn!(%error, "the figures could not be read");
            (StatusCode::SERVICE_UNAVAILABLE, "the database cannot be read now\n").into_response()
        }
    }
}

fn refuse(refusal: &Refusal) -> Response {
    let text = format!("{refusal}; metrics need a platform key, unless asked from this machine or made public\n");
    match refusal {
        Refusal::NoKey | Refusal::BadKey | Refusal::ExpiredKey => {
            let bearer = [(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))];
            (StatusCode::UNAUTHORIZED, bearer, text).into_response()
        }
        _ => (StatusCode::FORBIDDEN, text).into_response(),
    }
}
