//! Verdicts: why an event did or did not become a delivery to a channel.

use crate::ChannelId;
use crate::routing::ConfigVersion;

/// The most single verdicts kept for one event; what is beyond is counted.
pub const SKIPPED_MAX: usize = 1000;

/// Why an event did not become a delivery to a channel whose pattern it matched, or which it named.
///
/// That a channel has no matching subscription is not stored: it follows from the versioned subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The channel's filter said no.
    FilterFalse,
    /// The channel's filter could not be evaluated for this event.
    FilterFailed,
    /// The owner had switched the channel off.
    ChannelInactive,
    /// The event tells of the channel itself, or of one that fails for the same reason.
    TellsOfChannel,
}

impl Reason {
    pub const ALL: [Self; 4] = [Self::FilterFalse, Self::FilterFailed, Self::ChannelInactive, Self::TellsOfChannel];

    /// The code in the API.
    pub const fn code(self) -> &'static str {
        match self {
            Self::FilterFalse => "filter_false",
            Self::FilterFailed => "filter_failed",
            Self::ChannelInactive => "channel_inactive",
            Self::TellsOfChannel => "tells_of_channel",
        }
    }

    /// The number in the store; never reused for another meaning.
    pub const fn number(self) -> u8 {
        match self {
            Self::FilterFalse => 1,
            Self::FilterFailed => 2,
            Self::ChannelInactive => 3,
            Self::TellsOfChannel => 4,
        }
    }

    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.number() == number)
    }
}

/// Why an event reached fewer channels than its subscriptions matched; kept with the event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// The configuration that the event was routed by.
    pub config_version: ConfigVersion,
    /// At most [`SKIPPED_MAX`], in order of channel.
    pub skipped: Vec<(ChannelId, Reason)>,
    /// How many more were skipped beyond those.
    pub skipped_more: u64,
}

impl Verdicts {
    pub fn new(config_version: ConfigVersion, mut skipped: Vec<(ChannelId, Reason)>) -> Self {
        skipped.sort_unstable_by_key(|(channel, _)| *channel);
        let skipped_more = skipped.len().saturating_sub(SKIPPED_MAX) as u64;
        skipped.truncate(SKIPPED_MAX);
        Self { config_version, skipped, skipped_more }
    }
}
