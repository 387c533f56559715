//! Settings: `defaults.toml`, overridden by `POSTRIDER_...` environment variables.

mod smtp;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use config::{Environment, File, FileFormat};
use domain::Secret;
use engine::Settings;
use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

pub use smtp::Smtp;

const DEFAULTS: &str = include_str!("../../defaults.toml");

/// What the operator decides. Each field is explained in `defaults.toml`.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    /// A platform key of the operator's own.
    pub admin_key: Option<Secret>,
    pub log: String,
    pub engine: Settings,
    pub stop_patience: Duration,
    pub egress_allow: Vec<IpNet>,
    pub smtp: Smtp,
}

#[derive(Debug, Deserialize)]
struct Raw {
    listen: SocketAddr,
    data_dir: PathBuf,
    admin_key: String,
    log: String,
    database_url: Option<String>,
    delivery: RawDelivery,
    egress: RawEgress,
    smtp: smtp::RawSmtp,
}

#[derive(Debug, Deserialize)]
struct RawDelivery {
    retry_base_ms: u64,
    in_flight_max: usize,
    lane_items_max: usize,
    buffered_bytes_max: usize,
    stop_patience_seconds: u64,
}

#[derive(Debug, Deserialize)]
struct RawEgress {
    #[serde(deserialize_with = "networks")]
    allow: Vec<IpNet>,
}

impl Config {
    /// Reads the settings; the error names the one that is wrong.
    pub fn load() -> anyhow::Result<Self> {
        Self::from_source(Environment::with_prefix("POSTRIDER").prefix_separator("_").separator("__"))
    }

    fn from_source(environment: Environment) -> anyhow::Result<Self> {
        let raw: Raw = config::Config::builder()
            .add_source(File::from_str(DEFAULTS, FileFormat::Toml))
            .add_source(environment)
            .build()
            .and_then(config::Config::try_deserialize)
            .context("the settings cannot be used (POSTRIDER_... variables; defaults.toml lists them)")?;
        raw.check()
    }
}

impl Raw {
    fn check(self) -> anyhow::Result<Config> {
        let Raw { delivery, .. } = self;
        if self.database_url.is_some_and(|url| !url.is_empty()) {
            anyhow::bail!("POSTRIDER_DATABASE_URL is set, and this version keeps everything in SQLite: unset it");
        }
        anyhow::ensure!(
            (1..=65_536).contains(&delivery.in_flight_max),
            "POSTRIDER_DELIVERY__IN_FLIGHT_MAX must be 1 to 65536, and is {}",
            delivery.in_flight_max
        );
        anyhow::ensure!(
            (1..=1_000_000).contains(&delivery.lane_items_max),
            "POSTRIDER_DELIVERY__LANE_ITEMS_MAX must be 1 to 1000000, and is {}",
            delivery.lane_items_max
        );
        Ok(Config {
            listen: self.listen,
            data_dir: self.data_dir,
            admin_key: Some(self.admin_key).filter(|key| !key.is_empty()).map(Secret::new),
            log: self.log,
            engine: Settings {
                retry_base: (delivery.retry_base_ms > 0).then(|| Duration::from_millis(delivery.retry_base_ms)),
                in_flight_max: delivery.in_flight_max,
                lane_items_max: delivery.lane_items_max,
                buffered_bytes_max: delivery.buffered_bytes_max,
                ..Settings::default()
            },
            stop_patience: Duration::from_secs(delivery.stop_patience_seconds),
            egress_allow: self.egress.allow,
            smtp: self.smtp.check()?,
        })
    }
}

/// A list of networks, or one text with commas. A single address is a network of one.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        List(Vec<String>),
        Text(String),
    }
    let texts = match Given::deserialize(deserializer)? {
        Given::List(texts) => texts,
        Given::Text(text) => text.split(',').map(ToOwned::to_owned).collect(),
    };
    let parse = |text: &str| {
        let address = || text.parse().map(|address: std::net::IpAddr| IpNet::from(address));
        text.parse()
            .or_else(|_| address())
            .map_err(|_| serde::de::Error::custom(format!("egress.allow: {text:?} is not a network like 10.0.0.0/8")))
    };
    texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(variables: &[(&str, &str)]) -> anyhow::Result<Config> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let environment = Environment::with_prefix("POSTRIDER").prefix_separator("_").separator("__");
        Config::from_source(environment.source(Some(variables)))
    }

    #[test]
    fn the_defaults_are_complete() {
        let config = load(&[]).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert!(config.admin_key.is_none() && config.egress_allow.is_empty() && config.engine.retry_base.is_none());
    }

    #[test]
    fn the_environment_overrides() {
        let config = load(&[
            ("POSTRIDER_LISTEN", "0.0.0.0:80"),
            ("POSTRIDER_ADMIN_KEY", "0123456789012345678901234567890123456789"),
            ("POSTRIDER_EGRESS__ALLOW", "10.0.0.0/8, 127.0.0.1,"),
            ("POSTRIDER_DELIVERY__RETRY_BASE_MS", "10"),
        ])
        .unwrap();
        assert_eq!(config.listen.port(), 80);
        assert_eq!(config.admin_key.unwrap().reveal(), "0123456789012345678901234567890123456789");
        assert_eq!(config.egress_allow.len(), 2);
        assert_eq!(config.engine.retry_base, Some(Duration::from_millis(10)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |name: &str, value: &str, expected: &str| {
            let error = format!("{:#}", load(&[(name, value)]).unwrap_err());
            assert!(error.contains(expected), "{error}");
        };
        check("POSTRIDER_LISTEN", "nowhere", "listen");
        check("POSTRIDER_EGRESS__ALLOW", "10.0.0.0/99", "egress.allow");
        check("POSTRIDER_DELIVERY__IN_FLIGHT_MAX", "0", "IN_FLIGHT_MAX");
        check("POSTRIDER_SMTP__URL", "mail.example.com", "POSTRIDER_SMTP__URL");
        check("POSTRIDER_SMTP__FROM", "nobody", "POSTRIDER_SMTP__FROM");
        check("POSTRIDER_DATABASE_URL", "postgres://x", "SQLite");
    }
}
