//! HTTP steps, carried out: the first wall, the pooled client, one timeout, and what every failure means.
//!
//! HTTP/1.1 only and one exchange per step: redirects come back as answers (the third wall) and nothing is sent twice,
//! save for one case. The client takes another connection when a pooled one turns out closed before it took the request
//! up; it has the request back in whole then, so no receiver saw a byte of it.

use std::error::Error;
use std::iter::successors;
use std::time::Duration;

use ::http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TRANSFER_ENCODING, UPGRADE, USER_AGENT};
use ::http::{HeaderValue, Method, Request, Uri};
use bytes::Bytes;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use providers::step::{Failure, FailureKind, HttpReply, HttpStep, Reply, Step};
use tokio::time::timeout;
use url::Url;

use super::body::{MarkedBody, Written, read_bounded};
use super::connector::{Connector, Unreachable};
use super::dialer::Dialer;
use super::guard::EgressRules;
use super::resolve::{Resolve, SystemResolver};
use super::tls::{RootsError, Tls, TlsRoots};
use super::{Transport, failed, not_carried};

/// Carries HTTP steps out within the egress rules. Share it: the connections are pooled per instance.
///
/// What goes to a URL of the operator's own goes its own way, with connections of its own: one that was opened without
/// rules is never used for a URL that has to keep them.
pub struct GuardedHttp<R: Resolve = SystemResolver> {
    guarded: Way<R>,
    operators: Way<R>,
}

/// Rules, and the connections that were opened within them.
struct Way<R: Resolve> {
    rules: EgressRules,
    client: Client<Connector<R>, MarkedBody>,
}

/// Many channels may share a host, and a connection that is closed after use costs more than the request: as many as
/// may be in flight over all channels by default.
const IDLE_PER_HOST_MAX: usize = 512;

/// Below the keep-alive of the usual servers (nginx 75 s, many load balancers 60 s), so that we close first and seldom
/// write into a connection that is just being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// For the head of an answer, and for its body at a time. Servers send a few KiB.
const READ_BUFFER_BYTES_MAX: usize = 64 * 1024;

const AGENT: HeaderValue = HeaderValue::from_static(concat!("Postrider/", env!("CARGO_PKG_VERSION")));

/// What frames a message or names its receiver is the transport's to say; a step that says it could smuggle a second
/// request past the first.
const OWN_HEADERS: [HeaderName; 5] = [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE];

impl GuardedHttp {
    /// With the system's resolver. Reads the system's root certificates, so it is for start-up.
    pub fn new(rules: EgressRules, roots: TlsRoots) -> Result<Self, RootsError> {
        Self::with_resolver(rules, roots, SystemResolver)
    }
}

impl<R: Resolve> GuardedHttp<R> {
    /// The same with another source of addresses.
    pub fn with_resolver(rules: EgressRules, roots: TlsRoots, resolver: R) -> Result<Self, RootsError>
    where
        R: Clone,
    {
        let tls = Tls::new(roots)?;
        let guarded = Way::new(rules, resolver.clone(), tls.clone());
        let operators = Way::new(EgressRules::everything(), resolver, tls);
        Ok(Self { guarded, operators })
    }

    async fn exchange(&self, step: HttpStep) -> Result<HttpReply, Failure> {
        let within = step.timeout;
        let way = if step.trust.is_operators() { &self.operators } else { &self.guarded };
        let uri = way.checked_uri(step.url.reveal())?;
        let (request, written) = request(step, uri)?;
        match timeout(within, way.carry(request, &written)).await {
            Ok(result) => result,
            Err(_) if written.may_be() => Err(failed(FailureKind::NoAnswer, format!("no answer within {within:?}"))),
            Err(_) => Err(failed(FailureKind::Connect, format!("none within {within:?}"))),
        }
    }
}

impl<R: Resolve> Way<R> {
    fn new(rules: EgressRules, resolver: R, tls: Tls) -> Self {
        let dialer = Dialer { rules: rules.clone(), resolver };
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .http1_max_buf_size(READ_BUFFER_BYTES_MAX)
            .retry_canceled_requests(true) // the one case in the head of this file
            .build(Connector::new(dialer, tls));
        Self { rules, client }
    }

    async fn carry(&self, request: Request<MarkedBody>, written: &Written) -> Result<HttpReply, Failure> {
        let answer = self.client.request(request).await.map_err(|error| request_failure(&error, written))?;
        let (head, body) = answer.into_parts();
        let body = read_bounded(body).await.map_err(|error| answer_failure(&error))?;
        Ok(HttpReply { status: head.status, headers: head.headers, body })
    }

    /// The first wall. Only the URL parser knows all the ways to write an address (`2130706433`, `0x7f.1`), so what it made
    /// of the text is what is checked, and then what is sent.
    fn checked_uri(&self, text: &str) -> Result<Uri, Failure> {
        let url = Url::parse(text).map_err(|error| failed(FailureKind::Forbidden, format!("not a URL: {error}")))?;
        self.rules.check_url(&url).map_err(|refusal| failed(FailureKind::Forbidden, refusal.to_string()))?;
        Uri::from_maybe_shared(Bytes::from(String::from(url)))
            .map_err(|error| failed(FailureKind::Forbidden, format!("not a URL that HTTP can carry: {error}")))
    }
}

impl<R: Resolve> Transport for GuardedHttp<R> {
    async fn send(&self, step: Step) -> Reply {
        let Step::Http(step) = step else { return not_carried("HTTP") };
        match self.exchange(step).await {
            Ok(reply) => Reply::Http(reply),
            Err(failure) => Reply::Failed(failure),
        }
    }
}

fn request(step: HttpStep, uri: Uri) -> Result<(Request<MarkedBody>, Written), Failure> {
    if step.method == Method::CONNECT {
        return Err(failed(FailureKind::Forbidden, "CONNECT would open a tunnel; use another method"));
    }
    let (body, written) = MarkedBody::new(step.body);
    let mut request = Request::new(body);
    *request.method_mut() = step.method;
    *request.uri_mut() = uri;
    *request.headers_mut() = step.headers;
    for name in OWN_HEADERS {
        request.headers_mut().remove(name);
    }
    request.headers_mut().entry(USER_AGENT).or_insert(AGENT);
    Ok((request, written))
}

/// Why there is no head of an answer.
fn request_failure(error: &legacy::Error, written: &Written) -> Failure {
    if let Some(Unreachable(failure)) = causes(error).find_map(|cause| cause.downcast_ref()) {
        return failure.clone();
    }
    let root = root_cause(error);
    if !written.may_be() {
        let kind = if error.is_connect() { FailureKind::Connect } else { FailureKind::NotWritten };
        return failed(kind, format!("the connection broke before the request was written: {root}"));
    }
    match causes(error).find_map(|cause| cause.downcast_ref::<hyper::Error>()) {
        Some(error) if error.is_parse() => failed(FailureKind::Garbled, format!("the answer is not HTTP: {error}")),
        _ => failed(FailureKind::NoAnswer, format!("the connection broke before an answer came: {root}")),
    }
}

/// Why the head of an answer came, but not its body. A body cut short is no answer: it might read as another one.
fn answer_failure(error: &hyper::Error) -> Failure {
    failed(FailureKind::NoAnswer, format!("the connection broke within the answer: {}", root_cause(error)))
}

fn root_cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    causes(error).last().unwrap_or(error)
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |cause| (*cause).source())
}
