//! Discord: messages through a channel's webhook.
//!
//! Nobody is ever called: `allowed_mentions` is empty. After a 404 the webhook must not be used again, so it pauses the
//! channel at once.

use std::time::Duration;

use domain::Timestamp;
use domain::outcome::{Outcome, Scope};
use domain::schedule::Schedule;
use serde_json::{Map, Value, json};
use url::Url;

use crate::config::{Config, FieldError};
use crate::message::{Message, PlanContext, PlanError, rfc3339};
use crate::pasted::{Form, Parts, service_url};
use crate::spec::{Markup, Rate, RateScope, Size, Spec, Unit};
use crate::step::{HttpReply, Reply, Step};
use crate::summary::Summary;
use crate::{Provider, chat, judge};

const CONTENT: &str = "text of a message";
const TITLE: &str = "title of an embed";
const DESCRIPTION: &str = "text of an embed";
const FIELDS: &str = "fields of an embed";
const NAME: &str = "name of a field";
const VALUE: &str = "value of a field";
const FOOTER: &str = "footer of an embed";
const ALL: &str = "all texts of an embed";

/// How long nothing is sent when what answers is not Discord but the wall before it.
const WALL_WAIT: Duration = Duration::from_secs(10 * 60);

static SPEC: Spec = Spec {
    name: "discord",
    title: "Discord",
    fields: &[chat::webhook_field(
        "The webhook's URL, as the channel's settings show it. With ?thread_id= it posts to a thread.",
        "https://discord.com/api/webhooks/223704706495545344/3d89bb7572e0fb30d8128367b3b1b44fecd1726de135cbe2",
    )],
    retry: Schedule::chat,
    time_to_live: chat::TIME_TO_LIVE,
    body_markup: Markup::DiscordMarkdown,
    sizes: &[
        Size { what: CONTENT, max: 2000, unit: Unit::Characters },
        Size { what: TITLE, max: 256, unit: Unit::Characters },
        Size { what: DESCRIPTION, max: 4096, unit: Unit::Characters },
        Size { what: FIELDS, max: 25, unit: Unit::Items },
        Size { what: NAME, max: 256, unit: Unit::Characters },
        Size { what: VALUE, max: 1024, unit: Unit::Characters },
        Size { what: FOOTER, max: 2048, unit: Unit::Characters },
        Size { what: ALL, max: 6000, unit: Unit::Characters },
    ],
    rates: &[
        Rate { count: 5, window: Duration::from_secs(2), scope: RateScope::Webhook },
        Rate { count: 30, window: Duration::from_secs(60), scope: RateScope::Chat },
        // Whoever sends without a bot's token is counted by where it sends from.
        Rate { count: 50, window: Duration::from_secs(1), scope: RateScope::Address },
    ],
    base_url: Some("https://discord.com"),
};

/// A channel's webhook.
pub struct Discord;

impl Provider for Discord {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn pasted(&self) -> &'static [Form] {
        &[Form { schemes: &["discord"], shown: "discord://WEBHOOK_ID/WEBHOOK_TOKEN", read: pasted }]
    }

    fn check(&self, config: &Config) -> Result<(), Vec<FieldError>> {
        chat::check_webhook_url(config, |url| match own_path(url) {
            Some(_) => Ok(()),
            None => {
                Err("must be like https://discord.com/api/webhooks/NUMBER/TOKEN: copy it from the channel's settings, \
                         under Integrations"
                    .to_owned())
            }
        })
    }

    fn plan(&self, config: &Config, message: &Message<'_>, context: &PlanContext<'_>) -> Result<Vec<Step>, PlanError> {
        let mut url = chat::webhook_url(config)?;
        let path = own_path(&url).ok_or(PlanError::Config(chat::WEBHOOK_URL))?;
        url.set_path(&path);
        let others: Vec<_> =
            url.query_pairs().filter(|(key, _)| key != "wait").map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
        // Without it, a message that is not kept is no error.
        url.query_pairs_mut().clear().extend_pairs(others).append_pair("wait", "true");
        let target = context.operator.relocated(&SPEC, &url);
        let bodies = match chat::body(message.body)? {
            Some(body) => SPEC
                .size(CONTENT)
                .parts(body, Markup::DiscordMarkdown)
                .iter()
                .map(|text| json!({"content": text}))
                .collect(),
            None => embeds(&Summary::read(message)?),
        };
        let step = |mut body: Value| {
            body["allowed_mentions"] = json!({"parse": []});
            chat::post(target.clone(), &body)
        };
        Ok(bodies.into_iter().map(step).collect())
    }

    fn counted_by(&self, scope: RateScope, config: &Config) -> Option<String> {
        match scope {
            RateScope::Address => Some(String::new()),
            _ => chat::webhook_place(config),
        }
    }

    fn judge(&self, reply: &Reply, now: Timestamp) -> Outcome {
        judge::reply(reply, |answer| judge_http(answer, now))
    }
}

fn pasted(parts: &Parts<'_>) -> Result<Map<String, Value>, String> {
    let [token] = &parts.segments()[..] else { return Err("it must have two parts".to_owned()) };
    let mut url = service_url("https://discord.com/api/webhooks/", &[&parts.place(), token])?;
    if let Some(thread) = parts.parameter(&["thread", "thread_id"]) {
        url.query_pairs_mut().append_pair("thread_id", &thread);
    }
    Ok(chat::with_webhook(&url))
}

