//! Links that unsubscribe: whoever has one may clear the flag that it names, and nothing else.
//!
//! A token is the tenant's id with a signature over it, and after a dot the type of event that the mail was about. The
//! type is not signed: it only says which of the tenant's two flags for mail is meant, and who has a link for one gets
//! the mails of both.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::TenantId;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Of a signature: enough that nobody guesses one.
const MAC_BYTES: usize = 16;

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

    /// The link for a tenant; a dot and the event's type belong at its end.
    pub(super) fn unsubscribe(&self, tenant: TenantId) -> String {
        let id = tenant.0.to_be_bytes();
        let signature = self.mac(tenant).finalize().into_bytes();
        format!("{}/u/{}", self.base, URL_SAFE_NO_PAD.encode([&id[..], &signature[..MAC_BYTES]].concat()))
    }

    /// Whose token it is, and the event's type; `None` when it was not made here.
    pub(super) fn read<'a>(&self, token: &'a str) -> Option<(TenantId, &'a str)> {
        let (signed, event_type) = token.split_once('.')?;
        let bytes = URL_SAFE_NO_PAD.decode(signed).ok()?;
        let (id, signature) = bytes.split_first_chunk::<8>()?;
        let tenant = TenantId(i64::from_be_bytes(*id));
        let is_whole = signature.len() == MAC_BYTES;
        (is_whole && self.mac(tenant).verify_truncated_left(signature).is_ok()).then_some((tenant, event_type))
    }

    fn mac(&self, tenant: TenantId) -> Hmac<Sha256> {
        let mut mac = Hmac::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(&tenant.0.to_be_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_link_is_read_where_it_was_made_and_nowhere_else() {
        let links = Links::new([1; 32], "https://post.test/");
        let link = links.unsubscribe(TenantId(7));
        let token = format!("{}.scan.failed", link.strip_prefix("https://post.test/u/").unwrap());
        assert_eq!(links.read(&token), Some((TenantId(7), "scan.failed")));
        assert_eq!(Links::new([2; 32], "").read(&token), None);
        let other = links.unsubscribe(TenantId(8));
        let mixed = format!("{}{}", &other[other.len() - 32..][..11], &token[11..]);
        for wrong in ["", ".", "a.scan.failed", &token[1..], &mixed, token.split_once('.').unwrap().0] {
            assert_eq!(links.read(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_other_text_is_a_token(text in ".{0,60}") {
            prop_assert_eq!(Links::new([1; 32], "").read(&text), None);
        }
    }
}
