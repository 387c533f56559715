//! From a mail server's addresses to a dialogue that is logged in: dial, greeting, STARTTLS, TLS, EHLO, AUTH.
//!
//! What is said before TLS is said here, and not by the library: nothing that arrived in the clear may be read as if it
//! had come encrypted, so whatever follows the answer to STARTTLS at once ends the connection.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Ehlo, Starttls};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use providers::step::{Failure, FailureKind, Reply, SmtpReply, SmtpServer, SmtpStage, SmtpStep, SmtpTls};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::dialogue::{COMMAND_TIMEOUT, Dialogue, answer_of, asked};
use super::stream::{Greeted, Wire};
use crate::transport::dialer::Dialer;
use crate::transport::failed;
use crate::transport::resolve::Resolve;
use crate::transport::tls::Tls;

/// From the first address to the last.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// What a server may say before TLS, in bytes: a few lines.
const PRELUDE_BYTES_MAX: u64 = 16 * 1024;

/// Opens connections to mail servers.
pub(super) struct Connector<R> {
    pub(super) dialer: Dialer<R>,
    pub(super) tls: Tls,
}

/// Why there is no dialogue: a failure, or what the server said.
#[derive(Debug)]
pub(super) enum Refused {
    Failed(Failure),
    Said(SmtpReply),
}

