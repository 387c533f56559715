//! Events: what happened, and the rules for their type and severity.

use std::fmt;
use std::sync::Arc;

use crate::{ChannelId, EventId, TenantId, Timestamp, TraceContext};

/// The longest event type, in bytes.
pub const EVENT_TYPE_BYTES_MAX: usize = 128;

/// Types with this prefix are Postrider's own: clients never post them and `*` never matches them.
pub const OWN_PREFIX: &str = "postrider.";

/// Why a text is not an event type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventTypeError {
    #[error("must not be empty")]
    Empty,
    #[error("must be at most {EVENT_TYPE_BYTES_MAX} characters long")]
    TooLong,
    #[error("may hold letters, digits, '_', '-', '/' and single dots between them, like 'invoice.paid'")]
    Malformed,
    #[error("must not begin with 'postrider.': those types are sent by Postrider itself")]
    Reserved,
}

/// Checks an event type that a client posts.
///
/// Standard Webhooks recommends `[a-zA-Z0-9_.]`; '-' and '/' are let through as well because CloudEvents producers
/// use them.
pub fn check_event_type(text: &str) -> Result<(), EventTypeError> {
    check_type_shape(text)?;
    if text.starts_with(OWN_PREFIX) {
        return Err(EventTypeError::Reserved);
    }
    Ok(())
}

/// Checks the shape alone: for patterns, which may speak of `postrider.` types.
pub(crate) fn check_type_shape(text: &str) -> Result<(), EventTypeError> {
    if text.is_empty() {
        return Err(EventTypeError::Empty);
    }
    if text.len() > EVENT_TYPE_BYTES_MAX {
        return Err(EventTypeError::TooLong);
    }
    let part_ok = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'/'))
    };
    if text.split('.').all(part_ok) { Ok(()) } else { Err(EventTypeError::Malformed) }
}

/// How grave an event is, from least to most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Debug,
    Info,
    Warning,
    Error,
    Critical,
}

impl Severity {
    pub const ALL: [Self; 5] = [Self::Debug, Self::Info, Self::Warning, Self::Error, Self::Critical];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }

    /// Reads a name as [`Severity::name`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.name() == text)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a client tells, checked but not yet kept.
///
/// `data` is the text of a JSON object exactly as the client sent it: it is stored, signed and sent byte for byte.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub tenant: TenantId,
    pub event_type: Arc<str>,
    pub data: Arc<str>,
    pub occurred_at: Timestamp,
    pub severity: Option<Severity>,
    /// The channels that the client named; `None` leaves the choice to the subscriptions.
    pub explicit_channels: Option<Vec<ChannelId>>,
    /// Where it stands in the producer's trace; deliveries go on from there.
    pub trace: Option<TraceContext>,
}

/// An accepted event.
#[derive(Clone, Debug)]
pub struct Event {
    pub id: EventId,
    pub accepted_at: Timestamp,
    pub content: Arc<NewEvent>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_types_are_checked() {
        let check = |text: &str, expected: Result<(), EventTypeError>| {
            assert_eq!(check_event_type(text), expected, "{text}");
        };
        for good in ["a", "invoice.paid", "ALERT_1.x-y", "com/example.thing", &"x".repeat(128)] {
            check(good, Ok(()));
        }
        check("", Err(EventTypeError::Empty));
        check(&"x".repeat(129), Err(EventTypeError::TooLong));
        for malformed in [".", "a.", ".a", "a..b", "a b", "a.*", "*", "ä", "a\n"] {
            check(malformed, Err(EventTypeError::Malformed));
        }
        check("postrider.test", Err(EventTypeError::Reserved));
    }

    #[test]
    fn severities_keep_their_names_and_order() {
        for severity in Severity::ALL {
            assert_eq!(Severity::parse(severity.name()), Some(severity));
        }
        assert!(Severity::Warning < Severity::Critical);
        assert_eq!(Severity::parse("CRITICAL"), None);
    }
}
