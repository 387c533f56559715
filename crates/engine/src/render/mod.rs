//! Rendering: a channel's templates filled with an event.
//!
//! A template sees what a filter sees (the data's keys on the top level and `event`), and `channel`; on a channel with
//! digests also `items`, the events of the message ([`digest`]). Inserted values
//! are escaped for where they go: a body is in the provider's markup, so `{"text": "{{ name }}"}` stays JSON and
//! `<p>{{ name }}</p>` stays one paragraph whatever the name is. A subject is plain text, escaped by whoever sends it.
//! Fuel and the size of the output are bounded. A template that fails is an attempt that says where, never a crash.

pub(crate) mod digest;
mod markup;

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::channel::ChannelSettings;
use domain::event::Event;
use minijinja::value::Value;
use minijinja::{Environment, Error};
use providers::Markup;

use crate::accept::filter::Context;
use crate::expression::{self, Bounded};
use crate::registry::LiveChannel;

/// The longest template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 64 * 1024;

/// Instructions that one rendering may take.
const FUEL: u64 = 200_000;

const SUBJECT: &str = "subject_template";
const BODY: &str = "body_template";

/// What a template calls the events of a digest.
const ITEMS: &str = "items";

/// The templates of a channel, compiled once.
#[derive(Debug, Default)]
pub struct Templates {
    subject: Option<Compiled>,
    body: Option<Compiled>,
    /// The body is JSON, or may be.
    is_json: bool,
}

#[derive(Clone, Debug)]
struct Compiled {
    environment: Arc<Environment<'static>>,
    /// It asks for `items`: then it is written for several events.
    sees_items: bool,
}

/// What came of rendering; `None` where the channel has no template.
#[derive(Debug, Default)]
pub struct Rendered {
    pub subject: Option<String>,
    pub body: Option<String>,
}

impl Templates {
    /// Compiles the templates of a channel that were checked when they were saved.
    pub(crate) fn compile(settings: &ChannelSettings, body_markup: Markup) -> Self {
        let one = |name, template: &Option<String>, markup| {
            let mut environment = environment(markup);
            // One that no longer compiles is missing when it is rendered, and says so there.
            let _ = environment.add_template_owned(name, template.clone()?);
            let undeclared = environment.get_template(name).map(|template| template.undeclared_variables(false));
            let sees_items = undeclared.is_ok_and(|names| names.contains(ITEMS));
            Some(Compiled { environment: Arc::new(environment), sees_items })
        };
        Self {
            subject: one(SUBJECT, &settings.subject_template, Markup::Plain),
            body: one(BODY, &settings.body_template, body_markup),
            is_json: body_markup == Markup::Json,
        }
    }

    /// Renders what the channel has. The error says which template, which line, and what is wrong.
    pub(crate) fn render(&self, live: &LiveChannel, event: &Event) -> Result<Rendered, String> {
        if self.subject.is_none() && self.body.is_none() {
            return Ok(Rendered::default());
        }
        let context = context_of(live, event);
        // Whoever writes for several events gets one that came alone in the same way.
        let context = if live.digest.is_some() { context.with_items(vec![context.clone()]) } else { context };
        self.render_with(&context)
    }

    fn render_with(&self, context: &Context) -> Result<Rendered, String> {
        let one = |name: &str, compiled: &Option<Compiled>| {
            compiled.as_ref().map(|compiled| render_one(&compiled.environment, name, context)).transpose()
        };
        Ok(Rendered { subject: one(SUBJECT, &self.subject)?, body: one(BODY, &self.body)? })
    }
}

/// What a template sees of an event on its way to a channel.
fn context_of(live: &LiveChannel, event: &Event) -> Context {
    let name = Value::from(live.channel.settings.name.as_str());
    let channel = Value::from_pairs([("id", Value::from(live.channel.id.0)), ("name", name)]);
    Context::with(&event.content, [("channel", channel)])
}

/// Checks a template from its owner. The error says what is wrong and in which line.
pub fn check(text: &str) -> Result<(), String> {
    if text.len() > TEMPLATE_BYTES_MAX {
        return Err(format!("must be at most {TEMPLATE_BYTES_MAX} bytes long"));
    }
    expression::check_template(text).map_err(|message| format!("template, {message}"))?;
    environment(Markup::Plain).template_from_str(text).map(drop).map_err(|error| describe("template", &error))
}

/// The names that a template asks the event for, on the top level; none when it cannot be read.
pub(crate) fn names(text: &str) -> BTreeSet<String> {
    let environment = environment(Markup::Plain);
    let Ok(template) = environment.template_from_str(text) else { return BTreeSet::new() };
    let own = ["event", "channel", ITEMS];
    template.undeclared_variables(false).into_iter().filter(|name| !own.contains(&name.as_str())).collect()
}

fn environment(markup: Markup) -> Environment<'static> {
    let mut environment = expression::environment(FUEL);
    match markup {
        Markup::Json => environment.set_formatter(markup::json),
        other => {
            // What it makes is JSON, which is safe in JSON only.
            environment.add_filter("tojson", expression::json);
            environment.set_formatter(move |out, _, value| markup::escaped(other, out, value));
        }
    }
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

#[cfg(test)]
mod tests;
