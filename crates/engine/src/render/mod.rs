//! Rendering: a channel's templates filled with an event.
//!
//! A template sees what a filter sees (the data's keys on the top level and `event`), and `channel`. Inserted values
//! are escaped for where they go: here into JSON text, so `{"text": "{{ name }}"}` stays JSON whatever the name is.
//! Fuel and the size of the output are bounded. A template that fails is an attempt that says where, never a crash.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::channel::ChannelSettings;
use domain::event::Event;
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, Output, State};

use crate::accept::filter::Context;
use crate::expression::{self, Bounded};
use crate::registry::LiveChannel;

/// The longest template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 64 * 1024;

/// Instructions that one rendering may take.
const FUEL: u64 = 200_000;

const SUBJECT: &str = "subject_template";
const BODY: &str = "body_template";

/// The templates of a channel, compiled once.
#[derive(Debug, Default)]
pub struct Templates(Option<Arc<Environment<'static>>>);

/// What came of rendering; `None` where the channel has no template.
#[derive(Debug, Default)]
pub struct Rendered {
    pub subject: Option<String>,
    pub body: Option<String>,
}

impl Templates {
    /// Compiles the templates of a channel that were checked when they were saved.
    pub(crate) fn compile(settings: &ChannelSettings) -> Self {
        let named = [(SUBJECT, &settings.subject_template), (BODY, &settings.body_template)];
        if named.iter().all(|(_, template)| template.is_none()) {
            return Self(None);
        }
        let mut environment = environment();
        for (name, template) in named {
            if let Some(text) = template {
                // One that no longer compiles is missing when it is rendered, and says so there.
                let _ = environment.add_template_owned(name, text.clone());
            }
        }
        Self(Some(Arc::new(environment)))
    }

    /// Renders what the channel has. The error says which template, which line, and what is wrong.
    pub(crate) fn render(&self, live: &LiveChannel, event: &Event) -> Result<Rendered, String> {
        let Some(environment) = &self.0 else { return Ok(Rendered::default()) };
        let settings = &live.channel.settings;
        let channel =
            Value::from_pairs([("id", Value::from(live.channel.id.0)), ("name", Value::from(settings.name.as_str()))]);
        let context = Context::with(&event.content, [("channel", channel)]);
        let one = |name: &str, template: &Option<String>| match template {
            Some(_) => render_one(environment, name, &context).map(Some),
            None => Ok(None),
        };
        Ok(Rendered { subject: one(SUBJECT, &settings.subject_template)?, body: one(BODY, &settings.body_template)? })
    }
}

/// Checks a template from its owner. The error says what is wrong and in which line.
pub fn check(text: &str) -> Result<(), String> {
    if text.len() > TEMPLATE_BYTES_MAX {
        return Err(format!("must be at most {TEMPLATE_BYTES_MAX} bytes long"));
    }
    expression::check_template(text).map_err(|message| format!("template, {message}"))?;
    environment().template_from_str(text).map(drop).map_err(|error| describe("template", &error))
}

/// The names that a template asks the event for, on the top level; none when it cannot be read.
pub(crate) fn names(text: &str) -> BTreeSet<String> {
    let environment = environment();
    let Ok(template) = environment.template_from_str(text) else { return BTreeSet::new() };
    let own = ["event", "channel", "items"];
    template.undeclared_variables(false).into_iter().filter(|name| !own.contains(&name.as_str())).collect()
}

fn environment() -> Environment<'static> {
    let mut environment = expression::environment(FUEL);
    environment.set_formatter(write_for_json);
    environment
}

fn render_one(environment: &Environment<'_>, name: &str, context: &Context) -> Result<String, String> {
    let mut out = Bounded::default();
    environment
        .get_template(name)
        .and_then(|template| template.render_captured_to(context.0.clone(), &mut out).map(drop))
        .map_err(|error| describe(name, &error))?;
    String::from_utf8(out.0).map_err(|_| format!("{name}: the output is not text"))
}

fn describe(name: &str, error: &Error) -> String {
    let line = error.line().map_or(String::new(), |line| format!(", line {line}"));
    let what = error.detail().map_or_else(|| error.kind().to_string(), ToOwned::to_owned);
    format!("{name}{line}: {what}")
}

/// Writes a value into JSON text: strings escaped and without quotes, everything else as JSON. What a template calls
/// safe (`| tojson`, `| safe`) is written as it is.
fn write_for_json(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let failed = |error: std::fmt::Error| Error::new(ErrorKind::WriteFailure, error.to_string());
    if value.is_undefined() {
        return Ok(());
    }
    if value.is_safe() {
        return out.write_str(value.as_str().unwrap_or_default()).map_err(failed);
    }
    let json =
        serde_json::to_string(value).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    let inner = if value.as_str().is_some() { &json[1..json.len() - 1] } else { &json };
    out.write_str(inner).map_err(failed)
}
