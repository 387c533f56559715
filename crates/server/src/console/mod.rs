//! The console: a status page for people, a face. HTML from this server alone, without scripts.
//!
//! It shows what needs attention, the sums of a day and the last deliveries of one tenant. It changes nothing but the
//! session of whoever looks. Start at [`overview`]; who looks is in [`session`] and [`sign_in`].

mod bridge;
mod overview;
mod page;
mod session;
mod sign_in;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use engine::Engine;
use engine::random::Entropy;
use http::HeaderValue;
use http::header::CONTENT_TYPE;

use crate::http::page::PROTECTION;
pub(crate) use bridge::readable_when_signed_in;
use session::Sessions;

/// What the pages are made from.
#[derive(Clone)]
pub(crate) struct Console {
    engine: Arc<Engine>,
    sessions: Arc<Sessions>,
}

impl Console {
    pub(crate) fn new(engine: Arc<Engine>, entropy: Arc<dyn Entropy>) -> Self {
        Self { engine, sessions: Arc::new(Sessions::new(entropy)) }
    }

    /// The routes of the console, all under `/console`.
    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/console", get(overview::show))
            .route("/console/", get(async || Redirect::permanent("/console")))
            .route("/console/sign-in", get(sign_in::form).post(sign_in::enter))
            .route("/console/sign-out", post(sign_in::leave))
            .route("/console/style.css", get(style))
            .with_state(self)
            .layer(from_fn(protect))
    }
}

async fn style() -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"))], include_str!("../http/style.css"))
        .into_response()
}

async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in PROTECTION {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
