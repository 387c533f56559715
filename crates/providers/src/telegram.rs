//! Telegram: messages of a bot to one chat.
//!
//! Templates are in one of Telegram's markups. They are read here (`markdown`, `html`) and sent as plain text with
//! entities (`rich`), so no message is refused because of its markup, and a long one can be parted anywhere.

use std::time::Duration;

use domain::Timestamp;
use domain::outcome::{ConfigPatch, Outcome, Remedy, Scope};
use domain::schedule::Schedule;
use serde_json::{Map, Value, json};

use crate::config::{Config, FieldError};
use crate::message::{Message, PlanContext, PlanError};
use crate::pasted::{Form, Parts};
use crate::spec::{Field, FieldKind, Markup, Rate, RateScope, Size, Spec, Unit};
use crate::step::{HttpReply, Reply, Step};
use crate::summary::Summary;
use crate::{Provider, chat, judge};
use rich::{Rich, Style};

mod html;
mod markdown;
mod rich;

const BOT_TOKEN: &str = "bot_token";
const CHAT_ID: &str = "chat_id";
const PARSE_MODE: &str = "parse_mode";
const MESSAGE_THREAD_ID: &str = "message_thread_id";

const MARKDOWN: &str = "Markdown";
const MARKDOWN_V2: &str = "MarkdownV2";
const HTML: &str = "HTML";
const PLAIN: &str = "plain";
const MODES: &[&str] = &[MARKDOWN, MARKDOWN_V2, HTML, PLAIN];

const TEXT: &str = "text of a message";
const ENTITIES: &str = "entities of a message";

static SPEC: Spec = Spec {
    name: "telegram",
    title: "Telegram",
    fields: &[
        Field {
            key: BOT_TOKEN,
            kind: FieldKind::Text { chars_max: 256 },
            required: true,
            secret: true,
            help: "The bot's token, as BotFather gave it.",
            example: "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0",
        },
        Field {
            key: CHAT_ID,
            kind: FieldKind::Text { chars_max: 64 },
            required: true,
            secret: false,
            help: "The chat: its number (negative for groups), or @name of a public channel.",
            example: "-1001234567890",
        },
        Field {
            key: PARSE_MODE,
            kind: FieldKind::Choice(MODES),
            required: false,
            secret: false,
            help: "What body templates are written in: 'Markdown', 'MarkdownV2', 'HTML' or 'plain'.",
            example: MARKDOWN,
        },
        Field {
            key: MESSAGE_THREAD_ID,
            kind: FieldKind::Text { chars_max: 20 },
            required: false,
            secret: false,
            help: "The topic within a group that has topics: its number.",
            example: "42",
        },
    ],
    retry: Schedule::chat,
    time_to_live: chat::TIME_TO_LIVE,
    body_markup: Markup::TelegramMarkdown,
    sizes: &[Size { what: TEXT, max: 4096, unit: Unit::Utf16 }, Size { what: ENTITIES, max: 100, unit: Unit::Items }],
    rates: &[
        Rate { count: 1, window: Duration::from_secs(1), scope: RateScope::Chat },
        Rate { count: 20, window: Duration::from_secs(60), scope: RateScope::Group },
        Rate { count: 30, window: Duration::from_secs(1), scope: RateScope::Bot },
    ],
    base_url: Some("https://api.telegram.org"),
};

/// A bot's messages to a chat.
pub struct Telegram;

fn pasted(parts: &Parts<'_>) -> Result<Map<String, Value>, String> {
    let token = parts.authority();
    let token = token.strip_prefix("bot").unwrap_or(&token);
    let chats = parts.segments();
    let [chat] = chats.as_slice() else {
        return Err("it must name one chat: several chats are several channels".to_owned());
    };
    let (chat, topic) = chat.split_once(':').map_or((chat.as_str(), None), |(chat, topic)| (chat, Some(topic)));
    let is_bare_name = chat.starts_with(|first: char| first.is_ascii_alphabetic());
    let chat = if is_bare_name { format!("@{chat}") } else { chat.to_owned() };
    let mut config = Map::from_iter([(BOT_TOKEN.to_owned(), token.into()), (CHAT_ID.to_owned(), chat.into())]);
    if let Some(topic) = parts.parameter(&["topic", "thread"]).or_else(|| topic.map(ToOwned::to_owned)) {
        config.insert(MESSAGE_THREAD_ID.to_owned(), topic.into());
    }
    let is_second = parts.parameter(&["mdv"]).is_some_and(|version| matches!(version.as_str(), "v2" | "2"));
    let mode = match parts.parameter(&["format"]).as_deref() {
        Some("html") => Some(HTML),
        Some("text") => Some(PLAIN),
        Some("markdown") => Some(if is_second { MARKDOWN_V2 } else { MARKDOWN }),
        _ => None,
    };
    config.extend(mode.map(|mode| (PARSE_MODE.to_owned(), mode.into())));
    Ok(config)
}

