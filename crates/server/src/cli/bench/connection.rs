//! A bare HTTP/1.1 keep-alive connection: hyper's client with no pool, no redirects and no TLS around it.
//!
//! The connection is driven by the very task that waits for the answer, so an exchange costs no switch between tasks.

use anyhow::{Context as _, anyhow};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response, StatusCode, body::Incoming};
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use tokio::net::TcpStream;

/// How much of an answer is kept, enough for the page of figures; the rest is read and dropped.
const KEPT_BYTES: usize = 64 << 10;

pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: http1::Connection<TokioIo<TcpStream>, Full<Bytes>>,
}

/// An answer, read to its end. Of a body longer than 64 KiB only the beginning is kept.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Connection {
    #[expect(clippy::disallowed_methods, reason = "the bench talks to its own server on loopback, not to a channel")]
    pub(super) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let context = || format!("cannot connect to {address}");
        let stream = TcpStream::connect(address).await.with_context(context)?;
        stream.set_nodelay(true).with_context(context)?;
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.with_context(context)?;
        Ok(Self { sender, driver })
    }

    /// Sends one request and reads its answer. Fails when the connection is lost; it is of no use then.
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        let Self { sender, driver } = self;
        let mut exchange = pin!(async move {
            sender.ready().await?;
            read(sender.send_request(request).await?).await
        });
        let done = poll_fn(|context| {
            if let Poll::Ready(answer) = exchange.as_mut().poll(context) {
                return Poll::Ready(Some(answer));
            }
            let closed = Pin::new(&mut *driver).poll(context).is_ready();
            match exchange.as_mut().poll(context) {
                Poll::Ready(answer) => Poll::Ready(Some(answer)),
                Poll::Pending if closed => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        });
        let answer = done.await.ok_or_else(|| anyhow!("the connection was closed before the answer came"))?;
        answer.context("the connection was lost")
    }
}

async fn read(answer: Response<Incoming>) -> hyper::Result<Answer> {
    let (head, mut rest) = answer.into_parts();
    let mut body = Bytes::new();
    while let Some(frame) = rest.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if body.is_empty() {
            body = data;
        } else if body.len() < KEPT_BYTES {
            let mut longer = BytesMut::from(body);
            longer.extend_from_slice(&data);
            body = longer.freeze();
        }
    }
    Ok(Answer { status: head.status, body })
}
