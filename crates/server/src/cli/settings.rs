//! The flags that say something about settings, shared by the commands that read them.

use std::path::{Path, PathBuf};

use clap::Args;

use super::exit::Failure;
use crate::config::{Config, Flag, Sources};

/// Settings by flag: the strongest layer.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(super) struct SettingFlags {
    /// The settings file; without it `POSTRIDER_CONFIG`, or ./postrider.toml when it is there
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen, like 127.0.0.1:8080
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// The directory of the database and its keys
    #[arg(long, value_name = "DIRECTORY")]
    data_dir: Option<String>,
    /// What to log: a level, or targets with levels like info,engine=debug
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Any setting by its name, like `delivery.in_flight_max=64`; may be given again
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    set: Vec<(String, String)>,
}

impl SettingFlags {
    /// Those of a command, with the `--config` that may stand before the command.
    pub(super) fn after(mut self, file_before: Option<PathBuf>) -> Self {
        self.config = self.config.or(file_before);
        self
    }

    /// Everything that this process was told about settings.
    pub(super) fn sources(self) -> Sources {
        let Self { config, listen, data_dir, log, set } = self;
        let own = [("--listen", "listen", listen), ("--data-dir", "data_dir", data_dir), ("--log", "log", log)];
        let own = own.into_iter().filter_map(|(flag, name, value)| Some((flag, name.to_owned(), value?)));
        let set = set.into_iter().map(|(name, value)| ("--set", name, value));
        let flag = |(flag, name, value): (&str, String, String)| Flag { flag: flag.to_owned(), name, value };
        Sources::of_process(config, own.chain(set).map(flag).collect())
    }
}

/// The settings of the server on this machine, as it would read them, with another data directory where one is named.
pub(super) fn of_this_machine(data_dir: Option<&Path>) -> Result<Config, Failure> {
    let flag = |directory: &Path| Flag {
        flag: "--data-dir".to_owned(),
        name: "data_dir".to_owned(),
        value: directory.to_string_lossy().into_owned(),
    };
    let sources = Sources::of_process(None, data_dir.map(flag).into_iter().collect());
    Config::load(&sources).map_err(|error| Failure::usage(error.to_string()))
}

/// Without the text in the message: it may be a secret whose name was forgotten.
fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("give a name and a value, like delivery.in_flight_max=64")?;
    Ok((name.trim().to_owned(), value.to_owned()))
}
