//! What the bench makes on a new server before the load: a tenant, its key and its channels, over the native API.

use super::connection::Connection;
use super::server::Server;
use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request};
use serde_json::{Value, json};

const SCOPES: [&str; 6] =
    ["events:write", "events:read", "channels:read", "channels:write", "deliveries:read", "deliveries:write"];

/// A channel to be made: where it delivers to, and the one event type that it hears.
#[derive(Clone, Debug)]
pub(super) struct ChannelPlan {
    pub(super) url: String,
    pub(super) event_type: String,
}

/// Makes the tenant, the key and the channels, and returns the key.
pub(super) async fn prepare(server: &Server, channels: &[ChannelPlan]) -> anyhow::Result<String> {
    let connection = Connection::open(server.address()).await?;
    let mut api = Api { connection, host: server.address().to_string(), key: server.admin_key().to_owned() };
    api.call(Method::PUT, "/v1/tenants/bench", &json!({"name": "bench"})).await?;
    let made = api.call(Method::POST, "/v1/tenants/bench/keys", &json!({"name": "bench", "scopes": SCOPES})).await?;
    api.key = made["key"].as_str().context("the server's answer has no field 'key'")?.to_owned();
    for (number, channel) in channels.iter().enumerate() {
        let body = json!({
            "name": format!("bench-{number}"),
            "provider": "webhook",
            "config": {"url": channel.url},
            "event_types": [channel.event_type],
        });
        api.call(Method::POST, "/v1/channels", &body).await?;
    }
    Ok(api.key)
}

struct Api {
    connection: Connection,
    host: String,
    key: String,
}

impl Api {
    async fn call(&mut self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        let what = format!("{method} {path}");
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string())))?;
        let answer = self.connection.send(request).await.with_context(|| what.clone())?;
        if !answer.status.is_success() {
            bail!("{what} was answered with {}: {}", answer.status, String::from_utf8_lossy(&answer.body));
        }
        serde_json::from_slice(&answer.body).with_context(|| format!("the answer to {what} is not JSON"))
    }
}
