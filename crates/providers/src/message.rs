//! Messages: what a provider is given to plan from, and why it may be unable to.
//!
//! Everything is borrowed: on the hot path an event's data is copied once, into the body that goes out.

use domain::event::Severity;
use domain::{EventId, Timestamp};
use jiff::fmt::temporal::DateTimePrinter;

use crate::operator::Operator;

/// One event on its way to one channel, or several as a digest.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub event_id: EventId,
    pub event_type: &'a str,
    /// The text of a JSON object, checked when the event was accepted; sent byte for byte.
    pub data: &'a str,
    pub occurred_at: Timestamp,
    pub severity: Option<Severity>,
    /// The channel's subject template, rendered; `None` without template.
    pub subject: Option<&'a str>,
    /// The channel's body template, rendered; `None` without template.
    pub body: Option<&'a str>,
    /// The events of a digest, in order; empty when the message is one event. With them the rest speaks of the digest as a
    /// whole.
    pub items: &'a [Item<'a>],
}

/// One event of a digest.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    pub event_id: EventId,
    pub event_type: &'a str,
    /// As in [`Message::data`].
    pub data: &'a str,
    pub occurred_at: Timestamp,
    pub severity: Option<Severity>,
}

impl<'a> Item<'a> {
    /// The event as a message of its own, without templates.
    pub const fn message(&self) -> Message<'a> {
        let Self { event_id, event_type, data, occurred_at, severity } = *self;
        Message { event_id, event_type, data, occurred_at, severity, subject: None, body: None, items: &[] }
    }
}

/// What is known about the try that is planned.
#[derive(Clone, Copy, Debug)]
pub struct PlanContext<'a> {
    /// The delivery's id on the wire: the same for every try, so that receivers can drop what they had. Without '.',
    /// because a signature covers `id.timestamp.body`.
    pub wire_id: &'a str,
    /// Counts from 1.
    pub attempt: u32,
    /// The provider could not read the message as it is marked up: this is the one try without; see
    /// [`Remedy::Plain`](domain::outcome::Remedy::Plain).
    pub is_plain: bool,
    pub now: Timestamp,
    /// When the message came about: the same for every try, as `now` is not.
    pub made_at: Timestamp,
    pub operator: &'a Operator,
}

/// Why nothing can be sent. No later try goes better: somebody has to change the channel first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("the channel's format is 'template' but it has no body template: set body_template or another format")]
    NoBody,
    #[error("the event's data is not a JSON object")]
    Data,
    #[error("the stored config is not usable: {0}: set the field anew")]
    Config(&'static str),
    #[error("the output of body_template is empty, and there is nothing to send: mend the template")]
    Empty,
    #[error("the message is larger than the provider takes, however much is left out: shorten what its link holds")]
    TooLarge,
    #[error("the output of body_template cannot be read as HTML: mend the template")]
    Template,
    #[error("the channel has no SMTP server and the operator has none: set config.smtp_host or POSTRIDER_SMTP__URL")]
    NoServer,
    #[error("the channel has no sender and the operator has none: set config.from or POSTRIDER_SMTP__FROM")]
    NoSender,
    #[error("the delivery's id on the wire must be visible ASCII without '.'")]
    WireId,
}

/// A time for people and programs: RFC 3339 in UTC, always with milliseconds. Beyond the year 9999 the nearest that
/// can be written.
pub fn rfc3339(at: Timestamp) -> String {
    let mut out = Vec::new();
    write_rfc3339(at, &mut out);
    String::from_utf8(out).expect("a time is ASCII")
}

pub(crate) fn write_rfc3339(at: Timestamp, out: &mut Vec<u8>) {
    const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));
    let nearest = if at.as_ms() < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    let time = jiff::Timestamp::from_millisecond(at.as_ms()).unwrap_or(nearest);
    PRINTER.print_timestamp(&time, out).expect("a time can be written to memory");
}

/// Reads a time as RFC 3339 writes it, in any offset; parts of a millisecond are dropped.
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|time| Timestamp::from_ms(time.as_millisecond()))
}
