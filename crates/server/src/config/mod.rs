//! Settings: `defaults.toml`, then a settings file, `POSTRIDER_...` variables and flags, the later over the earlier.
//!
//! Start at [`Config`], what the rest of the server sees. To add a section: its settings to `defaults.toml`, a struct
//! and its function here, a field in [`Config`]. [`given`] collects who said what and refuses unknown names; [`read`]
//! makes types of texts and says what would be right.

mod given;
mod jwt;
mod read;
mod smtp;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use domain::Secret;
use domain::quotas::{self, Quota, Quotas};
use domain::secret::MASK;
use engine::Settings;
use engine::settings::Retention;
use http::{HeaderName, HeaderValue, StatusCode};
use ipnet::IpNet;
use jiff::tz::TimeZone;
use store::postgres::target::Target;
use url::Url;

pub use given::{Flag, Source, Sources};
pub use read::SettingError;

use given::{SECRETS, Value};
use read::{Reader, base_url, header, network, origin, time_zone};

pub use jwt::{JwtConfig, KeySource};
pub use smtp::Smtp;

const DEFAULTS: &str = include_str!("../../defaults.toml");

/// What the operator decides. Each field is explained in `defaults.toml`.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    /// `None`: SQLite in the data directory.
    pub database: Option<Target>,
    /// Of whatever database on a server, so that it stands in no URL.
    pub database_password: Option<Secret>,
    pub database_readers: usize,
    /// A platform key of the operator's own.
    pub admin_key: Option<Secret>,
    pub log: String,
    pub log_format: LogFormat,
    pub engine: Settings,
    pub stop_patience: Duration,
    pub egress_allow: Vec<IpNet>,
    pub server: ServerConfig,
    pub tls: Option<TlsFiles>,
    pub limits: Limits,
    /// Whether everybody may read `/metrics`.
    pub metrics_public: bool,
    pub otel: Option<OtelConfig>,
    /// Whose bearer tokens are taken.
    pub jwt: Option<JwtConfig>,
    pub smtp: Smtp,
    /// Whether a tenant that has set nothing in the Aether365 API gets mail about its scans.
    pub aether365_mails_by_default: bool,
    /// What Thulium's receivers are told local times in.
    pub thulium_time_zone: TimeZone,
    pub altum: AltumConfig,
    pub lenz: LenzConfig,
    /// Where providers' APIs are that the operator has elsewhere, by the provider's name.
    pub base_urls: BTreeMap<String, Url>,
}

/// How the Altum dialect answers.
#[derive(Clone, Copy, Debug)]
pub struct AltumConfig {
    /// Of each key.
    pub requests_per_minute: u32,
    /// What wrong fields are answered with.
    pub validation_status: StatusCode,
}

/// What clients of Lenz are told.
#[derive(Clone, Debug)]
pub struct LenzConfig {
    pub time_zone: TimeZone,
}

/// Where traces go.
#[derive(Clone, Debug)]
pub struct OtelConfig {
    /// Of the collector; OTLP's own path comes after it.
    pub endpoint: Url,
    /// For the collector, as `name=value`; hold its key.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// How the server is seen from outside.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    pub public_url: Option<Url>,
    pub trusted_proxies: Vec<IpNet>,
    pub cors_origins: Vec<HeaderValue>,
}

/// The certificate of the listener.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// What clients may ask of the listener.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub body_bytes_max: usize,
    pub body_timeout: Duration,
    pub connections_max: usize,
    pub idle_timeout: Duration,
}

/// A setting as it stands.
#[derive(Clone, Debug)]
pub struct Effective {
    pub name: String,
    /// A list has as many as it likes; a single value is a list of one. Secrets are masked.
    pub values: Vec<String>,
    pub is_list: bool,
    pub source: Source,
}

/// Every setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingErrors(pub Vec<SettingError>);

impl fmt::Display for SettingErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the settings cannot be used:")?;
        self.0.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

impl std::error::Error for SettingErrors {}

