//! X: posts of one account.
//!
//! A post is short and cut, never continued in another one. What looks like a link is broken in texts that come from
//! events, because a post with a link costs its author a multiple. Requests are signed by OAuth 1.0a (`oauth`).

use std::time::Duration;

use domain::Timestamp;
use domain::outcome::{Outcome, Remedy, Scope};
use domain::schedule::Schedule;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::config::Config;
use crate::message::{Message, PlanContext, PlanError};
use crate::spec::{Field, FieldKind, Markup, Rate, RateScope, Size, Spec, Unit};
use crate::step::{HttpReply, Reply, Step};
use crate::summary::Summary;
use crate::{Provider, chat, judge};

mod oauth;

const CONSUMER_KEY: &str = "consumer_key";
const CONSUMER_SECRET: &str = "consumer_secret";
const ACCESS_TOKEN: &str = "access_token";
const ACCESS_TOKEN_SECRET: &str = "access_token_secret";

const TEXT: &str = "text of a post";

static SPEC: Spec = Spec {
    name: "x",
    title: "X",
    fields: &[
        key(CONSUMER_KEY, "The app's consumer key (API key).", "xvz1evFS4wEEPTGEFPHBog"),
        key(CONSUMER_SECRET, "The app's consumer secret.", "kAcSOqF21Fu85e7zjz7ZN2U4ZRhfV3WpwPAoE3Z7kBw"),
        key(
            ACCESS_TOKEN,
            "The account's access token, made after the app was allowed to write.",
            "370773112-GmHxMAgYyLbNEtIKZeRNFsMKPR9EyMZeS9weJAEb",
        ),
        key(ACCESS_TOKEN_SECRET, "The secret of that token.", "LswwdoUaIvS8ltyTt5jkRh4J50vUPVVHtR2YPi5kE"),
    ],
    retry: Schedule::chat,
    time_to_live: chat::TIME_TO_LIVE,
    body_markup: Markup::Post,
    sizes: &[Size { what: TEXT, max: 280, unit: Unit::Weighted }],
    rates: &[
        Rate { count: 100, window: Duration::from_secs(15 * 60), scope: RateScope::User },
        Rate { count: 10_000, window: Duration::from_hours(24), scope: RateScope::App },
    ],
    base_url: Some("https://api.x.com"),
};

const fn key(key: &'static str, help: &'static str, example: &'static str) -> Field {
    Field { key, kind: FieldKind::Text { chars_max: 256 }, required: true, secret: true, help, example }
}

/// An account that posts.
pub struct X;

impl Provider for X {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn warnings(&self, _: &Config, body_template: Option<&str>) -> Vec<String> {
        let has_link = body_template.is_some_and(|template| template.contains("://"));
        let warning = "body_template: it has a link, and X charges more than ten times as much for a post with one";
        has_link.then(|| warning.to_owned()).into_iter().collect()
    }

    fn credential(&self, config: &Config) -> Option<String> {
        let keys = [CONSUMER_KEY, CONSUMER_SECRET, ACCESS_TOKEN, ACCESS_TOKEN_SECRET];
        Some(keys.map(|key| config.text(key).unwrap_or_default()).join(" "))
    }

    fn counted_by(&self, scope: RateScope, config: &Config) -> Option<String> {
        let key = if scope == RateScope::App { CONSUMER_KEY } else { ACCESS_TOKEN };
        config.text(key).map(ToOwned::to_owned)
    }

    fn plan(&self, config: &Config, message: &Message<'_>, context: &PlanContext<'_>) -> Result<Vec<Step>, PlanError> {
        let text = match chat::body(message.body)? {
            Some(body) => body.trim().to_owned(),
            None => default(&Summary::read(message)?),
        };
        let field = |key: &'static str| config.text(key).ok_or(PlanError::Config(key));
        let keys = oauth::Keys {
            consumer_key: field(CONSUMER_KEY)?,
            consumer_secret: field(CONSUMER_SECRET)?,
            token: field(ACCESS_TOKEN)?,
            token_secret: field(ACCESS_TOKEN_SECRET)?,
        };
        let (url, trust) = context.operator.api(&SPEC, "/2/tweets");
        let header = oauth::header(&keys, "POST", url.reveal(), &[], &nonce(context), context.now.as_seconds());
        let body = json!({"text": SPEC.size(TEXT).cut(&text, Markup::Post)});
        Ok(vec![chat::authorized(chat::post((url, trust), &body), &header)])
    }

    fn judge(&self, reply: &Reply, now: Timestamp) -> Outcome {
        judge::reply(reply, |answer| judge_http(answer, now))
    }
}

/// Another one for every try of every delivery; nobody gains by guessing it.
fn nonce(context: &PlanContext<'_>) -> String {
    let name = format!("{}\n{}\n{}", context.wire_id, context.attempt, context.now.as_ms());
    let hash = Sha256::digest(name);
    hash.first_chunk().map_or_else(String::new, |bytes| format!("{:032x}", u128::from_be_bytes(*bytes)))
}

/// The post of a channel without a body template.
fn default(summary: &Summary) -> String {
    let sign = summary.sign().map_or(String::new(), |sign| format!("{sign} "));
    let text = summary.text.as_ref().map_or(String::new(), |text| format!("\n\n{text}"));
    format!("{sign}{}", Markup::Post.escape(&format!("{}{text}", summary.title)))
}

fn judge_http(reply: &HttpReply, now: Timestamp) -> Outcome {
    let body = judge::json(reply);
    if reply.status.is_success() {
        return Outcome { reference: body["data"]["id"].as_str().map(ToOwned::to_owned), ..Outcome::delivered() };
    }
    let said = judge::quoted(body["detail"].as_str().or(body["title"].as_str()).unwrap_or_default());
    let note = if said.is_empty() { judge::status_note(reply.status) } else { format!("X: {said}") };
    let is_capped = body["type"].as_str().is_some_and(|kind| kind.ends_with("/usage-capped"));
    match reply.status.as_u16() {
        403 if said.to_lowercase().contains("duplicate content") => {
            Outcome::permanent(Scope::Message, note).with_remedy(Remedy::HasAlready)
        }
        401 => {
            let hint = "check the keys, and that this machine's clock is right to five minutes";
            Outcome::permanent(Scope::Credential, format!("{note}: {hint}"))
        }
        403 => Outcome::permanent(Scope::Credential, note),
        429 if is_capped => Outcome::permanent(Scope::Credential, format!("{note}: the account's plan is used up")),
        429 => {
            let resets = [
                ("x-app-limit-24hour-remaining", "x-app-limit-24hour-reset"),
                ("x-rate-limit-remaining", "x-rate-limit-reset"),
            ];
            let number = |name: &str| reply.headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
            let spent = resets.iter().find(|(remaining, _)| number(remaining) == Some(0));
            let reset = spent.map_or(resets[1].1, |(_, reset)| reset);
            let until = number(reset).and_then(|seconds| seconds.checked_mul(1000)).map(Timestamp::from_ms);
            let hint = until.map(|until| until.since(now)).max(judge::retry_after(&reply.headers, now));
            Outcome::throttled(Scope::Credential, note).with_hint(hint)
        }
        _ => Outcome { note, ..judge::http(reply.status, &reply.headers, now) },
    }
}

#[cfg(test)]
mod tests;
