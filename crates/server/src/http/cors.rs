//! Which web pages may call the API from a browser: the operator's list, and none without it.
//!
//! No credentials of the browser are let through: a page sends a key, as every client does.

use std::time::Duration;

use axum::Router;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may remember what it was allowed.
const REMEMBERED: Duration = Duration::from_secs(600);

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TENANT: HeaderName = HeaderName::from_static(crate::auth::TENANT_HEADER);

/// The same routes, open to pages of these origins.
pub(crate) fn open_to(origins: &[HeaderValue], router: Router) -> Router {
    if origins.is_empty() {
        return router;
    }
    router.layer(
        CorsLayer::new()
            .allow_origin(AllowOrigin::list(origins.iter().cloned()))
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
            .allow_headers([AUTHORIZATION, CONTENT_TYPE, IDEMPOTENCY_KEY, TENANT])
            .expose_headers([RETRY_AFTER])
            .max_age(REMEMBERED),
    )
}
