//! The documentation, replayed: each of its requests by a real curl, each answer held against its sample.
//!
//! `seed/README.md` tells what was changed when it was written down.

use std::process::Command;

use http::Method;
use serde_json::{Value, json};

use super::{BOT_PATH, CHANNELS, Lenz, alert, good, refused};
use crate::harness::Reply;

/// A request of the documentation and its sample answer.
struct Page {
    request: &'static str,
    sample: &'static str,
}

macro_rules! pages {
    ($($name:ident = $file:literal),+ $(,)?) => {$(
        const $name: Page = Page {
            request: include_str!(concat!("seed/", $file, ".curl")),
            sample: include_str!(concat!("seed/", $file, ".json")),
        };
    )+};
}

pages! {
    LIST = "list",
    CREATE = "create",
    SHOW = "show",
    UPDATE = "update",
    DELETE = "delete",
    TEST = "test",
    VARIABLES = "template-variables",
    STATS = "stats",
    DEAD_LETTER = "dead-letter",
    RETRY = "retry",
    LOGS = "logs",
}

/// What may be null, whatever the sample has.
const NULLABLE: [&str; 6] =
    ["subject_template", "body_template", "updated_at", "next_retry_at", "processed_at", "response_code"];

impl Page {
    /// Runs the request with the bearer that it lacks and this id for its `0`; status and body.
    async fn run(&self, lenz: &Lenz, id: i64) -> (u16, String) {
        let command = self
            .request
            .replacen("curl ", "curl -sS -w '\\n%{http_code}' -H \"Authorization: Bearer $KEY\" ", 1)
            .replace("https://lenz.example.com", &format!("http://{}", lenz.server.address))
            .replace("/0\"", &format!("/{id}\""))
            .replace("/0/", &format!("/{id}/"));
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]).env("KEY", &lenz.key);
        let ran = tokio::task::spawn_blocking(move || shell.output()).await.expect("it ends").expect("a shell");
        assert!(ran.status.success(), "{}: {}", self.request, String::from_utf8_lossy(&ran.stderr));
        let output = String::from_utf8(ran.stdout).expect("text");
        let (body, status) = output.rsplit_once('\n').expect("a status");
        (status.parse().expect("a status"), body.to_owned())
    }

    /// The same, and the answer is of the form of the sample: the same keys in the same order, of the same kinds.
    async fn replay(&self, lenz: &Lenz, id: i64) -> Value {
        let (status, body) = self.run(lenz, id).await;
        assert_eq!(status, 200, "{}: {body}", self.request);
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        check_form(&self.sample(), &answer, "");
        assert_eq!(keys(&body), keys(self.sample), "{body}");
        answer
    }

    fn sample(&self) -> Value {
        serde_json::from_str(self.sample).expect("a sample is JSON")
    }
}

/// That two values are alike, but for what they hold.
fn check_form(sample: &Value, found: &Value, at: &str) {
    let key = at.rsplit('/').next().unwrap_or_default();
    match (sample, found) {
        (Value::Null, _) | (_, Value::Null) if NULLABLE.contains(&key) => {}
        (Value::Object(sample), Value::Object(found)) => {
            assert_eq!(sample.keys().collect::<Vec<_>>(), found.keys().collect::<Vec<_>>(), "{at}");
            sample.iter().for_each(|(key, value)| check_form(value, &found[key], &format!("{at}/{key}")));
        }
        (Value::Array(sample), Value::Array(found)) => {
            assert_eq!(sample.len(), found.len(), "{at}");
            sample.iter().zip(found).for_each(|(sample, found)| check_form(sample, found, at));
        }
        (Value::String(sample), Value::String(found)) => {
            assert_eq!(is_time(sample), is_time(found), "{at}: {found}");
        }
        (Value::Number(sample), Value::Number(found)) => assert_eq!(sample.is_u64(), found.is_u64(), "{at}"),
        (Value::Bool(_), Value::Bool(_)) | (Value::Null, Value::Null) => {}
        _ => panic!("{at}: {sample} is shown as {found}"),
    }
}

/// Whether it is a time as the documentation writes it.
fn is_time(text: &str) -> bool {
    let form = text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect::<String>();
    form == "9999-99-99T99:99:99Z"
}

/// Every key of a JSON text in the order in which they stand there.
fn keys(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(begin) = rest.find('"') {
        let mut strings = serde_json::Deserializer::from_str(&rest[begin..]).into_iter::<String>();
        let string = strings.next().expect("a string").expect("JSON");
        rest = &rest[begin + strings.byte_offset()..];
        if rest.trim_start().starts_with(':') {
            found.push(string);
        }
    }
    found
}

