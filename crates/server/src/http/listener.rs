//! The listener: accepts connections, bounds what they may hold, and stops without cutting an answer short.
//!
//! Each request gets what the faces may ask about it as extensions: its [`Client`](super::client::Client) and its
//! [`BodyLimits`].

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service as _;

use super::body::BodyLimits;
use super::client::Clients;
use super::tls::Tls;
use crate::config::Config;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long answers under way may take once a stop was asked for.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// A bound listener that is not accepting yet.
pub(crate) struct Listener {
    socket: TcpListener,
    tls: Option<Tls>,
    manners: Manners,
    connections_max: usize,
}

/// How connections are served.
#[derive(Clone)]
struct Manners {
    clients: Clients,
    body_limits: BodyLimits,
    idle_timeout: Duration,
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error("cannot listen on {0}; set 'listen' (POSTRIDER_LISTEN) to an address of this machine and a free port")]
    Bind(SocketAddr, #[source] std::io::Error),
    #[error("the listener has no TLS: {0}")]
    Tls(#[from] super::tls::TlsError),
}

impl Listener {
    pub(crate) async fn bind(config: &Config) -> Result<Self, ListenError> {
        let tls = config.tls.as_ref().map(Tls::load).transpose()?;
        let bound = TcpListener::bind(config.listen).await;
        let manners = Manners {
            clients: Clients::new(&config.server),
            body_limits: config.limits.into(),
            idle_timeout: config.limits.idle_timeout,
        };
        let socket = bound.map_err(|error| ListenError::Bind(config.listen, error))?;
        Ok(Self { socket, tls, manners, connections_max: config.limits.connections_max })
    }

    pub(crate) fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// What clients put before the address.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Answers requests until `stop`, and then finishes those under way.
    pub(crate) async fn serve(self, router: Router, stop: CancellationToken) {
        let connections = TaskTracker::new();
        let places = Arc::new(Semaphore::new(self.connections_max));
        let tls = self.tls.map(Arc::new);
        loop {
            let place = Arc::clone(&places).acquire_owned().await.expect("never closed");
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let desk = Desk { router: router.clone(), manners: self.manners.clone(), stop: stop.clone() };
                    let tls = tls.clone();
                    connections.spawn(async move {
                        desk.welcome(stream, peer.ip(), tls.as_deref()).await;
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
        drop(self.socket);
        connections.close();
        if tokio::time::timeout(STOP_PATIENCE, connections.wait()).await.is_err() {
            tracing::warn!(connections = connections.len(), "connections were cut: their requests took too long");
        }
    }
}

/// What one connection is served with.
struct Desk {
    router: Router,
    manners: Manners,
    stop: CancellationToken,
}

impl Desk {
    async fn welcome(self, stream: TcpStream, peer: IpAddr, tls: Option<&Tls>) {
        // Answers are small and one piece: waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls else { return self.converse(stream, peer, false).await };
        let shaken = tokio::select! {
            () = self.stop.cancelled() => return,
            shaken = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.acceptor().accept(stream)) => shaken,
        };
        match shaken {
            Ok(Ok(stream)) => self.converse(stream, peer, true).await,
            Ok(Err(error)) => tracing::debug!(%error, %peer, "a TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
        }
    }

    async fn converse(self, stream: impl AsyncRead + AsyncWrite + Unpin, peer: IpAddr, is_tls: bool) {
        let Self { router, manners, stop } = self;
        let Manners { clients, body_limits, idle_timeout } = manners;
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            let mut router = router.clone();
            let client = clients.of(peer, is_tls, request.headers());
            request.extensions_mut().insert(client);
            request.extensions_mut().insert(body_limits);
            async move {
                Ok::<_, Infallible>(router.call(request.map(Body::new)).await.unwrap_or_else(|never| match never {}))
            }
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
