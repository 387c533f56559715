//! TLS as a client: whom it trusts, what it offers, and what a failed handshake means.
//!
//! Certificates are checked as the operating system does, by one crypto provider that is passed explicitly, so that no
//! other crate can install another for the process. There is no way to switch the checks off.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use providers::step::{Failure, FailureKind};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, crypto};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failed;

/// Whose certificates are trusted: the operating system's roots, and more where a test or an operator adds them.
#[derive(Clone, Debug, Default)]
pub struct TlsRoots {
    extra: Vec<CertificateDer<'static>>,
}

/// There is nothing to check certificates with.
#[derive(Debug, thiserror::Error)]
#[error("no usable root certificates, install ca-certificates or set SSL_CERT_FILE: {0}")]
pub struct RootsError(#[from] rustls::Error);

impl TlsRoots {
    /// The operating system's roots only.
    pub const fn system() -> Self {
        Self { extra: Vec::new() }
    }

    /// The same and one more.
    #[must_use]
    pub fn and(mut self, root: CertificateDer<'static>) -> Self {
        self.extra.push(root);
        self
    }
}

/// Shakes hands over connected sockets.
#[derive(Clone)]
pub(super) struct Tls(TlsConnector);

/// Two round trips and some arithmetic; as generous as the dialer is.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

impl Tls {
    /// Reads the system's roots from disk, so it is for start-up.
    pub(super) fn new(roots: TlsRoots) -> Result<Self, RootsError> {
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let verifier = Verifier::new_with_extra_roots(roots.extra, Arc::clone(&provider))?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous() // rustls's word for any verifier of one's own; this one checks all that its own would.
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }

    /// The same trust for a protocol that is not negotiated.
    pub(super) fn for_smtp(&self) -> Self {
        let mut config = ClientConfig::clone(self.0.config());
        config.alpn_protocols.clear();
        Self(TlsConnector::from(Arc::new(config)))
    }

    /// Fails as `Certificate` or `Tls`.
    pub(super) async fn shake_hands(&self, host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>, Failure> {
        // Certificates and SNI name hosts without the root's dot.
        let name = ServerName::try_from(host.trim_end_matches('.').to_owned())
            .map_err(|_| failed(FailureKind::Certificate, "no certificate can be for this host name"))?;
        match timeout(HANDSHAKE_TIMEOUT, self.0.connect(name, stream)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(handshake_failure(&error)),
            Err(_) => Err(failed(FailureKind::Tls, format!("no TLS handshake within {HANDSHAKE_TIMEOUT:?}"))),
        }
    }
}

fn handshake_failure(error: &io::Error) -> Failure {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(reason)) => failed(FailureKind::Certificate, certificate_fault(reason)),
        Some(rustls::Error::NoCertificatesPresented) => failed(FailureKind::Certificate, "no certificate was shown"),
        Some(other) => failed(FailureKind::Tls, format!("the TLS handshake failed: {other}")),
        None => failed(FailureKind::Tls, format!("the TLS handshake broke: {error}")),
    }
}

/// In our own words, because rustls's name the host.
fn certificate_fault(reason: &CertificateError) -> &'static str {
    match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "the certificate has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the certificate is for another name"
        }
        CertificateError::UnknownIssuer => "the certificate is from an issuer that is not trusted",
        CertificateError::Revoked => "the certificate is revoked",
        CertificateError::BadEncoding => "the certificate cannot be read",
        CertificateError::BadSignature => "the certificate's signature is wrong",
        _ => "the certificate is not valid",
    }
}
