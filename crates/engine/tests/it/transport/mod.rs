//! The guarded way out against servers on loopback: nothing leaves the machine, ports are free ones, nobody sleeps.
//!
//! Here are the stand-ins that the files share. Every step carries the word [`SECRET`] in its URL, headers and body, and
//! [`failure`] checks that no failure repeats it.

mod exchange;
mod failures;
mod guard;
mod smtp;
mod tls;
mod trust;
mod walls;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::Secret;
use engine::transport::{EgressRules, GuardedHttp, Resolve, TlsRoots, Transport};
use http::{HeaderMap, HeaderValue, Method};
use providers::step::{Failure, HttpReply, HttpStep, Reply, Step, Trust};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const SECRET: &str = "s3cret";
const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A server that follows a script on every connection.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Server {
    async fn start<F, S>(script: F) -> Self
    where
        F: Fn(TcpStream) -> S + Send + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut scripts = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                scripts.spawn(script(stream));
            }
        });
        Self { address, connections, _serving: serving }
    }

    /// Reads one request, writes `answer` and closes.
    async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::start(move |mut stream| {
            let answer = Arc::clone(&answer);
            async move {
                read_request(&mut stream).await;
                // The client may have read enough and gone.
                let _ = stream.write_all(&answer).await;
            }
        })
        .await
    }

    /// Answers `ok` to request after request on the same connection.
    async fn keeping_alive() -> Self {
        Self::start(|mut stream| async move {
            while read_request(&mut stream).await.is_some() {
                stream.write_all(OK).await.unwrap();
            }
        })
        .await
    }

    fn port(&self) -> u16 {
        self.address.port()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn step(&self) -> HttpStep {
        step(&format!("http://{}/{SECRET}?token={SECRET}", self.address))
    }
}

/// A name server with these answers and no others.
#[derive(Clone, Default)]
struct Names(BTreeMap<&'static str, Vec<IpAddr>>);

impl Names {
    fn with(mut self, name: &'static str, addresses: &[&str]) -> Self {
        self.0.insert(name, addresses.iter().map(|address| address.parse().unwrap()).collect());
        self
    }
}

impl Resolve for Names {
    async fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let found = self.0.get(name).ok_or_else(|| io::Error::other("no such name"))?;
        Ok(found.iter().map(|address| SocketAddr::new(*address, port)).collect())
    }
}

/// What an operator allows who tests on loopback.
fn loopback_allowed() -> EgressRules {
    EgressRules::new(vec!["127.0.0.0/8".parse().unwrap()], vec![])
}

fn transport(rules: EgressRules) -> GuardedHttp<Names> {
    transport_with_names(rules, Names::default())
}

fn transport_with_names(rules: EgressRules, names: Names) -> GuardedHttp<Names> {
    GuardedHttp::with_resolver(rules, TlsRoots::system(), names).unwrap()
}

fn step(url: &str) -> HttpStep {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", HeaderValue::from_static(SECRET));
    HttpStep {
        method: Method::POST,
        url: Secret::new(url),
        headers,
        body: SECRET.into(),
        timeout: Duration::from_secs(20),
        trust: Trust::NONE,
    }
}

async fn reply(transport: &impl Transport, step: HttpStep) -> HttpReply {
    match transport.send(Step::Http(step)).await {
        Reply::Http(reply) => reply,
        other => panic!("no reply: {other:?}"),
    }
}

async fn failure(transport: &impl Transport, step: HttpStep) -> Failure {
    match transport.send(Step::Http(step)).await {
        Reply::Failed(failure) => {
            assert!(!failure.detail.contains(SECRET) && !failure.detail.contains("://"), "{failure:?}");
            failure
        }
        other => panic!("a reply: {other:?}"),
    }
}

/// One request, head and body; none when the other side closed before it was whole.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read);
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && body.len() >= content_length(head)
        {
            return Some(text.into_owned());
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
}

fn content_length(head: &str) -> usize {
    head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |value| value.parse().unwrap())
}
