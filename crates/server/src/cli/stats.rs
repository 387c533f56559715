//! `postrider stats`: what happened since some time, and what waits now.

use std::process::ExitCode;

use super::client::wire::Stats;
use super::client::{self, Client, Target, path};
use super::exit::{Ended, Exit};
use super::output::{print, print_json, when};
use crate::app::Starts;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The beginning, like 2026-11-22T07:00:00Z; by default 24 hours ago
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    client::run(&arguments.target, Starts::Nothing, async |client| stats(client, arguments).await)
}

async fn stats(client: &Client, arguments: &Arguments) -> Ended {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(arguments.since.iter().map(|since| ("since", since)));
    let answer = client.get(&format!("{}?{}", path(&["v1", "stats"]), query.finish())).await?;
    if arguments.target.is_json {
        print_json(&answer.body)?;
        return Ok(Exit::Ok);
    }
    let Stats { since, events, sent, failed_attempts, cancelled, expired, pending, retrying, held, dead } =
        answer.read()?;
    print(&format!(
        "Since {}\n  events           {events}\n  sent             {sent}\n  failed attempts  {failed_attempts}\n  \
         cancelled        {cancelled}\n  expired          {expired}\nNow\n  pending          {pending}\n  \
         retrying         {retrying}\n  held             {held}\n  dead             {dead}",
        when(&since, client.now())
    ))?;
    Ok(Exit::Ok)
}