/// The path of a webhook, without what makes it speak another product's language.
fn own_path(url: &Url) -> Option<String> {
    let is_host =
        matches!(url.host_str(), Some("discord.com" | "discordapp.com" | "ptb.discord.com" | "canary.discord.com"));
    let mut parts: Vec<&str> = url.path_segments()?.collect();
    if matches!(parts.last(), Some(&("slack" | "github" | ""))) {
        parts.pop();
    }
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_version = |text: &str| text.strip_prefix('v').is_some_and(is_number);
    let rest = match parts.as_slice() {
        ["api", version, rest @ ..] if is_version(version) => rest,
        ["api", rest @ ..] => rest,
        _ => return None,
    };
    let ["webhooks", id, token] = rest else { return None };
    (is_host && is_number(id) && !token.is_empty()).then(|| format!("/{}", parts.join("/")))
}

/// The messages of a channel without a body template: one embed each.
fn embeds(summary: &Summary) -> Vec<Value> {
    let escape = |text: &str| Markup::DiscordMarkdown.escape(text);
    let cut = |what: &str, text: &str| SPEC.size(what).cut(&escape(text), Markup::DiscordMarkdown);
    let texts = summary.text.as_ref().map(|text| SPEC.size(DESCRIPTION).parts(&escape(text), Markup::DiscordMarkdown));
    let mut embeds = vec![json!({"title": cut(TITLE, &summary.title)})];
    for (position, text) in texts.into_iter().flatten().enumerate() {
        match position {
            0 => embeds[0]["description"] = text.into(),
            _ => embeds.push(json!({"description": text})),
        }
    }
    if let Some(link) = &summary.link {
        embeds[0]["url"] = link.as_str().into();
    }
    // Kept free in every embed, because the last one is not known yet.
    let footer = SPEC.size(FOOTER).cut(&summary.footer(), Markup::Plain);
    let room = SPEC.size(ALL).max - Unit::Characters.size(&footer);
    for field in &summary.fields {
        let (name, value) = (cut(NAME, &field.name), cut(VALUE, &field.value));
        // Discord refuses an empty one.
        let [name, value] = [name, value].map(|text| if text.trim().is_empty() { "\u{200b}".to_owned() } else { text });
        let is_inline = value.chars().count() <= 40 && !value.contains('\n');
        let size = Unit::Characters.size(&name) + Unit::Characters.size(&value);
        let is_full = embeds.last().is_some_and(|last| {
            let count = last["fields"].as_array().map_or(0, Vec::len);
            count == SPEC.size(FIELDS).max || texts_in(last) + size > room
        });
        if is_full {
            embeds.push(json!({}));
        }
        if let Some(last) = embeds.last_mut() {
            let field = json!({"name": name, "value": value, "inline": is_inline});
            match &mut last["fields"] {
                Value::Array(fields) => fields.push(field),
                none => *none = json!([field]),
            }
        }
    }
    if let Some(last) = embeds.last_mut() {
        last["footer"] = json!({"text": footer});
        last["timestamp"] = rfc3339(summary.occurred_at).into();
    }
    let message = |mut embed: Value| {
        embed["color"] = summary.colour().into();
        json!({"embeds": [embed]})
    };
    embeds.into_iter().map(message).collect()
}

/// The characters that Discord counts together.
fn texts_in(embed: &Value) -> usize {
    let size = |value: &Value| value.as_str().map_or(0, |text| Unit::Characters.size(text));
    let fields = embed["fields"].as_array().into_iter().flatten();
    let of_fields: usize = fields.map(|field| size(&field["name"]) + size(&field["value"])).sum();
    size(&embed["title"]) + size(&embed["description"]) + of_fields
}

/// Discord's own codes count before the status.
fn judge_http(reply: &HttpReply, now: Timestamp) -> Outcome {
    let body = judge::json(reply);
    let said = judge::quoted(body["message"].as_str().unwrap_or_default());
    let note = if said.is_empty() { judge::status_note(reply.status) } else { format!("Discord: {said}") };
    if reply.status.is_success() {
        let reference = body["id"].as_str().map(ToOwned::to_owned);
        return Outcome { reference, ..Outcome::delivered() }.with_hint(until_next(reply));
    }
    if reply.status.as_u16() == 429 {
        if !body.is_object() {
            return Outcome::throttled(Scope::Provider, note).with_hint(Some(WALL_WAIT));
        }
        let scope = if body["global"] == json!(true) { Scope::Provider } else { Scope::Channel };
        let asked = body["retry_after"].as_f64().and_then(judge::seconds);
        return Outcome::throttled(scope, note).with_hint(asked.max(judge::retry_after(&reply.headers, now)));
    }
    let hint = judge::retry_after(&reply.headers, now);
    match body["code"].as_u64() {
        Some(10_015 | 50_027) => Outcome::permanent(Scope::Channel, note),
        Some(220_001..=220_003) => {
            let note = format!("{note}: add ?thread_id=NUMBER of a thread to the webhook's URL");
            Outcome::permanent(Scope::Channel, note)
        }
        Some(50_035 | 50_006 | 50_109 | 40_005 | 200_000 | 240_000) => Outcome::permanent(Scope::Message, note),
        Some(20_028 | 20_029) => Outcome::throttled(Scope::Channel, note).with_hint(hint),
        Some(130_000) => Outcome::retry(note).with_hint(hint),
        _ if reply.status.as_u16() == 404 => Outcome::permanent(Scope::Channel, note),
        _ => Outcome { note, ..judge::http(reply.status, &reply.headers, now) },
    }
}

/// The wait that an answer asks for when it says that nothing is left of the webhook's rate.
fn until_next(reply: &HttpReply) -> Option<Duration> {
    let number = |name: &str| reply.headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    number("x-ratelimit-remaining").filter(|left| *left < 1.0)?;
    number("x-ratelimit-reset-after").and_then(judge::seconds)
}

#[cfg(test)]
mod tests;
