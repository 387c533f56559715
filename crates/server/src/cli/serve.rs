//! `postrider serve`: runs the server until it is asked to stop. Also what `postrider` alone does.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;

use super::StopSignal;
use crate::app::App;
use crate::config::Config;

pub(super) fn run() -> anyhow::Result<ExitCode> {
    let config = Config::load()?;
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::try_new(&config.log).context("POSTRIDER_LOG")?)
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let stop = StopSignal::listen()?;
    let app = App::start(config).await?;
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
