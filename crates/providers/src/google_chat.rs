//! Google Chat: messages through a space's webhook, as cards, or as texts from a template.

use std::time::Duration;

use domain::Timestamp;
use domain::outcome::{Outcome, Scope};
use domain::schedule::Schedule;
use serde_json::{Map, Value, json};
use url::Url;

use crate::config::{Config, FieldError};
use crate::message::{Message, PlanContext, PlanError};
use crate::pasted::{Form, Parts, service_url};
use crate::spec::{Markup, Rate, RateScope, Size, Spec, Unit};
use crate::step::{HttpReply, Reply, Step};
use crate::summary::Summary;
use crate::{Provider, chat, judge};

const TEXT: &str = "text of a message";
const PARAGRAPH: &str = "texts of a card";
const WHOLE: &str = "whole message";

/// The first wait when Chat names none, which it seldom does.
const BACKOFF: Duration = Duration::from_secs(1);

static SPEC: Spec = Spec {
    name: "google_chat",
    title: "Google Chat",
    fields: &[chat::webhook_field(
        "The webhook's URL, as the space's settings show it, with its key and token.",
        "https://chat.googleapis.com/v1/spaces/AAAABBBBCCC/messages?key=AIzaSyExampleExample&token=exampleTokenExample",
    )],
    retry: Schedule::chat,
    time_to_live: chat::TIME_TO_LIVE,
    body_markup: Markup::ChatMarkup,
    sizes: &[
        Size { what: TEXT, max: 4096, unit: Unit::Characters },
        // In JSON every second character may need another one, and there are the names of the parts.
        Size { what: PARAGRAPH, max: 12_000, unit: Unit::Bytes },
        Size { what: WHOLE, max: 32_000, unit: Unit::Bytes },
    ],
    rates: &[Rate { count: 60, window: Duration::from_secs(60), scope: RateScope::Space }],
    base_url: Some("https://chat.googleapis.com"),
};

/// A space's webhook.
pub struct GoogleChat;

impl Provider for GoogleChat {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn pasted(&self) -> &'static [Form] {
        &[Form { schemes: &["gchat"], shown: "gchat://SPACE/KEY/TOKEN", read: pasted }]
    }

    fn check(&self, config: &Config) -> Result<(), Vec<FieldError>> {
        chat::check_webhook_url(config, check_url)
    }

    fn plan(&self, config: &Config, message: &Message<'_>, context: &PlanContext<'_>) -> Result<Vec<Step>, PlanError> {
        let url = chat::webhook_url(config)?;
        let bodies = match chat::body(message.body)? {
            Some(body) => {
                SPEC.size(TEXT).parts(body, Markup::ChatMarkup).iter().map(|text| json!({"text": text})).collect()
            }
            None => cards(&Summary::read(message)?),
        };
        let step = |(position, body): (usize, &Value)| {
            // Chat answers a request that it has had with the message that is there.
            let mut url = url.clone();
            url.query_pairs_mut().append_pair("requestId", &format!("{}-{position}", context.wire_id));
            chat::post(context.operator.relocated(&SPEC, &url), body)
        };
        Ok(bodies.iter().enumerate().map(step).collect())
    }

    fn judge(&self, reply: &Reply, now: Timestamp) -> Outcome {
        judge::reply(reply, |answer| judge_http(answer, now))
    }
}

fn pasted(parts: &Parts<'_>) -> Result<Map<String, Value>, String> {
    let rest = parts.segments();
    let [key, token, threads @ ..] = rest.as_slice() else { return Err("it must have three parts".to_owned()) };
    let mut url = service_url("https://chat.googleapis.com/v1/spaces/", &[&parts.place(), "messages"])?;
    url.query_pairs_mut().append_pair("key", key).append_pair("token", token);
    if let Some(thread) = parts.parameter(&["thread"]).or_else(|| threads.first().cloned()) {
        url.query_pairs_mut().append_pair("threadKey", &thread);
        url.query_pairs_mut().append_pair("messageReplyOption", "REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD");
    }
    Ok(chat::with_webhook(&url))
}

