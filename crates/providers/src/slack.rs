//! Slack: messages through an incoming webhook.
//!
//! Without a template, a message is an attachment with the colour of its severity. There is no id of a message, and
//! nothing that would make a repetition harmless.

use std::time::Duration;

use domain::Timestamp;
use domain::outcome::{Outcome, Scope};
use domain::schedule::Schedule;
use serde_json::{Map, Value, json};
use url::Url;

use crate::config::{Config, FieldError};
use crate::message::{Message, PlanContext, PlanError};
use crate::pasted::{Form, Parts};
use crate::spec::{Markup, Rate, RateScope, Size, Spec, Unit};
use crate::step::{HttpReply, Reply, Step};
use crate::summary::Summary;
use crate::{Provider, chat, judge};

const TEXT: &str = "text of a message";
const SECTION: &str = "text of a section";
const FIELDS: &str = "fields of a section";
const FIELD: &str = "field of a section";

static SPEC: Spec = Spec {
    name: "slack",
    title: "Slack",
    fields: &[chat::webhook_field(
        "The incoming webhook's URL, as Slack shows it.",
        "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
    )],
    retry: Schedule::chat,
    time_to_live: chat::TIME_TO_LIVE,
    body_markup: Markup::SlackMrkdwn,
    sizes: &[
        // Slack takes 40,000, but shows a longer one in pieces of its own.
        Size { what: TEXT, max: 4000, unit: Unit::Characters },
        Size { what: SECTION, max: 3000, unit: Unit::Characters },
        Size { what: FIELDS, max: 10, unit: Unit::Items },
        Size { what: FIELD, max: 2000, unit: Unit::Characters },
    ],
    rates: &[Rate { count: 1, window: Duration::from_secs(1), scope: RateScope::Webhook }],
    base_url: Some("https://hooks.slack.com"),
};

/// An incoming webhook.
pub struct Slack;

impl Provider for Slack {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn pasted(&self) -> &'static [Form] {
        &[Form {
            schemes: &["slack"],
            shown: "slack://TOKEN_A/TOKEN_B/TOKEN_C, the three parts of the webhook's URL",
            read: pasted,
        }]
    }

    fn check(&self, config: &Config) -> Result<(), Vec<FieldError>> {
        chat::check_webhook_url(config, check_url)
    }

    fn plan(&self, config: &Config, message: &Message<'_>, context: &PlanContext<'_>) -> Result<Vec<Step>, PlanError> {
        let url = context.operator.relocated(&SPEC, &chat::webhook_url(config)?);
        let bodies = match chat::body(message.body)? {
            Some(body) => {
                SPEC.size(TEXT).parts(body, Markup::SlackMrkdwn).iter().map(|text| json!({"text": text})).collect()
            }
            None => vec![default(&Summary::read(message)?)],
        };
        Ok(bodies.iter().map(|body| chat::post(url.clone(), body)).collect())
    }

    fn judge(&self, reply: &Reply, now: Timestamp) -> Outcome {
        judge::reply(reply, |answer| judge_http(answer, now))
    }
}

fn pasted(parts: &Parts<'_>) -> Result<Map<String, Value>, String> {
    let (first, rest) = (parts.place(), parts.segments());
    if first.starts_with("xox") {
        return Err("that is a bot's token, and Postrider posts through an incoming webhook".to_owned());
    }
    match rest.as_slice() {
        [second, third] => chat::pasted_webhook("https://hooks.slack.com/services/", &[&first, second, third]),
        [_, _, _, ..] => Err("an incoming webhook posts to its own channel: leave out what follows it".to_owned()),
        _ => Err("it must have three parts".to_owned()),
    }
}

fn check_url(url: &Url) -> Result<(), String> {
    if !matches!(url.host_str(), Some("hooks.slack.com" | "hooks.slack-gov.com")) {
        return Err(
            "must begin with https://hooks.slack.com/services/: copy it from the app's incoming webhooks".to_owned()
        );
    }
    let parts: Vec<&str> = url.path_segments().into_iter().flatten().collect();
    match parts.as_slice() {
        ["services", team, bot, secret] if [team, bot, secret].iter().all(|part| !part.is_empty()) => Ok(()),
        ["triggers" | "workflows", ..] => {
            Err("starts a workflow, which takes variables and no messages: use a channel of the provider 'webhook'"
                .to_owned())
        }
        _ => Err("must have three parts after https://hooks.slack.com/services/".to_owned()),
    }
}

/// The message of a channel without a body template.
fn default(summary: &Summary) -> Value {
    let escape = |text: &str| Markup::SlackMrkdwn.escape(text);
    let mrkdwn = |text: String| json!({"type": "mrkdwn", "text": text});
    let title = escape(&summary.title);
    let mut blocks = Vec::new();
    if let Some(text) = &summary.text {
        let parts = SPEC.size(SECTION).parts(&escape(text), Markup::SlackMrkdwn);
        blocks.extend(parts.into_iter().map(|part| json!({"type": "section", "text": mrkdwn(part)})));
    }
    let field = |name: &str, value: &str| {
        mrkdwn(SPEC.size(FIELD).cut(&format!("*{}*\n{}", escape(name), escape(value)), Markup::SlackMrkdwn))
    };
    let fields: Vec<Value> = summary.fields.iter().map(|one| field(&one.name, &one.value)).collect();
    blocks.extend(fields.chunks(SPEC.size(FIELDS).max).map(|some| json!({"type": "section", "fields": some})));
    if let Some(more) = summary.left_out() {
        blocks.push(json!({"type": "context", "elements": [mrkdwn(more)]}));
    }
    if let Some(link) = &summary.link {
        let target = link.as_str().replace('|', "%7C").replace('>', "%3E").replace('&', "&amp;");
        blocks.push(json!({"type": "section", "text": mrkdwn(format!("<{target}|Open>"))}));
    }
    blocks.push(json!({"type": "context", "elements": [mrkdwn(escape(&summary.footer()))]}));
    let colour = format!("#{:06x}", summary.colour());
    json!({"text": format!("*{title}*"), "attachments": [{"color": colour, "fallback": title, "blocks": blocks}]})
}

/// The body is one word: `ok`, or what is wrong.
fn judge_http(reply: &HttpReply, now: Timestamp) -> Outcome {
    let said = judge::quoted(&String::from_utf8_lossy(&reply.body));
    let note = format!("Slack: {said}");
    match said.as_str() {
        "ok" if reply.status.is_success() => Outcome::delivered(),
        _ if reply.status.as_u16() == 429 => judge::http(reply.status, &reply.headers, now),
        "channel_is_archived"
        | "channel_not_found"
        | "no_service"
        | "no_service_id"
        | "no_active_hooks"
        | "no_team"
        | "team_disabled"
        | "invalid_token"
        | "action_prohibited"
        | "posting_to_general_channel_denied" => Outcome::permanent(Scope::Channel, note),
        "invalid_payload" | "no_text" | "too_many_attachments" | "user_not_found" => {
            Outcome::permanent(Scope::Message, note)
        }
        _ if said.starts_with("invalid_blocks") => Outcome::permanent(Scope::Message, note),
        _ if reply.status.is_success() => Outcome::retry(format!("{note} (expected: ok)")),
        _ => judge::http(reply.status, &reply.headers, now),
    }
}

#[cfg(test)]
mod tests;
