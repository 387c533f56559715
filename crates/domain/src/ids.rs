//! Ids: integers below 2^53 (so that every JSON reader keeps them exact), handed out by the store in commit order.

use std::fmt;

/// The largest id: 2^53 - 1, the largest integer that a JavaScript number holds exactly.
pub const ID_MAX: i64 = (1 << 53) - 1;

macro_rules! id {
    ($(#[$doc:meta] $name:ident),+ $(,)?) => {$(
        #[$doc]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<i64> for $name {
            fn from(value: i64) -> Self {
                Self(value)
            }
        }
    )+};
}

id! {
    /// The isolation unit.
    TenantId,
    /// An API key.
    KeyId,
    /// One configured destination of a tenant; the same number on every face.
    ChannelId,
    /// One validity of one event type pattern for one channel.
    SubscriptionId,
    /// What happened; see [`EventId::parse`] for its public form.
    EventId,
    /// One event for one channel.
    DeliveryId,
    /// One try at one step of a delivery.
    AttemptId,
    /// One order to try many deliveries again.
    RedriveId,
    /// Several deliveries of one channel merged in one message.
    DigestId,
}

/// What several channels have in common that a provider counts or refuses together: a hash, because it is commonly a
/// secret that tells two scopes apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScopeId(pub u64);

impl EventId {
    /// The public form in the native API: `evt_` and the number.
    pub fn public(self) -> String {
        format!("evt_{}", self.0)
    }

    /// Reads the public form; `None` when it is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("evt_")?;
        let canonical = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        let number = digits.parse::<i64>().ok().filter(|number| (1..=ID_MAX).contains(number))?;
        canonical.then_some(Self(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_id_has_one_public_form() {
        assert_eq!(EventId(17).public(), "evt_17");
        assert_eq!(EventId::parse("evt_17"), Some(EventId(17)));
        for wrong in ["17", "evt_", "evt_0", "evt_017", "evt_+17", "evt_-1", "evt_9007199254740992", "evt_1 "] {
            assert_eq!(EventId::parse(wrong), None, "{wrong}");
        }
    }
}