impl Provider for Telegram {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    /// Numbers are taken as numbers, and modes however they are written.
    fn tidy(&self, given: &mut Map<String, Value>) {
        for key in [CHAT_ID, MESSAGE_THREAD_ID] {
            if let Some(Value::Number(number)) = given.get(key) {
                let text = number.to_string();
                given.insert(key.to_owned(), Value::from(text));
            }
        }
        let mode = given.get(PARSE_MODE).and_then(Value::as_str);
        if let Some(mode) = mode.and_then(|mode| MODES.iter().find(|known| known.eq_ignore_ascii_case(mode))) {
            given.insert(PARSE_MODE.to_owned(), Value::from(*mode));
        }
    }

    fn pasted(&self) -> &'static [Form] {
        &[Form { schemes: &["tgram"], shown: "tgram://BOT_TOKEN/CHAT_ID", read: pasted }]
    }

    fn check(&self, config: &Config) -> Result<(), Vec<FieldError>> {
        let mut errors = Vec::new();
        let is_token = |(bot, key): (&str, &str)| {
            // No token has dots, but documentation cuts tokens short with them, and people try its examples.
            let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            is_number(bot) && !key.is_empty() && key.chars().all(is_key)
        };
        if !config.text(BOT_TOKEN).and_then(|token| token.split_once(':')).is_some_and(is_token) {
            errors.push(FieldError::new(
                BOT_TOKEN,
                "must be a bot's token: a number, ':' and letters, as BotFather gives it",
            ));
        }
        let chat = config.text(CHAT_ID).unwrap_or_default();
        let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !chat.strip_prefix('@').is_some_and(is_name) && chat.parse::<i64>().is_err() {
            errors.push(FieldError::new(CHAT_ID, "must be a chat's number, like -1001234567890, or a channel's @name"));
        }
        if config.text(MESSAGE_THREAD_ID).is_some_and(|thread| !is_number(thread)) {
            errors.push(FieldError::new(MESSAGE_THREAD_ID, "must be a topic's number"));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn credential(&self, config: &Config) -> Option<String> {
        config.text(BOT_TOKEN).map(ToOwned::to_owned)
    }

    fn counted_by(&self, scope: RateScope, config: &Config) -> Option<String> {
        let (token, chat) = (config.text(BOT_TOKEN)?, config.text(CHAT_ID)?);
        match scope {
            RateScope::Bot => Some(token.to_owned()),
            // The numbers of groups are negative.
            RateScope::Group if !chat.starts_with('-') => None,
            _ => Some(format!("{token} {chat}")),
        }
    }

    fn markup(&self, config: &Config) -> Markup {
        match config.text(PARSE_MODE) {
            Some(MARKDOWN_V2) => Markup::TelegramMarkdownV2,
            Some(HTML) => Markup::Html,
            Some(PLAIN) => Markup::Plain,
            _ => SPEC.body_markup,
        }
    }

    fn plan(&self, config: &Config, message: &Message<'_>, context: &PlanContext<'_>) -> Result<Vec<Step>, PlanError> {
        let token = config.text(BOT_TOKEN).ok_or(PlanError::Config(BOT_TOKEN))?;
        let chat_id = config.text(CHAT_ID).ok_or(PlanError::Config(CHAT_ID))?;
        let chat_id = chat_id.parse::<i64>().map_or_else(|_| Value::from(chat_id), Value::from);
        let thread = config.text(MESSAGE_THREAD_ID).and_then(|text| text.parse::<u64>().ok());
        let rich = match chat::body(message.body)? {
            Some(body) => self.read(config, body),
            None => default(&Summary::read(message)?),
        };
        let url = context.operator.api(&SPEC, &format!("/bot{token}/sendMessage"));
        let step = |(text, entities): (String, Vec<Value>)| {
            let mut body = json!({"chat_id": chat_id, "text": text, "link_preview_options": {"is_disabled": true}});
            if !entities.is_empty() && !context.is_plain {
                body["entities"] = entities.into();
            }
            if let Some(thread) = thread {
                body["message_thread_id"] = thread.into();
            }
            chat::post(url.clone(), &body)
        };
        let steps: Vec<Step> = rich.parts(SPEC.size(TEXT), SPEC.size(ENTITIES).max).into_iter().map(step).collect();
        if steps.is_empty() { Err(PlanError::Empty) } else { Ok(steps) }
    }

    fn judge(&self, reply: &Reply, now: Timestamp) -> Outcome {
        judge::reply(reply, |answer| judge_http(answer, now))
    }
}

impl Telegram {
    fn read(&self, config: &Config, body: &str) -> Rich {
        match self.markup(config) {
            Markup::Html => html::read(body),
            Markup::Plain => Rich::plain(body),
            Markup::TelegramMarkdownV2 => markdown::read(body, &markdown::V2),
            _ => markdown::read(body, &markdown::OLDER),
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 19 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The message of a channel without a body template.
fn default(summary: &Summary) -> Rich {
    let mut rich = Rich::default();
    if let Some(sign) = summary.sign() {
        rich.push(sign);
        rich.push(" ");
    }
    rich.push_as(Style::Bold, &summary.title);
    if let Some(text) = &summary.text {
        rich.push("\n\n");
        rich.push(text);
    }
    if !summary.fields.is_empty() {
        rich.push("\n");
    }
    for field in &summary.fields {
        rich.push("\n");
        rich.push_as(Style::Bold, &field.name);
        rich.push(": ");
        rich.push(&field.value);
    }
    if let Some(more) = summary.left_out() {
        rich.push("\n");
        rich.push(&more);
    }
    if let Some(link) = &summary.link {
        rich.push("\n\n");
        rich.push_as(Style::Link(link.as_str().to_owned()), "Open");
    }
    rich.push("\n\n");
    rich.push_as(Style::Italic, &summary.footer());
    rich
}

/// The body says it, in `ok`, `description` and `parameters`.
fn judge_http(reply: &HttpReply, now: Timestamp) -> Outcome {
    let body = judge::json(reply);
    if reply.status.is_success() && body["ok"] == json!(true) {
        let id = body["result"]["message_id"].as_i64().map(|id| id.to_string());
        return Outcome { reference: id, ..Outcome::delivered() };
    }
    let said = judge::quoted(body["description"].as_str().unwrap_or_default());
    let note = if said.is_empty() { judge::status_note(reply.status) } else { format!("Telegram: {said}") };
    let parameters = &body["parameters"];
    if let Some(chat) = parameters["migrate_to_chat_id"].as_i64() {
        let note = format!("the group has become a supergroup: set config.chat_id to {chat}");
        let patch = ConfigPatch { key: CHAT_ID, value: chat.to_string() };
        return Outcome::permanent(Scope::Channel, note).with_remedy(Remedy::Move(patch));
    }
    let says = |part: &str| said.to_lowercase().contains(part);
    match reply.status.as_u16() {
        429 => {
            let asked = parameters["retry_after"].as_f64().and_then(judge::seconds);
            Outcome::throttled(Scope::Channel, note).with_hint(asked.max(judge::retry_after(&reply.headers, now)))
        }
        400 if GONE.iter().any(|part| says(part)) => Outcome::permanent(Scope::Channel, note),
        400 if MARKUP.iter().any(|part| says(part)) => {
            Outcome::permanent(Scope::Message, note).with_remedy(Remedy::Plain)
        }
        400 => Outcome::permanent(Scope::Message, note),
        401 | 404 => Outcome::permanent(Scope::Credential, format!("{note}: the bot's token is not good")),
        403 => Outcome::permanent(Scope::Channel, note),
        // An answer of success that does not say so is not Telegram's.
        200..=299 => Outcome::retry(format!("{note}, but without Telegram's confirmation")),
        409 => Outcome::retry(note),
        _ => Outcome { note, ..judge::http(reply.status, &reply.headers, now) },
    }
}

/// Parts of descriptions that speak of the message's entities.
const MARKUP: [&str; 3] = ["can't parse entities", "entity_bounds_invalid", "entities_too_long"];

/// Parts of descriptions that speak of the chat and not of the message.
const GONE: [&str; 8] = [
    "chat not found",
    "thread not found",
    "not enough rights",
    "have no rights to send",
    "need administrator rights",
    "chat_write_forbidden",
    "peer_id_invalid",
    "topic_closed",
];

#[cfg(test)]
mod tests;
