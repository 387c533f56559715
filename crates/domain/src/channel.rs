//! Channels: the configured destinations of a tenant.

use std::time::Duration;

use crate::breaker::BreakerRule;
use crate::event::Severity;
use crate::schedule::Schedule;
use crate::{ChannelId, ReasonCode, Secret, TenantId, Timestamp};

/// How many requests may be under way to one channel at a time, unless it says otherwise.
pub const CONCURRENCY_DEFAULT: u32 = 8;

/// The most that a channel may ask for.
pub const CONCURRENCY_MAX: u32 = 64;

/// The longest name, in characters.
pub const NAME_CHARS_MAX: usize = 128;

/// The longest time-to-live of a delivery.
pub const TIME_TO_LIVE_MAX: Duration = Duration::from_hours(30 * 24);

/// One configured destination of a tenant.
#[derive(Clone, Debug)]
pub struct Channel {
    pub id: ChannelId,
    pub tenant: TenantId,
    pub settings: ChannelSettings,
    /// Set by Postrider when everything sent here is refused; the owner clears it by mending the config.
    pub pause: Option<Pause>,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
    pub deleted_at: Option<Timestamp>,
}

/// What the owner of a channel decides.
#[derive(Clone, Debug)]
pub struct ChannelSettings {
    pub name: String,
    /// The name in the provider's SPEC, like `webhook`.
    pub provider: String,
    /// A JSON object with the fields of the provider's SPEC. Encrypted at rest, never logged.
    pub config: Secret,
    /// Switched off by its owner: no new deliveries.
    pub is_active: bool,
    pub subject_template: Option<String>,
    pub body_template: Option<String>,
    /// `None`: the provider's own schedule.
    pub retry: Option<Schedule>,
    /// `None`: the provider's own time-to-live.
    pub time_to_live: Option<Duration>,
    /// Requests under way at a time: 1 to [`CONCURRENCY_MAX`].
    pub concurrency: u32,
    /// `None`: the usual rule.
    pub breaker: Option<BreakerRule>,
    /// `None`: only the provider's own limits hold.
    pub rate_limit: Option<RateLimit>,
    /// `None`: every delivery is a message of its own.
    pub digest: Option<DigestRule>,
    /// Strict order: the next delivery starts only when the one before has settled.
    pub is_fifo: bool,
    /// What follows when nobody knows whether a message was taken.
    pub on_unknown: OnUnknown,
    /// Which face made it; `None` for the native API.
    pub dialect: Option<String>,
    /// The config in the words of one dialect, to be given back as it came. Encrypted at rest, never logged; a change of
    /// the config by another face drops it.
    pub wire_config: Option<Secret>,
    /// Made and steered by a dialect's own settings: other faces do not change it.
    pub is_managed: bool,
    /// Which owner dispatches it: 0 to 255. One owner holds a whole shard, so that limits hold over all its channels.
    pub shard: u8,
}

impl ChannelSettings {
    /// Switched on, and all that its owner did not decide as the provider has it.
    pub fn new(name: String, provider: String, config: Secret) -> Self {
        Self {
            name,
            provider,
            config,
            is_active: true,
            subject_template: None,
            body_template: None,
            retry: None,
            time_to_live: None,
            concurrency: CONCURRENCY_DEFAULT,
            breaker: None,
            rate_limit: None,
            digest: None,
            is_fifo: false,
            on_unknown: OnUnknown::Retry,
            dialect: None,
            wire_config: None,
            is_managed: false,
            shard: 0,
        }
    }
}

/// The most messages that a rate limit may allow in its period, and the largest burst.
pub const RATE_COUNT_MAX: u32 = 1_000_000;

/// How fast messages may go to a channel. What is beyond waits; nothing is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Messages in each period: 1 to [`RATE_COUNT_MAX`].
    pub count: u32,
    pub per: RatePeriod,
    /// Messages that may go at once after a pause: 1 to [`RATE_COUNT_MAX`]. `None`: one period's worth.
    pub burst: Option<u32>,
}

/// The period of a rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RatePeriod {
    Second,
    Minute,
    Hour,
}

impl RatePeriod {
    pub const ALL: [Self; 3] = [Self::Second, Self::Minute, Self::Hour];

    /// The name in the API and the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|period| period.name() == text)
    }

    pub const fn length(self) -> Duration {
        match self {
            Self::Second => Duration::from_secs(1),
            Self::Minute => Duration::from_mins(1),
            Self::Hour => Duration::from_hours(1),
        }
    }
}

/// The longest window of a digest.
pub const DIGEST_WINDOW_MAX: Duration = Duration::from_hours(7 * 24);

/// The most deliveries in one digest.
pub const DIGEST_ITEMS_MAX: u32 = 1000;

/// Several deliveries of one channel merged in one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestRule {
    /// Off: the numbers are kept, and nothing is merged.
    pub is_enabled: bool,
    /// How long a digest collects from its first delivery on: at most [`DIGEST_WINDOW_MAX`]. Zero merges nothing.
    pub window: Duration,
    /// A digest with so many goes at once: at most [`DIGEST_ITEMS_MAX`]. Zero: that many.
    pub items_max: u32,
    /// Events at least so grave are not merged: they go at once.
    pub immediate_from: Option<Severity>,
    /// An expression over the event: each value of it has a digest of its own.
    pub group_by: Option<String>,
}

/// What follows when a request was written and no answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnknown {
    /// It is sent again, with the same id on the wire: at least once.
    Retry,
    /// It is left to a person: at most once.
    GiveUp,
}

impl OnUnknown {
    pub const ALL: [Self; 2] = [Self::Retry, Self::GiveUp];

    /// The name in the API and the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::GiveUp => "give_up",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|choice| choice.name() == text)
    }
}

/// Why Postrider holds the deliveries of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// That its credentials are refused, or everything.
    pub code: ReasonCode,
    /// In words, for the owner; holds no secret.
    pub reason: String,
    pub since: Timestamp,
}

/// The shard of a channel that shares its limits with no other: a stable hash of its id.
///
/// FNV-1a, folded to 8 bits: any even spread does, but it must never change, because it is stored.
pub fn shard_of(scope: &[u8]) -> u8 {
    let hash = scope
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    hash.to_be_bytes().into_iter().fold(0, |folded, byte| folded ^ byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_stable_and_spread() {
        assert_eq!(shard_of(b""), 0xcb ^ 0xf2 ^ 0x9c ^ 0xe4 ^ 0x84 ^ 0x22 ^ 0x23 ^ 0x25);
        let used: std::collections::BTreeSet<u8> = (1_i64..=2000).map(|id| shard_of(&id.to_be_bytes())).collect();
        assert!(used.len() > 200, "{} of 256 shards used", used.len());
    }
}
