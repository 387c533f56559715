//! A small receiver of webhooks: it takes any POST, checks its signature and hands it on as a [`Notification`].
//!
//! It serves twice: stand-alone as `postrider receive`, and in the process of the server as the built-in receiver of
//! the first run. It keeps nothing and prints nothing itself: the sink decides, and [`terminal::Terminal`] is the sink
//! that shows notifications to a person. What one request means is in [`notification`].

mod indent;
mod notification;
mod safe;
mod terminal;
mod throttle;

pub(crate) use notification::{Keys, Notification};
pub(crate) use safe::line as safe_line;
pub(crate) use terminal::{Terminal, json_line};

use bytes::Bytes;
use domain::Clock;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The largest body read; the server itself sends far less.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Connections open at once; further ones wait in the backlog of the socket.
const CONNECTIONS_MAX: usize = 256;
/// How long the headers, and then the body, of one request may take.
const READ_MAX: Duration = Duration::from_secs(30);
/// How long requests that are being answered may still take when the receiver stops.
const STOP_MAX: Duration = Duration::from_secs(2);

/// A bound receiver: connections wait in the backlog of its socket until it serves.
pub(crate) struct Receiver {
    listener: TcpListener,
    status: StatusCode,
    keys: Keys,
    clock: Arc<dyn Clock>,
}

impl Receiver {
    /// Binds `listen`; port 0 takes a free one, which [`Receiver::local_addr`] tells.
    pub(crate) async fn bind(listen: SocketAddr, clock: Arc<dyn Clock>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        Ok(Self { listener, status: StatusCode::OK, keys: Keys::default(), clock })
    }

    /// Answers every notification with `status` instead of 200, to see how a sender takes it.
    #[must_use]
    pub(crate) fn answering(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(crate) fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The secrets that signatures are checked with; they may be set at any time, also while it serves.
    pub(crate) fn keys(&self) -> Keys {
        self.keys.clone()
    }

    /// Serves until `until` completes, then finishes the requests that are being answered, for at most 2 s.
    ///
    /// `sink` is called before the sender gets its answer and must return quickly.
    pub(crate) async fn serve<S>(self, until: impl Future<Output = ()>, sink: S)
    where
        S: Fn(Notification) + Send + Sync + 'static,
    {
        let desk = Arc::new(Desk { status: self.status, keys: self.keys, clock: self.clock, sink });
        let stop = CancellationToken::new();
        let mut connections = JoinSet::new();
        let mut until = std::pin::pin!(until);
        loop {
            tokio::select! {
                () = &mut until => break,
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                    // A failed accept is the caller's connection that went away, or too many open files: the next
                    // one may succeed, and there is nobody to tell.
                    if let Ok((stream, _)) = accepted {
                        connections.spawn(converse(stream, desk.clone(), stop.clone()));
                    }
                }
            }
        }
        stop.cancel();
        drop(self.listener);
        while connections.join_next().await.is_some() {}
    }
}

/// What every connection needs to answer.
struct Desk<S> {
    status: StatusCode,
    keys: Keys,
    clock: Arc<dyn Clock>,
    sink: S,
}

async fn converse<S>(stream: TcpStream, desk: Arc<Desk<S>>, stop: CancellationToken)
where
    S: Fn(Notification) + Send + Sync + 'static,
{
    let service = service_fn(|request| {
        let desk = desk.clone();
        async move { Ok::<_, Infallible>(desk.answer(request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // How a connection ends is the sender's affair and shows in its own records.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ = tokio::time::timeout(STOP_MAX, connection).await;
}

impl<S: Fn(Notification)> Desk<S> {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::POST {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "this receiver takes POST only\n");
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return answer;
        }
        let (head, body) = request.into_parts();
        if body.size_hint().lower() > BODY_BYTES_MAX as u64 {
            return text(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 1 MiB\n");
        }
        let body = match tokio::time::timeout(READ_MAX, Limited::new(body, BODY_BYTES_MAX).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return text(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 1 MiB\n");
            }
            Ok(Err(_)) => return text(StatusCode::BAD_REQUEST, "the body ended too early\n"),
            Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the body did not come within 30 s\n"),
        };
        (self.sink)(Notification::read(&head.headers, body, &self.keys, self.clock.now()));
        let said = if self.status.is_success() { "ok" } else { "this receiver was told to answer so\n" };
        text(self.status, said)
    }
}

fn text(status: StatusCode, said: &'static str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from_static(said.as_bytes())));
    *answer.status_mut() = status;
    answer
}

#[cfg(test)]
mod tests;
