//! What became of an event, in plain words: shared by the commands that tell it.

use std::collections::BTreeMap;

use domain::Timestamp;

use super::client::wire::{Accepted, Attempt, Channel, Delivery, Event, Skipped};
use super::client::{Client, path};
use super::exit::Failure;
use super::output::{Tone, duration, safe, toned, when};

/// What was answered when an event was posted.
pub(super) fn acceptance(accepted: &Accepted) -> String {
    let count = accepted.deliveries.len() + accepted.expanding;
    let ids: Vec<String> = accepted.deliveries.iter().map(|made| made.id.to_string()).collect();
    let again = if accepted.repeated { " before, under this idempotency key" } else { "" };
    let mut lines = vec![match count {
        0 => format!("{} accepted{again}; no channel takes it", accepted.id),
        1 => format!("{} accepted{again}: delivery {}", accepted.id, ids.join("")),
        _ if ids.len() == count && count <= 20 => {
            format!("{} accepted{again}: deliveries {}", accepted.id, ids.join(", "))
        }
        _ => format!("{} accepted{again}: {count} deliveries", accepted.id),
    }];
    let skipped = accepted.skipped.iter();
    let left_out =
        |one: &Skipped| format!("  not for channel {}: {}", one.channel_id, reason_in_words(&one.reason_code));
    lines.extend(skipped.map(left_out));
    lines.join("\n")
}

/// What became of each delivery of an event, a line for each.
pub(super) async fn outcomes(client: &Client, event: &Event) -> Result<String, Failure> {
    let mut names = Names::default();
    let mut lines = Vec::new();
    for delivery in &event.deliveries {
        let channel = names.of(client, delivery.channel_id).await?;
        let status = toned(Tone::of_status(&delivery.status), &delivery.status);
        let next = next(delivery, client.now()).map_or(String::new(), |next| format!("; {next}"));
        lines.push(format!("  {channel}: {status}{}{next}", reason(delivery)));
    }
    let more = event.deliveries_total.saturating_sub(event.deliveries.len());
    if more > 0 {
        lines.push(format!("  and {more} more deliveries; 'postrider deliveries' lists them"));
    }
    Ok(lines.join("\n"))
}

/// Why a delivery stands where it stands.
pub(super) fn reason(delivery: &Delivery) -> String {
    delivery.reason.as_deref().map_or(String::new(), |reason| format!(" ({})", safe(reason)))
}

/// What programs and people look a delivery up by: the code of its reason, its id, and that of its digest.
pub(super) fn labels(delivery: &Delivery) -> String {
    let digest = delivery.digest_id.map_or(String::new(), |digest| format!(", digest {digest}"));
    format!("{}, delivery {}{digest}", safe(&delivery.reason_code), delivery.id)
}

/// What happens next, and what a person can do about it.
pub(super) fn next(delivery: &Delivery, now: Timestamp) -> Option<String> {
    let Delivery { id, channel_id, .. } = delivery;
    Some(match delivery.status.as_str() {
        "pending" | "retrying" => waits_for(delivery, now),
        "processing" => "it is being tried now".to_owned(),
        "held" if delivery.reason_code == "channel_tripped" => {
            format!(
                "one delivery of its channel is tried now and then; 'postrider channel show {channel_id}' says when"
            )
        }
        "held" if delivery.reason_code == "tenant_suspended" => {
            "it waits until the platform resumes the tenant".to_owned()
        }
        "held" => format!("mend what the reason says, then 'postrider channel on {channel_id}' lets it go on"),
        "dead" => format!("it waits for a person: 'postrider deliveries retry {id}' tries it again"),
        _ => return None,
    })
}

/// What a delivery waits for that nothing holds, and until when.
fn waits_for(delivery: &Delivery, now: Timestamp) -> String {
    let until = delivery.next_attempt_at.as_deref().map(|at| when(at, now));
    let with_until = |words: &str| until.as_ref().map_or(words.to_owned(), |at| format!("{words}, until {at}"));
    match delivery.reason_code.as_str() {
        "waits_for_digest" => with_until("it collects with others for one message"),
        "waits_for_predecessor" => "it waits until an older delivery of its channel is settled".to_owned(),
        "waits_for_rate_limit" => with_until("it waits for a rate limit of its channel or provider"),
        "waits_for_provider" => with_until("it waits because its provider asked for a pause"),
        "waits_for_retry" => format!("it is tried again at {}", until.as_deref().unwrap_or("once")),
        _ if delivery.status == "retrying" => "it is tried again as soon as its channel has room".to_owned(),
        _ => "it waits for its turn".to_owned(),
    }
}

/// One try, in a line, with its time.
pub(super) fn attempt(attempt: &Attempt, now: Timestamp) -> String {
    format!("attempt {}  {}  {}", attempt.number, when(&attempt.started_at, now), answer(attempt))
}

/// What a try was answered.
pub(super) fn answer(attempt: &Attempt) -> String {
    let status = toned(Tone::of_status(&attempt.status), &attempt.status);
    let code = attempt.code.map_or(String::new(), |code| format!(" {code}"));
    let took = duration(std::time::Duration::from_millis(u64::from(attempt.duration_ms)));
    let reason = attempt.reason.as_deref().map_or(String::new(), |reason| format!(": {}", safe(reason)));
    let digest = attempt.digest_id.map_or(String::new(), |digest| format!(" in digest {digest}"));
    // Delivered says all there is to it.
    let label = if attempt.reason_code == attempt.status {
        String::new()
    } else {
        format!(" [{}]", safe(&attempt.reason_code))
    };
    format!("{status}{code} in {took}{digest}{reason}{label}")
}

/// Why an event did not become a delivery, from the API's code for it.
pub(super) fn reason_in_words(code: &str) -> String {
    let words = match code {
        "filter_false" => "its filter said no",
        "filter_failed" => "its filter could not be evaluated for this event",
        "channel_inactive" => "it was switched off",
        "tells_of_channel" => "the event tells of it, or of a channel that fails for the same reason",
        "not_named" => "the event named its channels, and not this one",
        "no_subscription" => "none of its event types matched",
        "channel_is_younger" => "it was made after the event",
        "channel_was_deleted" => "it had been deleted before the event",
        "reason_not_kept" => "its event types matched, and the reason is beyond those that are kept for one event",
        "expanding" => "its delivery is still being written",
        _ => return safe(code),
    };
    format!("{words} ({code})")
}

/// Channels by id, as people call them; each is asked for once.
#[derive(Default)]
pub(super) struct Names(BTreeMap<i64, String>);

impl Names {
    /// `channel 2 "Billing"`; without the name when it is gone or the key may not read it.
    pub(super) async fn of(&mut self, client: &Client, id: i64) -> Result<String, Failure> {
        if let Some(known) = self.0.get(&id) {
            return Ok(known.clone());
        }
        let shown = match client.get(&path(&["v1", "channels", &id.to_string()])).await {
            Ok(answer) => format!("channel {id} {:?}", safe(&answer.read::<Channel>()?.name)),
            Err(Failure::Refused(problem)) if problem.is_not_found() => format!("channel {id} (deleted)"),
            Err(Failure::Refused(_)) => format!("channel {id}"),
            Err(failure) => return Err(failure),
        };
        self.0.insert(id, shown.clone());
        Ok(shown)
    }
}
