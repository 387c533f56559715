//! `postrider serve`: runs the server until it is asked to stop. Also what `postrider` alone does.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;

use super::StopSignal;
use crate::app::App;
use crate::config::{Config, Sources};
use crate::telemetry::log;

pub(super) fn run(sources: &Sources) -> anyhow::Result<ExitCode> {
    let config = Config::load(sources)?;
    log::start(&config.log, config.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let stop = StopSignal::listen()?;
    let data_dir = config.data_dir.clone();
    let app = App::start(config).await?;
    let (version, address) = (env!("CARGO_PKG_VERSION"), app.address());
    tracing::info!(version, %address, data_dir = %data_dir.display(), "started");
    // A closed stdout is no reason to stop.
    let _ = writeln!(std::io::stdout(), "{}", app.welcome());
    stop.received().await;
    tracing::info!("stopping: finishing what is under way");
    if app.stop().await {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("postrider: stopped before everything under way was answered; it is sent again at the next start");
    Ok(ExitCode::SUCCESS)
}
