//! Steps and replies: what a provider wants done, and what came of it, as data.
//!
//! A provider never does I/O. It plans [`Step`]s, a transport carries them out, and the provider judges each [`Reply`].

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use domain::Secret;
use http::{HeaderMap, Method, StatusCode};

/// One thing to do for a delivery. Several parts of a message are several steps, done in order.
#[derive(Clone, Debug)]
pub enum Step {
    Http(HttpStep),
}

impl Step {
    /// What it carries, as text, without where to: for previews.
    pub fn content(&self) -> String {
        match self {
            Self::Http(step) => String::from_utf8_lossy(&step.body).into_owned(),
        }
    }

    /// The request, of a step that is one.
    pub fn as_http_mut(&mut self) -> Option<&mut HttpStep> {
        match self {
            Self::Http(step) => Some(step),
        }
    }
}

/// One HTTP request.
#[derive(Clone)]
pub struct HttpStep {
    pub method: Method,
    /// Absolute, http or https, without user info. Secret, because providers put tokens in paths and queries.
    pub url: Secret,
    /// Without `host` and `content-length`, which the transport sets, and without `user-agent`, unless the channel's
    /// owner set one: then the transport leaves it.
    pub headers: HeaderMap,
    pub body: Bytes,
    /// For the whole exchange, from name resolution to the last byte of the answer that is read.
    pub timeout: Duration,
}

impl fmt::Debug for HttpStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpStep({} {:?}, {} bytes)", self.method, self.url, self.body.len())
    }
}

/// The most of an answer that is read, in bytes; what is beyond is dropped with its connection.
pub const REPLY_BODY_BYTES_MAX: usize = 64 * 1024;

/// What came of a step.
#[derive(Clone, Debug)]
pub enum Reply {
    Http(HttpReply),
    Failed(Failure),
}

/// An HTTP answer.
#[derive(Clone, Debug)]
pub struct HttpReply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// At most [`REPLY_BODY_BYTES_MAX`].
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    /// For the person on call. Never holds a URL, header or body.
    pub detail: String,
}

/// How far a step got before it failed: decides whether the message may have been taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// The egress rules forbid the target; nothing left this machine.
    Forbidden,
    /// The name did not resolve.
    Dns,
    /// No connection: refused, unreachable, or not in time.
    Connect,
    /// The TLS handshake failed for another reason than the certificate.
    Tls,
    /// The certificate is not valid for this name and time.
    Certificate,
    /// The connection broke before the request was written.
    NotWritten,
    /// The request was written, at least in part, and no answer came: in time or before the connection broke.
    NoAnswer,
    /// Something answered that is not HTTP.
    Garbled,
}
