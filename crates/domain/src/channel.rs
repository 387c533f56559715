//! Channels: the configured destinations of a tenant.

use std::time::Duration;

use crate::schedule::Schedule;
use crate::{ChannelId, Secret, TenantId, Timestamp};

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
    /// Which face made it; `None` for the native API.
    pub dialect: Option<String>,
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
            dialect: None,
            shard: 0,
        }
    }
}

/// Why Postrider holds the deliveries of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
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
