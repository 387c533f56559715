//! The listener: accepts connections, bounds what they may hold, and stops without cutting an answer short.
//!
//! It serves TCP, with or without TLS, and whatever else implements [`Accept`], like the socket in the data directory.
//! Each request over TCP gets what the faces may ask about it as extensions: its [`Client`](super::client::Client) and
//! its [`BodyLimits`].

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use super::body::BodyLimits;
use super::client::Clients;
use super::tls::Tls;
use crate::config::Config;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long answers under way may take once a stop was asked for.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// Connections at a time over what is not the network; further ones wait to be accepted.
const LOCAL_CONNECTIONS_MAX: usize = 256;

/// How long a local client may take to send the head of a request.
const LOCAL_IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// Where connections come from.
pub(crate) trait Accept: Send + Sync + 'static {
    type Host: Host;

    /// How many connections there may be at a time; further ones wait to be accepted.
    fn connections_max(&self) -> usize {
        LOCAL_CONNECTIONS_MAX
    }

    /// The next connection.
    fn accept(&self) -> impl Future<Output = io::Result<<Self::Host as Host>::Raw>> + Send;

    /// Who takes care of connections once they are accepted.
    fn host(&self) -> Self::Host;
}

/// Takes care of one connection, in a task of its own.
pub(crate) trait Host: Clone + Send + Sync + 'static {
    /// A connection that was accepted and not yet looked at.
    type Raw: Send + 'static;

    /// Answers its requests at the desk, until either side ends it.
    fn welcome<S: Answer>(self, raw: Self::Raw, desk: Desk<S>) -> impl Future<Output = ()> + Send;
}

/// What answers requests.
pub(crate) trait Answer:
    Service<Request<Body>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> Answer for S where
    S: Service<Request<Body>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

/// Answers requests until `stop`, and then finishes those under way.
pub(crate) async fn serve<A: Accept>(listener: A, service: impl Answer, stop: CancellationToken) {
    let connections = TaskTracker::new();
    let places = Arc::new(Semaphore::new(listener.connections_max()));
    let host = listener.host();
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("never closed");
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(raw) => {
                let desk = Desk { service: service.clone(), stop: stop.clone() };
                let host = host.clone();
                connections.spawn(async move {
                    host.welcome(raw, desk).await;
                    drop(place);
                });
            }
            // Out of file descriptors, most likely: those of other connections come free.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(STOP_PATIENCE, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections were cut: their requests took too long");
    }
}

/// What one connection is served with.
pub(crate) struct Desk<S> {
    service: S,
    stop: CancellationToken,
}

impl<S: Answer> Desk<S> {
    /// Serves a connection of a local client.
    pub(crate) async fn converse_locally(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        self.converse(stream, LOCAL_IDLE_TIMEOUT, |_| {}).await;
    }

    /// Answers requests, each after `mark` has said what is known of it.
    async fn converse(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        idle_timeout: Duration,
        mark: impl Fn(&mut Request<Incoming>),
    ) {
        let Self { service, stop } = self;
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            let mut service = service.clone();
            mark(&mut request);
            async move { service.call(request.map(Body::new)).await }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(idle_timeout)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// A bound TCP listener that is not accepting yet.
pub(crate) struct Listener {
    socket: TcpListener,
    host: TcpHost,
    connections_max: usize,
}

/// How connections over TCP are served.
#[derive(Clone)]
pub(crate) struct TcpHost {
    tls: Option<Arc<Tls>>,
    clients: Clients,
    body_limits: BodyLimits,
    idle_timeout: Duration,
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error("cannot listen on {0}; set 'listen' (POSTRIDER_LISTEN) to an address of this machine and a free port")]
    Bind(SocketAddr, #[source] io::Error),
    #[error("the listener has no TLS: {0}")]
    Tls(#[from] super::tls::TlsError),
}

impl Listener {
    pub(crate) async fn bind(config: &Config) -> Result<Self, ListenError> {
        let tls = config.tls.as_ref().map(Tls::load).transpose()?.map(Arc::new);
        let bound = TcpListener::bind(config.listen).await;
        let socket = bound.map_err(|error| ListenError::Bind(config.listen, error))?;
        let host = TcpHost {
            tls,
            clients: Clients::new(&config.server),
            body_limits: config.limits.into(),
            idle_timeout: config.limits.idle_timeout,
        };
        Ok(Self { socket, host, connections_max: config.limits.connections_max })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// What clients put before the address.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.host.tls.is_some() { "https" } else { "http" }
    }
}

impl Accept for Listener {
    type Host = TcpHost;

    fn connections_max(&self) -> usize {
        self.connections_max
    }

    async fn accept(&self) -> io::Result<(TcpStream, IpAddr)> {
        let (stream, peer) = self.socket.accept().await?;
        // Answers are small and one piece: waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        Ok((stream, peer.ip()))
    }

    fn host(&self) -> TcpHost {
        self.host.clone()
    }
}

impl Host for TcpHost {
    type Raw = (TcpStream, IpAddr);

    async fn welcome<S: Answer>(self, (stream, peer): Self::Raw, desk: Desk<S>) {
        let Some(tls) = self.tls.clone() else { return self.converse(stream, peer, desk).await };
        let shaken = tokio::select! {
            () = desk.stop.cancelled() => return,
            shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.acceptor().accept(stream)) => shaken,
        };
        match shaken {
            Ok(Ok(stream)) => self.converse(stream, peer, desk).await,
            Ok(Err(error)) => tracing::debug!(%error, %peer, "a TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
        }
    }
}

impl TcpHost {
    async fn converse<S: Answer>(self, stream: impl AsyncRead + AsyncWrite + Unpin, peer: IpAddr, desk: Desk<S>) {
        let is_tls = self.tls.is_some();
        let Self { clients, body_limits, idle_timeout, .. } = self;
        let mark = |request: &mut Request<Incoming>| {
            let client = clients.of(peer, is_tls, request.headers());
            request.extensions_mut().insert(client);
            request.extensions_mut().insert(body_limits);
        };
        desk.converse(stream, idle_timeout, mark).await;
    }
}
