//! Lenz: its documentation is replayed (`seed`), and everything around it is tried.

mod channels;
mod config;
mod delivery;
mod errors;
mod hostile;
mod limits;
mod logs;
mod queue;
mod seed;

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Accepted, Answer, Client, Receiver, Reply, Server, Setup};

const CHANNELS: &str = "/api/notification-channels";
const DEAD_LETTERS: &str = "/api/notification-queue/dead-letter";
const STATS: &str = "/api/notification-queue/stats";
const LOGS: &str = "/api/notification-logs";

/// The token in the documentation, and where a bot with it posts.
const BOT_TOKEN: &str = "123456789:ABCdefGHI...";
const BOT_PATH: &str = "/bot123456789:ABCdefGHI.../sendMessage";

/// A server, a receiver, and a client with a key of the tenant, as a client of Lenz has it.
struct Lenz {
    server: Server,
    receiver: Receiver,
    client: Client,
    key: String,
}

impl Lenz {
    async fn start() -> Self {
        Self::start_with(Setup::new()).await
    }

    /// What is sent to Telegram arrives at the receiver, which takes it as Telegram does.
    async fn start_with(setup: Setup) -> Self {
        let receiver = Receiver::start().await;
        receiver.always(BOT_PATH, Reply::status(200).body(r#"{"ok":true,"result":{"message_id":42}}"#));
        let setup = setup.set("POSTRIDER_PROVIDERS__TELEGRAM__BASE_URL", &receiver.url(""));
        let server = setup.start().await;
        let scopes = ["channels:read", "channels:write", "deliveries:read", "deliveries:write"];
        let key = server.client.create_key("default", &scopes).await.key.expect("a new key is shown");
        Self { client: server.client_with(&key), server, receiver, key }
    }

    async fn get(&self, path: &str) -> Value {
        good(&self.client.get(path).await)
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        good(&self.client.post(path, body).await)
    }

    async fn put(&self, id: &Value, body: &Value) -> Value {
        good(&self.client.send(Method::PUT, &format!("{CHANNELS}/{id}"), &[], body.to_string()).await)["result"].take()
    }

    /// Makes a channel; the row that is answered.
    async fn create(&self, channel: &Value) -> Value {
        self.post(CHANNELS, channel).await["result"].take()
    }

    /// Makes a webhook to a path of the receiver.
    async fn webhook(&self, path: &str) -> Value {
        let config = json!({"url": self.receiver.url(path)});
        self.create(&json!({"name": path, "provider": "webhook", "config": config})).await
    }

    async fn show(&self, id: &Value) -> Value {
        self.get(&format!("{CHANNELS}/{id}")).await["result"].take()
    }

    /// A delivery of an alert to the one channel that hears of it, once it has this status.
    async fn alert(&self, channel: &Value, status: &str) -> i64 {
        let event = format!(r#"{{"type": "alert_history", "data": {ALERT}, "channels": [{channel}]}}"#);
        let answer = self.server.client.send(Method::POST, "/v1/events", &[], event).await;
        let delivery = answer.read::<Accepted>(202).deliveries[0].id;
        self.server.client.delivery_once(delivery, status).await;
        delivery
    }
}

/// What happened, as the documentation has it; its keys come back in this order.
const ALERT: &str = r#"{"severity": "HIGH", "stream_name": "Gate B", "label": "Unauthorized Person",
    "timestamp": "2026-04-30 07:00:00"}"#;

fn alert() -> Value {
    serde_json::from_str(ALERT).expect("JSON")
}

/// The body of a success.
fn good(answer: &Answer) -> Value {
    let body: Value = answer.read(200);
    assert_eq!(body["ok"], true, "{body}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    body
}

/// A refusal is in the envelope, with this status and text and nothing else.
fn refused(answer: &Answer, status: u16, message: &str) {
    let body: Value = answer.read(status);
    assert_eq!(body, json!({"ok": false, "message": message}));
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

/// What rows have under a key.
fn column(answer: &Value, key: &str) -> Vec<Value> {
    answer["result"].as_array().expect("rows").iter().map(|row| row[key].clone()).collect()
}