#[tokio::test]
async fn every_request_is_answered_as_its_sample() {
    let lenz = Lenz::start().await;

    let created = CREATE.replay(&lenz, 0).await["result"].take();
    let id = created["id"].as_i64().unwrap();
    let mut expected = CREATE.sample()["result"].take();
    // What was sent is never unescaped.
    let body = expected["body_template"].as_str().unwrap().replace('\n', "\\n");
    expected["body_template"] = body.into();
    expected["created_at"] = created["created_at"].clone();
    assert_eq!(created, expected);

    let listed = LIST.replay(&lenz, 0).await;
    assert_eq!((&listed["result"], &listed["total"]), (&json!([created]), &json!(1)));
    assert_eq!(SHOW.replay(&lenz, id).await["result"], created);
    assert_eq!(VARIABLES.replay(&lenz, 0).await, VARIABLES.sample());

    let delivery = lenz.alert(&json!(id), "sent").await;
    let log = LOGS.replay(&lenz, 0).await;
    let mut expected = LOGS.sample();
    for key in ["id", "duration_ms", "created_at"] {
        expected["result"][0][key] = log["result"][0][key].clone();
    }
    expected["result"][0]["outbox_id"] = delivery.into();
    assert_eq!(log, expected);

    let sent_before = lenz.receiver.count(BOT_PATH);
    assert_eq!(TEST.replay(&lenz, id).await, TEST.sample());
    assert_eq!(lenz.receiver.count(BOT_PATH), sent_before + 1);

    let updated = UPDATE.replay(&lenz, id).await["result"].take();
    let mut expected = UPDATE.sample()["result"].take();
    for key in ["config", "created_at", "updated_at"] {
        expected[key] = if key == "updated_at" { updated[key].clone() } else { created[key].clone() };
    }
    assert_eq!(updated, expected);
    assert!(is_time(updated["updated_at"].as_str().unwrap()));
    assert_eq!(SHOW.replay(&lenz, id).await["result"], updated);

    assert_eq!(DELETE.replay(&lenz, id).await, DELETE.sample());
}

#[tokio::test]
async fn the_queue_is_told_as_in_its_samples() {
    let lenz = Lenz::start().await;
    lenz.receiver.always("/broken", Reply::status(503));
    let id = lenz.webhook("/broken").await["id"].clone();
    let delivery = lenz.alert(&id, "dead").await;

    let stats = STATS.replay(&lenz, 0).await["result"].take();
    let figures = json!({"pending": 0, "processing": 0, "sent_today": 0, "failed_today": 5, "dead_letter": 1});
    assert_eq!(stats, figures);

    let letters = DEAD_LETTER.replay(&lenz, 0).await;
    let mut expected = DEAD_LETTER.sample();
    let row = &mut expected["result"][0];
    (row["id"], row["channel_id"], row["payload"]) = (delivery.into(), id, alert());
    for key in ["error_message", "created_at"] {
        row[key] = letters["result"][0][key].clone();
    }
    assert_eq!(letters, expected);

    lenz.receiver.always("/broken", Reply::status(200));
    assert_eq!(RETRY.replay(&lenz, delivery).await, RETRY.sample());
    lenz.server.client.delivery_once(delivery, "sent").await;
}

/// The texts that the page gives for errors, each provoked.
#[tokio::test]
async fn every_error_has_its_text() {
    let lenz = Lenz::start().await;
    let texts: Value = serde_json::from_str(include_str!("seed/errors.json")).unwrap();
    let text = |name: &str, position: usize| texts[name][position]["message"].as_str().unwrap().to_owned();
    let (client, one) = (&lenz.client, |id: i64| format!("{CHANNELS}/{id}"));
    refused(&client.get(&format!("{CHANNELS}?page=x")).await, 400, &text("list", 0));
    refused(&client.post(CHANNELS, &json!({"provider": "telegram"})).await, 400, &text("create", 0));
    refused(&client.post(CHANNELS, &json!([])).await, 400, &text("create", 1));
    refused(&client.get(&one(0)).await, 404, &text("show", 0));
    refused(&client.send(Method::PUT, &one(0), &[], "{}").await, 404, &text("update", 0));
    refused(&client.send(Method::PUT, &one(0), &[], "{").await, 400, &text("update", 1));
    refused(&client.delete(&one(0)).await, 404, &text("delete", 0));
    let off =
        json!({"name": "Off", "provider": "webhook", "config": {"url": lenz.receiver.url("/")}, "is_active": false});
    let off = lenz.create(&off).await["id"].as_i64().unwrap();
    refused(&client.post(&format!("{}/test", one(off)), &json!({})).await, 400, &text("test", 0));
    refused(&client.post(&format!("{}/test", one(0)), &json!({})).await, 404, &text("test", 1));
    refused(&client.post("/api/notification-queue/0/retry", &json!({})).await, 404, &text("retry", 0));
    assert_eq!(lenz.receiver.total(), 0);
    assert_eq!(good(&client.delete(&one(off)).await), DELETE.sample());
}
