//! The body of `POST` and `PUT`: what a client says of a channel.
//!
//! What is left out, and null but for templates, says nothing. Fields that nobody knows are passed over: clients send
//! back what they were shown.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::error::Error;

/// A channel to be made, or what is to be changed of one. A new one needs `name`, `provider` and `config`; a change
/// leaves as it is what is left out, and replaces `config` as a whole.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[expect(clippy::option_option, reason = "absent, null and a template are three things in a change")]
#[schema(as = LenzChannelIn)]
pub(super) struct ChannelIn {
    pub(super) name: Option<String>,
    /// `webhook`, `discord`, `telegram` or `email`.
    pub(super) provider: Option<String>,
    #[schema(value_type = Option<Object>)]
    pub(super) config: Option<Map<String, Value>>,
    pub(super) is_active: Option<bool>,
    /// For `email` alone. Null or empty: none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(super) subject_template: Option<Option<String>>,
    /// Null or empty: the provider's own message.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(super) body_template: Option<Option<String>>,
    /// Messages per minute; 0 is as many as there are.
    pub(super) rate_limit: Option<u32>,
    pub(super) batch_enabled: Option<bool>,
    pub(super) batch_window_seconds: Option<u64>,
    /// 0: as many as there may be.
    pub(super) batch_max_size: Option<u32>,
}

/// Tells null, which is given, from absent, which is not. An empty template is none.
#[expect(clippy::option_option, reason = "absent, null and a template are three things in a change")]
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(Some(text.filter(|text| !text.is_empty())))
}

impl ChannelIn {
    pub(super) fn read(body: &[u8]) -> Result<Self, Error> {
        let read: Self = serde_json::from_slice(body).map_err(|_| Error::invalid())?;
        match &read.name {
            Some(name) if name.trim().is_empty() => Err(Error::required("name")),
            _ => Ok(read),
        }
    }
}
