//! Aether365: `/tenants/me/notifications`, against the page that describes it, and what its settings steer.
//!
//! `samples/` holds the page's requests and answers as they stand there; nothing had to be mended. Where the commands are
//! run, `https://api.aether365.io` is the address of the test's server and `<token>` a key.

mod errors;
mod settings;
mod steering;
mod unsubscribe;

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Client, IssuedKey, Server, Setup};

const PATH: &str = "/tenants/me/notifications";

/// What a key needs here.
const SCOPES: [&str; 5] = ["channels:read", "channels:write", "events:write", "events:read", "deliveries:read"];

/// A client of Aether365's API with its own tenant.
struct Aether {
    server: Server,
    /// With a key of the tenant, for both APIs.
    client: Client,
    key: String,
}

impl Aether {
    /// The tenant has an address.
    async fn start(setup: Setup) -> Self {
        Self::with_tenant(setup, json!({"name": "Acme <Ltd>", "email": "owner@acme.test"})).await
    }

    async fn with_tenant(setup: Setup, tenant: Value) -> Self {
        let server = setup.start().await;
        server.client.send(Method::PUT, "/v1/tenants/acme", &[], tenant.to_string()).await.read::<Value>(200);
        let issued: IssuedKey = server.client.create_key("acme", &SCOPES).await;
        let key = issued.key.expect("a key is shown once");
        Self { client: server.client_with(&key), server, key }
    }

    async fn get(&self) -> Value {
        self.client.get(PATH).await.read(200)
    }

    async fn patch(&self, patch: Value) -> Value {
        self.client.patch(PATH, &patch).await.read(200)
    }
}

/// The code of a refusal, its form checked, and its details.
fn refusal(answer: &Answer, status: u16) -> (String, Value) {
    let body: Value = answer.read(status);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!((body.as_object().unwrap().len(), &body["success"]), (2, &json!(false)), "{body}");
    let error = body["error"].as_object().unwrap();
    assert_eq!(error.keys().collect::<Vec<_>>(), ["code", "details", "message"], "{body}");
    assert!(!error["message"].as_str().unwrap().is_empty() && error["details"].is_object(), "{body}");
    (error["code"].as_str().unwrap().to_owned(), error["details"].clone())
}

/// The settings of a tenant that has set nothing.
fn defaults() -> Value {
    json!({"success": true, "data": {"emailOnComplete": true, "emailOnFail": true, "teamsWebhookUrl": null,
        "teamsOnComplete": false, "teamsOnFail": false}})
}
