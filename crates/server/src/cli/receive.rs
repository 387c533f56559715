//! `postrider receive`: receives webhooks on a port of this machine and shows them, with their signatures checked.
//!
//! The receiving itself is [`crate::receiver`]; here are its arguments and its two ways to print.

use super::StopSignal;
use crate::clock::SystemClock;
use crate::receiver::{Receiver, Terminal, json_line};
use anyhow::Context;
use hyper::StatusCode;
use providers::sign::SigningKey;
use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Address and port to listen on
    #[arg(long, default_value = "127.0.0.1:9000")]
    listen: SocketAddr,
    /// Signing secret (`whsec_...`) to check signatures with; may be given several times
    #[arg(long, env = "POSTRIDER_RECEIVE_SECRET", hide_env_values = true)]
    secret: Vec<String>,
    /// Answer with this status instead of 200, to see how a sender takes it
    #[arg(long, default_value = "200", value_parser = parse_status)]
    status: StatusCode,
    /// Print every notification as one line of JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(receive(arguments))?;
    Ok(ExitCode::SUCCESS)
}

async fn receive(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { listen, secret, status, json } = arguments;
    let stop = StopSignal::listen()?;
    let keys = secret.iter().map(|text| SigningKey::parse(text)).collect::<Result<Vec<_>, _>>();
    let keys = keys.context("--secret is not a signing secret")?;
    let clock = Arc::new(SystemClock::new());
    let receiver = Receiver::bind(listen, clock.clone()).await;
    let receiver = receiver.with_context(|| format!("cannot listen on {listen}"))?.answering(status);
    eprintln!(
        "Receiving on http://{}/ and answering {}. {} Stop with Ctrl-C.",
        receiver.local_addr()?,
        status.as_u16(),
        if keys.is_empty() { "Signatures are not checked: give --secret." } else { "Signatures are checked." },
    );
    receiver.keys().set(keys);
    let until = stop.received();
    if json {
        // Another program reads this: nothing is left out, and a slow reader slows the sender.
        receiver.serve(until, |notification| drop(writeln!(stdout(), "{}", json_line(&notification)))).await;
    } else {
        let terminal = Terminal::start(stdout(), clock).context("cannot start the printing thread")?;
        receiver.serve(until, terminal.sink()).await;
        terminal.close();
    }
    Ok(())
}

/// A status that ends an exchange: 1xx ones do not.
fn parse_status(text: &str) -> Result<StatusCode, String> {
    let status = text.parse::<StatusCode>().ok().filter(|status| (200..=599).contains(&status.as_u16()));
    status.ok_or_else(|| "a status is a number from 200 to 599".to_owned())
}
