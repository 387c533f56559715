//! Thulium: `/api/webhooks`, against the page that describes it and every program on that page.
//!
//! `samples/` holds the page's request, answer and programs as they stand there, with what the page lost put back:
//!
//! - PHP: the `=` of every assignment, the comma after `$request`, the `, ` before a `CURLOPT_` value and the `.` before
//!   `mb_strlen`, which the page shows as nothing.
//! - Java: `\/` is no escape of Java, so the backslash is doubled. `ThuliumRestClient` is not on the page; ours calls the
//!   same way.
//!
//! Where they are run, `https://your-system-name.thulium.com` is the address of the test's server. `api_user` and `api_pass`
//! are what they log in with: the password is imported as a key.

mod calls;
mod delivery;
mod errors;
mod webhooks;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use http::header::AUTHORIZATION;
use serde_json::{Value, json};

use crate::harness::{Answer, Client, IssuedKey, Server, Setup};

/// The user of every key here.
const USER: &str = "api_user";

/// The password on the page.
const PASSWORD: &str = "api_pass";

/// A client of Thulium's API with its own tenant.
struct Thulium {
    server: Server,
    key: String,
}

impl Thulium {
    async fn start() -> Self {
        Self::of(Setup::new()).await
    }

    async fn of(setup: Setup) -> Self {
        let server = setup.start().await;
        server.client.send(Method::PUT, "/v1/tenants/acme", &[], "{}").await.read::<Value>(200);
        let scopes = ["channels:read", "channels:write", "events:write", "deliveries:read"];
        let imported = json!({"name": "Thulium", "scopes": scopes, "username": USER, "key": PASSWORD});
        server.client.post("/v1/tenants/acme/keys", &imported).await.read::<Value>(201);
        Self { server, key: PASSWORD.to_owned() }
    }

    /// Calls with HTTP Basic.
    async fn call(&self, method: Method, path: &str, body: &Value) -> Answer {
        self.call_as(USER, &self.key, method, path, body.to_string()).await
    }

    async fn call_as(&self, user: &str, key: &str, method: Method, path: &str, body: String) -> Answer {
        let login = basic(user, key);
        self.server.client_with("").send(method, path, &[(AUTHORIZATION.as_str(), &login)], body).await
    }

    /// The same tenant by the native API.
    fn native(&self) -> Client {
        self.server.client_with(&self.key)
    }

    async fn create(&self, webhook: &Value) -> Value {
        self.call(Method::POST, "/api/webhooks", webhook).await.read(200)
    }

    async fn list(&self) -> Vec<Value> {
        self.call(Method::GET, "/api/webhooks", &Value::Null).await.read(200)
    }
}

/// A key of the tenant `acme`.
async fn key(server: &Server, request: Value) -> String {
    let issued: IssuedKey = server.client.post("/v1/tenants/acme/keys", &request).await.read(201);
    issued.key.expect("a key is shown once")
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// The page's request.
fn request() -> Value {
    serde_json::from_str(include_str!("samples/request.json")).expect("JSON")
}
