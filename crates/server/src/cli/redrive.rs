//! `postrider redrive`: many deliveries tried again by one order; and how far each has come.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::client::wire::{Redrive, RedrivePreview};
use super::client::{self, Client, Part, Target, path};
use super::exit::{Ended, Exit};
use super::output::{Table, print, print_json, remark, safe, when};
use crate::app::Starts;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    part: Part,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Try deliveries again; --dry-run counts them first
    Start(Start),
    /// Show one redrive and how far it has come
    Show {
        #[arg(value_name = "ID")]
        redrive: i64,
    },
    /// Stop it for a while
    Pause {
        #[arg(value_name = "ID")]
        redrive: i64,
    },
    /// Let it go on
    Resume {
        #[arg(value_name = "ID")]
        redrive: i64,
    },
    /// End it where it stands; what it has taken stays taken
    Cancel {
        #[arg(value_name = "ID")]
        redrive: i64,
    },
}

#[derive(Debug, clap::Args)]
struct Start {
    /// Dead letters wait again; or events of history come anew to --channel
    #[arg(long, value_name = "SOURCE", default_value = "dead", value_parser = ["dead", "history"])]
    from: String,
    /// Only dead letters of this channel; with --from history the channel that gets the events
    #[arg(long, value_name = "ID")]
    channel: Option<i64>,
    /// Only those that ended like this
    #[arg(long)]
    status: Option<String>,
    /// Only those that were answered with this at last
    #[arg(long)]
    code: Option<u16>,
    /// Only those of this kind of channel
    #[arg(long)]
    provider: Option<String>,
    /// Only this event type, or all that begin alike: invoice.*
    #[arg(long, value_name = "TYPE")]
    event_type: Option<String>,
    /// Only from this time on, like 2026-11-22T07:00:00Z
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only before this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only with this text in the reason, or from history in the event's data
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    text: Option<String>,
    /// Deliveries a second
    #[arg(long, value_name = "COUNT")]
    pace: Option<u32>,
    /// Only count them, and show some
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let is_json = arguments.target.is_json;
    let target = &arguments.target;
    let Some(action) = &arguments.action else {
        return client::run(target, Starts::Nothing, async |client| list(client, arguments).await);
    };
    client::run(target, Starts::Nothing, async |client| match action {
        Action::Start(start) => begin(client, start, is_json).await,
        Action::Show { redrive } => {
            let answer = client.get(&path(&["v1", "redrives", &redrive.to_string()])).await?;
            tell(&answer, client, is_json)
        }
        Action::Pause { redrive } => steer(client, *redrive, "pause", is_json).await,
        Action::Resume { redrive } => steer(client, *redrive, "resume", is_json).await,
        Action::Cancel { redrive } => steer(client, *redrive, "cancel", is_json).await,
    })
}

async fn list(client: &Client, arguments: &Arguments) -> Ended {
    let listing = client.list("/v1/redrives", &[], &arguments.part).await?;
    listing.print(arguments.target.is_json, |listing| {
        let mut table = Table::new(&["ID", "FROM", "STATUS", "REDRIVEN", "SKIPPED", "EXAMINED", "SINCE"]);
        for one in listing.read::<Redrive>()? {
            table.row([
                one.id.to_string(),
                one.from,
                one.status,
                one.redriven.to_string(),
                one.skipped.to_string(),
                one.examined.to_string(),
                when(&one.created_at, client.now()),
            ]);
        }
        Ok(table.text("There are no redrives."))
    })?;
    Ok(Exit::Ok)
}

impl Start {
    /// The order as the API takes it.
    fn order(&self) -> Value {
        let is_history = self.from == "history";
        let mut filter = Map::new();
        let mut put = |name: &str, value: Option<Value>| filter.extend(value.map(|value| (name.to_owned(), value)));
        put("channel_id", self.channel.filter(|_| !is_history).map(Value::from));
        put("status", self.status.clone().map(Value::from));
        put("code", self.code.map(Value::from));
        put("provider", self.provider.clone().map(Value::from));
        put("event_type", self.event_type.clone().map(Value::from));
        put("since", self.since.clone().map(Value::from));
        put("until", self.until.clone().map(Value::from));
        put("text", self.text.clone().map(Value::from));
        let mut order = json!({"from": self.from, "filter": filter, "dry_run": self.dry_run});
        if is_history {
            order["channel_id"] = json!(self.channel);
        }
        if let Some(pace) = self.pace {
            order["pace_per_second"] = json!(pace);
        }
        order
    }
}

async fn begin(client: &Client, start: &Start, is_json: bool) -> Ended {
    let answer = client.post(&path(&["v1", "redrives"]), &start.order()).await?;
    if !start.dry_run {
        tell(&answer, client, is_json)?;
        if client.own_patience().is_some() {
            remark("It is carried out by the next server that starts on this data directory.");
        }
        return Ok(Exit::Ok);
    }
    if is_json {
        print_json(&answer.body)?;
        return Ok(Exit::Ok);
    }
    let preview: RedrivePreview = answer.read()?;
    let bound = if preview.is_lower_bound { "at least " } else { "" };
    let what = if start.from == "history" { "events" } else { "dead letters" };
    let mut lines = vec![format!("It would take {bound}{} {what}.", preview.count)];
    lines.extend(preview.deliveries.iter().map(|one| {
        let reason = one.reason.as_deref().map_or_else(String::new, |reason| format!(": {}", safe(reason)));
        format!("  delivery {} of {} to channel {}{reason}", one.id, one.event_id, one.channel_id)
    }));
    lines.extend(preview.events.iter().map(|one| format!("  {} {}", one.id, safe(&one.r#type))));
    print(&lines.join("\n"))?;
    Ok(Exit::Ok)
}

async fn steer(client: &Client, redrive: i64, to: &str, is_json: bool) -> Ended {
    let answer = client.ask_for(&path(&["v1", "redrives", &redrive.to_string(), to])).await?;
    tell(&answer, client, is_json)
}

fn tell(answer: &client::Answer, client: &Client, is_json: bool) -> Ended {
    if is_json {
        print_json(&answer.body)?;
        return Ok(Exit::Ok);
    }
    let one: Redrive = answer.read()?;
    let reason = one.reason.map_or_else(String::new, |reason| format!(" ({})", safe(&reason)));
    print(&format!(
        "Redrive {} from {} is {}{reason}: {} redriven, {} skipped of {} looked at, begun {}",
        one.id,
        one.from,
        one.status,
        one.redriven,
        one.skipped,
        one.examined,
        when(&one.created_at, client.now()),
    ))?;
    Ok(Exit::Ok)
}
