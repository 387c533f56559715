//! Counterparts that repeat what they are told: a mail server with STARTTLS and AUTH, and a parrot that speaks nothing.

use std::net::Ipv4Addr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Something that listens on a loopback port until it is dropped.
pub(super) struct StandIn {
    pub(super) port: u16,
    _serving: JoinSet<()>,
}

impl StandIn {
    async fn start<F: Future<Output = Option<()>> + Send + 'static>(
        serve: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                connections.spawn(serve(stream));
            }
        });
        Self { port, _serving: serving }
    }
}

/// Says nonsense, and then everything that it hears.
pub(super) async fn parrot() -> StandIn {
    StandIn::start(|mut stream| async move {
        stream.write_all(b"NONSENSE\r\n").await.ok()?;
        let mut heard = [0; 4096];
        loop {
            let count = stream.read(&mut heard).await.ok().filter(|count| *count > 0)?;
            stream.write_all(&heard[..count]).await.ok()?;
        }
    })
    .await
}

/// A mail server whose every answer repeats the login; and its certificate for `localhost`, as PEM.
///
/// A password with `fails` in it is refused, one with `garbled` is answered with nonsense, and so is any mail to an
/// address with `billing`, after it was refused.
pub(super) async fn mail_server() -> (StandIn, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let pem = cert.pem();
    let chain = vec![CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(signing_key.serialize_pem().as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("versions").with_no_client_auth().with_single_cert(chain, key).expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = StandIn::start(move |stream| secured(stream, acceptor.clone())).await;
    (server, pem)
}

async fn secured(stream: TcpStream, acceptor: TlsAcceptor) -> Option<()> {
    let mut plain = BufReader::new(stream);
    plain.write_all(b"220 mail.test\r\n").await.ok()?;
    let mut line = String::new();
    while !line.starts_with("STARTTLS") {
        line.clear();
        plain.read_line(&mut line).await.ok().filter(|count| *count > 0)?;
        let answer = if line.starts_with("EHLO") { "250-mail.test\r\n250 STARTTLS\r\n" } else { "220 go on\r\n" };
        plain.write_all(answer.as_bytes()).await.ok()?;
    }
    speak(acceptor.accept(plain.into_inner()).await.ok()?).await
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut lines = BufReader::new(reader).lines();
    let mut login = String::new();
    loop {
        let line = lines.next_line().await.ok()??;
        let answer = match line.split_whitespace().next()? {
            "EHLO" => "250-mail.test\r\n250 AUTH PLAIN\r\n".to_owned(),
            "AUTH" => {
                let word = line.split_whitespace().last()?;
                let heard = String::from_utf8(STANDARD.decode(word).ok()?).ok()?.replace('\0', " ");
                let (is_garbled, is_wrong) = (heard.contains("-garbled"), heard.contains("-fails"));
                login = format!("you said {word}, that is {heard}");
                match (is_garbled, is_wrong) {
                    (true, _) => format!("NONSENSE {login}\r\n"),
                    (_, true) => format!("535-5.7.8 no\r\n535 5.7.8 {login}\r\n"),
                    _ => format!("235 2.7.0 {login}\r\n"),
                }
            }
            "RCPT" if line.contains("billing") => format!("550 5.1.1 {login}\r\n"),
            "DATA" => format!("354 {login}\r\n"),
            _ => format!("250 2.0.0 {login}\r\n"),
        };
        writer.write_all(answer.as_bytes()).await.ok()?;
        if line == "DATA" {
            while lines.next_line().await.ok()?? != "." {}
            writer.write_all(format!("250 2.0.0 queued for {login}\r\n").as_bytes()).await.ok()?;
        }
    }
}
