//! Tenants, their API keys, and what a key may do.

use crate::quotas::Quotas;
use crate::{KeyId, TenantId, Timestamp};

/// The isolation unit: everything else belongs to one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    pub id: TenantId,
    /// The name in URLs and headers: see [`check_slug`].
    pub slug: String,
    pub name: String,
    /// Where mail to the tenant itself goes.
    pub email: Option<String>,
    /// The providers that its channels may have; `None`: every one that there is.
    pub providers: Option<Vec<String>>,
    /// What it may bring and have, where that is not what the server's settings say.
    pub quotas: Quotas,
    /// Since when the platform suspends it: its keys are refused, and nothing is sent for it.
    pub suspended_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
}

impl Tenant {
    /// Whether its channels may have this provider.
    pub fn may_have(&self, provider: &str) -> bool {
        self.providers.as_ref().is_none_or(|allowed| allowed.iter().any(|name| name == provider))
    }
}

/// Whether `slug` may name a tenant: 1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit, as in
/// a DNS label.
pub fn check_slug(slug: &str) -> bool {
    let ends_ok = !slug.starts_with('-') && !slug.ends_with('-');
    let bytes_ok = slug.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    (1..=63).contains(&slug.len()) && ends_ok && bytes_ok
}

/// One thing that a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    EventsWrite,
    EventsRead,
    ChannelsRead,
    ChannelsWrite,
    DeliveriesRead,
    DeliveriesWrite,
    Inbox,
    /// Acts for every tenant and manages tenants and keys.
    Platform,
}

impl Scope {
    pub const ALL: [Self; 8] = [
        Self::EventsWrite,
        Self::EventsRead,
        Self::ChannelsRead,
        Self::ChannelsWrite,
        Self::DeliveriesRead,
        Self::DeliveriesWrite,
        Self::Inbox,
        Self::Platform,
    ];

    /// Every scope that a tenant's own key may have.
    pub const TENANT: [Self; 7] = [
        Self::EventsWrite,
        Self::EventsRead,
        Self::ChannelsRead,
        Self::ChannelsWrite,
        Self::DeliveriesRead,
        Self::DeliveriesWrite,
        Self::Inbox,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::EventsWrite => "events:write",
            Self::EventsRead => "events:read",
            Self::ChannelsRead => "channels:read",
            Self::ChannelsWrite => "channels:write",
            Self::DeliveriesRead => "deliveries:read",
            Self::DeliveriesWrite => "deliveries:write",
            Self::Inbox => "inbox",
            Self::Platform => "platform",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == text)
    }
}

/// The SHA-256 of a key's text; the text itself is never stored.
pub type KeyHash = [u8; 32];

/// An API key without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub id: KeyId,
    /// The tenant that it belongs to; `None` for a platform key.
    pub tenant: Option<TenantId>,
    pub name: String,
    pub hash: KeyHash,
    /// The first characters of the secret, to tell keys apart.
    pub prefix: String,
    /// The user name that goes with it in HTTP Basic.
    pub username: Option<String>,
    pub scopes: Vec<Scope>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

impl Key {
    /// Whether the key may do `scope` at `now`. The platform scope covers every other.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Platform)
    }

    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_dns_labels() {
        for good in ["a", "acme", "a-1", &"x".repeat(63)] {
            assert!(check_slug(good), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "ä", &"x".repeat(64)] {
            assert!(!check_slug(bad), "{bad}");
        }
    }
}
