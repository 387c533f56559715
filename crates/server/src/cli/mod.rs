//! The command line: one file or folder per command, each with its arguments and a `run`.
//!
//! Most commands ask a server by [`client`], which finds the way to it; [`output`] is how they print and [`exit`] how they
//! end.
//!
//! Commands build their own runtime, because they want different ones: the bench one that leaves the cores to the
//! server, `receive` a single thread.

mod backup;
mod bench;
mod channel;
mod client;
mod completions;
mod config;
mod deliveries;
mod doctor;
#[cfg(test)]
mod documented;
mod exit;
mod input;
mod keys;
mod migrate_store;
mod output;
mod receive;
mod redrive;
mod runtime;
mod send;
mod serve;
mod settings;
mod stats;
mod story;
mod tail;
mod tenants;
mod why;

use anyhow::Context;
use clap::{CommandFactory as _, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};

#[derive(Debug, Parser)]
#[command(name = "postrider", version, about = "Accepts events and delivers them to channels; never loses one")]
#[command(after_help = exit::codes_help())]
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
    /// Post one event
    Send(send::Arguments),
    /// Tell what became of an event, and why
    Why(why::Arguments),
    /// Follow new deliveries and attempts until Ctrl-C
    Tail(tail::Arguments),
    /// List deliveries, or try them again
    #[command(alias = "delivery")]
    Deliveries(deliveries::Arguments),
    /// Try many deliveries again by one order, or list such orders
    #[command(alias = "redrives")]
    Redrive(redrive::Arguments),
    /// Show what happened since some time, and what waits now
    Stats(stats::Arguments),
    /// Make, show, change, test and delete channels
    #[command(alias = "channels")]
    Channel(channel::Arguments),
    /// Make, list and revoke API keys
    #[command(alias = "key")]
    Keys(keys::Arguments),
    /// Make, list, suspend and delete tenants
    #[command(alias = "tenant")]
    Tenants(tenants::Arguments),
    /// Look at everything that a server on this machine needs, and say what to do
    Doctor(doctor::Arguments),
    /// Copy the database to a file, also while the server runs
    Backup(backup::BackupArguments),
    /// Put a backup into an empty data directory
    Restore(backup::RestoreArguments),
    /// Move the database between SQLite and PostgreSQL, and compare the two
    MigrateStore(migrate_store::Arguments),
    /// Print what a shell needs to complete commands
    Completions(completions::Arguments),
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
    if file.is_some() && !matches!(command, None | Some(Command::Serve(_) | Command::Config(_))) {
        let message = "--config is for serve and config; other commands read POSTRIDER_CONFIG";
        Arguments::command().error(clap::error::ErrorKind::ArgumentConflict, message).exit();
    }
    match command.unwrap_or_else(|| Command::Serve(settings::SettingFlags::default())) {
        Command::Serve(flags) => serve::run(&flags.after(file).sources()),
        Command::Config(command) => Ok(config::run(command, file)),
        Command::Send(arguments) => send::run(&arguments),
        Command::Why(arguments) => why::run(&arguments),
        Command::Tail(arguments) => tail::run(&arguments),
        Command::Deliveries(arguments) => deliveries::run(&arguments),
        Command::Redrive(arguments) => redrive::run(&arguments),
        Command::Stats(arguments) => stats::run(&arguments),
        Command::Channel(arguments) => channel::run(&arguments),
        Command::Keys(arguments) => keys::run(&arguments),
        Command::Tenants(arguments) => tenants::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Backup(arguments) => backup::run_backup(&arguments),
        Command::Restore(arguments) => backup::run_restore(&arguments),
        Command::MigrateStore(arguments) => migrate_store::run(&arguments),
        Command::Completions(arguments) => Ok(completions::run(&arguments)),
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
