//! The format `thulium`: what Thulium posts to its webhooks, for receivers that were written for it.
//!
//! Flat form fields. `action` says what happened and `date` when, in local time; the other fields are the event's own
//! data. Receivers know no event types, so a type stands for an action and the other way round.

use domain::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use crate::form;
use crate::message::{Message, PlanError};
use crate::operator::Operator;

/// The action that an event type stands for: `chat.conversation_created` is `CHAT_CONVERSATION_CREATED`.
pub fn action(event_type: &str) -> String {
    event_type.to_ascii_uppercase().replace('.', "_")
}

/// The event type that an action stands for: `CHAT_CONVERSATION_CREATED` is `chat.conversation_created`.
///
/// The first underscore becomes a dot, because the word before it is the thing that the rest happens to; the others
/// stay. Where that would leave nothing on one side of the dot, or the beginning of what is ours, all of them stay. So
/// every action comes back as it was from [`action`].
pub fn event_type(action: &str) -> String {
    let name = action.to_ascii_lowercase();
    match name.split_once('_') {
        Some((thing, what)) if !thing.is_empty() && !what.is_empty() && thing != "postrider" => {
            format!("{thing}.{what}")
        }
        _ => name,
    }
}

/// The fields of one event. What happened is never the data's to say; when it happened may be.
pub(super) fn body(message: &Message<'_>, operator: &Operator) -> Result<String, PlanError> {
    let zone = operator.thulium_time_zone.clone().unwrap_or(TimeZone::UTC);
    let (action, date) = (action(message.event_type), local(message.occurred_at, zone));
    form::encode_with(message.data, &[("action", &action)], &[("date", &date)])
}

fn local(at: Timestamp, zone: TimeZone) -> String {
    let (earliest, latest) = (0, jiff::Timestamp::MAX.as_second());
    let at = jiff::Timestamp::from_second(at.as_seconds().clamp(earliest, latest)).unwrap_or(jiff::Timestamp::MAX);
    strtime::format("%Y-%m-%d %H:%M:%S", &at.to_zoned(zone)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_comes_back_as_it_was() {
        let check = |given: &str, expected: &str| {
            assert_eq!(event_type(given), expected);
            assert_eq!(action(expected), given);
        };
        check("CHAT_CONVERSATION_CREATED", "chat.conversation_created");
        check("CHAT_AGENT_ASSIGNED", "chat.agent_assigned");
        check("CUSTOMER_CREATED", "customer.created");
        check("PING", "ping");
        check("A_", "a_");
        check("A__B", "a._b");
        check("POSTRIDER_X", "postrider_x");
    }

    #[test]
    fn dates_are_local() {
        let check = |zone: &str, at_s: i64, expected: &str| {
            let zone = TimeZone::get(zone).unwrap();
            assert_eq!(local(Timestamp::from_ms(at_s * 1000), zone), expected);
        };
        check("UTC", 1_715_000_000, "2024-05-06 12:53:20");
        check("Europe/Warsaw", 1_715_000_000, "2024-05-06 14:53:20");
        check("Europe/Warsaw", 1_705_000_000, "2024-01-11 20:06:40");
        check("Europe/Warsaw", i64::MAX / 1000, "9999-12-30 23:00:00");
    }
}
