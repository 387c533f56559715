//! Stand-ins for services that count: each keeps the windows that its service states, and refuses what is beyond.
//!
//! What they keep to is written down here once more, from the services' own documentation (`docs/providers.md`), and not
//! taken from the SPECs: a SPEC that is wrong is found out. They see what arrives and when, and know nothing of the
//! sender.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use providers::step::{HttpReply, HttpStep};
use serde_json::{Value, json};

use crate::clock::us;

/// So many requests in any window, for all that have this in common.
struct Rule {
    what: &'static str,
    count: usize,
    window: Duration,
    /// Who is counted together; `None` where the rule does not hold.
    of: fn(&Request) -> Option<String>,
}

/// What a service reads of a request.
struct Request {
    /// The parts of the path.
    path: Vec<String>,
    body: Value,
    authorization: String,
}

impl Request {
    fn read(step: &HttpStep) -> Self {
        let path = step.url.reveal().split('?').next().unwrap_or_default();
        let authorization = step.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Self {
            path: path.split('/').skip(3).map(ToOwned::to_owned).collect(),
            body: serde_json::from_slice(&step.body).unwrap_or_default(),
            authorization: authorization.to_owned(),
        }
    }

    fn whole_path(&self) -> String {
        self.path.join("/")
    }

    /// The number of a Discord webhook. Ten of them in a row post to the same chat.
    fn discord_webhook(&self) -> Option<u64> {
        self.path.get(2)?.parse().ok()
    }

    /// A parameter of OAuth 1.0a.
    fn oauth(&self, name: &str) -> Option<String> {
        let (_, rest) = self.authorization.split_once(&format!("{name}=\""))?;
        Some(rest.split('"').next()?.to_owned())
    }
}

/// The longest that a request is on its way: what went out before an answer was heard may come until then.
pub(crate) const WAY_MAX_US: u64 = 250_000;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

/// A webhook of its own.
const WEBHOOK: fn(&Request) -> Option<String> = |request| Some(request.whole_path());

/// The windows of each service.
const RULES: &[(&str, &[Rule])] = &[
    (
        "telegram",
        &[
            Rule {
                what: "chat",
                count: 1,
                window: SECOND,
                of: |request| Some(format!("{} {}", request.path[0], request.body["chat_id"])),
            },
            Rule {
                what: "group",
                count: 20,
                window: Duration::from_secs(60),
                of: |request| {
                    let is_group = request.body["chat_id"].as_i64().is_some_and(|chat| chat < 0);
                    is_group.then(|| format!("{} {}", request.path[0], request.body["chat_id"]))
                },
            },
            Rule { what: "bot", count: 30, window: SECOND, of: |request| Some(request.path[0].clone()) },
        ],
    ),
    (
        "discord",
        &[
            Rule { what: "webhook", count: 5, window: Duration::from_secs(2), of: WEBHOOK },
            Rule {
                what: "chat",
                count: 30,
                window: Duration::from_secs(60),
                of: |request| request.discord_webhook().map(|number| (number / 10).to_string()),
            },
            Rule { what: "address", count: 50, window: SECOND, of: |_| Some(String::new()) },
        ],
    ),
    ("slack", &[Rule { what: "webhook", count: 1, window: SECOND, of: WEBHOOK }]),
    (
        "microsoft_teams",
        &[
            Rule { what: "second", count: 4, window: SECOND, of: WEBHOOK },
            Rule { what: "half minute", count: 60, window: Duration::from_secs(30), of: WEBHOOK },
            Rule { what: "hour", count: 100, window: HOUR, of: WEBHOOK },
            Rule { what: "two hours", count: 150, window: Duration::from_hours(2), of: WEBHOOK },
            Rule { what: "day", count: 1800, window: Duration::from_hours(24), of: WEBHOOK },
        ],
    ),
    ("google_chat", &[Rule { what: "space", count: 60, window: Duration::from_secs(60), of: WEBHOOK }]),
    (
        "x",
        &[
            Rule {
                what: "user",
                count: 100,
                window: Duration::from_secs(15 * 60),
                of: |request| request.oauth("oauth_token"),
            },
            Rule {
                what: "app",
                count: 10_000,
                window: Duration::from_hours(24),
                of: |request| request.oauth("oauth_consumer_key"),
            },
        ],
    ),
];

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    pub provider: &'static str,
    /// Which window held too much, or `pause` for a request that came during one.
    pub what: &'static str,
    pub at: Duration,
}

