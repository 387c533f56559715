//! What providers need to know of the operator's settings.

use std::collections::BTreeMap;

use url::Url;

/// The operator's part of what a channel does. Holds no secret: servers and passwords stay with the transport.
#[derive(Clone, Debug, Default)]
pub struct Operator {
    /// Whether mail can be handed in without a server of the channel's own.
    pub has_smtp: bool,
    /// The sender of mails whose channel names none: checked by [`crate::address::check`].
    pub smtp_from: Option<String>,
    /// Where a provider's API is, by the provider's name, when it is elsewhere than usual. Trusted.
    pub base_urls: BTreeMap<String, Url>,
}
