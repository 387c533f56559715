//! Whatever is sent, the answer is a success or a refusal in the envelope of Lenz, and the server goes on.

use http::Method;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{BOT_TOKEN, CHANNELS, Lenz};
use crate::hostile::strategies::{changes, garbage, url_part};
use crate::hostile::{changed, each};

/// A server that is asked by tests without a runtime of their own.
struct Asked {
    runtime: Runtime,
    lenz: Lenz,
}

impl Asked {
    fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let lenz = runtime.block_on(Lenz::start());
        Self { runtime, lenz }
    }

    fn check(&self, method: &Method, path: &str, body: Vec<u8>) -> Result<(), TestCaseError> {
        let sent = self.runtime.block_on(self.lenz.client.try_send(method.clone(), path, &[], body));
        let answer = sent.map_err(|error| TestCaseError::fail(format!("{method} {path}: no answer: {error:?}")))?;
        let (status, text) = (answer.status.as_u16(), answer.text());
        prop_assert!(matches!(status, 200 | 400 | 404 | 405 | 413), "{method} {path}: {status} {text}");
        let told: Value = serde_json::from_str(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(told["ok"].as_bool(), Some(status == 200), "{} {}: {}", method, path, text);
        let message = told["message"].as_str().unwrap_or_default();
        prop_assert!((1..200).contains(&message.len()), "{method} {path}: {text}");
        prop_assert!(status == 200 || told.as_object().is_some_and(|told| told.len() == 2), "{text}");
        Ok(())
    }

    /// Nothing of it has done any harm.
    fn ends_well(self) {
        let Self { runtime, lenz } = self;
        runtime.block_on(async {
            assert_eq!(lenz.server.client.get("/readyz").await.status, 200);
            let log = lenz.server.process.stderr.text();
            assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
            assert!(lenz.server.stop().await.success());
        });
    }
}

/// A good body of every provider.
fn bodies() -> Vec<Value> {
    let configs = [
        ("telegram", json!({"bot_token": BOT_TOKEN, "chat_id": -7})),
        ("discord", json!({"webhook_url": "https://discord.com/api/webhooks/1/abc"})),
        ("webhook", json!({"url": "https://a.test/", "method": "POST", "headers": {"x-a": "b"}, "secret": "s"})),
        (
            "email",
            json!({"smtp_host": "m.test", "smtp_port": 587, "username": "u", "password": "p", "from": "a@b.test",
                "to": ["c@d.test"], "use_tls": true}),
        ),
    ];
    let body = |(provider, config)| {
        json!({"name": "n", "provider": provider, "config": config, "is_active": true, "subject_template": "s",
            "body_template": "{{ b }}", "rate_limit": 1, "batch_enabled": true, "batch_window_seconds": 1,
            "batch_max_size": 1})
    };
    configs.into_iter().map(body).collect()
}

#[test]
fn whatever_stands_in_a_body() {
    let asked = Asked::start();
    let good = bodies();
    let id = asked.runtime.block_on(asked.lenz.create(&good[0]))["id"].clone();
    let calls = vec![(Method::POST, CHANNELS.to_owned()), (Method::PUT, format!("{CHANNELS}/{id}"))];
    let body = prop_oneof![4 => changes().prop_map(Ok), 1 => garbage().prop_map(Err)];
    let strategy = (prop::sample::select(calls), prop::sample::select(good), body);
    each(1000, &strategy, |((method, path), good, body)| {
        let body = body.map_or_else(|garbage| garbage, |changes| changed(good, &changes).to_string().into_bytes());
        asked.check(&method, &path, body)
    });
    // Whatever was taken can be shown.
    asked.check(&Method::GET, &format!("{CHANNELS}?limit=100"), Vec::new()).unwrap();
    asked.ends_well();
}

#[test]
fn whatever_stands_in_a_query() {
    let asked = Asked::start();
    let lists =
        [CHANNELS, super::DEAD_LETTERS, super::LOGS, super::STATS, "/api/notification-channels/template-variables"];
    let names = [
        "page",
        "limit",
        "search",
        "provider",
        "is_active",
        "event_type",
        "filter[channel_id]",
        "filter%5Bstatus%5D",
        "filter[provider]",
        "filter[event_type]",
        "filter",
        "filter[",
    ];
    let pair = (prop::sample::select(names.to_vec()), url_part()).prop_map(|(name, value)| format!("{name}={value}"));
    let query = prop::collection::vec(prop_oneof![5 => pair, 1 => url_part()], 0..4).prop_map(|pairs| pairs.join("&"));
    each(1000, &(prop::sample::select(lists.to_vec()), query), |(list, query)| {
        asked.check(&Method::GET, &format!("{list}?{query}"), Vec::new())
    });
    asked.ends_well();
}

#[test]
fn whatever_stands_in_a_path() {
    let asked = Asked::start();
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE].to_vec();
    let rooms = [CHANNELS, "/api/notification-queue", super::LOGS].to_vec();
    let ends = ["", "/", "/test", "/retry", "/x/y"].to_vec();
    let parts = (prop::sample::select(methods), prop::sample::select(rooms), url_part(), prop::sample::select(ends));
    each(800, &parts, |(method, room, id, end)| asked.check(&method, &format!("{room}/{id}{end}"), b"{}".to_vec()));
    asked.ends_well();
}
