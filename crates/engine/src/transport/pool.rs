//! Open connections, kept while nobody uses them.
//!
//! A connection has no task of its own: whoever waits for an answer drives it meanwhile. Handing each request to another
//! task and the answer back took two switches between tasks, and a delivery is one exchange
//! ([why](../../../../docs/decisions/0029-an-exchange-drives-its-own-connection.md)).

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ::http::Request;
use hyper::client::conn::http1::{self, SendRequest};
use providers::step::HttpReply;
use tokio::task::JoinSet;

use super::body::{MarkedBody, read_bounded};
use super::connector::Stream;
use super::destination::Origin;

/// Many channels may share a host, and a connection that is closed after use costs more than the request: as many as
/// may be in flight over all channels by default.
const IDLE_PER_HOST_MAX: usize = 512;

/// A connection goes that was not used for one to two rounds. Below the keep-alive of the usual servers (nginx 75 s, many
/// load balancers 60 s), so that we close first and seldom write into a connection that is just being closed.
const ROUND: Duration = Duration::from_secs(15);

/// For the head of an answer, and for its body at a time. Servers send a few KiB.
const READ_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// An open connection, and the end that takes requests for it.
pub(super) struct Link {
    requests: SendRequest<MarkedBody>,
    driver: http1::Connection<Stream, MarkedBody>,
}

/// Why an exchange has no answer.
pub(super) enum Lost {
    /// The connection was closed before it took the request up, which comes back: no receiver saw a byte of it.
    Unsent(Box<Request<MarkedBody>>, hyper::Error),
    /// No head of an answer came.
    Head(hyper::Error),
    /// The head came and its body did not, or not whole.
    Body(hyper::Error),
    /// The connection ended and does not say why.
    Unexplained,
}

impl Link {
    /// Boxed, because it is large and handed on for each exchange.
    pub(super) async fn over(stream: Stream) -> Result<Box<Self>, hyper::Error> {
        let builder = http1::Builder::new().max_buf_size(READ_BUFFER_BYTES_MAX).handshake(stream);
        let (requests, driver) = builder.await?;
        Ok(Box::new(Self { requests, driver }))
    }

    /// Sends a request and reads its answer, as far as [`read_bounded`] goes. After an error, and for an answer that was
    /// not read to its end, the link is of no use any more.
    pub(super) async fn exchange(&mut self, request: Request<MarkedBody>) -> Result<HttpReply, Lost> {
        let Self { requests, driver } = self;
        let mut work = pin!(async move {
            let sent = requests.try_send_request(request).await;
            let answer = sent.map_err(|mut error| match error.take_message() {
                Some(request) => Lost::Unsent(Box::new(request), error.into_error()),
                None => Lost::Head(error.into_error()),
            })?;
            let (head, body) = answer.into_parts();
            let body = read_bounded(body).await.map_err(Lost::Body)?;
            Ok(HttpReply { status: head.status, headers: head.headers, body })
        });
        let mut is_closed = false;
        poll_fn(|context| {
            if let Poll::Ready(result) = work.as_mut().poll(context) {
                return Poll::Ready(result);
            }
            // How it closed is told to the request that it carried.
            is_closed = is_closed || Pin::new(&mut *driver).poll(context).is_ready();
            match work.as_mut().poll(context) {
                Poll::Pending if is_closed => Poll::Ready(Err(Lost::Unexplained)),
                result => result,
            }
        })
        .await
    }

    /// Whether it takes another request: the last answer was read to its end, and neither side has closed it. Wakes
    /// nobody when that changes.
    fn is_open(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        Pin::new(&mut self.driver).poll(&mut context).is_pending() && self.requests.is_ready()
    }
}

/// Connections that nobody uses. Dropping it closes them.
pub(super) struct Pool {
    idle: Arc<Mutex<Idle>>,
    /// Closes what is idle for long, while anything is.
    sweeper: Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct Idle {
    links: BTreeMap<Origin, Vec<IdleLink>>,
    round: u64,
    is_swept: bool,
}

struct IdleLink {
    link: Box<Link>,
    since_round: u64,
}

impl Pool {
    pub(super) fn new() -> Self {
        Self { idle: Arc::default(), sweeper: Mutex::default() }
    }

    /// An open connection: of several the one that was used last.
    pub(super) fn take(&self, origin: &Origin) -> Option<Box<Link>> {
        loop {
            let mut link = lock(&self.idle).links.get_mut(origin)?.pop()?.link;
            if link.is_open() {
                return Some(link);
            }
        }
    }

    /// Keeps a connection for the next who wants one, if it is of any use.
    pub(super) fn put(&self, origin: &Origin, mut link: Box<Link>) {
        if !link.is_open() {
            return;
        }
        let mut idle = lock(&self.idle);
        let link = IdleLink { link, since_round: idle.round };
        match idle.links.get_mut(origin) {
            Some(links) if links.len() >= IDLE_PER_HOST_MAX => {}
            Some(links) => links.push(link),
            None => drop(idle.links.insert(origin.clone(), vec![link])),
        }
        if !idle.is_swept {
            idle.is_swept = true;
            drop(idle);
            self.start_sweeping();
        }
    }

    fn start_sweeping(&self) {
        let mut sweeper = lock(&self.sweeper);
        // The last one has ended, or is about to.
        while sweeper.try_join_next().is_some() {}
        sweeper.spawn(sweep(Arc::downgrade(&self.idle)));
    }
}

async fn sweep(idle: Weak<Mutex<Idle>>) {
    loop {
        tokio::time::sleep(ROUND).await;
        let Some(idle) = idle.upgrade() else { return };
        let (closed, has_more) = lock(&idle).end_round();
        // Not under the lock: closing takes a system call each.
        drop(closed);
        if !has_more {
            return;
        }
    }
}

impl Idle {
    /// Takes out what was idle for a whole round or is closed already, and says whether anything is left.
    fn end_round(&mut self) -> (Vec<IdleLink>, bool) {
        self.round += 1;
        let round = self.round;
        let mut closed = Vec::new();
        for links in self.links.values_mut() {
            closed.extend(links.extract_if(.., |idle| idle.since_round + 1 < round || !idle.link.is_open()));
        }
        self.links.retain(|_, links| !links.is_empty());
        self.is_swept = !self.links.is_empty();
        (closed, self.is_swept)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
