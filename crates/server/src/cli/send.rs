//! `postrider send`: posts one event, and waits for what becomes of it when asked to.
//!
//! Without a server the event is accepted and tried in this process, which ends when every delivery has been tried or the
//! patience of a stop is over; what is left waits for the server.

use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde::Serialize;
use serde_json::value::RawValue;

use super::client::wire::{Accepted, Event};
use super::client::{self, Answer, Client, Target, path};
use super::exit::{Ended, Exit, Failure};
use super::input::value_or_stdin;
use super::output::{print, print_json, remark};
use super::story;
use crate::app::Starts;

/// Waits between two looks at an event: short at first, for receivers that answer at once.
const LOOK_FIRST: Duration = Duration::from_millis(20);
const LOOK_MAX: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// What happened, like invoice.paid
    #[arg(value_name = "TYPE")]
    event_type: String,
    /// A JSON object; @FILE reads a file, - reads stdin
    #[arg(long, value_name = "JSON", default_value = "{}", allow_hyphen_values = true)]
    data: String,
    /// debug, info, warning, error or critical
    #[arg(long)]
    severity: Option<String>,
    /// When it happened, like 2026-11-22T07:00:00Z; by default now
    #[arg(long, value_name = "TIME")]
    occurred_at: Option<String>,
    /// Deliver to this channel instead of those that subscriptions choose; may be given several times
    #[arg(long = "channel", value_name = "ID")]
    channels: Vec<i64>,
    /// Nothing happens twice for the same key within 24 hours
    #[arg(long, alias = "key-idempotency", value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Wait until every delivery is settled, and end with 0 only when all were sent
    #[arg(long)]
    wait: bool,
    /// How long to wait at most
    #[arg(long, value_name = "SECONDS", default_value = "60", requires = "wait")]
    timeout: u64,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Serialize)]
struct EventIn<'a> {
    r#type: &'a str,
    data: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    occurred_at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<&'a [i64]>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    client::run(&arguments.target, Starts::Deliveries, async |client| send(client, arguments).await)
}

async fn send(client: &Client, arguments: &Arguments) -> Ended {
    let answer = post(client, arguments).await?;
    let accepted: Accepted = answer.read()?;
    let patience = match (arguments.wait, client.own_patience()) {
        (true, _) => Some(Duration::from_secs(arguments.timeout)),
        // Nobody else delivers it when this process ends.
        (false, own) => own.filter(|_| !accepted.deliveries.is_empty() || accepted.expanding > 0),
    };
    let Some(patience) = patience else {
        report_acceptance(arguments, &answer, &accepted)?;
        return Ok(Exit::Ok);
    };
    let is_enough = if arguments.wait { Event::is_settled } else { Event::is_at_rest };
    let (last, event) = follow(client, &accepted.id, patience, is_enough).await?;
    if arguments.wait && arguments.target.is_json {
        print_json(&last.body)?;
    } else {
        report_acceptance(arguments, &answer, &accepted)?;
        if !arguments.target.is_json {
            print(&story::outcomes(client, &event).await?)?;
        }
    }
    if !arguments.wait {
        return Ok(Exit::Ok);
    }
    Ok(judge(&event))
}

async fn post(client: &Client, arguments: &Arguments) -> Result<Answer, Failure> {
    let data = RawValue::from_string(value_or_stdin(&arguments.data)?.trim().to_owned())
        .map_err(|error| Failure::usage(format!("--data is not JSON: {error}")))?;
    let event = EventIn {
        r#type: &arguments.event_type,
        data,
        occurred_at: arguments.occurred_at.as_deref(),
        severity: arguments.severity.as_deref(),
        channels: Some(arguments.channels.as_slice()).filter(|channels| !channels.is_empty()),
    };
    let body = serde_json::to_vec(&event).map_err(|error| Failure::usage(format!("--data: {error}")))?;
    let headers: Vec<(&str, &str)> =
        arguments.idempotency_key.iter().map(|key| ("idempotency-key", key.as_str())).collect();
    client.send(Method::POST, "/v1/events", &headers, Bytes::from(body)).await
}

fn report_acceptance(arguments: &Arguments, answer: &Answer, accepted: &Accepted) -> Result<(), Failure> {
    if arguments.target.is_json { print_json(&answer.body) } else { print(&story::acceptance(accepted)) }
}

impl Event {
    fn is_settled(&self) -> bool {
        self.expanding == 0 && self.deliveries.iter().all(super::client::wire::Delivery::is_settled)
    }

    fn is_at_rest(&self) -> bool {
        self.expanding == 0 && self.deliveries.iter().all(super::client::wire::Delivery::is_at_rest)
    }
}

/// Looks at an event until it is as far as wanted, or the patience is over; the last look.
async fn follow(
    client: &Client,
    id: &str,
    patience: Duration,
    is_enough: impl Fn(&Event) -> bool,
) -> Result<(Answer, Event), Failure> {
    let end = client.monotonic() + patience;
    let mut wait = LOOK_FIRST;
    loop {
        let answer = client.get(&path(&["v1", "events", id])).await?;
        let event: Event = answer.read()?;
        let now = client.monotonic();
        if is_enough(&event) || now >= end {
            return Ok((answer, event));
        }
        tokio::time::sleep(wait.min(end.saturating_sub(now))).await;
        wait = LOOK_MAX.min(wait * 2);
    }
}

/// What the exit code says of an event that was waited for.
fn judge(event: &Event) -> Exit {
    if event.deliveries_total > event.deliveries.len() {
        let (seen, total) = (event.deliveries.len(), event.deliveries_total);
        remark(&format!("Only the first {seen} of {total} deliveries were looked at."));
    }
    if !event.is_settled() {
        remark("The wait is over, and not everything is settled; 'postrider why' tells how it goes on.");
        return Exit::Unsettled;
    }
    let is_sent = !event.deliveries.is_empty() && event.deliveries.iter().all(|delivery| delivery.status == "sent");
    if is_sent { Exit::Ok } else { Exit::No }
}