fn check_url(url: &Url) -> Result<(), String> {
    let parts: Vec<&str> = url.path_segments().into_iter().flatten().collect();
    let is_path = matches!(parts.as_slice(), [_, "spaces", space, "messages"] if !space.is_empty());
    if url.host_str() != Some("chat.googleapis.com") || !is_path {
        return Err("must be like https://chat.googleapis.com/v1/spaces/SPACE/messages?key=...&token=...".to_owned());
    }
    let has = |name: &str| url.query_pairs().any(|(key, value)| key == name && !value.is_empty());
    if has("key") && has("token") { Ok(()) } else { Err("must have its key and its token: copy all of it".to_owned()) }
}

/// The messages of a channel without a body template: one card each.
fn cards(summary: &Summary) -> Vec<Value> {
    let escape = |text: &str| Markup::ChatHtml.escape(text);
    let paragraph = |text: &str| json!({"textParagraph": {"text": text}});
    let size = SPEC.size(PARAGRAPH);
    let title = match summary.sign() {
        Some(sign) => format!("{sign} <b>{}</b>", escape(&summary.title)),
        None => format!("<b>{}</b>", escape(&summary.title)),
    };
    let mut widgets = vec![paragraph(&title)];
    let lines = |text: &str| escape(text).replace('\n', "<br>");
    let texts = summary.text.as_ref().map(|text| size.parts(&lines(text), Markup::ChatHtml));
    widgets.extend(texts.into_iter().flatten().map(|text| paragraph(&text)));
    for field in &summary.fields {
        let (name, value) = (escape(&field.name), lines(&field.value));
        widgets.push(json!({"decoratedText": {"topLabel": name, "text": value, "wrapText": true}}));
    }
    widgets.extend(summary.left_out().map(|more| paragraph(&more)));
    if let Some(link) = &summary.link {
        let button = json!({"text": "Open", "onClick": {"openLink": {"url": link.as_str()}}});
        widgets.push(json!({"buttonList": {"buttons": [button]}}));
    }
    let colour = format!("#{:06x}", summary.colour());
    widgets.push(paragraph(&format!("<font color=\"{colour}\">{}</font>", escape(&summary.footer()))));
    let message = |widgets: &Vec<Value>| {
        let card = json!({"cardId": "event", "card": {"sections": [{"widgets": widgets}]}});
        json!({"fallbackText": summary.title, "cardsV2": [card]})
    };
    let mut messages: Vec<Vec<Value>> = vec![Vec::new()];
    for widget in widgets {
        let is_full = messages.last().is_some_and(|last| {
            let so_far = message(last).to_string().len() + widget.to_string().len() + 1;
            !last.is_empty() && so_far > SPEC.size(WHOLE).max
        });
        if is_full {
            messages.push(Vec::new());
        }
        if let Some(last) = messages.last_mut() {
            last.push(widget);
        }
    }
    messages.iter().map(message).collect()
}

fn judge_http(reply: &HttpReply, now: Timestamp) -> Outcome {
    let body = judge::json(reply);
    if reply.status.is_success() {
        return Outcome { reference: body["name"].as_str().map(ToOwned::to_owned), ..Outcome::delivered() };
    }
    let error = &body["error"];
    let said = judge::quoted(error["message"].as_str().unwrap_or_default());
    let note = if said.is_empty() { judge::status_note(reply.status) } else { format!("Google Chat: {said}") };
    let hint = judge::retry_after(&reply.headers, now);
    match reply.status.as_u16() {
        _ if error["status"] == json!("RESOURCE_EXHAUSTED") => Outcome::throttled(Scope::Channel, note).with_hint(hint),
        401 | 403 | 404 => Outcome::permanent(Scope::Channel, note),
        500..=599 => Outcome::retry(note).with_hint(hint.max(Some(BACKOFF))),
        _ => Outcome { note, ..judge::http(reply.status, &reply.headers, now) },
    }
}

#[cfg(test)]
mod tests;
