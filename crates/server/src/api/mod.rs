//! The native API, v1: JSON in and out, errors as RFC 9457 problems, lists by cursor.
//!
//! A handler is extractors, one call of an operation, and the answer. What a caller may do is in the type of the
//! [`extract::Caller`] that the handler takes.

mod attempts;
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
mod stats;
mod subscriptions;
mod tenants;

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, post, put};
use engine::Engine;

use problem::Problem;

/// What the handlers work with.
pub(crate) type App = Arc<Engine>;

/// The routes of the native API.
pub fn router(engine: Arc<Engine>) -> Router {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/v1/events", get(events::list).post(events::create))
        .route("/v1/events/{id}", get(events::show))
        .route("/v1/events/{id}/explain", get(events::explain))
        .route("/v1/channels", get(channels::list).post(channels::create))
        .route("/v1/channels/preview", post(preview::create))
        .route("/v1/channels/{id}", get(channels::show).patch(channels::update).delete(channels::remove))
        .route("/v1/channels/{id}/test", post(channels::test))
        .route("/v1/subscriptions", get(subscriptions::list).post(subscriptions::create))
        .route("/v1/subscriptions/{id}", get(subscriptions::show).delete(subscriptions::remove))
        .route("/v1/event-types", get(event_types::list).post(event_types::create))
        .route("/v1/event-types/{type}", get(event_types::show).put(event_types::put).delete(event_types::remove))
        .route("/v1/deliveries", get(deliveries::list))
        .route("/v1/deliveries/{id}", get(deliveries::show))
        .route("/v1/deliveries/{id}/retry", post(deliveries::retry))
        .route("/v1/attempts", get(attempts::list))
        .route("/v1/stats", get(stats::show))
        .route("/v1/inbox", get(inbox::list))
        .route("/v1/inbox/unread", get(inbox::count))
        .route("/v1/inbox/read-all", post(inbox::mark_all_read))
        .route("/v1/inbox/{id}/read", post(inbox::mark_read).delete(inbox::mark_unread))
        .route("/v1/tenants", get(tenants::list).post(tenants::create))
        .route("/v1/tenants/{slug}", put(tenants::put).get(tenants::show).delete(tenants::remove))
        .route("/v1/tenants/{slug}/suspend", post(tenants::suspend))
        .route("/v1/tenants/{slug}/resume", post(tenants::resume))
        .route("/v1/tenants/{slug}/keys", get(tenants::list_keys).post(tenants::create_key))
        .route("/v1/tenants/{slug}/keys/{id}", delete(tenants::revoke_key))
        .fallback(async || Problem::not_found("there is nothing at this path"))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .with_state(engine)
}
