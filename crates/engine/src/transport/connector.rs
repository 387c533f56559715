//! The way to a connection: dial within the rules, then TLS when the scheme asks for it.
//!
//! It is gone only when no idle connection fits, so what it allocates is not on the hot path.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use providers::step::Failure;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::destination::Origin;
use super::dialer::Dialer;
use super::resolve::Resolve;
use super::tls::Tls;

/// Opens connections.
pub(super) struct Connector<R> {
    dialer: Dialer<R>,
    tls: Tls,
}

/// An open connection. Two types and no `dyn`, so that reads and writes are direct calls.
pub(super) enum Stream {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl<R: Resolve> Connector<R> {
    pub(super) const fn new(dialer: Dialer<R>, tls: Tls) -> Self {
        Self { dialer, tls }
    }

    /// Fails as `Forbidden`, `Dns`, `Connect`, `Certificate` or `Tls`.
    pub(super) async fn open(&self, origin: &Origin) -> Result<Stream, Failure> {
        let Origin { is_secure, host, port } = origin;
        let stream = self.dialer.dial(host, *port).await?;
        if *is_secure {
            let stream = self.tls.shake_hands(host, stream).await?;
            Ok(Stream::Tls(Box::new(TokioIo::new(stream))))
        } else {
            Ok(Stream::Plain(TokioIo::new(stream)))
        }
    }
}

impl Read for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }
}
