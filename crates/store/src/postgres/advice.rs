//! What to do about a server that cannot be connected to: a sentence for whoever reads the error, where one helps.

use std::error::Error as _;
use std::io;

use rustls::CertificateError;
use tokio_postgres::Error;

/// The advice, as a sentence of its own.
pub(super) fn advice(error: &Error) -> Option<&'static str> {
    let source = error.source();
    if let Some(refusal) = error.as_db_error() {
        // PostgreSQL has no code for it.
        return refusal.message().ends_with("no encryption").then_some(
            "The server takes no connection in plain text: say sslmode=verify-full in the URL, or allow it in pg_hba.conf",
        );
    }
    if source.is_some_and(|source| source.to_string() == NO_TLS) {
        return Some("Set ssl = on at the server, or say sslmode=disable in the URL where the network is trusted");
    }
    match source?.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidCertificate(fault) => certificate_advice(fault),
        _ => None,
    }
}

/// What the driver says of a server that has no TLS when it must be spoken.
const NO_TLS: &str = "server does not support TLS";

fn certificate_advice(fault: &CertificateError) -> Option<&'static str> {
    match fault {
        CertificateError::UnknownIssuer => {
            Some("Name the certificates of the authority that has issued it: sslrootcert=/path/to/ca.pem in the URL")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Some("Connect by a name that stands in the certificate")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            Some("Renew the certificate of the server, and look at the clocks of both machines")
        }
        _ => None,
    }
}
