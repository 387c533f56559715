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
    Smtp(SmtpStep),
    /// Goes nowhere: it is written down with the result of the delivery.
    Inbox(InboxStep),
}

impl Step {
    /// Whether the step makes sense when one before it failed: each recipient of a mail for itself, but not the second
    /// part of a chat message.
    pub const fn is_independent(&self) -> bool {
        matches!(self, Self::Smtp(_))
    }

    /// Who gets it, where that tells steps of one delivery apart.
    pub fn recipient(&self) -> &str {
        match self {
            Self::Http(_) => "",
            Self::Smtp(step) => &step.to,
            Self::Inbox(step) => &step.recipient,
        }
    }

    /// What it carries, as text, without where to: for previews.
    pub fn content(&self) -> String {
        match self {
            Self::Http(step) => String::from_utf8_lossy(&step.body).into_owned(),
            Self::Smtp(step) => String::from_utf8_lossy(&step.message).into_owned(),
            Self::Inbox(step) => step.content.clone(),
        }
    }

    /// The request, of a step that is one.
    pub fn as_http_mut(&mut self) -> Option<&mut HttpStep> {
        match self {
            Self::Http(step) => Some(step),
            Self::Smtp(_) | Self::Inbox(_) => None,
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
    /// Whose URL it is, and so whether the egress rules apply.
    pub trust: Trust,
}

/// Who chose where a request goes. What the operator named is trusted; only [`Operator`](crate::Operator) can say so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    is_operators: bool,
}

impl Trust {
    /// A URL of a channel's owner or a provider's usual one: guarded.
    pub const NONE: Self = Self { is_operators: false };

    /// A URL below one that the operator set.
    pub(crate) const OPERATOR: Self = Self { is_operators: true };

    /// Whether the egress rules have nothing to say.
    pub const fn is_operators(self) -> bool {
        self.is_operators
    }
}

impl fmt::Debug for HttpStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpStep({} {:?}, {} bytes)", self.method, self.url, self.body.len())
    }
}

/// One entry of the in-app inbox.
#[derive(Clone, Debug)]
pub struct InboxStep {
    /// Whose inbox; empty is the one that all of the tenant share.
    pub recipient: String,
    /// A JSON object.
    pub content: String,
}

/// One mail to one recipient.
#[derive(Clone)]
pub struct SmtpStep {
    /// `None` is the operator's server.
    pub server: Option<SmtpServer>,
    /// The envelope's addresses, without names; ASCII.
    pub from: String,
    pub to: String,
    /// The same for every try, so that receivers can drop what they had. With its angle brackets.
    pub message_id: String,
    /// The finished mail: lines end in CRLF and are ASCII. Dots are not stuffed.
    pub message: Bytes,
}

impl fmt::Debug for SmtpStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SmtpStep({:?}, {} bytes)", self.server, self.message.len())
    }
}

/// Where mail is handed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpServer {
    /// A name or a literal address without brackets.
    pub host: String,
    pub port: u16,
    pub tls: SmtpTls,
    pub user: Option<String>,
    /// Never sent without TLS.
    pub password: Option<Secret>,
}

/// How a connection to a mail server is secured. What is asked for is required: there is no falling back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// By the command STARTTLS, as on ports 587 and 25.
    StartTls,
    /// From the first byte, as on port 465.
    Implicit,
    None,
}

/// The most of an answer that is read, in bytes; what is beyond is dropped with its connection.
pub const REPLY_BODY_BYTES_MAX: usize = 64 * 1024;

/// What came of a step.
#[derive(Clone, Debug)]
pub enum Reply {
    Http(HttpReply),
    Smtp(SmtpReply),
    /// An inbox entry will be written with the result.
    Kept,
    Failed(Failure),
}

/// What a mail server said: that it took the mail, or where and why it refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmtpReply {
    pub stage: SmtpStage,
    /// 2yz only as the answer to the whole mail.
    pub code: u16,
    /// The class, subject and detail at the beginning of the text, where there are any (RFC 3463).
    pub enhanced: Option<(u16, u16, u16)>,
    /// Without the codes; several lines are joined.
    pub text: String,
    /// That of the step.
    pub message_id: String,
}

/// What a mail server was asked when it refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SmtpStage {
    /// Its greeting.
    Connect,
    Hello,
    StartTls,
    Login,
    /// Whether it takes mail from this sender.
    Sender,
    /// Whether it takes mail for this recipient.
    Recipient,
    /// Whether it takes a mail now.
    Data,
    /// Whether it took the mail.
    Message,
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
    /// Something answered that does not speak the protocol.
    Garbled,
    /// The server cannot do what the step requires, like TLS where it is required.
    Unsupported,
    /// The operator has taken away what the step needs, or never gave it.
    NotConfigured,
}
