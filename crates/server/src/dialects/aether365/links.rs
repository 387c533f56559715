//! Links that unsubscribe: whoever has one may clear the flag that it names, and nothing else.
//!
//! A token is the tenant's id, the type of event that the mail was about, and a signature over the type with a secret of
//! the tenant, with dots between. The type says which of the tenant's flags for mail is meant; one who has a link for
//! one flag cannot make that for another out of it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::TenantId;
use hmac::{Hmac, KeyInit as _, Mac as _};
use providers::email::unsubscribe::{is_signed, sign};
use sha2::Sha256;

/// Makes links and reads them.
pub(crate) struct Links {
    key: [u8; 32],
    /// Where this server is reached, without a slash at the end.
    base: String,
}

impl Links {
    pub(crate) fn new(key: [u8; 32], base: &str) -> Self {
        Self { key, base: base.trim_end_matches('/').to_owned() }
    }

    /// The link of mails about events of a type.
    pub(super) fn unsubscribe(&self, tenant: TenantId, event_type: &str) -> String {
        self.with(tenant, event_type, &sign(&self.secret(tenant), event_type))
    }

    /// The link as a channel has it: its provider puts in the type, and the signature with [`Self::secret`].
    pub(super) fn pattern(&self, tenant: TenantId) -> String {
        self.with(tenant, "{event_type}", "{signature}")
    }

    /// What signs the links of a tenant.
    pub(super) fn secret(&self, tenant: TenantId) -> String {
        let mut mac: Hmac<Sha256> = Hmac::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(&tenant.0.to_be_bytes());
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }

    /// Whose token it is, and the event's type; `None` when it was not made here.
    pub(super) fn read<'a>(&self, token: &'a str) -> Option<(TenantId, &'a str)> {
        let (id, rest) = token.split_once('.')?;
        let (event_type, signature) = rest.rsplit_once('.')?;
        let tenant = TenantId(id.parse().ok()?);
        is_signed(&self.secret(tenant), event_type, signature).then_some((tenant, event_type))
    }

    fn with(&self, tenant: TenantId, event_type: &str, signature: &str) -> String {
        format!("{}/u/{}.{event_type}.{signature}", self.base, tenant.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_link_is_read_where_it_was_made_and_nowhere_else() {
        let links = Links::new([1; 32], "https://post.test/");
        let link = links.unsubscribe(TenantId(7), "scan.failed");
        let token = link.strip_prefix("https://post.test/u/").unwrap();
        assert_eq!(links.read(token), Some((TenantId(7), "scan.failed")));
        assert_eq!(Links::new([2; 32], "").read(token), None);
        let signature = token.strip_prefix("7.scan.failed.").unwrap();
        for wrong in ["", ".", "..", "7.scan.failed", "7.scan.failed.", &token[1..], &token[..token.len() - 1]] {
            assert_eq!(links.read(wrong), None, "{wrong}");
        }
        for other in ["8.scan.failed", "7.scan.completed", "7.scan", "7."] {
            assert_eq!(links.read(&format!("{other}.{signature}")), None, "{other}");
        }
    }

    #[test]
    fn a_provider_completes_the_pattern_to_the_link() {
        let links = Links::new([1; 32], "https://post.test");
        let signature = sign(&links.secret(TenantId(7)), "scan.failed");
        let completed = links.pattern(TenantId(7)).replace("{event_type}", "scan.failed");
        let link = links.unsubscribe(TenantId(7), "scan.failed");
        assert_eq!(completed.replace("{signature}", &signature), link);
    }

    proptest! {
        #[test]
        fn no_other_text_is_a_token(text in ".{0,60}") {
            prop_assert_eq!(Links::new([1; 32], "").read(&text), None);
        }
    }
}
