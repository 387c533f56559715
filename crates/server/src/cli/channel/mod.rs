//! `postrider channel`: where events go.

mod add;
mod fields;
mod shape;

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::client::wire::{Channel, Tested};
use super::client::{self, Client, Part, Target, path};
use super::exit::{Ended, Exit, Failure};
use super::input::Consent;
use super::output::{Table, print, print_json, remark, safe, when};
use super::story;
use crate::app::Starts;
use shape::Shape;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a channel; 'add PROVIDER --help' tells the provider's fields
    Add(add::Add),
    /// List the channels
    List(Part),
    /// Show one channel, with its secrets masked
    Show {
        #[arg(value_name = "ID")]
        channel: i64,
    },
    /// Change what is given and leave the rest
    Set(Set),
    /// Send a test at once and tell what the receiver answered
    Test {
        #[arg(value_name = "ID")]
        channel: i64,
    },
    /// Switch it on, or let it go on after a pause: what is held is sent in order
    #[command(visible_alias = "resume")]
    On {
        #[arg(value_name = "ID")]
        channel: i64,
    },
    /// Switch it off: it takes no more deliveries, and what waits is cancelled
    Off {
        #[arg(value_name = "ID")]
        channel: i64,
        #[command(flatten)]
        consent: Consent,
    },
    /// Delete it: what waits is cancelled, history stays
    Rm {
        #[arg(value_name = "ID")]
        channel: i64,
        #[command(flatten)]
        consent: Consent,
    },
}

#[derive(Debug, clap::Args)]
struct Set {
    #[arg(value_name = "ID")]
    channel: i64,
    /// What people call it
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    shape: Shape,
    /// Fields of its provider; an empty value removes one
    #[arg(value_name = "FIELD=VALUE")]
    fields: Vec<String>,
}

