//! Several events as one message, for channels without a template: how many there are, and a line on each.

use std::collections::BTreeSet;

use domain::event::Severity;

use crate::message::{Item, Message, PlanError};
use crate::summary::{Summary, one_line};

/// Events that have a line; the rest is counted.
const LINES_MAX: usize = 20;

/// The longest line, in characters.
const LINE_CHARS_MAX: usize = 160;

/// What the events of a digest say together.
pub(crate) fn summary(message: &Message<'_>) -> Result<Summary, PlanError> {
    let mut lines = Vec::with_capacity(LINES_MAX + 1);
    let mut resolved = 0;
    for item in message.items.iter().take(LINES_MAX) {
        let one = Summary::read(&item.message())?;
        resolved += usize::from(one.is_resolved);
        let sign = one.sign().map_or(String::new(), |sign| format!("{sign} "));
        lines.push(format!("• {sign}{}", one_line(&one.title, LINE_CHARS_MAX)));
    }
    let count = message.items.len();
    if count > LINES_MAX {
        lines.push(format!("and {} more", count - LINES_MAX));
    }
    Ok(Summary {
        title: title(message.items),
        text: Some(lines.join("\n")),
        severity: worst(message.items),
        is_resolved: resolved == count,
        event_type: one_line(message.event_type, LINE_CHARS_MAX),
        fields: Vec::new(),
        fields_left_out: 0,
        link: None,
        occurred_at: message.occurred_at,
    })
}

/// How many events there are, and of what type when all are of one.
fn title(items: &[Item<'_>]) -> String {
    let types: BTreeSet<&str> = items.iter().map(|item| item.event_type).collect();
    let count = items.len();
    match types.into_iter().collect::<Vec<_>>().as_slice() {
        [only] => format!("{count} × {}", one_line(only, LINE_CHARS_MAX)),
        types => format!("{count} events of {} types", types.len()),
    }
}

fn worst(items: &[Item<'_>]) -> Option<Severity> {
    items.iter().filter_map(|item| item.severity).max()
}

#[cfg(test)]
mod tests {
    use domain::{EventId, Timestamp};

    use super::*;

    fn item<'a>(event_type: &'a str, data: &'a str, severity: Option<Severity>) -> Item<'a> {
        Item { event_id: EventId(1), event_type, data, occurred_at: Timestamp::from_ms(0), severity }
    }

    fn read(items: &[Item<'_>]) -> Summary {
        let first = item("postrider.digest", "{}", None);
        Summary::read(&Message { items, ..first.message() }).unwrap()
    }

    #[test]
    fn a_digest_counts_and_has_a_line_on_each() {
        let summary = read(&[
            item("disk.full", r#"{"title": "Disk\nfull"}"#, Some(Severity::Warning)),
            item("disk.full", "{}", Some(Severity::Critical)),
            item("disk.full", "{}", None),
        ]);
        assert_eq!(summary.title, "3 × disk.full");
        assert_eq!(summary.text.as_deref(), Some("• 🟠 Disk full\n• 🔴 [critical] disk.full\n• disk.full"));
        assert_eq!((summary.severity, summary.is_resolved), (Some(Severity::Critical), false));
        let mixed = read(&[item("a", "{}", None), item("b", "{}", None), item("b", "{}", None)]);
        assert_eq!(mixed.title, "3 events of 2 types");
    }

    #[test]
    fn a_digest_is_bounded() {
        let long = format!(r#"{{"title": "{}"}}"#, "x".repeat(500));
        let items: Vec<_> = (0..1000).map(|_| item("a", &long, None)).collect();
        let text = read(&items).text.unwrap();
        assert_eq!(text.lines().count(), LINES_MAX + 1);
        assert!(text.ends_with("…\nand 980 more"), "{text}");
        assert!(text.chars().count() < (LINES_MAX + 1) * (LINE_CHARS_MAX + 3));
    }

    #[test]
    fn it_is_over_when_all_are() {
        let over = item("alert.resolved", "{}", Some(Severity::Error));
        assert!(read(&[over, over]).is_resolved);
        assert!(!read(&[over, item("alert.fired", "{}", None)]).is_resolved);
    }
}
