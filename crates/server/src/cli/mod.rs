//! The command line: one file or folder per command, each with its arguments and a `run`.
//!
//! Commands build their own runtime, because they want different ones: the bench one that leaves the cores to the
//! server, `receive` a single thread.

mod bench;
mod config;
mod receive;
mod serve;
mod settings;

use anyhow::Context;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};

#[derive(Debug, Parser)]
#[command(name = "postrider", version, about = "Accepts events and delivers them to channels; never loses one")]
struct Arguments {
    /// The settings file of `serve` and `config`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Without one: serve
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(settings::SettingFlags),
    /// Check or print the settings, and start nothing
    #[command(subcommand)]
    Config(config::Command),
    /// Receive webhooks and print them, with their signatures checked
    Receive(receive::Arguments),
    /// Measure this machine and the server on it, end to end
    Bench(bench::Arguments),
}

/// Does what the command line says. An error is one that the user should read.
pub fn run() -> anyhow::Result<ExitCode> {
    let Arguments { config: file, command } = Arguments::parse();
    match command.unwrap_or_else(|| Command::Serve(settings::SettingFlags::default())) {
        Command::Serve(flags) => serve::run(&flags.after(file).sources()),
        Command::Config(command) => Ok(config::run(command, file)),
        Command::Receive(arguments) => receive::run(arguments),
        Command::Bench(arguments) => bench::run(&arguments),
    }
}

/// A person (Ctrl-C) or the system (SIGTERM) asks the process to stop.
struct StopSignal {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignal {
    /// Made before anything is told to be ready: until then a signal ends the process where it stands.
    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn received(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
