//! Which web pages may call the API from a browser: the operator's list, and none without it.
//!
//! No credentials of the browser are let through: a page sends a key, as every client does.

use std::time::Duration;

use axum::Router;
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::calls::{LIMIT, REMAINING, RESET};
use super::observe::{REQUEST_ID, TRACEPARENT};

/// How long a browser may remember what it was allowed.
const REMEMBERED: Duration = Duration::from_secs(600);

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TENANT: HeaderName = HeaderName::from_static(crate::auth::TENANT_HEADER);

/// What a page may send: all that the faces document, and what browsers always let through.
const TAKEN: [HeaderName; 6] = [AUTHORIZATION, CONTENT_TYPE, IDEMPOTENCY_KEY, TENANT, REQUEST_ID, TRACEPARENT];

/// What a page may read besides what browsers always show: all that the faces document.
const SHOWN: [HeaderName; 7] = [ALLOW, RETRY_AFTER, WWW_AUTHENTICATE, REQUEST_ID, LIMIT, REMAINING, RESET];

/// The same routes, open to pages of these origins.
pub(crate) fn open_to(origins: &[HeaderValue], router: Router) -> Router {
    if origins.is_empty() {
        return router;
    }
    router.layer(
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins.iter().cloned()))
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
            .allow_headers(TAKEN)
            .expose_headers(SHOWN)
            .max_age(REMEMBERED),
    )
}
