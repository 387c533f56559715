//! `postrider config`: whether the settings can be used, and what they are in effect. It starts nothing.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::settings::SettingFlags;
use crate::config::{Config, Effective, SettingError, SettingErrors, Sources};
use crate::http::tls::Tls;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Tell whether the settings can be used, or everything that is wrong; ends with 0 or 1
    Check(Arguments),
    /// Print every setting as it stands and who gave it; secrets are masked
    Dump(Arguments),
}

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

pub(super) fn run(command: Command, file_before: Option<std::path::PathBuf>) -> ExitCode {
    let (Command::Check(arguments) | Command::Dump(arguments)) = &command;
    let as_json = arguments.json;
    let is_check = matches!(command, Command::Check(_));
    let (Command::Check(arguments) | Command::Dump(arguments)) = command;
    let sources = arguments.settings.after(file_before).sources();
    if let Err(errors) = check(&sources) {
        tell_errors(&errors, as_json);
        return ExitCode::FAILURE;
    }
    let told = match (is_check, as_json) {
        (true, true) => json!({"ok": true, "errors": []}).to_string(),
        (true, false) => "ok".to_owned(),
        (false, true) => dump_json(&Config::effective(&sources)),
        (false, false) => dump_toml(&Config::effective(&sources)),
    };
    println!("{}", told.trim_end());
    ExitCode::SUCCESS
}

/// The settings by themselves, and the files that they name.
fn check(sources: &Sources) -> Result<(), SettingErrors> {
    let config = Config::load(sources)?;
    let Some(files) = &config.tls else { return Ok(()) };
    Tls::load(files).map(drop).map_err(|error| {
        let effective = Config::effective(sources);
        let source = effective.into_iter().find(|one| one.name == error.setting).map(|one| one.source);
        let source = source.unwrap_or(crate::config::Source::Default);
        SettingErrors(vec![SettingError { setting: error.setting.to_owned(), source, message: error.message }])
    })
}

fn tell_errors(errors: &SettingErrors, as_json: bool) {
    if !as_json {
        eprintln!("postrider: {errors}");
        return;
    }
    let one = |error: &SettingError| json!({"setting": error.setting, "source": error.source.to_string(), "message": error.message});
    println!("{}", json!({"ok": false, "errors": errors.0.iter().map(one).collect::<Vec<_>>()}));
}

fn dump_json(settings: &[Effective]) -> String {
    let one = |setting: &Effective| {
        let value = match setting.values.first() {
            Some(value) if !setting.is_list => json!(value),
            _ => json!(setting.values),
        };
        json!({"name": setting.name, "value": value, "source": setting.source.to_string()})
    };
    json!({"settings": settings.iter().map(one).collect::<Vec<_>>()}).to_string()
}

/// In the form of a settings file, each line with who gave it.
fn dump_toml(settings: &[Effective]) -> String {
    let quoted = |value: &String| toml::Value::String(value.clone()).to_string();
    let mut out = String::new();
    for setting in settings {
        let values: Vec<String> = setting.values.iter().map(quoted).collect();
        let value = if setting.is_list { format!("[{}]", values.join(", ")) } else { values.concat() };
        // A text can always be written to memory.
        let _ = writeln!(out, "{} = {value} # {}", setting.name, setting.source);
    }
    out
}
