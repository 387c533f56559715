//! The load: workers with one keep-alive connection each, which post events as the schedule says.
//!
//! The same load goes to the server and, for the floor, straight to the receiver; only the head of the request and
//! the expected status differ.

use super::body::Bodies;
use super::connection::{Answer, Connection};
use super::pace::{Pace, Schedule};
use super::stats::Latencies;
use super::stopwatch::Stopwatch;
use anyhow::bail;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// How long a worker waits after the server said that it is too busy.
const BUSY_WAIT: Duration = Duration::from_millis(20);

/// What is sent, where to, and how fast.
#[derive(Clone, Debug)]
pub(super) struct Load {
    pub(super) address: SocketAddr,
    pub(super) target: Target,
    pub(super) bodies: Bodies,
    pub(super) workers: usize,
    pub(super) pace: Pace,
}

/// Who takes the requests.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// The server's API, with one of these keys after the other.
    Server { keys: Vec<String> },
    /// The receiver itself, with ids as the server would make them.
    Receiver,
}

/// What became of a load.
#[derive(Debug)]
pub(super) struct Loaded {
    /// Events that the other side accepted.
    pub(super) accepted: u64,
    /// Requests that it refused because it was too busy; their events are not repeated.
    pub(super) refused: u64,
    /// From the intended sending of a request to its answer.
    pub(super) latencies: Latencies,
    /// How late the load itself was to send.
    pub(super) lateness: Latencies,
    pub(super) start_ns: u64,
    pub(super) time: Duration,
}

/// Runs the load to its end. `sent` counts accepted events while it runs.
pub(super) async fn run(load: Load, watch: Stopwatch, sent: Arc<AtomicU64>) -> anyhow::Result<Loaded> {
    let mut connections = Vec::with_capacity(load.workers);
    for _ in 0..load.workers {
        connections.push(Connection::open(load.address).await?);
    }
    let head = Arc::new(Head::new(&load)?);
    let start_ns = watch.ns();
    let schedule = Arc::new(Schedule::start(load.pace, watch)?);
    let mut workers = JoinSet::new();
    for connection in connections {
        let worker = Worker {
            connection,
            watch,
            head: head.clone(),
            bodies: load.bodies.clone(),
            schedule: schedule.clone(),
            sent: sent.clone(),
            refused: 0,
            latencies: Latencies::new(),
            lateness: Latencies::new(),
        };
        workers.spawn(worker.run());
    }
    let mut loaded = Loaded {
        accepted: 0,
        refused: 0,
        latencies: Latencies::new(),
        lateness: Latencies::new(),
        start_ns,
        time: Duration::ZERO,
    };
    while let Some(worker) = workers.join_next().await {
        let worker = worker??;
        loaded.refused += worker.refused;
        loaded.latencies.add(&worker.latencies);
        loaded.lateness.add(&worker.lateness);
    }
    loaded.accepted = sent.load(Ordering::Relaxed);
    loaded.time = watch.since(start_ns);
    Ok(loaded)
}

/// What is the same in every request of a load.
struct Head {
    uri: Uri,
    host: HeaderValue,
    target: HeadTarget,
    expected: StatusCode,
}

enum HeadTarget {
    Server { authorizations: Vec<HeaderValue> },
    Receiver,
}

impl Head {
    fn new(load: &Load) -> anyhow::Result<Self> {
        let host = HeaderValue::try_from(load.address.to_string())?;
        Ok(match &load.target {
            Target::Server { keys } => {
                let authorization = |key| HeaderValue::try_from(format!("Bearer {key}"));
                let target =
                    HeadTarget::Server { authorizations: keys.iter().map(authorization).collect::<Result<_, _>>()? };
                Self { uri: Uri::from_static("/v1/events"), host, target, expected: StatusCode::ACCEPTED }
            }
            Target::Receiver => {
                Self { uri: Uri::from_static("/now"), host, target: HeadTarget::Receiver, expected: StatusCode::OK }
            }
        })
    }

    fn request(&self, number: u64, body: Bytes) -> anyhow::Result<Request<Full<Bytes>>> {
        const ID: HeaderName = HeaderName::from_static("webhook-id");
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match &self.target {
            HeadTarget::Server { authorizations } => {
                let turn = usize::try_from(number).unwrap_or(0) % authorizations.len();
                headers.insert(AUTHORIZATION, authorizations[turn].clone())
            }
            HeadTarget::Receiver => headers.insert(ID, HeaderValue::try_from(format!("dlv_floor_{number}"))?),
        };
        Ok(request)
    }
}

struct Worker {
    connection: Connection,
    watch: Stopwatch,
    head: Arc<Head>,
    bodies: Bodies,
    schedule: Arc<Schedule>,
    sent: Arc<AtomicU64>,
    refused: u64,
    latencies: Latencies,
    lateness: Latencies,
}

impl Worker {
    async fn run(mut self) -> anyhow::Result<Self> {
        while let Some(slot) = self.schedule.next().await {
            self.lateness.record(self.watch.since(slot.intended_ns));
            let body = self.bodies.write(slot.number, slot.intended_ns);
            let answer = self.connection.send(self.head.request(slot.number, body)?).await?;
            if self.judge(&answer)? {
                self.latencies.record(self.watch.since(slot.intended_ns));
                self.sent.fetch_add(self.bodies.batch() as u64, Ordering::Relaxed);
            } else {
                self.refused += 1;
                tokio::time::sleep(BUSY_WAIT).await;
            }
        }
        Ok(self)
    }

    /// Whether the events were accepted; fails on any answer that a working server would not give here.
    fn judge(&self, answer: &Answer) -> anyhow::Result<bool> {
        match answer.status {
            status if status == self.head.expected => Ok(true),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Ok(false),
            status => bail!("an event was answered with {status}: {}", String::from_utf8_lossy(&answer.body)),
        }
    }
}