impl Config {
    /// Reads the settings; the error names every one that is wrong.
    pub fn load(sources: &Sources) -> Result<Self, SettingErrors> {
        let (given, mut errors) = sources.gather();
        let defaults = given::defaults();
        let mut reader = Reader::new(&given, &defaults);
        let config = read(&mut reader);
        errors.extend(reader.finish());
        if errors.is_empty() { Ok(config) } else { Err(SettingErrors(errors)) }
    }

    /// Every setting with who gave it, in order of name.
    pub fn effective(sources: &Sources) -> Vec<Effective> {
        let show = |name: &str, text: String| {
            if SECRETS.contains(&name) && !text.is_empty() { MASK.to_owned() } else { text }
        };
        let (given, _) = sources.gather();
        given
            .into_iter()
            .map(|(name, one)| {
                let (values, is_list) = match one.value {
                    Value::Text(text) => (vec![text], false),
                    Value::List(texts) => (texts, true),
                };
                let values = values.into_iter().map(|text| show(&name, text)).collect();
                Effective { values, is_list, source: one.source, name }
            })
            .collect()
    }
}

fn read(reader: &mut Reader<'_>) -> Config {
    let database_password = reader.secret("database_password");
    Config {
        listen: reader.parsed("listen", |text| {
            text.parse().map_err(|_| "must be an address and a port, like 127.0.0.1:8080".to_owned())
        }),
        data_dir: reader.parsed("data_dir", |text| {
            if text.is_empty() { Err("must be the path of a directory".to_owned()) } else { Ok(text.into()) }
        }),
        database: database(reader, database_password.as_ref()),
        database_password,
        database_readers: reader.number("database_readers", 1..=100),
        admin_key: reader.optional("admin_key", admin_key),
        log: reader.parsed("log", log_filter),
        log_format: reader.choice("log_format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]),
        engine: engine(reader),
        stop_patience: reader.seconds("delivery.stop_patience_seconds", 0..=86_400),
        egress_allow: reader.list("egress.allow", network),
        server: server(reader),
        tls: tls(reader),
        limits: limits(reader),
        metrics_public: reader.choice("metrics.public", &[("true", true), ("false", false)]),
        otel: otel(reader),
        jwt: jwt::read(reader),
        smtp: smtp::read(reader),
        aether365_mails_by_default: reader.choice("aether365.mails_by_default", &[("true", true), ("false", false)]),
        thulium_time_zone: reader.parsed("thulium.time_zone", time_zone),
        altum: altum(reader),
        lenz: LenzConfig { time_zone: reader.parsed("lenz.time_zone", time_zone) },
        base_urls: base_urls(reader),
    }
}

/// Where PostgreSQL is. What the URL says wrong is said without it: it holds a password.
fn database(reader: &mut Reader<'_>, password: Option<&Secret>) -> Option<Target> {
    reader.optional("database_url", |url| {
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err("must begin with postgres:// or postgresql://".to_owned());
        }
        Target::parse(url, password.map(Secret::reveal)).map_err(|error| error.to_string())
    })
}

/// What no header can carry would be a key that nobody can use.
fn admin_key(text: &str) -> Result<Secret, String> {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(Secret::new(text))
    } else {
        Err("must be visible ASCII characters, without spaces: it is sent in a header".to_owned())
    }
}

