//! The bench's receiver: bare hyper that counts what arrives and how long it took, and does nothing else.
//!
//! It shares the cores with the server that is measured, so each delivery costs it one search for the stamp, one bit
//! and one lock that nobody else holds. The path of the URL says how it is to answer: see [`Manner`].

use super::body;
use super::seen::{self, Seen};
use super::stats::Latencies;
use super::stopwatch::Stopwatch;
use anyhow::Context;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Counters are kept this many times, so that two connections seldom meet at one.
const SHARDS: usize = 16;
/// Connections open at once: more than the server's global cap of sends in flight.
const CONNECTIONS_MAX: usize = 2_048;
/// How long the slow channel takes to answer.
const SLOW: Duration = Duration::from_secs(10);
/// How often a wait for deliveries looks at the counters.
const LOOK: Duration = Duration::from_millis(5);

/// How a request is answered, by the first letter of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// `/now`: at once.
    Now,
    /// `/aside`: at once, and counted apart.
    Aside,
    /// `/slow`: after 10 s, and counted apart.
    Slow,
    /// `/void`: not at all, and counted apart.
    Never,
    /// `/hold`: when the receiver is told to release what it holds.
    Hold,
}

impl Manner {
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Now => "/now",
            Self::Aside => "/aside",
            Self::Slow => "/slow",
            Self::Never => "/void",
            Self::Hold => "/hold",
        }
    }

    fn of(path: &str) -> Self {
        match path.as_bytes().get(1) {
            Some(b'a') => Self::Aside,
            Some(b's') => Self::Slow,
            Some(b'v') => Self::Never,
            Some(b'h') => Self::Hold,
            _ => Self::Now,
        }
    }
}

/// A receiver that runs until it is dropped.
pub(super) struct Receiver {
    address: SocketAddr,
    tally: Arc<Tally>,
    _serving: JoinSet<()>,
}

impl Receiver {
    pub(super) async fn start(watch: Stopwatch) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("cannot listen on loopback")?;
        let address = listener.local_addr()?;
        let tally = Arc::new(Tally::new(watch));
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, tally.clone()));
        Ok(Self { address, tally, _serving: serving })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn url(&self, manner: Manner) -> String {
        format!("http://{}{}", self.address, manner.path())
    }

    /// What arrived since the start, or since [`Receiver::forget`].
    pub(super) fn total(&self) -> Total {
        self.tally.total()
    }

    /// Begins counting anew. Which deliveries were seen stays known, so a late repeat still counts as one.
    pub(super) fn forget(&self) {
        self.tally.shards.iter().for_each(|shard| *lock(shard) = Total::new());
    }

    /// Answers everything that is held, and from now on at once.
    pub(super) fn release(&self) {
        self.tally.released.send_replace(true);
    }

    /// How many different deliveries have arrived, without those counted apart.
    pub(super) fn arrived(&self) -> u64 {
        self.tally.arrived()
    }

    /// Waits until `deliveries` have arrived, or nothing new came for `quiet`.
    pub(super) async fn wait(&self, deliveries: u64, quiet: Duration) {
        let (mut last, mut last_ns) = (0, self.tally.watch.ns());
        loop {
            let arrived = self.tally.arrived();
            if arrived >= deliveries || (arrived == last && self.tally.watch.since(last_ns) >= quiet) {
                return;
            }
            if arrived != last {
                (last, last_ns) = (arrived, self.tally.watch.ns());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// What arrived.
#[derive(Debug)]
pub(super) struct Total {
    /// Different deliveries, without those counted apart.
    pub(super) deliveries: u64,
    /// Deliveries counted apart: of the slow channel, and of its fast stand-in.
    pub(super) apart: u64,
    /// Deliveries that had arrived before.
    pub(super) duplicates: u64,
    /// From the stamp in the event to its arrival.
    pub(super) latencies: Latencies,
    /// When the last of `deliveries` arrived.
    pub(super) last_ns: u64,
}

struct Tally {
    watch: Stopwatch,
    shards: Box<[Mutex<Total>]>,
    seen: Seen,
    released: watch::Sender<bool>,
}

impl Total {
    fn new() -> Self {
        Self { deliveries: 0, apart: 0, duplicates: 0, latencies: Latencies::new(), last_ns: 0 }
    }
}

impl Tally {
    fn new(watch: Stopwatch) -> Self {
        Self {
            watch,
            shards: (0..SHARDS).map(|_| Mutex::new(Total::new())).collect(),
            seen: Seen::new(),
            released: watch::Sender::new(false),
        }
    }

    fn arrived(&self) -> u64 {
        self.shards.iter().map(|shard| lock(shard).deliveries).sum()
    }

    fn total(&self) -> Total {
        let mut total = Total::new();
        for shard in &self.shards {
            let shard = lock(shard);
            total.deliveries += shard.deliveries;
            total.apart += shard.apart;
            total.duplicates += shard.duplicates;
            total.latencies.add(&shard.latencies);
            total.last_ns = total.last_ns.max(shard.last_ns);
        }
        total
    }

    /// Counts one notification. One without an id of the expected form can not be told from its repeats: it counts as
    /// a delivery.
    fn count(&self, shard: usize, manner: Manner, wire_id: Option<&[u8]>, body: &[u8]) {
        let now_ns = self.watch.ns();
        let new = wire_id.and_then(seen::number).is_none_or(|number| self.seen.first_time(number));
        let mut shard = lock(&self.shards[shard % SHARDS]);
        if !new {
            shard.duplicates += 1;
        } else if matches!(manner, Manner::Slow | Manner::Never | Manner::Aside) {
            shard.apart += 1;
        } else {
            shard.deliveries += 1;
            shard.last_ns = now_ns;
            if let Some(ns) = body::stamped_ns(body) {
                shard.latencies.record_ns(now_ns.saturating_sub(ns));
            }
        }
    }
}

fn lock(shard: &Mutex<Total>) -> MutexGuard<'_, Total> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, tally: Arc<Tally>) {
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(converse(stream, tally.clone(), number));
                    number += 1;
                }
            }
        }
    }
}

