//! Operational events: what Postrider tells the owners of channels that fail. Their types, their data, and what they say.
//!
//! When one is told, and how often, is for [`dispatch::announce`](crate::dispatch::announce). `docs/guide/failing-channels.md`
//! shows them to owners.

use std::sync::LazyLock;

use domain::ChannelId;
use domain::event::{NewEvent, Severity};
use domain::event_type::{EventType, Variable, VariableGroup, VariableKind};
use providers::message::rfc3339;
use serde_json::{Value, json};

use crate::accept::own::OwnEvent;
use crate::dispatch::announce::{Death, Moment};
use crate::registry::LiveChannel;

pub(crate) const TRIPPED: &str = "postrider.channel.tripped";
pub(crate) const RECOVERED: &str = "postrider.channel.recovered";
pub(crate) const DISABLED: &str = "postrider.channel.disabled";
pub(crate) const DEAD: &str = "postrider.delivery.dead";

/// The channel that an operational event tells of; `None` for every other event.
pub(crate) fn tells_of(event: &NewEvent) -> Option<ChannelId> {
    if ![TRIPPED, RECOVERED, DISABLED, DEAD].contains(&&*event.event_type) {
        return None;
    }
    let data: Value = serde_json::from_str(&event.data).ok()?;
    data["channel_id"].as_i64().map(ChannelId)
}

/// What is told of a moment. `held` is how many deliveries wait for the channel, `tells_of` who does not hear of it.
pub(crate) fn event_of(moment: &Moment, live: &LiveChannel, held: u64, tells_of: Vec<ChannelId>) -> OwnEvent {
    let (event_type, severity, at) = match moment {
        Moment::Tripped(.., trip) => (TRIPPED, Severity::Error, trip.since),
        Moment::Recovered(.., trip) => (RECOVERED, Severity::Info, trip.since),
        Moment::Disabled(.., pause) => (DISABLED, Severity::Error, pause.since),
        Moment::Died(death) => (DEAD, Severity::Error, death.died_at),
    };
    let channel = live.channel.id;
    let key = match moment {
        Moment::Died(death) => format!("{event_type} {} {}", death.delivery, death.tries),
        _ => format!("{event_type} {channel} {}", at.as_ms()),
    };
    let name = &live.channel.settings.name;
    let (title, message) = words(moment, name, held);
    let mut data = json!({
        "title": title,
        "message": message,
        "channel_id": channel.0,
        "channel_name": name,
        "provider": &*live.provider_name,
        "since": rfc3339(at),
        "held": held,
    });
    match moment {
        Moment::Tripped(.., trip) => {
            data["reason_code"] = trip.code.name().into();
            data["reason"] = trip.reason.clone().into();
            data["next_probe_at"] = rfc3339(trip.probe_at).into();
        }
        Moment::Recovered(.., trip) => {
            data["reason_code"] = trip.code.name().into();
            data["reason"] = trip.reason.clone().into();
        }
        Moment::Disabled(.., pause) => {
            data["reason_code"] = pause.code.name().into();
            data["reason"] = pause.reason.clone().into();
        }
        Moment::Died(death) => add_death(&mut data, death),
    }
    OwnEvent { tenant: live.channel.tenant, event_type, data: data.to_string(), severity, key, tells_of }
}

fn add_death(data: &mut Value, death: &Death) {
    data["reason_code"] = death.code.name().into();
    data["reason"] = death.reason.clone().into();
    data["delivery_id"] = death.delivery.0.into();
    data["event_id"] = death.event.public().into();
    data["event_type"] = (*death.event_type).into();
    data["attempts"] = death.attempts.into();
    data["left_out"] = death.left_out.into();
}

