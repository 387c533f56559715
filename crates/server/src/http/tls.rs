//! TLS of the listener: the operator's certificate, taken up anew when its files change.
//!
//! Before each handshake the two files are looked at, which costs two system calls and needs no signal: whatever renews
//! a certificate writes files. Files that cannot be used, as when only one of the two is written yet, leave the
//! certificate before in place and are looked at again when they have changed once more.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::TlsFiles;

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {message}")]
pub(crate) struct TlsError {
    /// Which of the two settings it is about.
    pub(crate) setting: &'static str,
    pub(crate) message: String,
}

/// The certificate of the listener.
pub(crate) struct Tls {
    files: TlsFiles,
    current: Mutex<Current>,
}

struct Current {
    /// What the files looked like when they were last read, whether they could be used or not.
    seen: Seen,
    config: Arc<ServerConfig>,
}

/// Changes whenever a file is written, replaced or linked anew: size and time of change of both.
type Seen = [Option<(u64, SystemTime)>; 2];

impl Tls {
    /// Reads the files; the error says which is wrong and why.
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        let seen = look(files);
        let config = read(files)?;
        Ok(Self { files: files.clone(), current: Mutex::new(Current { seen, config }) })
    }

    /// What the next connection is greeted with.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = look(&self.files);
        if seen != current.seen {
            current.seen = seen;
            match read(&self.files) {
                Ok(config) => {
                    tracing::info!(cert = %self.files.cert.display(), "the TLS certificate was read anew");
                    current.config = config;
                }
                Err(error) => {
                    tracing::warn!(%error, "the TLS certificate has changed and cannot be used; the one before stays");
                }
            }
        }
        TlsAcceptor::from(Arc::clone(&current.config))
    }
}

fn look(files: &TlsFiles) -> Seen {
    let look = |path: &Path| {
        let about = std::fs::metadata(path).ok()?;
        Some((about.len(), about.modified().ok()?))
    };
    [look(&files.cert), look(&files.key)]
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let of_cert = |message: String| TlsError { setting: "tls.cert", message };
    let of_key = |message: String| TlsError { setting: "tls.key", message };
    let unreadable =
        |path: &Path, error: pem::Error| format!("the file {} cannot be read: {}", path.display(), told(&error));
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect)
        .map_err(|error| of_cert(unreadable(&files.cert, error)))?;
    if chain.is_empty() {
        return Err(of_cert(format!("the file {} holds no certificate (PEM)", files.cert.display())));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| of_key(unreadable(&files.key, error)))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| of_cert(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                of_key(format!("the key in {} is not that of the certificate in tls.cert", files.key.display()))
            }
            error => of_cert(format!("the certificate and its key cannot be used: {error}")),
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Without what the file holds: it may be the key.
fn told(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "it holds nothing of that kind (PEM)".to_owned(),
        _ => "it is not a PEM file".to_owned(),
    }
}
