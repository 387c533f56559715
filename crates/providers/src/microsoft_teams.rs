//! Microsoft Teams: messages through a Workflows webhook, or through a connector of the kind before it.
//!
//! Both take the same envelope, with an adaptive card and a `text`. Connectors answer 200 for everything and say in the
//! body what became of it. A card is one message and is cut to its size, never split.

use std::time::Duration;

use domain::Timestamp;
use domain::event::Severity;
use domain::outcome::{Outcome, Scope};
use domain::schedule::Schedule;
use http::StatusCode;
use serde_json::{Map, Value, json};
use url::Url;

use crate::config::Config;
use crate::message::{Message, PlanContext, PlanError};
use crate::pasted::{Form, Parts, service_url};
use crate::spec::{Markup, Rate, RateScope, Size, Spec, Unit};
use crate::step::{HttpReply, Reply, Step};
use crate::summary::Summary;
use crate::{Provider, chat, judge, text};

const WHOLE: &str = "whole message";

/// How long a connector that throttles is left alone; it does not say.
const CONNECTOR_WAIT: Duration = Duration::from_secs(30);

/// What a connector's body says before a status of Teams itself.
const WRAPPED: &str = "HTTP error ";

static SPEC: Spec = Spec {
    name: "microsoft_teams",
    title: "Microsoft Teams",
    fields: &[chat::webhook_field(
        "The URL of a workflow that starts with 'When a Teams webhook request is received', or of a connector.",
        "https://prod-12.westeurope.logic.azure.com/workflows/0123456789abcdef0123456789abcdef/triggers/manual/paths/invoke\
         ?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=exampleExampleExample",
    )],
    retry: Schedule::chat,
    time_to_live: chat::TIME_TO_LIVE,
    body_markup: Markup::TeamsMarkdown,
    // Documented are 28 KB, of which Teams may count two bytes for each.
    sizes: &[Size { what: WHOLE, max: 14_000, unit: Unit::Bytes }],
    rates: &[
        Rate { count: 4, window: Duration::from_secs(1), scope: RateScope::Webhook },
        Rate { count: 60, window: Duration::from_secs(30), scope: RateScope::Webhook },
        Rate { count: 100, window: Duration::from_hours(1), scope: RateScope::Webhook },
        Rate { count: 150, window: Duration::from_hours(2), scope: RateScope::Webhook },
        Rate { count: 1800, window: Duration::from_hours(24), scope: RateScope::Webhook },
    ],
    base_url: Some("https://prod-00.westeurope.logic.azure.com"),
};

/// A webhook of a chat or channel.
pub struct MicrosoftTeams;

impl Provider for MicrosoftTeams {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn pasted(&self) -> &'static [Form] {
        &[
            Form {
                schemes: &["workflows", "workflow"],
                shown: "workflows://HOST/WORKFLOW_ID/SIGNATURE",
                read: pasted_workflow,
            },
            Form {
                schemes: &["msteams"],
                shown: "msteams://TEAM/TOKEN_A/TOKEN_B/TOKEN_C, with TOKEN_A like GUID@GUID",
                read: pasted_connector,
            },
        ]
    }

    fn warnings(&self, config: &Config, _: Option<&str>) -> Vec<String> {
        let is_retired = chat::webhook_url(config).is_ok_and(|url| is_connector(&url));
        let warning =
            "config.webhook_url: Microsoft retires connectors of this kind: make a workflow in Teams, and set its URL";
        is_retired.then(|| warning.to_owned()).into_iter().collect()
    }

    fn plan(&self, config: &Config, message: &Message<'_>, context: &PlanContext<'_>) -> Result<Vec<Step>, PlanError> {
        let url = chat::webhook_url(config)?;
        let summary = Summary::read(message)?;
        let body = chat::body(message.body)?;
        let fits = |divisor: &usize| {
            let card = match body {
                Some(body) => written(body, 12_000 / divisor),
                None => default(&summary, *divisor),
            };
            let whole = envelope(&card, &summary);
            (whole.to_string().len() <= SPEC.sizes[0].max).then_some(whole)
        };
        // How far a text grows in JSON is known when it is written, so what is too large is written anew with less.
        let whole = [1, 2, 4, 8, 16, 32].iter().find_map(fits).ok_or(PlanError::TooLarge)?;
        Ok(vec![chat::post(context.operator.relocated(&SPEC, &url), &whole)])
    }

    fn judge(&self, reply: &Reply, now: Timestamp) -> Outcome {
        judge::reply(reply, |answer| judge_http(answer, now))
    }
}

