//! Around every request: its id, its place in a trace, its line in the log, its part in the figures.
//!
//! A request has its [`RequestId`] as an extension, and one that stands in a trace its [`TraceContext`].

use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use domain::{Clock, TraceContext};
use engine::random::Entropy;
use http::{HeaderName, HeaderValue};
use tracing::Instrument as _;

use super::client::Client;
use crate::telemetry::Telemetry;
use crate::telemetry::traces::Answered;

/// Names a request, in both directions and in the log.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Names the producer's trace: W3C Trace Context.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The longest id that is taken from a client.
const ID_BYTES_MAX: usize = 128;

/// The id of a request, as one of its extensions: for answers that name it in their body.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) HeaderValue);

/// What requests are observed with.
#[derive(Clone)]
pub(crate) struct Observing {
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
}

/// The same routes, observed.
pub(crate) fn observed(router: Router, observing: Observing) -> Router {
    router.layer(from_fn_with_state(observing, observe))
}

async fn observe(State(observing): State<Observing>, mut request: Request, next: Next) -> Response {
    let (begun_at, begun) = (observing.clock.now(), observing.clock.monotonic());
    let parent = parent_of(&request);
    let telemetry = &*observing.telemetry;
    // What changes something is worth a trace; what only asks is in the figures.
    let traces = telemetry.traces.as_ref().filter(|_| !request.method().is_safe());
    let place = traces.map(|traces| traces.place(parent)).or(parent);
    if let Some(place) = place {
        request.extensions_mut().insert(place);
    }
    let id = id_of(&request).unwrap_or_else(|| make_id(&*observing.entropy));
    request.extensions_mut().insert(RequestId(id.clone()));
    let (method, route) = (request.method().clone(), request.extensions().get::<MatchedPath>().cloned());
    let route = route.as_ref().map(MatchedPath::as_str);
    let client = request.extensions().get::<Client>().map(|client| client.address);
    // As grave as what it must stand beside: the id is wanted most in the lines about what went wrong.
    let span = tracing::warn_span!("request", id = id.to_str().unwrap_or_default());
    let mut response = next.run(request).instrument(span.clone()).await;
    let took = observing.clock.monotonic().saturating_sub(begun);
    let status = response.status();
    telemetry.metrics.answered(&method, route, status, took);
    if let (Some(traces), Some(place), Some(route)) = (traces, place, route) {
        traces.answered(&Answered { place, parent, method: &method, route, status, begun_at, took });
    }
    span.in_scope(|| {
        let client = client.map(tracing::field::display);
        let (status, took_ms) = (status.as_u16(), took.as_secs_f64() * 1000.0);
        tracing::debug!(%method, route = route.unwrap_or("none"), status, took_ms, client, "request answered");
    });
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The producer's place in its trace, when it names one. Of several, none is to be trusted.
fn parent_of(request: &Request) -> Option<TraceContext> {
    let mut given = request.headers().get_all(TRACEPARENT).into_iter();
    let (first, other) = (given.next()?, given.next());
    first.to_str().ok().filter(|_| other.is_none()).and_then(TraceContext::parse)
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