/// A rule of a service, and who is counted together by it.
type Counter = (&'static str, usize, String);

/// What all of the services have counted.
#[derive(Debug, Default)]
pub(crate) struct Services {
    /// When what is in each window arrived.
    arrived: BTreeMap<Counter, VecDeque<u64>>,
    /// Until when a narrowest scope wants nothing, and since when its sender knows.
    pauses: BTreeMap<Counter, (u64, u64)>,
    /// The buckets that Discord tells of, where they are narrower than its usual ones: when each began, and what it holds.
    buckets: BTreeMap<String, (u64, usize)>,
    /// How many in how long, in each of those.
    bucket: Option<(usize, Duration)>,
    /// One request in so many is refused although nothing is used up.
    surprise_every: Option<usize>,
    pub(crate) taken: usize,
    pub(crate) refused: Vec<u64>,
    pub(crate) breaches: Vec<Breach>,
    pub(crate) last_taken_us: BTreeMap<&'static str, u64>,
}

impl Services {
    pub(crate) fn new(bucket: Option<(usize, Duration)>, surprise_every: Option<usize>) -> Self {
        Self { bucket, surprise_every, ..Self::default() }
    }

    /// A request arrives; what is answered.
    pub(crate) fn take(&mut self, provider: &str, step: &HttpStep, now_us: u64) -> HttpReply {
        let (provider, rules) = rules_of(provider);
        let request = Request::read(step);
        let mut wait_us = 0;
        let mut counted = Vec::new();
        for (place, rule) in rules.iter().enumerate() {
            let Some(of) = (rule.of)(&request) else { continue };
            let counter = (provider, place, of);
            let arrived = self.arrived.entry(counter.clone()).or_default();
            while arrived.front().is_some_and(|at| at + us(rule.window) <= now_us) {
                arrived.pop_front();
            }
            if arrived.len() >= rule.count {
                let at = Duration::from_micros(now_us);
                self.breaches.push(Breach { provider, what: rule.what, at });
                wait_us = wait_us.max(arrived[arrived.len() - rule.count] + us(rule.window) - now_us);
            }
            counted.push(counter);
        }
        let narrowest = counted[0].clone();
        if let Some((known_us, until_us)) = self.pauses.get(&narrowest)
            && (*known_us..*until_us).contains(&now_us)
        {
            self.breaches.push(Breach { provider, what: "pause", at: Duration::from_micros(now_us) });
        }
        let left = self.left_of_bucket(provider, &request, now_us);
        if let Some((0, reset_us)) = left {
            wait_us = wait_us.max(reset_us);
        }
        let has_come = self.taken + self.refused.len() + 1;
        if wait_us == 0 && self.surprise_every.is_some_and(|every| has_come.is_multiple_of(every)) {
            wait_us = 2_000_000;
        }
        if wait_us > 0 {
            self.refused.push(now_us);
            return refusal(provider, Duration::from_micros(wait_us), now_us);
        }
        for counter in counted {
            self.arrived.entry(counter).or_default().push_back(now_us);
        }
        self.taken += 1;
        self.last_taken_us.insert(provider, now_us);
        acceptance(provider, left.map(|(left, reset_us)| (left - 1, reset_us)))
    }

    /// The sender hears that it is to wait for so many seconds: what goes out to the same place before that is a breach.
    pub(crate) fn hears(&mut self, provider: &str, step: &HttpStep, refusal: &HttpReply, now_us: u64) {
        let (provider, rules) = rules_of(provider);
        let (Some(of), Some(wait)) = ((rules[0].of)(&Request::read(step)), wait_in(refusal)) else { return };
        self.pauses.insert((provider, 0, of), (now_us + WAY_MAX_US, now_us + us(wait)));
    }

    /// What is left of a webhook's own bucket before this request, and how long until it is full again.
    fn left_of_bucket(&mut self, provider: &str, request: &Request, now_us: u64) -> Option<(usize, u64)> {
        let (size, window) = self.bucket.filter(|_| provider == "discord")?;
        let (began_us, held) = self.buckets.entry(request.whole_path()).or_insert((now_us, 0));
        if *began_us + us(window) <= now_us {
            (*began_us, *held) = (now_us, 0);
        }
        let left = size - *held;
        *held = size.min(*held + 1);
        Some((left, *began_us + us(window) - now_us))
    }
}

fn rules_of(provider: &str) -> (&'static str, &'static [Rule]) {
    *RULES.iter().find(|(name, _)| *name == provider).expect("a service that is stood in for")
}

/// How long a refusal asks to wait, where it says so in seconds from now.
fn wait_in(refusal: &HttpReply) -> Option<Duration> {
    let in_header = refusal.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body: Value = serde_json::from_slice(&refusal.body).unwrap_or_default();
    let in_body = body["retry_after"].as_f64().or(body["parameters"]["retry_after"].as_f64());
    in_header.or(in_body).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

fn reply(status: u16, headers: &[(&'static str, String)], body: &Value) -> HttpReply {
    let header = |(name, value): &(&'static str, String)| {
        (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header"))
    };
    HttpReply {
        status: StatusCode::from_u16(status).expect("a status"),
        headers: headers.iter().map(header).collect::<HeaderMap>(),
        body: Bytes::from(body.to_string()),
    }
}

/// Discord says with every answer what is left.
fn acceptance(provider: &str, bucket: Option<(usize, u64)>) -> HttpReply {
    let left = |(left, reset_us): (usize, u64)| {
        let seconds = Duration::from_micros(reset_us).as_secs_f64();
        vec![("x-ratelimit-remaining", left.to_string()), ("x-ratelimit-reset-after", format!("{seconds:.3}"))]
    };
    let headers = bucket.map(left).unwrap_or_default();
    match provider {
        "telegram" => reply(200, &headers, &json!({"ok": true, "result": {"message_id": 7}})),
        "slack" => HttpReply { body: Bytes::from_static(b"ok"), ..reply(200, &headers, &Value::Null) },
        "x" => reply(201, &headers, &json!({"data": {"id": "1445880548472328192"}})),
        "microsoft_teams" => reply(202, &headers, &Value::Null),
        _ => reply(200, &headers, &json!({"id": "77"})),
    }
}

fn refusal(provider: &str, wait: Duration, now_us: u64) -> HttpReply {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    match provider {
        "telegram" => {
            let body = json!({"ok": false, "error_code": 429, "description": "Too Many Requests",
                "parameters": {"retry_after": seconds}});
            reply(429, &[], &body)
        }
        "discord" => {
            reply(429, &[], &json!({"message": "slow down", "retry_after": wait.as_secs_f64(), "global": false}))
        }
        "x" => {
            let reset = crate::clock::seconds_at(now_us) + seconds + 1;
            let headers = [("x-rate-limit-remaining", "0".to_owned()), ("x-rate-limit-reset", reset.to_string())];
            reply(429, &headers, &json!({"title": "Too Many Requests"}))
        }
        "google_chat" => reply(429, &[], &json!({"error": {"status": "RESOURCE_EXHAUSTED", "message": "Quota"}})),
        _ => reply(429, &[("retry-after", seconds.to_string())], &Value::Null),
    }
}
