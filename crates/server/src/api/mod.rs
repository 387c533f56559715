//! The native API, v1: JSON in and out, errors as RFC 9457 problems, lists by cursor.
//!
//! A handler is extractors, one call of an operation, and the answer. What a caller may do is in the type of the
//! [`extract::Caller`] that the handler takes. Which paths there are, and what the `OpenAPI` document says of them, is
//! declared in [`routes`]; [`words`] says what a field of some name holds wherever it stands.

mod attempts;
mod channel_rules;
mod channel_schemas;
mod channels;
mod deliveries;
mod event_types;
mod events;
mod extract;
mod filter;
mod health;
mod inbox;
mod incoming;
mod page;
mod preview;
mod problem;
mod quotas;
mod redrives;
mod routes;
mod stats;
mod subscriptions;
mod tenants;
mod words;

use std::sync::Arc;

use axum::Router;
use engine::Engine;

use crate::openapi::Declared;
use problem::Problem;

/// What the handlers work with.
pub(crate) type App = Arc<Engine>;

/// The routes of the native API, and what the document says of them.
pub(crate) fn router(engine: Arc<Engine>) -> (Router, Declared) {
    let (router, declared) = routes::declared();
    let router = router
        .fallback(async || Problem::not_found("there is nothing at this path"))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .with_state(engine);
    (router, declared)
}
