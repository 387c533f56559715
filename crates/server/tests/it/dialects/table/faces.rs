//! The faces, each with its own way to make a channel, show it and edit one thing of it.

use http::Method;
use serde_json::{Map, Value, json};

use crate::harness::Client;

pub(super) const AETHER: &str = "/tenants/me/notifications";

/// In the order of the table's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Face {
    V1,
    Altum,
    Aether365,
    Thulium,
    Lenz,
}

impl Face {
    pub(super) const ALL: [Self; 5] = [Self::V1, Self::Altum, Self::Aether365, Self::Thulium, Self::Lenz];

    /// Those that have channels, and not settings that steer some.
    pub(super) const OF_CHANNELS: [Self; 4] = [Self::V1, Self::Altum, Self::Thulium, Self::Lenz];

    /// Whether channels of this provider can be made and are shown here.
    pub(super) fn makes(self, provider: &str) -> bool {
        match self {
            Self::V1 | Self::Altum => true,
            Self::Aether365 => false,
            Self::Thulium => provider == "webhook",
            Self::Lenz => provider != "microsoft_teams",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::V1 => "/v1/channels",
            Self::Altum => "/api/notification-handlers",
            Self::Aether365 => AETHER,
            Self::Thulium => "/api/webhooks",
            Self::Lenz => "/api/notification-channels",
        }
    }

    /// Where an answer has its row.
    fn row(self, mut answer: Value) -> Value {
        match self {
            Self::V1 | Self::Thulium => answer,
            Self::Altum | Self::Aether365 => answer["data"].take(),
            Self::Lenz => answer["result"].take(),
        }
    }

    /// Makes a channel with the least that there must be; its id.
    pub(super) async fn create(self, client: &Client, provider: &str) -> i64 {
        let (key, of_altum, value) = match provider {
            "webhook" => ("url", "webhook", "https://example.com/hook"),
            "email" => ("to", "email", "ann@example.com"),
            _ => ("webhook_url", "microsoft_teams", "https://example.com/teams"),
        };
        let body = match self {
            Self::V1 | Self::Lenz => json!({"name": "Made", "provider": provider, "config": {key: value}}),
            Self::Altum => json!({"name": "Made", "type": provider, of_altum: value}),
            Self::Aether365 | Self::Thulium => json!({"actions": ["PING"], "subscription_url": value}),
        };
        let headers = [("content-type", "application/json")];
        let answer = client.send(Method::POST, self.path(), &headers, body.to_string()).await;
        let row = self.row(answer.read(if matches!(self, Self::V1 | Self::Altum) { 201 } else { 200 }));
        row["id"].as_i64().unwrap_or_else(|| panic!("{self:?}: {row}"))
    }

    /// The channel as it is shown here; `None` when it is not.
    pub(super) async fn show(self, client: &Client, id: i64) -> Option<Map<String, Value>> {
        let answer = client.get(&format!("{}/{id}", self.path())).await;
        if answer.status == 404 {
            return None;
        }
        match self.row(answer.read(200)) {
            Value::Object(row) => Some(row),
            other => panic!("{self:?}: {other}"),
        }
    }

    /// Changes one thing, in the way that clients of this face do; the status of the answer.
    pub(super) async fn edit(self, client: &Client, id: i64, name: &str, value: &Value) -> u16 {
        let row = Value::from(self.show(client, id).await.unwrap_or_default());
        let (method, mut body) = match (self, name) {
            // What another provider needs comes with it.
            (_, "type" | "provider") if value.is_object() => (Method::POST, value.clone()),
            (Self::Altum, _) => (Method::POST, json!({name.trim_start_matches("settings."): value})),
            (Self::Thulium, _) => {
                let mut body = json!({"actions": row["actions"], "subscription_url": row["subscription_url"]});
                body[name] = value.clone();
                (Method::PUT, body)
            }
            // A config is replaced as a whole.
            (Self::Lenz, _) if name.starts_with("config.") => (Method::PUT, json!({"config": row["config"]})),
            (Self::Lenz, _) => (Method::PUT, json!({name: value})),
            (Self::V1 | Self::Aether365, _) if name.starts_with("config.") => (Method::PATCH, json!({"config": {}})),
            (Self::V1 | Self::Aether365, _) => (Method::PATCH, json!({name: value})),
        };
        if let (Self::V1 | Self::Lenz, Some(key)) = (self, name.strip_prefix("config.")) {
            body["config"][key] = value.clone();
        }
        let method = if self == Self::Lenz { Method::PUT } else { method };
        let headers = [("content-type", "application/json")];
        client.send(method, &format!("{}/{id}", self.path()), &headers, body.to_string()).await.status.as_u16()
    }
}
