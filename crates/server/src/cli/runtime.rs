//! The runtime that commands run on, and what a Ctrl-C means to them.

use std::process::ExitCode;

use anyhow::Context as _;

use super::exit::{Ended, report};

/// Runs a command to its end and tells the user how it ended.
pub(super) fn run(command: impl Future<Output = Ended>) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start threads")?;
    let ended = runtime.block_on(command);
    // Nothing that still runs is worth waiting for: what had to be finished was waited for by name.
    runtime.shutdown_background();
    Ok(report(ended))
}
