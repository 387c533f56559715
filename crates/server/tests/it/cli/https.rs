//! Over TLS, as through a reverse proxy: whose certificates are taken, and what is said of others.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, crypto};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::harness::{ADMIN_KEY, Setup};

/// A certificate for `localhost`, and the authority that made it, as PEM.
fn certificate() -> (ServerConfig, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    (config, authority.pem())
}

#[expect(clippy::disallowed_methods, reason = "a proxy of the test before the server of the test")]
async fn forward(listener: TcpListener, tls: TlsAcceptor, to: std::net::SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let tls = tls.clone();
        connections.spawn(async move {
            // A client that takes no such certificate ends the handshake.
            let Ok(mut outside) = tls.accept(stream).await else { return };
            let mut inside = TcpStream::connect(to).await.expect("the server listens");
            let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
        });
    }
}

#[tokio::test]
async fn certificates_are_checked_against_the_systems_roots() {
    let setup = Setup::new();
    let server = setup.start().await;
    let (config, authority) = certificate();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut proxy = JoinSet::new();
    proxy.spawn(forward(listener, TlsAcceptor::from(Arc::new(config)), server.address));

    let (trusted, other) = (setup.data_dir().join("ca.pem"), setup.data_dir().join("other.pem"));
    std::fs::write(&trusted, authority).unwrap();
    std::fs::write(&other, certificate().1).unwrap();
    let trusting = |file: &std::path::Path, host: &str| {
        let url = format!("https://{host}:{port}");
        let cli = setup.clone().set("POSTRIDER_URL", &url).set("POSTRIDER_KEY", ADMIN_KEY);
        cli.set("SSL_CERT_FILE", &file.to_string_lossy())
    };
    let list = &["tenants", "list", "-v"];
    trusting(&trusted, "localhost").run(list).await.ended_with(0).says(&["default"]).remarks(&["https://localhost:"]);
    trusting(&other, "localhost").run(list).await.ended_with(3).remarks(&["invalid peer certificate"]);
    // The name counts, too.
    trusting(&trusted, "127.0.0.1").run(list).await.ended_with(3).remarks(&["certificate"]);
}
