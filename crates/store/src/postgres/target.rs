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

/// What a URL says unless it says otherwise, in seconds. A host that vanishes without a word is noticed within 15 s: when
/// bytes stay unacknowledged for so long, or an idle connection is asked after 5 s and answers none of three times.
const CONNECTION: &str = "application_name=postrider&connect_timeout=5&tcp_user_timeout=15\
                          &keepalives_idle=5&keepalives_interval=3&keepalives_retries=3";

/// How long a connection may take to come about, for a URL that allows any time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Every statement finds its rows by a key, in the order of an index. The planner's statistics are of a minute ago, when a
/// live table may have been empty, so it is told never to read one whole, in whatever way; and what is compiled at such
/// cost would be compiled in vain. Statements are written so that this leaves one plan:
/// docs/decisions/0023-postgresql-itself-tells-its-plans.md.
const SETTINGS: &str = "-c enable_seqscan=off -c enable_bitmapscan=off -c enable_sort=off \
                        -c enable_incremental_sort=off -c enable_hashjoin=off \
                        -c enable_mergejoin=off -c enable_memoize=off -c jit=off";

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
        let options = config.get_options().map_or_else(|| SETTINGS.to_owned(), |own| format!("{SETTINGS} {own}"));
        config.options(options).target_session_attrs(TargetSessionAttrs::ReadWrite).ssl_mode(asked.mode);
        Ok(Self { config, tls: connector(asked.root.as_deref())? })
    }

    /// How long it may take until a connection is there or it is certain that there is none.
    pub(super) fn connecting_max(&self) -> Duration {
        let of_one = self.config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT);
        of_one * u32::try_from(self.config.get_hosts().len()).unwrap_or(u32::MAX).max(1)
    }
}

/// What a URL says about TLS.
struct AskedTls {
    mode: SslMode,
    /// A file with the certificates of an authority of one's own, in PEM.
    root: Option<String>,
}

/// Takes `sslmode` and `sslrootcert` out of a URL, because the driver knows fewer modes, and no roots; and puts in what
/// holds unless it says otherwise: of a name that is there twice, the driver takes the last.
fn take_tls(url: &str) -> Result<(String, AskedTls), StoreError> {
    let mut asked = AskedTls { mode: SslMode::Prefer, root: None };
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let mut kept = vec![CONNECTION];
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
    Ok((format!("{base}?{}", kept.join("&")), asked))
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
    fn a_host_that_vanishes_is_noticed_in_the_time_that_the_url_says() {
        let check = |query: &str, expected: [u64; 4], retries: u32| {
            let target = Target::parse(&format!("postgres://ada@one,two/mail{query}"), None).unwrap();
            let config = &target.config;
            let seconds = [
                Some(config.get_keepalives_idle()),
                config.get_keepalives_interval(),
                config.get_tcp_user_timeout().copied(),
                Some(target.connecting_max()),
            ];
            assert_eq!(seconds, expected.map(|seconds| Some(Duration::from_secs(seconds))), "{query}");
            assert!(config.get_keepalives());
            assert_eq!(config.get_keepalives_retries(), Some(retries), "{query}");
        };
        check("", [5, 3, 15, 10], 3);
        check("?sslmode=disable&tcp_user_timeout=60", [5, 3, 60, 10], 3);
        check("?keepalives_idle=20&keepalives_interval=4&keepalives_retries=5&connect_timeout=2", [20, 4, 15, 4], 5);
        let target = Target::parse("postgres://ada@one/mail?keepalives=0&application_name=x", None).unwrap();
        assert!(!target.config.get_keepalives());
        assert_eq!(target.config.get_application_name(), Some("x"));
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
