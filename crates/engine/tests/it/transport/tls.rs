//! TLS against certificates made on the spot: what is trusted, and what each fault is called.

use std::sync::Arc;

use engine::transport::{GuardedHttp, TlsRoots};
use providers::step::{FailureKind, HttpStep};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, crypto};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;

use super::{Names, OK, Server, failure, loopback_allowed, read_request, reply, step};

/// A certificate authority of the test's own.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Trusts this authority and knows `hook.example`.
    fn transport(&self) -> GuardedHttp<Names> {
        let roots = TlsRoots::system().and(self.0.der().clone());
        let names = Names::default().with("hook.example", &["127.0.0.1"]);
        GuardedHttp::with_resolver(loopback_allowed(), roots, names).unwrap()
    }

    /// Serves with a certificate of this authority.
    async fn serve(&self, params: CertificateParams) -> Server {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        serve(&certificate, &key).await
    }
}

async fn serve(certificate: &rcgen::Certificate, key: &KeyPair) -> Server {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Server::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
            while read_request(&mut stream).await.is_some() {
                stream.write_all(OK).await.unwrap();
                stream.flush().await.unwrap();
            }
        }
    })
    .await
}

fn params(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).unwrap()
}

fn secure_step(host: &str, server: &Server) -> HttpStep {
    step(&format!("https://{host}:{}/s3cret", server.port()))
}

async fn check_fault(host: &str, server: &Server, transport: &GuardedHttp<Names>, expect: &str) {
    let failure = failure(transport, secure_step(host, server)).await;
    assert_eq!((failure.kind, &*failure.detail), (FailureKind::Certificate, expect));
}

#[tokio::test]
async fn a_certificate_of_a_trusted_authority_is_taken() {
    let authority = Authority::new("Trusted");
    let transport = authority.transport();
    let named = authority.serve(params("hook.example")).await;
    for _ in 0..2 {
        assert_eq!(reply(&transport, secure_step("hook.example", &named)).await.body, "ok");
    }
    assert_eq!(named.connections(), 1, "the connection is used again");
    let numbered = authority.serve(params("127.0.0.1")).await;
    assert_eq!(reply(&transport, secure_step("127.0.0.1", &numbered)).await.body, "ok");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new("Trusted");
    let server = authority.serve(params("other.example")).await;
    let transport = authority.transport();
    for host in ["hook.example", "127.0.0.1"] {
        check_fault(host, &server, &transport, "the certificate is for another name").await;
    }
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_refused() {
    let authority = Authority::new("Trusted");
    let transport = authority.transport();
    let (mut past, mut future) = (params("hook.example"), params("hook.example"));
    (past.not_before, past.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2020, 12, 31));
    (future.not_before, future.not_after) = (date_time_ymd(4000, 1, 1), date_time_ymd(4000, 12, 31));
    let server = authority.serve(past).await;
    check_fault("hook.example", &server, &transport, "the certificate has expired").await;
    let server = authority.serve(future).await;
    check_fault("hook.example", &server, &transport, "the certificate is not valid yet").await;
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let key = KeyPair::generate().unwrap();
    let self_signed = serve(&params("hook.example").self_signed(&key).unwrap(), &key).await;
    let of_a_stranger = Authority::new("Strange").serve(params("hook.example")).await;
    let of_an_impostor = Authority::new("Trusted").serve(params("hook.example")).await;
    let transport = Authority::new("Trusted").transport();
    let untrusted = "the certificate is from an issuer that is not trusted";
    check_fault("hook.example", &self_signed, &transport, untrusted).await;
    check_fault("hook.example", &of_a_stranger, &transport, untrusted).await;
    check_fault("hook.example", &of_an_impostor, &transport, "the certificate's signature is wrong").await;
}

#[tokio::test]
async fn what_does_not_speak_tls_is_a_tls_failure() {
    for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", ""] {
        let server = Server::start(move |mut stream| async move {
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await;
        let failure = failure(&Authority::new("Trusted").transport(), secure_step("hook.example", &server)).await;
        assert_eq!(failure.kind, FailureKind::Tls, "{}", failure.detail);
    }
}