impl Action {
    /// Asks before what cannot be undone.
    fn get_consent(&self) -> Result<(), Failure> {
        match self {
            Self::Off { channel, consent } => {
                consent.get(&format!("Switch channel {channel} off? What waits for it is cancelled."))
            }
            Self::Rm { channel, consent } => {
                consent.get(&format!("Delete channel {channel}? What waits for it is cancelled."))
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { action, target } = arguments;
    if let Err(failure) = action.get_consent() {
        return Ok(super::exit::report(Err(failure)));
    }
    client::run(target, Starts::Nothing, async |client| act(client, action, target.is_json).await)
}

async fn act(client: &Client, action: &Action, is_json: bool) -> Ended {
    match action {
        Action::Add(add) => add::add(client, add, is_json).await,
        Action::List(part) => list(client, part, is_json).await,
        Action::Show { channel } => {
            let answer = client.get(&of(*channel)).await?;
            if is_json {
                print_json(&answer.body)?;
            } else {
                print(&told(&answer.read()?, client))?;
            }
            Ok(Exit::Ok)
        }
        Action::Set(set) => change(client, set, is_json).await,
        Action::Test { channel } => test(client, *channel, is_json).await,
        Action::On { channel } => switch(client, *channel, true, is_json).await,
        Action::Off { channel, .. } => switch(client, *channel, false, is_json).await,
        Action::Rm { channel, .. } => {
            client.delete(&of(*channel)).await?;
            if !is_json {
                print(&format!("Channel {channel} is deleted."))?;
            }
            Ok(Exit::Ok)
        }
    }
}

fn of(channel: i64) -> String {
    path(&["v1", "channels", &channel.to_string()])
}

async fn list(client: &Client, part: &Part, is_json: bool) -> Ended {
    let listing = client.list("/v1/channels", &[], part).await?;
    listing.print(is_json, |listing| {
        let mut table = Table::new(&["ID", "NAME", "PROVIDER", "STATE", "HEARS", "FILTER"]);
        for channel in listing.read::<Channel>()? {
            let state = channel.state().to_owned();
            table.row([
                channel.id.to_string(),
                channel.name,
                channel.provider,
                state,
                hears(&channel.event_types),
                channel.filter.unwrap_or_default(),
            ]);
        }
        Ok(table.text("There are no channels; 'postrider channel add --help' tells how to make one."))
    })?;
    Ok(Exit::Ok)
}

fn hears(event_types: &[String]) -> String {
    if event_types.is_empty() { "only what names it".to_owned() } else { event_types.join(" ") }
}

fn told(channel: &Channel, client: &Client) -> String {
    let state = match (&channel.paused, &channel.tripped) {
        (None, Some(trip)) if channel.is_active => {
            let (since, next) = (when(&trip.since, client.now()), when(&trip.next_probe_at, client.now()));
            format!("tripped since {since}: {}\n            one delivery is tried at {next}", safe(&trip.reason))
        }
        (Some(pause), _) if channel.is_active => {
            let since = when(&pause.since, client.now());
            let id = channel.id;
            format!(
                "paused since {since}: {}\n            'postrider channel on {id}' lets it go on",
                safe(&pause.reason)
            )
        }
        _ => channel.state().to_owned(),
    };
    let mut lines = vec![
        format!("Channel {} {:?}", channel.id, safe(&channel.name)),
        format!("  provider  {}", safe(&channel.provider)),
        format!("  state     {state}"),
        format!("  hears     {}", safe(&hears(&channel.event_types))),
    ];
    lines.extend(channel.filter.as_deref().map(|filter| format!("  filter    {}", safe(filter))));
    for (key, value) in &channel.config {
        let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        lines.push(format!("  {}={}", safe(key), safe(&value)));
    }
    lines.join("\n")
}

async fn change(client: &Client, set: &Set, is_json: bool) -> Ended {
    let mut patch: Map<String, Value> = set.shape.fields()?;
    if let Some(name) = &set.name {
        patch.insert("name".to_owned(), json!(name));
    }
    if !set.fields.is_empty() {
        let channel: Channel = client.get(&of(set.channel)).await?.read()?;
        let unknown = || Failure::usage(format!("this version knows no provider {:?}", channel.provider));
        let provider = providers::find(&channel.provider).ok_or_else(unknown)?;
        patch.insert("config".to_owned(), Value::Object(fields::config(provider.spec(), &set.fields)?));
    }
    if patch.is_empty() {
        return Err(Failure::usage("nothing is given that should change; see --help"));
    }
    let answer = client.patch(&of(set.channel), &patch).await?;
    if is_json {
        print_json(&answer.body)?;
    } else {
        let changed: Channel = answer.read()?;
        print(&told(&changed, client))?;
        warn(&changed);
    }
    Ok(Exit::Ok)
}

/// Tells what the server found odd about templates that it has saved all the same.
fn warn(channel: &Channel) {
    for warning in &channel.warnings {
        remark(&format!("warning: {}", safe(warning)));
    }
}

async fn switch(client: &Client, channel: i64, is_active: bool, is_json: bool) -> Ended {
    let answer = client.patch(&of(channel), &json!({"is_active": is_active})).await?;
    if is_json {
        print_json(&answer.body)?;
    } else if is_active {
        print(&format!("Channel {channel} is on."))?;
    } else {
        print(&format!("Channel {channel} is off; 'postrider channel on {channel}' switches it on again."))?;
    }
    Ok(Exit::Ok)
}

async fn test(client: &Client, channel: i64, is_json: bool) -> Ended {
    let answer = client.ask_for(&format!("{}/test", of(channel))).await?;
    let tested: Tested = answer.read()?;
    if is_json {
        print_json(&answer.body)?;
    } else {
        let said = match &tested.attempt {
            Some(attempt) => story::answer(attempt),
            None => format!("no answer came in time{}", story::reason(&tested.delivery)),
        };
        let verdict = if tested.ok { "took the test" } else { "did not take the test" };
        print(&format!("Channel {channel} {verdict}: {said}"))?;
    }
    Ok(if tested.ok { Exit::Ok } else { Exit::No })
}
