//! What a redrive wants, as a column holds it: JSON, the same in every backend.

use domain::delivery::State;
use domain::redrive::Wanted;
use domain::routing::Pattern;
use domain::{ChannelId, Timestamp};
use serde_json::{Value, json};

pub(crate) fn wanted_json(wanted: &Wanted) -> String {
    json!({
        "channel": wanted.channel.map(|channel| channel.0),
        "state": wanted.state.map(State::name),
        "code": wanted.code,
        "provider": wanted.provider,
        "event_types": wanted.event_types.as_ref().map(ToString::to_string),
        "since": wanted.since.map(Timestamp::as_ms),
        "until": wanted.until.map(Timestamp::as_ms),
        "text": wanted.text,
    })
    .to_string()
}

/// `None` when it cannot be read whole: a condition that is passed over would take more than was wanted.
pub(crate) fn read_wanted(text: &str) -> Option<Wanted> {
    let value: Value = serde_json::from_str(text).ok()?;
    let time = |key: &str| read(&value[key], |given| given.as_i64().map(Timestamp::from_ms));
    let words = |key: &str| read(&value[key], |given| given.as_str().map(ToOwned::to_owned));
    Some(Wanted {
        channel: read(&value["channel"], |given| given.as_i64().map(ChannelId))?,
        state: read(&value["state"], |given| State::parse(given.as_str()?))?,
        code: read(&value["code"], |given| u16::try_from(given.as_u64()?).ok())?,
        provider: words("provider")?,
        event_types: read(&value["event_types"], |given| Pattern::parse(given.as_str()?).ok())?,
        since: time("since")?,
        until: time("until")?,
        text: words("text")?,
    })
}

/// What is absent is none; what is there must be understood.
#[expect(clippy::option_option, reason = "not given, and not to be read, are two things")]
fn read<T>(given: &Value, read: impl FnOnce(&Value) -> Option<T>) -> Option<Option<T>> {
    if given.is_null() { Some(None) } else { read(given).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_read_as_it_was_written() {
        let all = Wanted {
            channel: Some(ChannelId(7)),
            state: Some(State::Expired),
            code: Some(503),
            provider: Some("webhook".to_owned()),
            event_types: Pattern::parse("invoice.*").ok(),
            since: Some(Timestamp::from_ms(1)),
            until: Some(Timestamp::from_ms(2)),
            text: Some("refused".to_owned()),
        };
        for wanted in [Wanted::default(), all] {
            assert_eq!(read_wanted(&wanted_json(&wanted)), Some(wanted));
        }
    }

    #[test]
    fn a_condition_that_cannot_be_read_is_not_passed_over() {
        for wrong in [r#"{"code": 70000}"#, r#"{"state": "lost"}"#, r#"{"event_types": "a.*.b"}"#, "[", "{\"text\": 1}"]
        {
            assert_eq!(read_wanted(wrong), None, "{wrong}");
        }
        assert_eq!(read_wanted("{}"), Some(Wanted::default()));
    }
}
