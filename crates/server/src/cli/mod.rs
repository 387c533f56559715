//! The command line: one file or folder per command, each with its arguments and a `run`.
//!
//! Commands build their own runtime, because they want different ones: the bench one that leaves the cores to the
//! server, `receive` a single thread.

mod bench;
mod receive;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(name = "postrider", version, about = "Accepts events and delivers them to channels; never loses one")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve,
    /// Receive webhooks and print them, with their signatures checked
    Receive(receive::Arguments),
    /// Measure this machine and the server on it, end to end
    Bench(bench::Arguments),
}

pub(crate) fn run() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Serve => bail!("the server is not in this checkout; build one that has it"),
        Command::Receive(arguments) => receive::run(arguments),
        Command::Bench(arguments) => bench::run(&arguments),
    }
}

/// Completes when a person (Ctrl-C) or the system (SIGTERM) asks the process to stop.
async fn interrupted() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.context("cannot listen for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}
