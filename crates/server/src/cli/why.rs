//! `postrider why`: the whole story of an event, or why one channel did or did not get it.

use std::process::ExitCode;

use serde::Serialize;
use serde_json::value::RawValue;

use super::client::wire::{Attempt, Delivery, Event, Explained};
use super::client::{self, Answer, Client, Listing, Target, path, unreadable};
use super::exit::{Ended, Exit, Failure};
use super::output::{Tone, print, safe, toned, when};
use super::story::{self, Names};
use crate::app::Starts;

/// Attempts told of one delivery. A webhook has ten at most, and one more for each retry by a person or pause.
const ATTEMPTS_TOLD_MAX: usize = 200;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The event, like `evt_17`; or a delivery as receivers see it in `webhook-id`, like `dlv_f11a4db980_31`
    #[arg(value_name = "EVENT")]
    event: String,
    /// Only this channel, also one that the event was not for
    #[arg(long, value_name = "ID")]
    channel: Option<i64>,
    /// Deliveries, and channels left out, to tell of at most
    #[arg(long, value_name = "COUNT", default_value = "50")]
    limit: usize,
    #[command(flatten)]
    target: Target,
}

/// What the API answered, put together.
#[derive(Debug, Serialize)]
struct Answers {
    event: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explain: Option<Box<RawValue>>,
    attempts: Vec<Box<RawValue>>,
}

/// A delivery and its tries, oldest first.
struct Told {
    delivery: Delivery,
    attempts: Listing,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    client::run(&arguments.target, Starts::Nothing, async |client| why(client, arguments).await)
}

/// What is asked about.
struct Question {
    event: String,
    channel: Option<i64>,
}

impl Question {
    async fn of(client: &Client, arguments: &Arguments) -> Result<Self, Failure> {
        let Some(wire_id) = arguments.event.strip_prefix("dlv_") else {
            return Ok(Self { event: arguments.event.clone(), channel: arguments.channel });
        };
        let number = wire_id.rsplit('_').next().unwrap_or_default();
        let delivery: Delivery = client.get(&path(&["v1", "deliveries", number])).await?.read()?;
        Ok(Self { event: delivery.event_id, channel: Some(delivery.channel_id) })
    }
}

async fn why(client: &Client, arguments: &Arguments) -> Ended {
    let asked = Question::of(client, arguments).await?;
    let event_path = path(&["v1", "events", &asked.event]);
    let answer = client.get(&event_path).await?;
    let event: Event = answer.read()?;
    let explained = match asked.channel {
        Some(channel) => Some(client.get(&format!("{event_path}/explain?channel_id={channel}")).await?),
        None => None,
    };
    let deliveries = match &explained {
        Some(explained) => explained.read::<Explained>()?.delivery.into_iter().collect(),
        None => event.deliveries.iter().take(arguments.limit).cloned().collect::<Vec<_>>(),
    };
    let mut told = Vec::new();
    for delivery in deliveries {
        told.push(Told { attempts: attempts(client, delivery.id).await?, delivery });
    }
    if arguments.target.is_json {
        return print_answers(&answer, explained.as_ref(), &told);
    }
    let mut paragraphs = vec![head(&event, client)];
    let mut names = Names::default();
    if let (Some(channel), Some(explained)) = (asked.channel, &explained) {
        let explained: Explained = explained.read()?;
        if explained.delivery.is_none() {
            let name = names.of(client, channel).await?;
            paragraphs.push(format!("Not for {name}: {}.", story::reason_in_words(&explained.reason_code)));
        }
    }
    for one in &told {
        paragraphs.push(paragraph(client, &mut names, one).await?);
    }
    if explained.is_none() {
        paragraphs.extend(others(client, &mut names, &event, told.len(), arguments.limit).await?);
    }
    print(&paragraphs.join("\n\n"))?;
    Ok(Exit::Ok)
}

async fn attempts(client: &Client, delivery: i64) -> Result<Listing, Failure> {
    let query = [("delivery_id", delivery.to_string())];
    client.page("/v1/attempts", &query, ATTEMPTS_TOLD_MAX, None).await
}

fn print_answers(event: &Answer, explained: Option<&Answer>, told: &[Told]) -> Ended {
    let raw =
        |answer: &Answer| serde_json::from_slice::<Box<RawValue>>(&answer.body).map_err(|error| unreadable(&error));
    let answers = Answers {
        event: raw(event)?,
        explain: explained.map(raw).transpose()?,
        attempts: told.iter().flat_map(|one| one.attempts.rows().iter().rev().cloned()).collect(),
    };
    print(&serde_json::to_string(&answers).map_err(|error| unreadable(&error))?)?;
    Ok(Exit::Ok)
}

fn head(event: &Event, client: &Client) -> String {
    let severity = event.severity.as_deref().map_or(String::new(), |severity| format!(", severity {}", safe(severity)));
    let chosen = if event.channels.is_some() { "It named its channels." } else { "Subscriptions chose its channels." };
    let accepted = when(&event.accepted_at, client.now());
    format!("{} {}{severity}\nAccepted {accepted}. {chosen}", safe(&event.id), safe(&event.r#type))
}

async fn paragraph(client: &Client, names: &mut Names, told: &Told) -> Result<String, Failure> {
    let Told { delivery, attempts } = told;
    let now = client.now();
    let name = names.of(client, delivery.channel_id).await?;
    let status = toned(Tone::of_status(&delivery.status), &delivery.status);
    let settled = delivery.settled_at.as_deref().map_or(String::new(), |at| format!(" {}", when(at, now)));
    let mut lines =
        vec![format!("For {name}: {status}{settled}{} [{}]", story::reason(delivery), story::labels(delivery))];
    let tries: Vec<Attempt> = attempts.read()?;
    lines.extend(tries.iter().rev().map(|attempt| format!("  {}", story::attempt(attempt, now))));
    if tries.is_empty() {
        lines.push("  never tried yet".to_owned());
    }
    if let Some(next) = story::next(delivery, now) {
        lines.push(format!("  Next: {next}."));
        if delivery.status != "dead" {
            lines.push(format!("  It is worth sending until {}.", when(&delivery.expires_at, now)));
        }
    }
    Ok(lines.join("\n"))
}

/// What there is beside the deliveries that were told of.
async fn others(
    client: &Client,
    names: &mut Names,
    event: &Event,
    told: usize,
    limit: usize,
) -> Result<Vec<String>, Failure> {
    let mut paragraphs = Vec::new();
    let mut lines = Vec::new();
    for verdict in event.verdicts.iter().take(limit) {
        let name = names.of(client, verdict.channel_id).await?;
        lines.push(format!("Not for {name}: {}.", story::reason_in_words(&verdict.reason_code)));
    }
    let untold = event.verdicts.len().saturating_sub(limit);
    if untold > 0 {
        lines.push(format!("Not for {untold} more channels: raise --limit to see why."));
    }
    if event.verdicts_more > 0 {
        lines.push(format!("Not for {} more channels, whose reasons were not kept.", event.verdicts_more));
    }
    if !lines.is_empty() {
        paragraphs.push(lines.join("\n"));
    }
    if event.deliveries_total == 0 {
        paragraphs.push("No channel took it.".to_owned());
    }
    let more = event.deliveries_total.saturating_sub(told);
    if more > 0 {
        paragraphs.push(format!("And {more} more deliveries: raise --limit, or ask for one channel with --channel."));
    }
    if event.channels.is_none() {
        let ask = format!("postrider why {} --channel ID", safe(&event.id));
        paragraphs.push(format!("Channels whose event types did not match are not listed: '{ask}' tells about one."));
    }
    Ok(paragraphs)
}
