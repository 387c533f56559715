//! What every channel has whatever its provider: the options that `add` and `set` share.

use serde_json::{Map, Value, json};

use crate::cli::exit::Failure;
use crate::cli::input::value;

#[derive(Debug, clap::Args)]
pub(super) struct Shape {
    /// An event type that it hears, like invoice.paid, invoice.* or *; may be given several times, by default *
    #[arg(long = "event-type", value_name = "TYPE", conflicts_with = "only_named")]
    event_types: Vec<String>,
    /// Hear only events that name the channel
    #[arg(long)]
    only_named: bool,
    /// Take only events for which this expression is true, like "amount > 10"; @FILE reads a file
    #[arg(long, value_name = "EXPRESSION", allow_hyphen_values = true)]
    filter: Option<String>,
    /// Template of the subject; @FILE reads a file
    #[arg(long, value_name = "TEMPLATE", allow_hyphen_values = true)]
    subject_template: Option<String>,
    /// Template of the body; @FILE reads a file
    #[arg(long, value_name = "TEMPLATE", allow_hyphen_values = true)]
    body_template: Option<String>,
    /// Waits between attempts in seconds, like 5,300; an empty text for a single attempt
    #[arg(long, value_name = "SECONDS,...")]
    retry: Option<String>,
    /// How long a delivery is worth sending
    #[arg(long, value_name = "SECONDS")]
    time_to_live: Option<u64>,
    /// Requests under way at a time
    #[arg(long, value_name = "COUNT")]
    concurrency: Option<u32>,
}

impl Shape {
    /// The fields that were given, as the API takes them. An empty text clears.
    pub(super) fn fields(&self) -> Result<Map<String, Value>, Failure> {
        let mut fields = Map::new();
        if self.only_named || !self.event_types.is_empty() {
            fields.insert("event_types".to_owned(), json!(self.event_types));
        }
        let texts = [
            ("filter", &self.filter),
            ("subject_template", &self.subject_template),
            ("body_template", &self.body_template),
        ];
        for (name, given) in texts {
            if let Some(given) = given {
                let text = value(given)?;
                fields.insert(name.to_owned(), if text.is_empty() { Value::Null } else { Value::from(text) });
            }
        }
        if let Some(waits) = &self.retry {
            fields.insert("retry".to_owned(), json!({"delays_seconds": seconds(waits)?}));
        }
        if let Some(seconds) = self.time_to_live {
            fields.insert("time_to_live_seconds".to_owned(), json!(seconds));
        }
        if let Some(count) = self.concurrency {
            fields.insert("concurrency".to_owned(), json!(count));
        }
        Ok(fields)
    }
}

fn seconds(waits: &str) -> Result<Vec<f64>, Failure> {
    let parts = waits.split(',').map(str::trim).filter(|part| !part.is_empty());
    let wrong = |part: &str| Failure::usage(format!("--retry holds {part:?}, which is no number of seconds"));
    parts.map(|part| part.parse().map_err(|_| wrong(part))).collect()
}