/// A line and a paragraph for people.
fn words(moment: &Moment, name: &str, held: u64) -> (String, String) {
    let waiting = match held {
        0 => "Nothing waits for it.".to_owned(),
        1 => "1 delivery waits for it.".to_owned(),
        _ => format!("{held} deliveries wait for it."),
    };
    match moment {
        Moment::Tripped(.., trip) => (
            format!("Channel {name} fails"),
            format!("Its deliveries are held, and one is tried now and then. Last answer: {}. {waiting}", trip.reason),
        ),
        Moment::Recovered(..) => (
            format!("Channel {name} has recovered"),
            format!("A delivery got through, and what was held is sent. {waiting}"),
        ),
        Moment::Disabled(.., pause) => (
            format!("Channel {name} is paused"),
            format!(
                "Everything that is sent to it is refused, until its config is mended or it is switched on again. \
                 Answer: {}. {waiting}",
                pause.reason
            ),
        ),
        Moment::Died(death) => {
            let others = match death.left_out {
                0 => String::new(),
                1 => " So was 1 more in the last minute.".to_owned(),
                more => format!(" So were {more} more in the last minute."),
            };
            let Death { delivery, event_type, reason, .. } = death.as_ref();
            (
                format!("A delivery to {name} was given up"),
                format!(
                    "Delivery {delivery} of {event_type}: {reason}.{others} It waits for a person who tries it again."
                ),
            )
        }
    }
}

/// The types of operational events, described as tenants describe theirs.
pub(crate) static EVENT_TYPES: LazyLock<[EventType; 4]> = LazyLock::new(|| {
    use VariableKind::{Datetime, Number, String as Text};
    let probe = ("next_probe_at", "When one delivery is tried to see whether it works again", Datetime, AN_HOUR);
    let death = [
        ("delivery_id", "The delivery that was given up", Number, "1204"),
        ("event_id", "The event that it was of", Text, "evt_981"),
        ("event_type", "The type of that event", Text, "invoice.paid"),
        ("attempts", "Attempts that were made", Number, "10"),
        (
            "left_out",
            "Further deliveries of the channel that were given up in the last minute and are not told of",
            Number,
            "0",
        ),
    ];
    let reason = |code, text| {
        [("reason_code", "Why, as a code of docs/verdicts.md", Text, code), ("reason", "Why, in words", Text, text)]
    };
    [
        described(
            TRIPPED,
            "Channel fails",
            "The deliveries of a channel fail one after the other: they are held, and one is tried now and then.",
            &[&reason("answered_with_failure", "HTTP 503 Service Unavailable")[..], &[probe]].concat(),
        ),
        described(
            RECOVERED,
            "Channel has recovered",
            "A channel that failed takes deliveries again.",
            &reason("answered_with_failure", "HTTP 503 Service Unavailable"),
        ),
        described(
            DISABLED,
            "Channel is paused",
            "Everything that is sent to a channel is refused: it waits for its owner.",
            &reason("credentials_refused", "HTTP 401 Unauthorized"),
        ),
        described(
            DEAD,
            "Delivery was given up",
            "A delivery was given up and waits for a person.",
            &[&reason("attempts_used_up", "gave up after 10 attempts: HTTP 503 Service Unavailable")[..], &death]
                .concat(),
        ),
    ]
});

const AN_HOUR: &str = "2026-01-26T14:30:00Z";

type Described = (&'static str, &'static str, VariableKind, &'static str);

fn described(name: &str, label: &str, description: &str, further: &[Described]) -> EventType {
    let common = [
        ("title", "What happened, in a line", VariableKind::String, label),
        ("message", "What happened, in a paragraph", VariableKind::String, description),
        ("channel_id", "The channel that it tells of", VariableKind::Number, "7"),
        ("channel_name", "What its owner calls it", VariableKind::String, "Billing"),
        ("provider", "The kind of channel", VariableKind::String, "webhook"),
        ("since", "Since when it is so", VariableKind::Datetime, AN_HOUR),
        ("held", "Deliveries that wait for the channel", VariableKind::Number, "12"),
    ];
    let variable = |(key, description, kind, example): &(&str, &str, VariableKind, &str)| Variable {
        key: (*key).to_owned(),
        description: (*description).to_owned(),
        kind: *kind,
        example: (*example).to_owned(),
    };
    let variables = common.iter().chain(further).map(variable).collect();
    EventType {
        name: name.to_owned(),
        label: label.to_owned(),
        description: description.to_owned(),
        groups: vec![VariableGroup { name: "Postrider".to_owned(), variables }],
    }
}
