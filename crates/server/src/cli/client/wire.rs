//! What answers hold, as far as commands show it. Fields that are new in a server are left alone.

use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Accepted {
    pub(in crate::cli) id: String,
    pub(in crate::cli) deliveries: Vec<Made>,
    #[serde(default)]
    pub(in crate::cli) expanding: usize,
    #[serde(default)]
    pub(in crate::cli) skipped: Vec<Skipped>,
    #[serde(default)]
    pub(in crate::cli) repeated: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Made {
    pub(in crate::cli) id: i64,
}

/// A channel that did not get an event, and why.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Skipped {
    pub(in crate::cli) channel_id: i64,
    pub(in crate::cli) reason_code: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Event {
    pub(in crate::cli) id: String,
    pub(in crate::cli) r#type: String,
    pub(in crate::cli) accepted_at: String,
    pub(in crate::cli) severity: Option<String>,
    /// Those that it named; none when subscriptions chose.
    pub(in crate::cli) channels: Option<Vec<i64>>,
    pub(in crate::cli) deliveries: Vec<Delivery>,
    pub(in crate::cli) deliveries_total: usize,
    pub(in crate::cli) expanding: usize,
    pub(in crate::cli) verdicts: Vec<Skipped>,
    pub(in crate::cli) verdicts_more: u64,
}

/// Why a channel did or did not get an event.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Explained {
    pub(in crate::cli) reason_code: String,
    pub(in crate::cli) delivery: Option<Delivery>,
}

#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Delivery {
    pub(in crate::cli) id: i64,
    pub(in crate::cli) event_id: String,
    pub(in crate::cli) event_type: String,
    pub(in crate::cli) channel_id: i64,
    pub(in crate::cli) status: String,
    pub(in crate::cli) attempts: u32,
    pub(in crate::cli) next_attempt_at: Option<String>,
    pub(in crate::cli) created_at: String,
    pub(in crate::cli) expires_at: String,
    pub(in crate::cli) settled_at: Option<String>,
    pub(in crate::cli) digest_id: Option<i64>,
    pub(in crate::cli) reason_code: String,
    pub(in crate::cli) reason: Option<String>,
}

impl Delivery {
    /// Whether nothing more happens by itself: it is over, or its channel waits for a person.
    pub(in crate::cli) fn is_settled(&self) -> bool {
        matches!(self.status.as_str(), "sent" | "dead" | "cancelled" | "expired" | "held")
    }

    /// Whether it was tried at least once and nothing is under way.
    pub(in crate::cli) fn is_at_rest(&self) -> bool {
        self.is_settled() || (self.status == "retrying" && self.next_attempt_at.is_some())
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Redrive {
    pub(in crate::cli) id: i64,
    pub(in crate::cli) from: String,
    pub(in crate::cli) status: String,
    pub(in crate::cli) reason: Option<String>,
    pub(in crate::cli) examined: u64,
    pub(in crate::cli) redriven: u64,
    pub(in crate::cli) skipped: u64,
    pub(in crate::cli) created_at: String,
}

/// What a redrive would take.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct RedrivePreview {
    pub(in crate::cli) count: u64,
    pub(in crate::cli) is_lower_bound: bool,
    pub(in crate::cli) deliveries: Vec<Delivery>,
    pub(in crate::cli) events: Vec<ListedEvent>,
}

#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct ListedEvent {
    pub(in crate::cli) id: String,
    pub(in crate::cli) r#type: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Attempt {
    pub(in crate::cli) delivery_id: i64,
    pub(in crate::cli) event_id: String,
    pub(in crate::cli) event_type: String,
    pub(in crate::cli) channel_id: i64,
    pub(in crate::cli) number: u32,
    pub(in crate::cli) status: String,
    pub(in crate::cli) code: Option<u16>,
    pub(in crate::cli) digest_id: Option<i64>,
    pub(in crate::cli) reason_code: String,
    pub(in crate::cli) reason: Option<String>,
    pub(in crate::cli) started_at: String,
    pub(in crate::cli) duration_ms: u32,
}

#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Channel {
    pub(in crate::cli) id: i64,
    pub(in crate::cli) name: String,
    pub(in crate::cli) provider: String,
    pub(in crate::cli) config: Map<String, Value>,
    pub(in crate::cli) is_active: bool,
    pub(in crate::cli) paused: Option<Pause>,
    pub(in crate::cli) tripped: Option<Trip>,
    pub(in crate::cli) event_types: Vec<String>,
    pub(in crate::cli) filter: Option<String>,
    #[serde(default)]
    pub(in crate::cli) warnings: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Pause {
    pub(in crate::cli) reason: String,
    pub(in crate::cli) since: String,
}

/// That a channel fails, and is tried now and then.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Trip {
    pub(in crate::cli) reason: String,
    pub(in crate::cli) since: String,
    pub(in crate::cli) next_probe_at: String,
}

impl Channel {
    /// What it does now, in a word.
    pub(in crate::cli) fn state(&self) -> &'static str {
        match (self.is_active, &self.paused, &self.tripped) {
            (false, ..) => "off",
            (true, Some(_), _) => "paused",
            (true, None, Some(_)) => "tripped",
            (true, None, None) => "on",
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Tested {
    pub(in crate::cli) ok: bool,
    pub(in crate::cli) delivery: Delivery,
    pub(in crate::cli) attempt: Option<Attempt>,
}

#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Stats {
    pub(in crate::cli) since: String,
    pub(in crate::cli) events: u64,
    pub(in crate::cli) sent: u64,
    pub(in crate::cli) failed_attempts: u64,
    pub(in crate::cli) cancelled: u64,
    pub(in crate::cli) expired: u64,
    pub(in crate::cli) pending: u64,
    pub(in crate::cli) retrying: u64,
    pub(in crate::cli) held: u64,
    pub(in crate::cli) dead: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Key {
    pub(in crate::cli) id: i64,
    pub(in crate::cli) name: String,
    pub(in crate::cli) prefix: String,
    pub(in crate::cli) scopes: Vec<String>,
    pub(in crate::cli) created_at: String,
    pub(in crate::cli) expires_at: Option<String>,
    /// In the answer that makes it.
    #[serde(rename = "key")]
    pub(in crate::cli) secret: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Tenant {
    pub(in crate::cli) slug: String,
    pub(in crate::cli) name: String,
    pub(in crate::cli) email: Option<String>,
    pub(in crate::cli) created_at: String,
    #[serde(default)]
    pub(in crate::cli) suspended_at: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Quotas {
    pub(in crate::cli) data: Vec<Quota>,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Quota {
    pub(in crate::cli) name: String,
    pub(in crate::cli) limit: Option<u64>,
    pub(in crate::cli) used: Option<u64>,
}