fn pasted_workflow(parts: &Parts<'_>) -> Result<Map<String, Value>, String> {
    let [workflow, signature] = &parts.segments()[..] else {
        return Err("it must have a host, a workflow and a signature".to_owned());
    };
    let says_yes = |answer: &str| ["yes", "y", "true", "1", "on"].contains(&answer.to_ascii_lowercase().as_str());
    let is_power_automate = parts.parameter(&["pa"]).is_some_and(|answer| says_yes(&answer));
    let base = format!("https://{}/", parts.place());
    let trigger = ["triggers", "manual", "paths", "invoke"];
    let before: &[&str] = if is_power_automate { &["powerautomate", "automations", "direct"] } else { &[] };
    let path = [before, &["workflows", workflow], &trigger].concat();
    let mut url = service_url(&base, &path)?;
    let usual = if is_power_automate { "1" } else { "2016-06-01" };
    let version = parts.parameter(&["ver", "api-version"]).unwrap_or_else(|| usual.to_owned());
    // The signature is over these as they are written, with the slash of `sp` encoded, as here.
    url.query_pairs_mut()
        .append_pair("api-version", &version)
        .append_pair("sp", "/triggers/manual/run")
        .append_pair("sv", "1.0")
        .append_pair("sig", signature);
    Ok(chat::with_webhook(&url))
}

fn pasted_connector(parts: &Parts<'_>) -> Result<Map<String, Value>, String> {
    let (authority, rest) = (parts.authority(), parts.segments());
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    match rest.as_slice() {
        [group, hook, owner] | [group, hook, owner, _] if group.contains('@') => {
            let base = format!("https://{authority}.webhook.office.com/webhookb2/");
            let mut path = vec![*group, "IncomingWebhook", *hook, *owner];
            path.extend(rest.get(3));
            Ok(chat::with_webhook(&service_url(&base, &path)?))
        }
        [hook, owner] if authority.contains('@') => {
            let path = [authority.as_str(), "IncomingWebhook", hook, owner];
            Ok(chat::with_webhook(&service_url("https://outlook.office.com/webhook/", &path)?))
        }
        _ => Err("it must have a team and three tokens".to_owned()),
    }
}

/// Whether it is of the kind before workflows.
fn is_connector(url: &Url) -> bool {
    url.host_str().is_some_and(|host| host.ends_with(".webhook.office.com") || host == "outlook.office.com")
}

/// Workflows read the attachment, where `contentUrl` must be there and be null; connectors want the `text`, and so do
/// receivers of those who once took what connectors take.
fn envelope(card: &Value, summary: &Summary) -> Value {
    let attachment =
        json!({"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card});
    json!({"type": "message", "text": Markup::TeamsMarkdown.escape(&summary.title), "attachments": [attachment]})
}

/// Later versions of the schema are refused by some workflows.
fn card(body: &[Value], link: Option<&Url>) -> Value {
    let mut card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": body,
    });
    if let Some(link) = link {
        card["actions"] = json!([{"type": "Action.OpenUrl", "title": "Open", "url": link.as_str()}]);
    }
    card
}

fn written(body: &str, bytes_max: usize) -> Value {
    let text = text::cut(body, bytes_max, Unit::Bytes, Markup::TeamsMarkdown);
    card(&[json!({"type": "TextBlock", "text": text, "wrap": true})], None)
}

