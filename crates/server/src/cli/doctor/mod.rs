//! `postrider doctor`: looks at everything that a server on this machine needs, and says what to do about what is wrong.
//!
//! It asks no server for anything but whether it is ready, needs no key, sends nothing to anybody's channel, and works
//! whether a server runs or not.

mod database;
mod disk;
mod mail;
mod network;

use std::process::ExitCode;

use domain::Clock;
use serde::Serialize;

use super::client::Target;
use super::exit::{Ended, Exit};
use super::output::{Tone, print, remark, safe, toned};
use super::runtime;
use crate::clock::SystemClock;
use crate::config::Config;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The name to look up, to see whether names can be
    #[arg(long, value_name = "NAME", default_value = "example.com")]
    resolve: String,
    #[command(flatten)]
    target: Target,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    /// It works, and something should be looked at.
    Warn,
    /// It does not, or will not for long.
    Fail,
}

/// What one check found.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    level: Level,
    detail: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, detail: detail.into(), advice: None }
    }

    fn warn(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, level: Level::Warn, detail: detail.into(), advice: Some(advice.into()) }
    }

    fn fail(check: &'static str, detail: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { level: Level::Fail, ..Self::warn(check, detail, advice) }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    ok: bool,
    checks: Vec<Finding>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    runtime::run(async { examine(arguments).await })
}

async fn examine(arguments: &Arguments) -> Ended {
    let config = arguments.target.config()?;
    if arguments.target.is_remote() {
        remark("POSTRIDER_URL is set; this looks at the data directory and the settings of this machine all the same.");
    }
    let checks = all(&config, &SystemClock::new(), &arguments.resolve).await;
    let report = Report { ok: checks.iter().all(|finding| finding.level != Level::Fail), checks };
    if arguments.target.is_json {
        let written = serde_json::to_string(&report).map_err(anyhow::Error::from)?;
        print(&written)?;
    } else {
        print(&report.checks.iter().map(line).collect::<Vec<_>>().join("\n"))?;
    }
    Ok(if report.ok { Exit::Ok } else { Exit::No })
}

async fn all(config: &Config, clock: &dyn Clock, name: &str) -> Vec<Finding> {
    let lock = database::lock(&config.data_dir);
    let mut findings = disk::checks(config, clock);
    findings.extend(database::checks(config, clock, &lock).await);
    findings.extend(network::checks(config, &lock, name).await);
    findings.extend(mail::check(config).await);
    findings
}

fn line(finding: &Finding) -> String {
    let (tone, word) = match finding.level {
        Level::Ok => (Tone::Good, "ok  "),
        Level::Warn => (Tone::Doubtful, "warn"),
        Level::Fail => (Tone::Bad, "fail"),
    };
    let advice = finding.advice.as_ref().map_or(String::new(), |advice| format!("\n      -> {advice}"));
    format!("{}  {}: {}{advice}", toned(tone, word), finding.check, safe(&finding.detail))
}
