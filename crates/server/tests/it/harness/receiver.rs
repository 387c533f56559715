//! A receiver that follows a script for each path, writes everything down and tells as soon as it has.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::soon;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The `webhook-id`.
    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id").expect("a webhook-id")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// Holds answers back until it is opened.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(crate) fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets everything through, now and later.
    pub(crate) fn open(&self) {
        self.0.close();
    }

    /// Lets so many through.
    pub(crate) fn let_through(&self, count: usize) {
        self.0.add_permits(count);
    }

    async fn pass(&self) {
        // An error means that it is open.
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
    }
}

/// How to answer one request.
#[derive(Clone)]
pub(crate) struct Reply {
    status: StatusCode,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    gate: Option<Gate>,
    closes: bool,
    echoes: bool,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        let status = StatusCode::from_u16(status).expect("a status");
        Self { status, headers: Vec::new(), body: Bytes::new(), gate: None, closes: false, echoes: false }
    }

    /// Closes the connection without an answer.
    pub(crate) fn close() -> Self {
        Self { closes: true, ..Self::status(200) }
    }

    /// Answers with everything that it got, target, headers and body, after `before`: as it came, as a text in JSON and
    /// percent-encoded, and as a header.
    pub(crate) fn echo(status: u16, before: &str) -> Self {
        Self { echoes: true, ..Self::status(status).body(before.to_owned()) }
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn behind(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    fn response(self, received: &Received) -> Response<Full<Bytes>> {
        let mut body = self.body;
        if self.echoes {
            let headers: Vec<_> =
                received.headers.iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap())).collect();
            let heard = format!("{}\n{}\n", received.target, headers.concat());
            let as_json = serde_json::to_string(&heard).expect("a text");
            let encoded: String = url::form_urlencoded::byte_serialize(heard.as_bytes()).collect();
            body = [&body, heard.as_bytes(), &received.body, as_json.as_bytes(), encoded.as_bytes()].concat().into();
        }
        let mut response = Response::builder().status(self.status);
        if self.echoes {
            let values = received.headers.iter().map(|(name, value)| (format!("x-echo-{name}"), value.clone()));
            response = values.fold(response, |response, (name, value)| response.header(name, value));
        }
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(Full::new(body)).expect("a response")
    }
}

#[derive(Default)]
struct Path {
    /// Used up in order.
    script: VecDeque<Reply>,
    /// What follows; 200 unless a test says otherwise.
    then: Option<Reply>,
    received: Vec<Received>,
    in_progress: usize,
    in_progress_max: usize,
}

#[derive(Default)]
struct State {
    paths: BTreeMap<String, Path>,
    total: usize,
    connections: usize,
}

struct Shared {
    state: Mutex<State>,
    /// Raised with every request, connection and answer.
    changes: watch::Sender<u64>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changes.send_modify(|changes| *changes += 1);
        result
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, io::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let target = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
        let received = Received { target, headers: head.headers, body };
        let name = head.uri.path();
        let reply = self.change(|state| {
            state.total += 1;
            let path = state.paths.entry(name.to_owned()).or_default();
            path.received.push(received.clone());
            path.in_progress += 1;
            path.in_progress_max = path.in_progress_max.max(path.in_progress);
            path.script.pop_front().or_else(|| path.then.clone()).unwrap_or_else(|| Reply::status(200))
        });
        if let Some(gate) = &reply.gate {
            gate.pass().await;
        }
        self.change(|state| state.paths.entry(name.to_owned()).or_default().in_progress -= 1);
        if reply.closes { Err(io::Error::other("the script closes")) } else { Ok(reply.response(&received)) }
    }
}

/// A receiver on a free loopback port. Answers 200 to whatever has no script.
pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST).await
    }

    pub(crate) async fn start_at(address: Ipv4Addr) -> Self {
        let listener = TcpListener::bind((address, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared { state: Mutex::default(), changes: watch::channel(0).0 });
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, _serving: serving }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers the next requests to `path` so, in order, and those after them with 200.
    pub(crate) fn script(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        self.shared.change(|state| state.paths.entry(path.to_owned()).or_default().script.extend(replies));
    }

    /// Answers whatever no script speaks of so.
    pub(crate) fn always(&self, path: &str, reply: Reply) {
        self.shared.change(|state| state.paths.entry(path.to_owned()).or_default().then = Some(reply));
    }

    /// Everything that has arrived at `path`, in order.
    pub(crate) fn received(&self, path: &str) -> Vec<Received> {
        self.shared.lock().paths.get(path).map(|path| path.received.clone()).unwrap_or_default()
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        self.shared.lock().paths.get(path).map_or(0, |path| path.received.len())
    }

    /// Requests to all paths.
    pub(crate) fn total(&self) -> usize {
        self.shared.lock().total
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.lock().connections
    }

    /// The most requests to `path` that were in progress at a time.
    pub(crate) fn in_progress_max(&self, path: &str) -> usize {
        self.shared.lock().paths.get(path).map_or(0, |path| path.in_progress_max)
    }

    /// Waits until `count` requests have arrived at `path`, and gives them in order.
    pub(crate) async fn wait_for(&self, path: &str, count: usize) -> Vec<Received> {
        self.wait(&format!("{count} requests to {path}"), || self.count(path) >= count).await;
        self.received(path)
    }

    /// Waits for one request to `path` and gives the first.
    pub(crate) async fn wait_for_one(&self, path: &str) -> Received {
        self.wait_for(path, 1).await.remove(0)
    }

    /// Waits until `count` requests have arrived at whatever path.
    pub(crate) async fn wait_for_total(&self, count: usize) {
        self.wait(&format!("{count} requests"), || self.total() >= count).await;
    }

    async fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        let mut changes = self.shared.changes.subscribe();
        // The sender lives as long as this receiver.
        let _ = soon(what, changes.wait_for(|_| is_so())).await;
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        shared.change(|state| state.connections += 1);
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(|request| shared.answer(request));
            // A connection that breaks is the matter of whoever opened it.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}
