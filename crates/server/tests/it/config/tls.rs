//! The listener's own TLS: reached by a client that checks the certificate, and renewed under its feet.

use std::net::SocketAddr;
use std::sync::Arc;

use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::harness::{Process, Setup, soon};

/// A certificate for `localhost` and its key, as PEM.
fn certificate() -> (String, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (cert.pem(), signing_key.serialize_pem())
}

fn with_tls(cert: &str, key: &str) -> Setup {
    let setup = Setup::new().with_file("cert.pem", cert).with_file("key.pem", key);
    setup.set("POSTRIDER_TLS__CERT", "cert.pem").set("POSTRIDER_TLS__KEY", "key.pem")
}

async fn start(setup: &Setup) -> (Process, SocketAddr) {
    let mut process = setup.launch(&["serve"]);
    let line = soon("the welcome line", process.stdout.line_with("is ready at https://")).await.unwrap();
    let address = line.rsplit("https://").next().unwrap().trim().parse().unwrap();
    (process, address)
}

/// What `/healthz` answers to a client that trusts this certificate alone.
#[expect(clippy::disallowed_methods, reason = "a client of the server under test")]
async fn ask(address: SocketAddr, trusted: &str) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let connector = TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
    let stream = TcpStream::connect(address).await?;
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let exchange = async {
        let request = Request::get("/healthz").header("host", "localhost").body(Empty::<bytes::Bytes>::new()).unwrap();
        let body = sender.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
        drop(sender);
        String::from_utf8(body.to_vec()).unwrap()
    };
    let (answer, _) = tokio::join!(exchange, connection);
    Ok(answer)
}

#[tokio::test]
async fn a_client_that_checks_the_certificate_is_answered() {
    let (cert, key) = certificate();
    let (_process, address) = start(&with_tls(&cert, &key)).await;
    assert!(soon("an answer", ask(address, &cert)).await.unwrap().contains("ok"));
    let (other, _) = certificate();
    assert!(soon("a refusal", ask(address, &other)).await.is_err());
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_up() {
    let (cert, key) = certificate();
    let setup = with_tls(&cert, &key);
    let (_process, address) = start(&setup).await;
    let (renewed, renewed_key) = certificate();
    // Between the two files neither fits the other: what was there before stays.
    let setup = setup.with_file("cert.pem", &renewed);
    assert!(soon("an answer", ask(address, &cert)).await.is_ok());
    let _setup = setup.with_file("key.pem", &renewed_key);
    assert!(soon("an answer", ask(address, &renewed)).await.is_ok());
    assert!(soon("a refusal", ask(address, &cert)).await.is_err());
}

#[tokio::test]
async fn files_that_cannot_be_used_stop_the_start_and_are_named() {
    let (cert, key) = certificate();
    let (_, other_key) = certificate();
    let check = async |cert: &str, key: &str, expected: &[&str]| {
        let setup = with_tls(cert, key);
        let (status, message) = setup.start_in_vain().await;
        let mut process = setup.launch(&["config", "check"]);
        assert_eq!((status.code(), process.ended().await.code()), (Some(1), Some(1)));
        for part in expected {
            assert!(message.contains(part) && process.stderr.text().contains(part), "{part}: {message}");
        }
        assert!(!message.contains("PRIVATE KEY"), "{message}");
    };
    check(&cert, &other_key, &["tls.key", "key.pem is not that of the certificate"]).await;
    check("", &key, &["tls.cert", "cert.pem"]).await;
    check(&key, &key, &["tls.cert", "holds no certificate"]).await;
    check(&cert, &cert, &["tls.key", "key.pem"]).await;
    let missing = Setup::new().set("POSTRIDER_TLS__CERT", "gone.pem").set("POSTRIDER_TLS__KEY", "gone.key");
    let (_, message) = missing.start_in_vain().await;
    assert!(message.contains("tls.cert") && message.contains("gone.pem"), "{message}");
}
