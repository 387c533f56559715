//! Scopes: which channels share a credential or a rate of their provider.
//!
//! A [`ScopeId`] is a hash, because what tells two scopes apart is commonly a secret. Channels of several tenants may be
//! in one scope: the provider counts them together, whoever they belong to.

use domain::ScopeId;
use domain::budget::ScopedRate;
use sha2::{Digest as _, Sha256};

use crate::config::Config;
use crate::{Provider, Rate};

/// The scopes that a channel is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    /// The narrowest that the provider counts by; `None` when that is the channel itself.
    pub place: Option<ScopeId>,
    /// All channels with this credential.
    pub credential: Option<ScopeId>,
    /// All channels of the provider; `None` for providers that owners name themselves, which have nothing in common.
    pub provider: Option<ScopeId>,
    /// The provider's rates, as far as they hold for this channel.
    pub rates: Vec<ScopedRate>,
}

impl Scopes {
    /// Those of a channel with this config.
    pub fn of(provider: &dyn Provider, config: &Config) -> Self {
        let spec = provider.spec();
        let id = |kind: &str, key: &str| scope_id(&[spec.name, kind, key]);
        let scoped = |rate: &Rate| {
            let key = provider.counted_by(rate.scope, config)?;
            Some(ScopedRate { scope: id(rate.scope.name(), &key), count: rate.count, window: rate.window })
        };
        let rates: Vec<ScopedRate> = spec.rates.iter().filter_map(scoped).collect();
        let credential = provider.credential(config).map(|key| id("credential", &key));
        // SPECs name the narrowest scope first; a rate of the credential is none of a place.
        let place = rates.first().map(|rate| rate.scope);
        let provider = spec.base_url.map(|_| id("provider", ""));
        Self { place, credential, provider, rates }
    }
}

/// The first 8 bytes of a hash over the parts, each with its length, so that no two lists of parts are the same text.
fn scope_id(parts: &[&str]) -> ScopeId {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    ScopeId(hash.finalize().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::{all, config, find};

    fn scopes(provider: &str, changes: &Value) -> Scopes {
        let provider = find(provider).unwrap();
        let mut given: Map<String, Value> = provider.spec().sample();
        given.extend(changes.as_object().unwrap().clone());
        Scopes::of(provider, &config::create(provider, &given).unwrap_or_else(|errors| panic!("{errors:?}")))
    }

    #[test]
    fn every_rate_has_a_scope_in_some_channel() {
        for provider in all() {
            let given = config::create(*provider, &provider.spec().sample()).unwrap();
            let scopes = Scopes::of(*provider, &given);
            assert_eq!(scopes.rates.len(), provider.spec().rates.len(), "{}", provider.spec().name);
            assert_eq!(scopes, Scopes::of(*provider, &given));
            assert!(!format!("{scopes:?}").contains("example"), "{scopes:?}");
        }
    }

    #[test]
    fn a_bot_shares_its_credential_and_each_chat_has_its_own_rate() {
        let group = scopes("telegram", &json!({}));
        let other = scopes("telegram", &json!({"chat_id": "-5"}));
        let person = scopes("telegram", &json!({"chat_id": "5"}));
        assert_eq!(group.credential, other.credential);
        assert_eq!(group.provider, scopes("telegram", &json!({"bot_token": "1:x"})).provider);
        assert_ne!(group.credential, scopes("telegram", &json!({"bot_token": "1:x"})).credential);
        assert_ne!(group.place, other.place);
        assert_eq!((group.rates.len(), person.rates.len()), (3, 2), "a person is no group");
        assert_eq!(group.rates.last(), other.rates.last(), "the bot's");
    }

    #[test]
    fn webhooks_of_one_space_share_its_rate() {
        let url = |rest: &str| json!({"webhook_url": format!("https://chat.googleapis.com/v1/spaces/{rest}")});
        let one = scopes("google_chat", &url("AAA/messages?key=k&token=first"));
        assert_eq!(one.place, scopes("google_chat", &url("AAA/messages?key=k&token=second")).place);
        assert_ne!(one.place, scopes("google_chat", &url("BBB/messages?key=k&token=first")).place);
        assert_eq!(one.credential, None);
    }

    #[test]
    fn what_owners_name_themselves_has_nothing_in_common() {
        for provider in ["webhook", "internal_notification"] {
            assert_eq!(scopes(provider, &json!({})), Scopes::default(), "{provider}");
        }
        let own = json!({"smtp_host": "mail.test", "smtp_user": "u", "smtp_password": "p"});
        assert!(scopes("email", &own).credential.is_some());
        let provider = find("email").unwrap();
        let operators = config::create(provider, json!({"to": "a@b.test"}).as_object().unwrap()).unwrap();
        assert_eq!(Scopes::of(provider, &operators), Scopes::default());
    }
}
