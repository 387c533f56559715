//! `postrider deliveries`: what waits, what went and what gave up; and trying again.

use std::process::ExitCode;
use std::time::Duration;

use super::client::wire::Delivery;
use super::client::{self, Answer, Client, Listing, Part, Target, path};
use super::exit::{Ended, Exit, Failure};
use super::output::{Table, print, print_json, when};
use super::story;
use crate::app::Starts;

/// Between two looks at a delivery that this process tries.
const LOOK: Duration = Duration::from_millis(50);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    /// Only those in this state: pending, processing, retrying, held, sent, dead, cancelled or expired
    #[arg(long)]
    status: Option<String>,
    /// Only those of this channel
    #[arg(long, value_name = "ID")]
    channel: Option<i64>,
    #[command(flatten)]
    part: Part,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Try deliveries again at once: dead ones with a fresh budget of attempts, waiting ones without waiting
    Retry {
        /// Ids of deliveries
        #[arg(value_name = "ID", required = true)]
        deliveries: Vec<i64>,
    },
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match &arguments.action {
        None => client::run(&arguments.target, Starts::Nothing, async |client| list(client, arguments).await),
        Some(Action::Retry { deliveries }) => {
            let is_json = arguments.target.is_json;
            client::run(&arguments.target, Starts::Deliveries, async |client| retry(client, deliveries, is_json).await)
        }
    }
}

async fn list(client: &Client, arguments: &Arguments) -> Ended {
    let status = arguments.status.iter().map(|status| ("status", status.clone()));
    let channel = arguments.channel.iter().map(|channel| ("channel_id", channel.to_string()));
    let query: Vec<(&str, String)> = status.chain(channel).collect();
    let listing = client.list("/v1/deliveries", &query, &arguments.part).await?;
    listing.print(arguments.target.is_json, |listing| table(listing, client))?;
    Ok(Exit::Ok)
}

fn table(listing: &Listing, client: &Client) -> Result<String, Failure> {
    let mut table = Table::new(&["ID", "EVENT", "TYPE", "CHANNEL", "STATUS", "ATTEMPTS", "SINCE", "NEXT OR WHY"]);
    let now = client.now();
    for delivery in listing.read::<Delivery>()? {
        let next = delivery.next_attempt_at.as_deref().map(|at| when(at, now));
        table.row([
            delivery.id.to_string(),
            delivery.event_id,
            delivery.event_type,
            delivery.channel_id.to_string(),
            delivery.status,
            delivery.attempts.to_string(),
            when(delivery.settled_at.as_deref().unwrap_or(&delivery.created_at), now),
            [next, delivery.reason].into_iter().flatten().collect::<Vec<_>>().join("; "),
        ]);
    }
    Ok(table.text("There are no such deliveries."))
}

/// One after the other; the first that cannot be tried again ends it.
async fn retry(client: &Client, deliveries: &[i64], is_json: bool) -> Ended {
    for id in deliveries {
        let path = path(&["v1", "deliveries", &id.to_string(), "retry"]);
        let mut answer = client.ask_for(&path).await?;
        if let Some(patience) = client.own_patience() {
            answer = tried(client, *id, patience).await?;
        }
        if is_json {
            print_json(&answer.body)?;
            continue;
        }
        let delivery: Delivery = answer.read()?;
        let next = story::next(&delivery, client.now()).unwrap_or_else(|| format!("it is {}", delivery.status));
        print(&format!("Delivery {id} of {} to channel {}: {next}", delivery.event_id, delivery.channel_id))?;
    }
    Ok(Exit::Ok)
}

/// Waits until a delivery was tried in this process: nobody else does it when the process ends.
async fn tried(client: &Client, id: i64, patience: Duration) -> Result<Answer, Failure> {
    let end = client.monotonic() + patience;
    let mut looks = tokio::time::interval(LOOK);
    loop {
        looks.tick().await;
        let answer = client.get(&path(&["v1", "deliveries", &id.to_string()])).await?;
        if answer.read::<Delivery>()?.is_at_rest() || client.monotonic() >= end {
            return Ok(answer);
        }
    }
}
