//! What the lists filter by: the texts of a query, read.

use domain::event::Severity;
use domain::routing::Pattern;
use domain::{EventId, Timestamp};
use engine::ops::{Span, TEXT_CHARS_MAX, Text};
use providers::message::parse_rfc3339;

use super::problem::Problem;

/// An event type, or a prefix of them.
pub(crate) fn event_types(field: &str, text: Option<&str>) -> Result<Option<Pattern>, Problem> {
    let read = |text: &str| {
        let pattern = Pattern::parse(text).ok().filter(|pattern| *pattern != Pattern::All);
        let message = "must be an event type, or a prefix of them like invoice.*";
        pattern.ok_or_else(|| Problem::invalid_field(field, message))
    };
    text.map(read).transpose()
}

/// The id of an event.
pub(crate) fn event(field: &str, text: Option<&str>) -> Result<Option<EventId>, Problem> {
    let read = |text| {
        EventId::parse(text).ok_or_else(|| Problem::invalid_field(field, "must be the id of an event, like evt_17"))
    };
    text.map(read).transpose()
}

/// From `since`, and before `until`.
pub(crate) fn span(since: Option<&str>, until: Option<&str>) -> Result<Span, Problem> {
    Ok(Span { since: time("since", since)?, until: time("until", until)? })
}

/// A point in time.
pub(crate) fn time(field: &str, text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let message = "must be a time like 2026-11-22T07:00:00Z (RFC 3339)";
    let read = |text| parse_rfc3339(text).ok_or_else(|| Problem::invalid_field(field, message));
    text.map(read).transpose()
}

pub(crate) fn severity(text: Option<&str>) -> Result<Option<Severity>, Problem> {
    let known = || Severity::ALL.map(Severity::name).join(", ");
    let read = |text| {
        Severity::parse(text).ok_or_else(|| Problem::invalid_field("severity", format!("must be one of {}", known())))
    };
    text.map(read).transpose()
}

/// The text that is searched for.
pub(crate) fn text(q: Option<&str>) -> Result<Option<Text>, Problem> {
    named_text("q", q)
}

/// The same in a field of this name.
pub(crate) fn named_text(field: &str, text: Option<&str>) -> Result<Option<Text>, Problem> {
    let message = || format!("must be 1 to {TEXT_CHARS_MAX} characters");
    let read = |text| Text::new(text).ok_or_else(|| Problem::invalid_field(field, message()));
    text.map(read).transpose()
}
