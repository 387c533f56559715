//! The API of notification handlers of prouvia.com, bitpeak.ru and their siblings.
//!
//! `seeds` replays what the original's documentation shows, with the real curl; `fixtures/README.md` says how that was
//! transcribed. The other files are what clients can rely on beyond it.

mod across;
mod bodies;
mod errors;
mod limits;
mod list;
mod secrets;
mod seeds;
mod write;

use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::harness::{Answer, Client, Server, Setup};

const HANDLERS: &str = "/api/notification-handlers";

/// Everything that these tests do with a key.
const SCOPES: [&str; 4] = ["channels:read", "channels:write", "events:write", "deliveries:read"];

/// A server with a tenant of its own for such a site.
struct Site {
    server: Server,
    /// With the tenant's key: it works here and in the native API.
    client: Client,
    key: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Handler {
    id: i64,
    r#type: String,
    name: String,
    settings: Map<String, Value>,
    is_enabled: bool,
    last_datetime: Option<String>,
    datetime: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    data: Vec<Handler>,
    meta: Meta,
    links: Links,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Meta {
    page: u64,
    results_per_page: u64,
    total: u64,
    total_pages: u64,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
struct Links {
    first: String,
    last: Option<String>,
    next: Option<String>,
    prev: Option<String>,
    #[serde(rename = "self")]
    this: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    id: i64,
}

impl List {
    fn names(&self) -> Vec<&str> {
        self.data.iter().map(|handler| handler.name.as_str()).collect()
    }
}

/// A server that can make channels of every type.
fn setup() -> Setup {
    Setup::new().set("POSTRIDER_SMTP__URL", "smtp://127.0.0.1:9").set("POSTRIDER_SMTP__FROM", "postrider@example.com")
}

impl Site {
    async fn start() -> Self {
        Self::with(&setup()).await
    }

    async fn with(setup: &Setup) -> Self {
        Self::of_tenant(setup.start().await, &json!({})).await
    }

    /// A server whose tenant is made with these fields.
    async fn of_tenant(server: Server, tenant: &Value) -> Self {
        server.client.send(Method::PUT, "/v1/tenants/site", &[], tenant.to_string()).await.read::<Value>(200);
        let key = server.client.create_key("site", &SCOPES).await.key.expect("a new key is shown");
        Self { client: server.client_with(&key), key, server }
    }

    /// A client of the same tenant that may do no more than this.
    async fn client_for(&self, scopes: &[&str]) -> Client {
        let key = self.server.client.create_key("site", scopes).await.key.expect("a new key is shown");
        self.server.client_with(&key)
    }

    /// Makes a handler; its id.
    async fn create(&self, fields: &[(&str, &str)]) -> i64 {
        post_form(&self.client, HANDLERS, fields).await.read::<Data<Saved>>(201).data.id
    }

    /// Makes a handler that needs nothing else.
    async fn create_named(&self, name: &str) -> i64 {
        self.create(&[("name", name), ("type", "internal_notification")]).await
    }

    async fn update(&self, id: i64, fields: &[(&str, &str)]) {
        let saved: Data<Saved> = post_form(&self.client, &path(id), fields).await.read(200);
        assert_eq!(saved.data.id, id);
    }

    async fn handler(&self, id: i64) -> Handler {
        self.client.get(&path(id)).await.read::<Data<Handler>>(200).data
    }

    async fn list(&self, query: &str) -> List {
        self.client.get(&format!("{HANDLERS}{query}")).await.read(200)
    }
}

fn path(id: i64) -> String {
    format!("{HANDLERS}/{id}")
}

/// A POST as a browser makes it.
async fn post_form(client: &Client, path: &str, fields: &[(&str, &str)]) -> Answer {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    client.send(Method::POST, path, &[("content-type", "application/x-www-form-urlencoded")], body).await
}

/// The titles of the errors, when the status is this one: the envelope is checked.
fn errors(answer: &Answer, status: u16) -> Vec<String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Envelope {
        errors: Vec<One>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct One {
        title: String,
        status: u16,
    }
    assert_eq!(answer.header("content-type"), Some("application/json"), "{}", answer.text());
    let envelope: Envelope = answer.read(status);
    assert!(!envelope.errors.is_empty(), "{}", answer.text());
    assert!(envelope.errors.iter().all(|one| one.status == status && !one.title.is_empty()), "{}", answer.text());
    envelope.errors.into_iter().map(|one| one.title).collect()
}
