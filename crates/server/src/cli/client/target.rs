//! Which server a command asks, and as whom: the options that all such commands share.

use std::path::PathBuf;

use domain::Secret;

use super::remote::Remote;
use super::{Way, in_process};
use crate::app::Starts;
use crate::cli::exit::Failure;
use crate::cli::settings;
use crate::config::Config;
use crate::telemetry::log;

#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Which server, and as whom")]
pub(in crate::cli) struct Target {
    /// Address of the server; without it, the one that runs on the data directory
    #[arg(long, global = true, env = "POSTRIDER_URL", value_name = "URL")]
    url: Option<String>,
    /// API key; better given as `POSTRIDER_KEY`, where other users of the machine do not see it
    #[arg(long, global = true, env = "POSTRIDER_KEY", hide_env_values = true, value_name = "KEY", value_parser = secret)]
    key: Option<Secret>,
    /// Tenant to act for, by slug: for platform keys, and on the server's machine, where it is `default` unless given
    #[arg(long, global = true, env = "POSTRIDER_TENANT", value_name = "SLUG")]
    tenant: Option<String>,
    /// Data directory of the server on this machine, instead of `POSTRIDER_DATA_DIR`
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print what the server answered, as JSON
    #[arg(long = "json", global = true, help_heading = "Output")]
    pub(in crate::cli) is_json: bool,
    /// Say which way the request goes
    #[arg(short = 'v', long = "verbose", global = true, help_heading = "Output")]
    pub(in crate::cli) is_verbose: bool,
}

impl Target {
    pub(super) fn key(&self) -> Option<Secret> {
        self.key.clone().filter(|key| !key.reveal().is_empty())
    }

    pub(super) fn tenant(&self) -> Option<String> {
        given(self.tenant.as_ref()).cloned()
    }

    /// The settings of the server on this machine.
    pub(in crate::cli) fn config(&self) -> Result<Config, Failure> {
        settings::of_this_machine(self.data_dir.as_deref())
    }

    /// Whether a server is named that may be anywhere.
    pub(in crate::cli) fn is_remote(&self) -> bool {
        given(self.url.as_ref()).is_some()
    }

    pub(super) async fn way(&self, starts: Starts) -> Result<Way, Failure> {
        if let Some(url) = given(self.url.as_ref()) {
            if self.key().is_none() {
                return Err(Failure::usage(
                    "POSTRIDER_URL is set and POSTRIDER_KEY (--key) is not: a server asks for a key",
                ));
            }
            return Remote::new(url).map(Way::Remote);
        }
        let config = self.config()?;
        log_to_stderr(&config);
        in_process::socket_or_here(&config, starts).await
    }
}

/// So that nothing prints it.
#[expect(clippy::unnecessary_wraps, reason = "the shape that clap calls")]
fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text.trim()))
}

/// A variable that is empty is as good as none.
fn given(text: Option<&String>) -> Option<&String> {
    text.filter(|text| !text.trim().is_empty())
}

/// What runs in this process logs as a server does.
fn log_to_stderr(config: &Config) {
    // Only the first of a process counts.
    let _ = log::start(&config.log, config.log_format);
}