async fn converse(stream: TcpStream, tally: Arc<Tally>, shard: usize) {
    // Without it answers may wait for an acknowledgement; where it cannot be set the figures show it.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| answer(request, &tally, shard));
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // The server closes connections as it likes; a delivery that got lost with one is counted as lost.
    let _ = connection.await;
}

async fn answer(request: Request<Incoming>, tally: &Tally, shard: usize) -> hyper::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = read(body).await?;
    let manner = Manner::of(head.uri.path());
    match manner {
        Manner::Now | Manner::Aside => {}
        Manner::Slow => tokio::time::sleep(SLOW).await,
        Manner::Never => std::future::pending().await,
        // The sender of the signal lives as long as the tally.
        Manner::Hold => drop(tally.released.subscribe().wait_for(|released| *released).await),
    }
    let wire_id = head.headers.get("webhook-id").map(HeaderValue::as_bytes);
    tally.count(shard, manner, wire_id, &body);
    Ok(Response::new(Full::new(Bytes::from_static(b"ok"))))
}

/// Reads a body without copying it when it comes in one piece, as small ones do.
async fn read(mut body: Incoming) -> hyper::Result<Bytes> {
    let mut whole = Bytes::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if whole.is_empty() {
            whole = data;
        } else {
            let mut longer = BytesMut::from(whole);
            longer.extend_from_slice(&data);
            whole = longer.freeze();
        }
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::connection::Connection;

    async fn post(receiver: &Receiver, manner: Manner, wire_id: &str, body: &str) {
        let mut connection = Connection::open(receiver.address()).await.unwrap();
        let request = Request::post(manner.path()).header("host", "x").header("webhook-id", wire_id);
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        assert_eq!(connection.send(request).await.unwrap().status, 200);
    }

    #[tokio::test]
    async fn deliveries_repeats_and_latencies_are_told_apart() {
        let watch = Stopwatch::start();
        let receiver = Receiver::start(watch).await.unwrap();
        let body = r#"{"data":{"stamp":1000000000000001}}"#;
        post(&receiver, Manner::Now, "dlv_a_1", body).await;
        post(&receiver, Manner::Now, "dlv_a_1", body).await;
        post(&receiver, Manner::Now, "dlv_a_2", "{}").await;
        post(&receiver, Manner::Aside, "dlv_a_3", body).await;
        let total = receiver.total();
        assert_eq!((total.deliveries, total.duplicates, total.apart), (2, 1, 1));
        assert_eq!(total.latencies.count(), 1);
        assert!(total.last_ns <= watch.ns());

        receiver.forget();
        post(&receiver, Manner::Now, "dlv_a_4", body).await;
        post(&receiver, Manner::Now, "dlv_a_1", body).await;
        let total = receiver.total();
        assert_eq!((total.deliveries, total.duplicates, total.latencies.count()), (1, 1, 1));
    }

    #[tokio::test]
    async fn what_is_held_arrives_when_it_is_released() {
        let receiver = Receiver::start(Stopwatch::start()).await.unwrap();
        let held = post(&receiver, Manner::Hold, "dlv_a_1", "{}");
        let look = async {
            receiver.wait(1, Duration::from_millis(20)).await;
            assert_eq!(receiver.total().deliveries, 0);
            receiver.release();
        };
        tokio::join!(held, look);
        assert_eq!(receiver.total().deliveries, 1);
    }
}
