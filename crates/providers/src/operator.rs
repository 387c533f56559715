//! What providers need to know of the operator's settings.

use std::collections::BTreeMap;

use domain::Secret;
use jiff::tz::TimeZone;
use url::{Position, Url};

use crate::spec::Spec;
use crate::step::Trust;

/// The operator's part of what a channel does. Holds no secret: servers and passwords stay with the transport.
#[derive(Clone, Debug, Default)]
pub struct Operator {
    /// Whether mail can be handed in without a server of the channel's own.
    pub has_smtp: bool,
    /// The sender of mails whose channel names none: checked by [`crate::address::check`].
    pub smtp_from: Option<String>,
    /// Where a provider's API is, by the provider's name, when it is elsewhere than usual. Trusted.
    pub base_urls: BTreeMap<String, Url>,
    /// What local times are told in to receivers that know no other. `None` is UTC.
    pub thulium_time_zone: Option<TimeZone>,
}

impl Operator {
    /// Where `path`, which begins with '/', is found in the provider's API.
    pub(crate) fn api(&self, spec: &Spec, path: &str) -> (Secret, Trust) {
        match self.base_urls.get(spec.name) {
            Some(base) => (under(base, path), Trust::OPERATOR),
            None => (Secret::new(format!("{}{path}", spec.base_url.unwrap_or_default())), Trust::NONE),
        }
    }

    /// An owner's URL of the provider's; path and query stay as they are when the operator has the API elsewhere.
    pub(crate) fn relocated(&self, spec: &Spec, url: &Url) -> (Secret, Trust) {
        match self.base_urls.get(spec.name) {
            Some(base) => (under(base, &url[Position::BeforePath..]), Trust::OPERATOR),
            None => (Secret::new(url.as_str()), Trust::NONE),
        }
    }
}

fn under(base: &Url, path: &str) -> Secret {
    Secret::new(format!("{}{path}", base.as_str().trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_operator_set_is_trusted() {
        let spec = crate::find("telegram").unwrap().spec();
        let usual = Operator::default();
        let base_urls = BTreeMap::from([(spec.name.to_owned(), Url::parse("http://127.0.0.1:81/x/").unwrap())]);
        let moved = Operator { base_urls, ..Operator::default() };
        let check = |(url, trust): (Secret, Trust), expected: &str, is_operators: bool| {
            assert_eq!((url.reveal(), trust.is_operators()), (expected, is_operators));
        };
        check(usual.api(spec, "/a"), "https://api.telegram.org/a", false);
        check(moved.api(spec, "/a"), "http://127.0.0.1:81/x/a", true);
        let owners = Url::parse("https://a.test:443/%2Fx?sp=%2Ft&a=b").unwrap();
        check(usual.relocated(spec, &owners), "https://a.test/%2Fx?sp=%2Ft&a=b", false);
        check(moved.relocated(spec, &owners), "http://127.0.0.1:81/x/%2Fx?sp=%2Ft&a=b", true);
    }
}