/// The card of a channel without a body template, with a share of what there is.
fn default(summary: &Summary, divisor: usize) -> Value {
    let cut = |text: &str, bytes_max: usize| {
        // A single line feed is no new line.
        let escaped = Markup::TeamsMarkdown.escape(text).replace('\n', "\n\n");
        text::cut(&escaped, bytes_max / divisor, Unit::Bytes, Markup::TeamsMarkdown)
    };
    let block = |text: String| json!({"type": "TextBlock", "text": text, "wrap": true});
    let mut title = block(cut(&summary.title, 2000));
    title["weight"] = "Bolder".into();
    title["size"] = "Medium".into();
    title["color"] = colour(summary).into();
    let mut body = vec![title];
    body.extend(summary.text.as_ref().map(|text| block(cut(text, 8000))));
    let shown = summary.fields.iter().take(50 / divisor);
    let facts: Vec<Value> =
        shown.map(|field| json!({"title": cut(&field.name, 400), "value": cut(&field.value, 2000)})).collect();
    let left_out = summary.fields.len() - facts.len() + summary.fields_left_out;
    if !facts.is_empty() {
        body.push(json!({"type": "FactSet", "facts": facts}));
    }
    if left_out > 0 {
        body.push(block(format!("and {left_out} fields more")));
    }
    let mut footer = block(cut(&summary.footer(), 2000));
    footer["size"] = "Small".into();
    footer["isSubtle"] = true.into();
    body.push(footer);
    card(&body, summary.link.as_ref())
}

fn colour(summary: &Summary) -> &'static str {
    match summary.severity {
        _ if summary.is_resolved => "Good",
        Some(Severity::Critical | Severity::Error) => "Attention",
        Some(Severity::Warning) => "Warning",
        Some(Severity::Info) => "Accent",
        Some(Severity::Debug) | None => "Default",
    }
}

fn judge_http(reply: &HttpReply, now: Timestamp) -> Outcome {
    let body = judge::json(reply);
    let text = String::from_utf8_lossy(&reply.body);
    let run = reply.headers.get("x-ms-workflow-run-id").and_then(|id| id.to_str().ok()).map(ToOwned::to_owned);
    if reply.status.is_success() {
        return match wrapped(&text) {
            Some(status) => connector(status, &text),
            // A workflow may answer what its author likes, and is known by its run.
            None if run.is_some()
                || reply.status != StatusCode::OK
                || matches!(text.trim(), "" | "1")
                || body.is_object() =>
            {
                Outcome { reference: run, ..Outcome::delivered() }
            }
            None => Outcome::retry(format!("Teams: {} (expected: 1)", judge::quoted(&text))),
        };
    }
    let error = &body["error"];
    let said = judge::quoted(error["message"].as_str().unwrap_or(&text));
    let note = if said.is_empty() { judge::status_note(reply.status) } else { format!("Teams: {said}") };
    match error["code"].as_str() {
        Some("TriggerInputSchemaMismatch") => {
            Outcome::permanent(Scope::Message, format!("{note}: the workflow must take Teams webhook requests"))
        }
        Some("WorkflowTriggerIsNotEnabled" | "WorkflowNotFound" | "DirectApiAuthorizationRequired") => {
            Outcome::permanent(Scope::Channel, note)
        }
        _ if matches!(reply.status.as_u16(), 401 | 403 | 404 | 410) => Outcome::permanent(Scope::Channel, note),
        _ => Outcome { note, ..judge::http(reply.status, &reply.headers, now) },
    }
}

/// The status that a connector got from Teams and wrapped into a 200.
fn wrapped(text: &str) -> Option<u16> {
    let after = &text[text.find(WRAPPED)? + WRAPPED.len()..];
    after.get(..3)?.parse().ok()
}

fn connector(status: u16, text: &str) -> Outcome {
    let note = format!("Teams: {}", judge::quoted(text));
    match status {
        429 => Outcome::throttled(Scope::Channel, note).with_hint(Some(CONNECTOR_WAIT)),
        400 | 413 => Outcome::permanent(Scope::Message, note),
        403 | 404 | 410 => Outcome::permanent(Scope::Channel, note),
        _ => Outcome::retry(note),
    }
}

#[cfg(test)]
mod tests;
