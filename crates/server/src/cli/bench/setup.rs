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

/// Makes the tenant, the key and the channels, and returns the key and the ids of the channels.
pub(super) async fn prepare(server: &Server, channels: &[ChannelPlan]) -> anyhow::Result<(String, Vec<i64>)> {
    let mut tenant = Tenant::make(server, "bench").await?;
    let mut ids = Vec::with_capacity(channels.len());
    for (number, channel) in channels.iter().enumerate() {
        ids.push(tenant.make_channel(&format!("bench-{number}"), channel).await?);
    }
    Ok((tenant.0.key, ids))
}

/// A tenant of a server, and its key.
pub(super) struct Tenant(Api);

impl Tenant {
    pub(super) async fn make(server: &Server, slug: &str) -> anyhow::Result<Self> {
        let connection = Connection::open(server.address()).await?;
        let mut api = Api { connection, host: server.address().to_string(), key: server.admin_key().to_owned() };
        api.call(Method::PUT, &format!("/v1/tenants/{slug}"), &json!({"name": slug})).await?;
        let key = json!({"name": "bench", "scopes": SCOPES});
        let made = api.call(Method::POST, &format!("/v1/tenants/{slug}/keys"), &key).await?;
        let key = made["key"].as_str().context("the server's answer has no field 'key'")?;
        Ok(Self(Api { key: key.to_owned(), ..api }))
    }

    /// The one that is there already.
    pub(super) async fn with_key(server: &Server, key: &str) -> anyhow::Result<Self> {
        let connection = Connection::open(server.address()).await?;
        Ok(Self(Api { connection, host: server.address().to_string(), key: key.to_owned() }))
    }

    /// What it posts events with.
    pub(super) fn key(&self) -> &str {
        &self.0.key
    }

    /// Returns the channel's id.
    pub(super) async fn make_channel(&mut self, name: &str, plan: &ChannelPlan) -> anyhow::Result<i64> {
        let body = json!({
            "name": name,
            "provider": "webhook",
            "config": {"url": plan.url},
            "event_types": [plan.event_type],
        });
        let made = self.0.call(Method::POST, "/v1/channels", &body).await?;
        made["id"].as_i64().context("the server's answer has no field 'id'")
    }

    /// Reads a path of any API, and throws the answer away.
    pub(super) async fn get(&mut self, path: &str) -> anyhow::Result<()> {
        self.0.exchange(Method::GET, path, &json!({})).await.map(drop)
    }
}

struct Api {
    connection: Connection,
    host: String,
    key: String,
}

impl Api {
    async fn call(&mut self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.exchange(method, path, body).await?;
        serde_json::from_slice(&answer).with_context(|| format!("the answer to {path} is not JSON"))
    }

    async fn exchange(&mut self, method: Method, path: &str, body: &Value) -> anyhow::Result<Bytes> {
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
        Ok(answer.body)
    }
}
