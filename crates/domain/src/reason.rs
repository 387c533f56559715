//! Reason codes: why a delivery, an attempt or a channel's lack of a delivery is as it is, for programs.
//!
//! Texts say the same to people and may be worded anew; a code keeps its meaning. `docs/verdicts.md` explains each, and a
//! black-box test brings each about.

use std::fmt;

use crate::outcome::{Class, Outcome, Scope};
use crate::verdict;

/// Declares the codes once: variant, code, meaning.
macro_rules! reason_codes {
    ($($(#[doc = $meaning:literal])+ $code:ident = $name:literal,)+) => {
        /// Why something is as it is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ReasonCode {
            $($(#[doc = $meaning])+ $code,)+
        }

        impl ReasonCode {
            /// Every code, in the order of `docs/verdicts.md`.
            pub const ALL: &'static [Self] = &[$(Self::$code,)+];

            /// The code in the API and the store.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)+
                }
            }
        }
    };
}

reason_codes! {
    /// The channel's filter said no.
    FilterFalse = "filter_false",
    /// The channel's filter could not be evaluated for the event.
    FilterFailed = "filter_failed",
    /// The owner had switched the channel off.
    ChannelInactive = "channel_inactive",
    /// The event tells of the channel itself, or of one that fails for the same reason.
    TellsOfChannel = "tells_of_channel",
    /// The event named its channels, and not this one.
    NotNamed = "not_named",
    /// No event type of the channel matched.
    NoSubscription = "no_subscription",
    /// The channel was made after the event.
    ChannelIsYounger = "channel_is_younger",
    /// The channel had been deleted before the event.
    ChannelWasDeleted = "channel_was_deleted",
    /// Nobody wrote the reason down.
    ReasonNotKept = "reason_not_kept",
    /// The delivery is still being written.
    Expanding = "expanding",
    /// Nothing stands in its way but what is before it.
    WaitsForTurn = "waits_for_turn",
    /// An attempt is under way.
    UnderWay = "under_way",
    /// It collects with others.
    WaitsForDigest = "waits_for_digest",
    /// An older delivery of its channel must settle first.
    WaitsForPredecessor = "waits_for_predecessor",
    /// A rate has no room.
    WaitsForRateLimit = "waits_for_rate_limit",
    /// The provider asked for a pause.
    WaitsForProvider = "waits_for_provider",
    /// A later attempt is due.
    WaitsForRetry = "waits_for_retry",
    /// The channel's breaker is open.
    ChannelTripped = "channel_tripped",
    /// The provider refuses everything that is sent to the channel.
    ChannelRefused = "channel_refused",
    /// The provider refuses what the channel proves itself by.
    CredentialsRefused = "credentials_refused",
    /// The platform has suspended the tenant.
    TenantSuspended = "tenant_suspended",
    /// The provider took it.
    Delivered = "delivered",
    /// The last attempt of the schedule failed.
    AttemptsUsedUp = "attempts_used_up",
    /// The next attempt would come after the time-to-live.
    NoTimeForRetry = "no_time_for_retry",
    /// It may have been taken, and the channel says not to repeat.
    MayHaveBeenTaken = "may_have_been_taken",
    /// The provider will never take this message.
    MessageRefused = "message_refused",
    /// The provider will never take this message, because of its size.
    MessageTooLarge = "message_too_large",
    /// Nothing could be sent: no message could be made, or the server is not set up for it.
    MessageNotSent = "message_not_sent",
    /// The owner switched the channel off.
    ChannelSwitchedOff = "channel_switched_off",
    /// The owner deleted the channel.
    ChannelDeleted = "channel_deleted",
    /// The time-to-live ended while it waited for its turn.
    ExpiredInQueue = "expired_in_queue",
    /// The time-to-live ended while it was held.
    ExpiredHeld = "expired_held",
    /// It was held for longer than the channel allows.
    HeldTooLong = "held_too_long",
    /// The channel held more than it may, and this was the oldest.
    HeldTooMany = "held_too_many",
    /// The receiver answered that it failed.
    AnsweredWithFailure = "answered_with_failure",
    /// No receiver was reached, so nothing was sent.
    NotReached = "not_reached",
    /// It was sent, and no answer came.
    NoAnswer = "no_answer",
    /// The receiver asked for a pause.
    AskedToWait = "asked_to_wait",
}

impl ReasonCode {
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == text)
    }

    /// What an attempt came to. `status` is the provider's: an HTTP status or SMTP reply code.
    pub fn of_attempt(outcome: &Outcome, status: Option<u16>) -> Self {
        match (outcome.class, outcome.scope) {
            (Class::Delivered, _) => Self::Delivered,
            (Class::Retry, _) if status.is_some() => Self::AnsweredWithFailure,
            (Class::Retry, _) => Self::NotReached,
            (Class::Throttled, _) => Self::AskedToWait,
            (Class::Unknown, _) => Self::NoAnswer,
            (Class::Permanent, Scope::Message) => match status {
                None => Self::MessageNotSent,
                Some(status) if TOO_LARGE.contains(&status) => Self::MessageTooLarge,
                Some(_) => Self::MessageRefused,
            },
            (Class::Permanent, Scope::Channel | Scope::Provider) => Self::ChannelRefused,
            (Class::Permanent, Scope::Credential) => Self::CredentialsRefused,
        }
    }
}

/// The statuses that speak of a message's size: HTTP 413 (RFC 9110), SMTP 552 (RFC 1870).
const TOO_LARGE: [u16; 2] = [413, 552];

impl From<verdict::Reason> for ReasonCode {
    fn from(reason: verdict::Reason) -> Self {
        match reason {
            verdict::Reason::FilterFalse => Self::FilterFalse,
            verdict::Reason::FilterFailed => Self::FilterFailed,
            verdict::Reason::ChannelInactive => Self::ChannelInactive,
            verdict::Reason::TellsOfChannel => Self::TellsOfChannel,
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_and_read_back() {
        for code in ReasonCode::ALL {
            assert_eq!(ReasonCode::parse(code.name()), Some(*code));
        }
        assert_eq!(ReasonCode::parse("because"), None);
    }

    #[test]
    fn an_attempt_has_the_code_of_its_outcome() {
        let check = |outcome: Outcome, status, expected| {
            assert_eq!(ReasonCode::of_attempt(&outcome, status), expected, "{outcome:?} {status:?}");
        };
        check(Outcome::delivered(), Some(200), ReasonCode::Delivered);
        check(Outcome::retry(""), Some(503), ReasonCode::AnsweredWithFailure);
        check(Outcome::retry(""), None, ReasonCode::NotReached);
        check(Outcome::throttled(Scope::Channel, ""), Some(429), ReasonCode::AskedToWait);
        check(Outcome::unknown(""), None, ReasonCode::NoAnswer);
        check(Outcome::permanent(Scope::Message, ""), Some(400), ReasonCode::MessageRefused);
        check(Outcome::permanent(Scope::Message, ""), Some(552), ReasonCode::MessageTooLarge);
        check(Outcome::permanent(Scope::Message, ""), None, ReasonCode::MessageNotSent);
        check(Outcome::permanent(Scope::Channel, ""), Some(410), ReasonCode::ChannelRefused);
        check(Outcome::permanent(Scope::Credential, ""), Some(401), ReasonCode::CredentialsRefused);
    }
}
