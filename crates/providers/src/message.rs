//! Messages: what a provider is given to plan from, and why it may be unable to.
//!
//! Everything is borrowed: on the hot path an event's data is copied once, into the body that goes out.

use domain::event::Severity;
use domain::{EventId, Timestamp};

/// One event on its way to one channel.
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
}

/// What is known about the try that is planned.
#[derive(Clone, Copy, Debug)]
pub struct PlanContext<'a> {
    /// The delivery's id on the wire: the same for every try, so that receivers can drop what they had. Without '.',
    /// because a signature covers `id.timestamp.body`.
    pub wire_id: &'a str,
    /// Counts from 1.
    pub attempt: u32,
    pub now: Timestamp,
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
    #[error("the delivery's id on the wire must be visible ASCII without '.'")]
    WireId,
}
