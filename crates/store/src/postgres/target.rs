//! Which server, and how it is reached: the URL with what Postrider insists on.
//!
//! Every connection goes to the primary (`target_session_attrs=read-write`, so a list of hosts may name standbys), and
//! whenever TLS is spoken the certificate is checked, chain and name, as `verify-full` does. `sslmode` only says whether
//! it must be spoken.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, crypto};
use rustls_platform_verifier::Verifier;
use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::StoreError;

/// How long a connection may take to come about, unless the URL says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long sent bytes may stay unacknowledged before a connection counts as lost.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(15);

/// Every statement finds its rows by a key. The planner's statistics are of a minute ago, when a live table may have
/// been empty, so it is told never to read one whole; and what is compiled at such cost would be compiled in vain.
const SETTINGS: &str = "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off";

/// A database of a PostgreSQL server.
#[derive(Clone)]
pub struct Target {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

impl fmt::Display for Target {
    /// Hosts and database, without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use tokio_postgres::config::Host;
        f.write_str(self.config.get_dbname().or(self.config.get_user()).unwrap_or("postgres"))?;
        for (position, host) in self.config.get_hosts().iter().enumerate() {
            f.write_str(if position == 0 { " on " } else { ", " })?;
            match host {
                Host::Tcp(name) => f.write_str(name)?,
                Host::Unix(path) => write!(f, "{}", path.display())?,
            }
        }
        Ok(())
    }
}

impl Target {
    /// Reads `postgres://user@host[,host]/database?...`. A password given apart takes the place of the URL's.
    pub fn parse(url: &str, password: Option<&str>) -> Result<Self, StoreError> {
        let (url, asked) = take_tls(url)?;
        let unusable = |error| StoreError::Unusable(format!("the database URL cannot be read: {error}"));
        let mut config: Config = url.parse().map_err(unusable)?;
        if let Some(password) = password {
            config.password(password);
        }
        if config.get_application_name().is_none() {
            config.application_name("postrider");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(TCP_USER_TIMEOUT);
        }
        let options = config.get_options().map_or_else(|| SETTINGS.to_owned(), |own| format!("{SETTINGS} {own}"));
        config.options(options).target_session_attrs(TargetSessionAttrs::ReadWrite).ssl_mode(asked.mode);
        Ok(Self { config, tls: connector(asked.root.as_deref())? })
    }
}

/// What a URL says about TLS.
struct AskedTls {
    mode: SslMode,
    /// A file with the certificates of an authority of one's own, in PEM.
    root: Option<String>,
}

/// Takes `sslmode` and `sslrootcert` out of a URL: the driver knows fewer modes, and no roots.
fn take_tls(url: &str) -> Result<(String, AskedTls), StoreError> {
    let mut asked = AskedTls { mode: SslMode::Prefer, root: None };
    let Some((base, query)) = url.split_once('?') else { return Ok((url.to_owned(), asked)) };
    let mut kept = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", mode)) => asked.mode = mode_of(mode)?,
            Some(("sslrootcert", "system")) => asked.root = None,
            Some(("sslrootcert", path)) if path.contains('%') => {
                let message = format!("sslrootcert must be a path without encoded characters, and is {path}");
                return Err(StoreError::Unusable(message));
            }
            Some(("sslrootcert", path)) => asked.root = Some(path.to_owned()),
            _ => kept.push(pair),
        }
    }
    let url = if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) };
    Ok((url, asked))
}

fn mode_of(mode: &str) -> Result<SslMode, StoreError> {
    match mode {
        "disable" => Ok(SslMode::Disable),
        "prefer" => Ok(SslMode::Prefer),
        "require" | "verify-ca" | "verify-full" => Ok(SslMode::Require),
        _ => Err(StoreError::Unusable(format!(
            "sslmode must be disable, prefer, require, verify-ca or verify-full, and is {mode}"
        ))),
    }
}

/// TLS with the checks of the operating system, and an authority of one's own where there is one.
fn connector(root: Option<&str>) -> Result<MakeRustlsConnect, StoreError> {
    let extra = root.map(|path| read_roots(Path::new(path))).transpose()?.unwrap_or_default();
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let unusable =
        |error: rustls::Error| StoreError::Unusable(format!("TLS to the database cannot be set up: {error}"));
    let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider)).map_err(unusable)?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .dangerous() // rustls's word for any verifier of one's own; this one checks all that its own would.
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| StoreError::Unusable(format!("sslrootcert {} cannot be read: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_keeps_what_it_says_and_gets_what_we_insist_on() {
        let target = Target::parse(
            "postgres://ada:secret@one:5433,two/mail?sslmode=disable&connect_timeout=9&options=-c%20work_mem%3D8MB",
            Some("other"),
        )
        .unwrap();
        let config = &target.config;
        assert_eq!((config.get_user(), config.get_password()), (Some("ada"), Some(&b"other"[..])));
        assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(9)));
        assert_eq!(config.get_target_session_attrs(), TargetSessionAttrs::ReadWrite);
        assert_eq!(config.get_options(), Some(&*format!("{SETTINGS} -c work_mem=8MB")));
        assert_eq!(format!("{target:?}"), "Target(mail on one, two)");
    }

    #[test]
    fn whether_tls_must_be_spoken_is_read() {
        for (query, expected) in [
            ("", SslMode::Prefer),
            ("?sslmode=prefer", SslMode::Prefer),
            ("?sslmode=disable", SslMode::Disable),
            ("?sslmode=require", SslMode::Require),
            ("?application_name=x&sslmode=verify-full&sslrootcert=system", SslMode::Require),
        ] {
            let target = Target::parse(&format!("postgresql://host/mail{query}"), None).unwrap();
            assert_eq!(target.config.get_ssl_mode(), expected, "{query}");
        }
        for wrong in ["?sslmode=allow", "?sslrootcert=/nowhere/ca.pem", "?sslrootcert=a%20b", "?port=x"] {
            let error = Target::parse(&format!("postgres://ada:secret@host/mail{wrong}"), None).unwrap_err();
            assert!(matches!(&error, StoreError::Unusable(text) if !text.contains("secret")), "{wrong}: {error}");
        }
    }
}