fn engine(reader: &mut Reader<'_>) -> Settings {
    let retry_base_ms = reader.number("delivery.retry_base_ms", 0..=86_400_000);
    let held_hours: u64 = reader.number("delivery.held_hours", 0..=720);
    Settings {
        retry_base: (retry_base_ms > 0).then(|| Duration::from_millis(retry_base_ms)),
        in_flight_max: reader.number("delivery.in_flight_max", 1..=65_536),
        lane_items_max: reader.number("delivery.lane_items_max", 1..=1_000_000),
        buffered_bytes_max: reader.number("delivery.buffered_bytes_max", 0..=1 << 40),
        keeps_provider_rates: reader.choice("delivery.provider_rates", &[("true", true), ("false", false)]),
        held_max: reader.number("delivery.held_max", 1..=10_000_000),
        held_for: (held_hours > 0).then(|| Duration::from_secs(held_hours * 3600)),
        retention: Retention {
            events: days(reader, "retention.events_days"),
            deliveries: days(reader, "retention.deliveries_days"),
            attempts: days(reader, "retention.attempts_days"),
            inbox: days(reader, "retention.inbox_days"),
            inbox_entries_max: Some(reader.number("retention.inbox_entries_max", 0..=1_000_000)).filter(|max| *max > 0),
            sums: days(reader, "retention.sums_days"),
        },
        quotas: Quota::ALL.into_iter().fold(Quotas::default(), |quotas, quota| {
            quotas.with(quota, Some(reader.number(&format!("quotas.{}", quota.name()), 0..=quotas::BOUND_MAX)))
        }),
        ..Settings::default()
    }
}

/// 0 is for ever. Parts of a day are for those who try it out.
fn days(reader: &mut Reader<'_>, name: &str) -> Option<Duration> {
    let days: f64 = reader.parsed(name, |text| {
        let days = text.parse().ok().filter(|days| (0.0..=36_500.0).contains(days));
        days.ok_or_else(|| "must be a number of days, 0 to 36500; 0 keeps for ever".to_owned())
    });
    (days > 0.0).then(|| Duration::from_secs_f64(days * 86_400.0))
}

fn server(reader: &mut Reader<'_>) -> ServerConfig {
    ServerConfig {
        public_url: reader.optional("server.public_url", base_url),
        trusted_proxies: reader.list("server.trusted_proxies", network),
        cors_origins: reader.list("server.cors_origins", origin),
    }
}

fn tls(reader: &mut Reader<'_>) -> Option<TlsFiles> {
    match (reader.path("tls.cert"), reader.path("tls.key")) {
        (Some(cert), Some(key)) => Some(TlsFiles { cert, key }),
        (None, None) => None,
        (Some(_), None) => {
            reader.refuse("tls.key", "tls.cert", "is required with tls.cert: the PEM file with its private key");
            None
        }
        (None, Some(_)) => {
            reader.refuse(
                "tls.cert",
                "tls.key",
                "is required with tls.key: the PEM file with the certificate and its chain",
            );
            None
        }
    }
}

fn limits(reader: &mut Reader<'_>) -> Limits {
    Limits {
        body_bytes_max: reader.number("limits.body_bytes_max", 1024..=64 << 20),
        body_timeout: reader.seconds("limits.body_timeout_seconds", 1..=3600),
        connections_max: reader.number("limits.connections_max", 1..=1_000_000),
        idle_timeout: reader.seconds("limits.idle_timeout_seconds", 1..=3600),
    }
}

fn altum(reader: &mut Reader<'_>) -> AltumConfig {
    let statuses = [("400", StatusCode::BAD_REQUEST), ("401", StatusCode::UNAUTHORIZED)];
    AltumConfig {
        requests_per_minute: reader.number("altum.requests_per_minute", 1..=1_000_000),
        validation_status: reader.choice("altum.validation_status", &statuses),
    }
}

fn otel(reader: &mut Reader<'_>) -> Option<OtelConfig> {
    let headers = reader.list("otel.headers", header);
    let endpoint = reader.optional("otel.endpoint", base_url)?;
    Some(OtelConfig { endpoint, headers })
}

fn base_urls(reader: &mut Reader<'_>) -> BTreeMap<String, Url> {
    let names = given::providers_with_base_url();
    names
        .filter_map(|name| Some((name.to_owned(), reader.optional(&given::base_url_setting(name), base_url)?)))
        .collect()
}

fn log_filter(text: &str) -> Result<String, String> {
    let right = |_| "must be a level (error, warn, info, debug, trace) or targets with levels, like info,engine=debug";
    tracing_subscriber::EnvFilter::try_new(text).map_err(right)?;
    Ok(text.to_owned())
}
