//! HTTP steps, carried out: the first wall, the pooled connections, one timeout, and what every failure means.
//!
//! HTTP/1.1 only and one exchange per step: redirects come back as answers (the third wall) and nothing is sent twice,
//! save for one case. Another connection is taken when a pooled one turns out closed before it took the request up; the
//! request comes back whole then, so no receiver saw a byte of it.

use std::error::Error;
use std::iter::successors;

use ::http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, TRANSFER_ENCODING, UPGRADE, USER_AGENT};
use ::http::{HeaderValue, Method, Request};
use providers::step::{Failure, FailureKind, HttpReply, HttpStep, Reply, Step};
use tokio::time::timeout;

use super::body::{MarkedBody, Written};
use super::connector::Connector;
use super::destination::{Destination, Destinations, Origin};
use super::dialer::Dialer;
use super::guard::EgressRules;
use super::pool::{Link, Lost, Pool};
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

/// Where URLs may lead, and the connections that were opened within the rules.
struct Way<R: Resolve> {
    destinations: Destinations,
    connector: Connector<R>,
    pool: Pool,
}

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
        let destination = way.destinations.of(step.url.reveal())?;
        let (request, written) = request(step, &destination)?;
        match timeout(within, way.carry(&destination, request, &written)).await {
            Ok(result) => result,
            Err(_) if written.may_be() => Err(failed(FailureKind::NoAnswer, format!("no answer within {within:?}"))),
            Err(_) => Err(failed(FailureKind::Connect, format!("none within {within:?}"))),
        }
    }
}

impl<R: Resolve> Way<R> {
    fn new(rules: EgressRules, resolver: R, tls: Tls) -> Self {
        let connector = Connector::new(Dialer { rules: rules.clone(), resolver }, tls);
        Self { destinations: Destinations::new(rules), connector, pool: Pool::new() }
    }

    async fn carry(
        &self,
        destination: &Destination,
        mut request: Request<MarkedBody>,
        written: &Written,
    ) -> Result<HttpReply, Failure> {
        let origin = &destination.origin;
        loop {
            let idle = self.pool.take(origin);
            let is_used = idle.is_some();
            let mut link = match idle {
                Some(link) => link,
                // Boxed, so that what opening a connection needs is no part of every request's task.
                None => Box::pin(self.connect(origin, written)).await?,
            };
            match link.exchange(request).await {
                Ok(reply) => {
                    self.pool.put(origin, link);
                    return Ok(reply);
                }
                // The one case in the head of this file.
                Err(Lost::Unsent(unsent, _)) if is_used => request = *unsent,
                Err(lost) => return Err(lost_failure(&lost, written)),
            }
        }
    }

    async fn connect(&self, origin: &Origin, written: &Written) -> Result<Box<Link>, Failure> {
        let stream = self.connector.open(origin).await?;
        Link::over(stream).await.map_err(|error| lost_failure(&Lost::Head(error), written))
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

fn request(step: HttpStep, destination: &Destination) -> Result<(Request<MarkedBody>, Written), Failure> {
    if step.method == Method::CONNECT {
        return Err(failed(FailureKind::Forbidden, "CONNECT would open a tunnel; use another method"));
    }
    let (body, written) = MarkedBody::new(step.body);
    let mut request = Request::new(body);
    *request.method_mut() = step.method;
    *request.uri_mut() = destination.target.clone();
    *request.headers_mut() = step.headers;
    for name in OWN_HEADERS {
        request.headers_mut().remove(name);
    }
    request.headers_mut().insert(HOST, destination.host.clone());
    request.headers_mut().entry(USER_AGENT).or_insert(AGENT);
    Ok((request, written))
}

/// What it means that an exchange has no answer.
fn lost_failure(lost: &Lost, written: &Written) -> Failure {
    let error = match lost {
        Lost::Unsent(_, error) | Lost::Head(error) => error,
        // A body cut short is no answer: it might read as another one.
        Lost::Body(error) => {
            let detail = format!("the connection broke within the answer: {}", root_cause(error));
            return failed(FailureKind::NoAnswer, detail);
        }
        Lost::Unexplained => return failed(FailureKind::NoAnswer, "the connection ended before an answer came"),
    };
    let root = root_cause(error);
    if !written.may_be() {
        return failed(FailureKind::NotWritten, format!("the connection broke before the request was written: {root}"));
    }
    if error.is_parse() {
        return failed(FailureKind::Garbled, format!("the answer is not HTTP: {error}"));
    }
    failed(FailureKind::NoAnswer, format!("the connection broke before an answer came: {root}"))
}

fn root_cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    causes(error).last().unwrap_or(error)
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(Some(error), |cause| (*cause).source())
}
