//! `postrider tail`: follows new deliveries and attempts until Ctrl-C.
//!
//! The API lists newest first, so each look reads pages until it meets what it has seen, and prints them the other way
//! round. A server that restarts is waited for.

use std::collections::VecDeque;
use std::process::ExitCode;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::client::wire::{Attempt, Delivery};
use super::client::{Client, Target, unreadable};
use super::exit::{Ended, Exit, Failure};
use super::output::{Tone, print, remark, safe, toned};
use super::story;
use super::{StopSignal, runtime};
use crate::app::Starts;

/// Between two looks. Each is two requests that read little.
const LOOK: Duration = Duration::from_secs(1);

/// Rows of one page, and pages of one look. What is beyond is left out and counted as such.
const PAGE_ROWS: usize = 200;
const PAGES_MAX: usize = 25;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Deliveries and attempts from before to begin with, of each kind
    #[arg(long, value_name = "COUNT", default_value = "10", value_parser = clap::value_parser!(u16).range(0..=200))]
    last: u16,
    /// Only those of this channel
    #[arg(long, value_name = "ID")]
    channel: Option<i64>,
    #[command(flatten)]
    target: Target,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    runtime::run(async {
        let stop = StopSignal::listen()?;
        let client = Client::connect(&arguments.target, Starts::Nothing).await?;
        if client.own_patience().is_some() {
            client.close().await;
            return Err(Failure::unreachable("no server runs, so nothing happens that could be followed"));
        }
        tokio::select! {
            ended = follow(&client, arguments) => ended,
            // A person who has seen enough.
            () = stop.received() => Ok(Exit::Ok),
        }
    })
}

/// Two lists of the API, and how far each was read.
struct Tail<'a> {
    client: &'a Client,
    is_json: bool,
    query: Vec<(&'static str, String)>,
    lists: [List; 2],
}

struct List {
    path: &'static str,
    /// What a line of JSON calls it.
    kind: &'static str,
    /// The newest id that was seen; `None` before the first look.
    seen: Option<i64>,
}

/// A row, read only as far as its order needs it.
#[derive(Deserialize)]
struct Numbered {
    id: i64,
}

async fn follow(client: &Client, arguments: &Arguments) -> Ended {
    let list = |path, kind| List { path, kind, seen: None };
    let mut tail = Tail {
        client,
        is_json: arguments.target.is_json,
        query: arguments.channel.iter().map(|channel| ("channel_id", channel.to_string())).collect(),
        lists: [list("/v1/deliveries", "delivery"), list("/v1/attempts", "attempt")],
    };
    let mut looks = tokio::time::interval(LOOK);
    let mut is_lost = false;
    loop {
        looks.tick().await;
        match tail.look(usize::from(arguments.last)).await {
            Ok(()) if is_lost => {
                remark("The server is back.");
                is_lost = false;
            }
            Ok(()) => {}
            // The first look must go well: there may never have been a server.
            Err(failure) if failure.exit() == Exit::Unreachable && tail.has_seen() => {
                if !is_lost {
                    remark("The server does not answer; waiting for it. Stop with Ctrl-C.");
                }
                is_lost = true;
            }
            Err(failure) => return Err(failure),
        }
    }
}

impl Tail<'_> {
    fn has_seen(&self) -> bool {
        self.lists.iter().any(|list| list.seen.is_some())
    }

    /// Prints what is new in both lists, in the order in which it began.
    async fn look(&mut self, last: usize) -> Result<(), Failure> {
        let mut lines = Vec::new();
        for position in 0..self.lists.len() {
            let List { path, kind, seen } = self.lists[position];
            let new = self.newer(path, seen, last).await?;
            let shown = if seen.is_some() { new.len() } else { new.len().min(last) };
            let newest = new.back().map(|row| read::<Numbered>(row)).transpose()?.map(|row| row.id);
            for row in new.iter().skip(new.len() - shown) {
                lines.push(self.line(kind, row)?);
            }
            self.lists[position].seen = newest.or(seen).or(Some(0));
        }
        // Times of the API sort as texts. Stable: a delivery stands before an attempt of the same millisecond.
        lines.sort_by(|one, other| one.at.cmp(&other.at));
        lines.iter().try_for_each(|line| print(&line.text))
    }

    /// The rows above `seen`, oldest first; at the first look the last few, or one to begin after.
    async fn newer(&self, path: &str, seen: Option<i64>, last: usize) -> Result<VecDeque<Box<RawValue>>, Failure> {
        let mut rows = VecDeque::new();
        let Some(seen) = seen else {
            let page = self.client.page(path, &self.query, last.max(1), None).await?;
            page.rows().iter().for_each(|row| rows.push_front(row.clone()));
            return Ok(rows);
        };
        let mut cursor = None;
        for _ in 0..PAGES_MAX {
            let page = self.client.page(path, &self.query, PAGE_ROWS, cursor).await?;
            for row in page.rows() {
                if read::<Numbered>(row)?.id <= seen {
                    return Ok(rows);
                }
                rows.push_front(row.clone());
            }
            cursor = page.next_cursor();
            if cursor.is_none() {
                return Ok(rows);
            }
        }
        remark(&format!("More than {} rows of {path} came at once; older ones are left out.", PAGE_ROWS * PAGES_MAX));
        Ok(rows)
    }

    fn line(&self, kind: &str, row: &RawValue) -> Result<Line, Failure> {
        let (at, told) = if kind == "attempt" {
            let attempt: Attempt = read(row)?;
            let Attempt { delivery_id, event_id, event_type, channel_id, number, .. } = &attempt;
            let about = about(event_id, event_type, *channel_id, *delivery_id);
            (attempt.started_at.clone(), format!("{about} attempt {number}: {}", story::answer(&attempt)))
        } else {
            let delivery: Delivery = read(row)?;
            let Delivery { id, event_id, event_type, channel_id, status, .. } = &delivery;
            let about = about(event_id, event_type, *channel_id, *id);
            let status = toned(Tone::of_status(status), status);
            (delivery.created_at.clone(), format!("{about} made: {status}{}", story::reason(&delivery)))
        };
        let text = if self.is_json {
            format!("{{\"{kind}\":{}}}", row.get())
        } else {
            format!("{}  {told}", safe(&at).replace('T', " "))
        };
        Ok(Line { at, text })
    }
}

/// A line, and the time that it stands by.
struct Line {
    at: String,
    text: String,
}

fn about(event: &str, event_type: &str, channel: i64, delivery: i64) -> String {
    format!("{} {} -> channel {channel}, delivery {delivery},", safe(event), safe(event_type))
}

fn read<'de, T: Deserialize<'de>>(row: &'de RawValue) -> Result<T, Failure> {
    serde_json::from_str(row.get()).map_err(|error| unreadable(&error))
}
