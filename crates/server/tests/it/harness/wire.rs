//! The wire types of the native API as a client sees them, on their own: a field that changes its name breaks a test.

use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Made {
    pub(crate) id: i64,
    pub(crate) channel_id: i64,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Skipped {
    pub(crate) channel_id: i64,
    pub(crate) reason: String,
    pub(crate) reason_code: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Accepted {
    pub(crate) id: String,
    pub(crate) deliveries: Vec<Made>,
    #[serde(default)]
    pub(crate) expanding: usize,
    #[serde(default)]
    pub(crate) skipped: Vec<Skipped>,
    #[serde(default)]
    pub(crate) repeated: bool,
    pub(crate) note: Option<String>,
}

impl Accepted {
    /// Where it goes, in order.
    pub(crate) fn channels(&self) -> Vec<i64> {
        self.deliveries.iter().map(|made| made.channel_id).collect()
    }

    /// Why it does not go elsewhere, in order of channel.
    pub(crate) fn reasons(&self) -> Vec<(i64, &str)> {
        self.skipped.iter().map(|skipped| (skipped.channel_id, skipped.reason.as_str())).collect()
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) r#type: String,
    pub(crate) data: Value,
    pub(crate) occurred_at: String,
    pub(crate) accepted_at: String,
    pub(crate) severity: Option<String>,
    pub(crate) channels: Option<Vec<i64>>,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) deliveries_total: usize,
    pub(crate) expanding: usize,
    pub(crate) verdicts: Vec<Skipped>,
    pub(crate) verdicts_more: u64,
    pub(crate) note: Option<String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delivery {
    pub(crate) id: i64,
    pub(crate) event_id: String,
    pub(crate) event_type: String,
    pub(crate) channel_id: i64,
    pub(crate) status: String,
    pub(crate) attempts: u32,
    pub(crate) next_attempt_at: Option<String>,
    pub(crate) created_at: String,
    pub(crate) expires_at: String,
    pub(crate) settled_at: Option<String>,
    pub(crate) digest_id: Option<i64>,
    pub(crate) reason_code: String,
    pub(crate) reason: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attempt {
    pub(crate) id: i64,
    pub(crate) delivery_id: i64,
    pub(crate) event_id: String,
    pub(crate) event_type: String,
    pub(crate) channel_id: i64,
    pub(crate) digest_id: Option<i64>,
    pub(crate) provider: String,
    pub(crate) number: u32,
    pub(crate) step: u32,
    pub(crate) status: String,
    pub(crate) code: Option<u16>,
    pub(crate) body: String,
    pub(crate) reason_code: String,
    pub(crate) reason: Option<String>,
    pub(crate) reference: Option<String>,
    pub(crate) started_at: String,
    pub(crate) duration_ms: u32,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Channel {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) provider: String,
    pub(crate) config: Map<String, Value>,
    pub(crate) is_active: bool,
    pub(crate) paused: Option<Pause>,
    pub(crate) tripped: Option<Trip>,
    pub(crate) event_types: Vec<String>,
    pub(crate) filter: Option<String>,
    pub(crate) subject_template: Option<String>,
    pub(crate) body_template: Option<String>,
    pub(crate) retry: Value,
    pub(crate) time_to_live_seconds: u64,
    pub(crate) concurrency: u32,
    pub(crate) breaker: Value,
    pub(crate) rate_limit: Value,
    pub(crate) digest: Value,
    pub(crate) fifo: bool,
    pub(crate) on_unknown: String,
    pub(crate) dialect: Option<String>,
    pub(crate) managed: bool,
    pub(crate) created_at: String,
    pub(crate) updated_at: Option<String>,
}

impl Channel {
    /// The signing secret, where the answer shows it.
    pub(crate) fn secret(&self) -> &str {
        self.config["secret"].as_str().expect("a text")
    }

    /// The same with the config of `other`, to compare what is no secret.
    pub(crate) fn unmasked(mut self, other: &Self) -> Self {
        self.config.clone_from(&other.config);
        self
    }
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pause {
    pub(crate) reason_code: String,
    pub(crate) reason: String,
    pub(crate) since: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Trip {
    pub(crate) reason_code: String,
    pub(crate) reason: String,
    pub(crate) since: String,
    pub(crate) next_probe_at: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tested {
    pub(crate) ok: bool,
    pub(crate) delivery: Delivery,
    pub(crate) attempt: Option<Attempt>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page<T> {
    pub(crate) data: Vec<T>,
    pub(crate) next_cursor: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IssuedKey {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) prefix: String,
    pub(crate) username: Option<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) created_at: String,
    pub(crate) expires_at: Option<String>,
    pub(crate) key: Option<String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stats {
    pub(crate) since: String,
    pub(crate) events: u64,
    pub(crate) sent: u64,
    pub(crate) failed_attempts: u64,
    pub(crate) cancelled: u64,
    pub(crate) expired: u64,
    pub(crate) pending: u64,
    pub(crate) retrying: u64,
    pub(crate) held: u64,
    pub(crate) dead: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Problem {
    pub(crate) r#type: String,
    pub(crate) title: String,
    pub(crate) status: u16,
    pub(crate) detail: String,
    #[serde(default)]
    pub(crate) errors: Vec<FieldProblem>,
}

impl Problem {
    /// The fields that are wrong.
    pub(crate) fn fields(&self) -> Vec<&str> {
        self.errors.iter().map(|error| error.field.as_str()).collect()
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldProblem {
    pub(crate) field: String,
    pub(crate) message: String,
}