impl Refused {
    pub(super) fn with_message_id(self, step: &SmtpStep) -> Reply {
        match self {
            Self::Failed(failure) => Reply::Failed(failure),
            Self::Said(reply) => Reply::Smtp(SmtpReply { message_id: step.message_id.clone(), ..reply }),
        }
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl<R: Resolve> Connector<R> {
    /// Opens a connection to one of these checked addresses, secures it as the server's settings require, and logs in.
    pub(super) async fn open(
        &self,
        addresses: &[SocketAddr],
        server: &SmtpServer,
    ) -> Result<(SocketAddr, Dialogue), Refused> {
        if server.password.is_some() && server.tls == SmtpTls::None {
            return Err(failed(FailureKind::Forbidden, "a password is sent over TLS only").into());
        }
        let dialing = timeout(CONNECT_TIMEOUT, self.dialer.connect_any(addresses));
        let (address, stream) =
            dialing.await.map_err(|_| failed(FailureKind::Connect, format!("none within {CONNECT_TIMEOUT:?}")))??;
        let wire = match server.tls {
            SmtpTls::Implicit => {
                let stream = self.tls.shake_hands(&server.host, stream).await?;
                Wire::Tls(Box::new(read_greeting(stream).await?))
            }
            SmtpTls::StartTls => {
                let stream = asked(starttls(stream)).await?;
                Wire::Tls(Box::new(self.tls.shake_hands(&server.host, stream).await?))
            }
            SmtpTls::None => Wire::Plain(read_greeting(stream).await?),
        };
        Ok((address, log_in(wire, server).await?))
    }
}

/// Reads the greeting from the stream alone: nothing is buffered past it, because servers wait to be spoken to.
async fn read_greeting<S: tokio::io::AsyncRead + Unpin>(stream: S) -> Result<S, Refused> {
    let mut reader = BufReader::new(stream);
    asked(async { said(&mut reader, SmtpStage::Connect).await }).await?;
    if reader.buffer().is_empty() { Ok(reader.into_inner()) } else { Err(spoke_too_early()) }
}

/// Greeting, EHLO and STARTTLS in the clear.
async fn starttls(stream: TcpStream) -> Result<TcpStream, Refused> {
    let name = our_name(stream.local_addr().ok());
    let mut reader = BufReader::new(stream);
    said(&mut reader, SmtpStage::Connect).await?;
    write(&mut reader, &Ehlo::new(name).to_string()).await?;
    let hello = said(&mut reader, SmtpStage::Hello).await?;
    if !hello.message().any(|line| line.trim().eq_ignore_ascii_case("STARTTLS")) {
        return Err(failed(FailureKind::Unsupported, "it does not offer STARTTLS, which is required").into());
    }
    write(&mut reader, &Starttls.to_string()).await?;
    said(&mut reader, SmtpStage::StartTls).await?;
    if reader.buffer().is_empty() { Ok(reader.into_inner()) } else { Err(spoke_too_early()) }
}

async fn log_in(wire: Wire, server: &SmtpServer) -> Result<Dialogue, Refused> {
    let name = our_name(wire.local_addr().ok());
    let connecting = AsyncSmtpConnection::connect_with_transport(Box::new(Greeted::new(wire)), &name);
    let mut connection = match timeout(COMMAND_TIMEOUT, connecting).await {
        Ok(connected) => connected.map_err(|error| answer_of(&error, SmtpStage::Hello))?,
        Err(_) => return Err(too_late()),
    };
    if let (Some(user), Some(password)) = (&server.user, &server.password) {
        let mechanisms = [Mechanism::Plain, Mechanism::Login];
        if connection.server_info().get_auth_mechanism(&mechanisms).is_none() {
            let detail = "it offers neither AUTH PLAIN nor AUTH LOGIN";
            return Err(failed(FailureKind::Unsupported, detail).into());
        }
        let credentials = Credentials::new(user.clone(), password.reveal().to_owned());
        match timeout(COMMAND_TIMEOUT, connection.auth(&mechanisms, &credentials)).await {
            Ok(logged_in) => logged_in.map_err(|error| answer_of(&error, SmtpStage::Login))?,
            Err(_) => return Err(too_late()),
        };
    }
    Ok(Dialogue::new(connection))
}

/// Who says hello: the address at this end, as RFC 5321, 4.1.4 has it for machines that do not know their public name.
/// In a container the machine's own name is a random one, which some servers refuse.
fn our_name(local: Option<SocketAddr>) -> ClientId {
    match local.map(|address| address.ip().to_canonical()) {
        Some(IpAddr::V4(address)) => ClientId::Ipv4(address),
        Some(IpAddr::V6(address)) => ClientId::Ipv6(address),
        None => ClientId::default(),
    }
}

/// Reads one answer, of one line or several.
async fn said<S: tokio::io::AsyncRead + Unpin>(
    reader: &mut BufReader<S>,
    stage: SmtpStage,
) -> Result<Response, Refused> {
    let mut text = String::new();
    loop {
        let begin = text.len();
        let left = PRELUDE_BYTES_MAX.saturating_sub(begin as u64);
        let read = (&mut *reader).take(left).read_line(&mut text).await;
        match read {
            Ok(1..) if text.ends_with('\n') => {}
            Ok(_) => return Err(failed(FailureKind::NotWritten, "the connection broke within an answer").into()),
            Err(error) => return Err(failed(FailureKind::NotWritten, format!("no answer: {error}")).into()),
        }
        // Whoever does not speak SMTP is not waited for until it has said enough.
        let line = &text.as_bytes()[begin..];
        if !line.iter().take(3).all(u8::is_ascii_digit) || line.get(3) != Some(&b'-') {
            break;
        }
    }
    let response: Response =
        text.parse().map_err(|_| failed(FailureKind::Garbled, "the server does not speak SMTP"))?;
    if response.is_positive() {
        return Ok(response);
    }
    let lines: Vec<&str> = response.message().collect();
    Err(Refused::Said(super::dialogue::reply(stage, response.code().into(), &lines.join(" "))))
}

async fn write(reader: &mut BufReader<TcpStream>, command: &str) -> Result<(), Refused> {
    let written = reader.get_mut().write_all(command.as_bytes()).await;
    written.map_err(|error| failed(FailureKind::NotWritten, format!("the connection broke: {error}")).into())
}

fn spoke_too_early() -> Refused {
    failed(FailureKind::Garbled, "the server spoke before it was its turn").into()
}

fn too_late() -> Refused {
    failed(FailureKind::NotWritten, format!("no answer within {COMMAND_TIMEOUT:?}")).into()
}
