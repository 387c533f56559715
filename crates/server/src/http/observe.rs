//! Around every request: its id, its line in the log, its part in the figures.

use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use domain::Clock;
use engine::random::Entropy;
use http::{HeaderName, HeaderValue};
use tracing::Instrument as _;

use super::client::Client;
use crate::telemetry::metrics::Metrics;

/// Names a request, in both directions and in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a client.
const ID_BYTES_MAX: usize = 128;

/// What requests are observed with.
#[derive(Clone)]
pub(crate) struct Observing {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

/// The same routes, observed.
pub(crate) fn observed(router: Router, observing: Observing) -> Router {
    router.layer(from_fn_with_state(observing, observe))
}

async fn observe(State(observing): State<Observing>, request: Request, next: Next) -> Response {
    let begun = observing.clock.monotonic();
    let id = id_of(&request).unwrap_or_else(|| make_id(&*observing.entropy));
    let (method, route) = (request.method().clone(), request.extensions().get::<MatchedPath>().cloned());
    let route = route.as_ref().map(MatchedPath::as_str);
    let client = request.extensions().get::<Client>().map(|client| client.address);
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default());
    let mut response = next.run(request).instrument(span.clone()).await;
    let took = observing.clock.monotonic().saturating_sub(begun);
    let status = response.status();
    observing.metrics.answered(&method, route, status, took);
    span.in_scope(|| {
        let client = client.map(tracing::field::display);
        let (status, took_ms) = (status.as_u16(), took.as_secs_f64() * 1000.0);
        tracing::debug!(%method, route = route.unwrap_or("none"), status, took_ms, client, "request answered");
    });
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The client's own id, when it can stand in a log line as it is.
fn id_of(request: &Request) -> Option<HeaderValue> {
    let id = request.headers().get(REQUEST_ID)?;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=".contains(byte);
    let bytes = id.as_bytes();
    ((1..=ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(is_plain)).then(|| id.clone())
}

fn make_id(entropy: &dyn Entropy) -> HeaderValue {
    let id = format!("{:016x}", entropy.number());
    HeaderValue::try_from(id).expect("digits are a header value")
}
