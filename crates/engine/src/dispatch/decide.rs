//! What follows from a try: the one place where an outcome becomes a state.
//!
//! Pure. The edges taken here are those of [`domain::delivery::EDGES`].

use std::sync::Arc;
use std::time::Duration;

use domain::channel::OnUnknown;
use domain::delivery::{Cause, State};
use domain::outcome::{Class, Outcome, Scope};
use domain::{ChannelId, DeliveryId, ReasonCode, Timestamp, schedule};
use store::queue::{Cancellation, Next, Settlement};

use super::attempt::{Answered, Content};

/// The first pause after a throttled answer that names none; doubles with every further one in a row.
const THROTTLE_BASE: Duration = Duration::from_secs(1);

/// The longest pause that is not asked for.
const THROTTLE_MAX: Duration = Duration::from_secs(5 * 60);

/// What follows from a try.
#[derive(Debug)]
pub struct Decision {
    pub settlement: Settlement,
    pub for_channel: ForChannel,
}

/// What follows for the channel as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForChannel {
    GoOn,
    /// Nothing else starts before the rest of this delivery.
    GoOnWithThis,
    /// Nothing starts in the scope before then.
    BlockUntil(Scope, Timestamp),
    /// Nothing starts in the scope until its owner mends it; the reason.
    Pause(Scope, String),
}

/// What is known of the channel when an outcome comes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Circumstances {
    /// The throttled answers of the channel before this one.
    pub throttled_in_a_row: u32,
    /// Its breaker is open: what fails is held.
    pub is_tripped: bool,
}

/// Decides what follows.
pub fn decide(answered: Answered, known: Circumstances, now: Timestamp, random: u64) -> Decision {
    let outcome = answered.outcome.clone();
    let attempts_before = answered.flight.content.attempts;
    let is_test = answered.flight.content.attempts_max.is_some();
    if outcome.class != Class::Delivered && must_not_repeat(&answered) {
        let note =
            format!("gave up, because it may have been taken and the channel says not to repeat: {}", outcome.note);
        return give_up(answered, attempts_before + 1, (ReasonCode::MayHaveBeenTaken, note), now);
    }
    match outcome.class {
        Class::Delivered if answered.has_more => wait_for_turn(answered, outcome, now),
        Class::Delivered => deliver(answered, outcome, now),
        Class::Permanent if outcome.scope != Scope::Message && !is_test => hold(answered, outcome, now),
        Class::Permanent => {
            let code = answered.code();
            give_up(answered, attempts_before + 1, (code, outcome.note), now)
        }
        Class::Throttled if !is_test => throttle(answered, outcome, known.throttled_in_a_row, now, random),
        Class::Retry | Class::Unknown if known.is_tripped && !is_test => trip(answered, outcome, now),
        Class::Throttled | Class::Retry | Class::Unknown => fail(answered, &outcome, now, random),
    }
}

/// Whether a step may have been taken without an answer, on a channel where nothing is sent twice.
fn must_not_repeat(answered: &Answered) -> bool {
    let is_unknown = answered.records.iter().any(|record| record.outcome.class == Class::Unknown);
    is_unknown && answered.flight.live.channel.settings.on_unknown == OnUnknown::GiveUp
}

/// Why a delivery ends without a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untried {
    /// Its turn comes too late.
    Expired,
    ChannelDeleted,
    ChannelSwitchedOff,
}

impl Untried {
    const fn terms(self) -> (Cause, ReasonCode, &'static str) {
        match self {
            Self::Expired => {
                (Cause::Expire, ReasonCode::ExpiredInQueue, "its time-to-live ended before it could be tried")
            }
            Self::ChannelDeleted => (Cause::Cancel, ReasonCode::ChannelDeleted, "the channel was deleted"),
            Self::ChannelSwitchedOff => (Cause::Cancel, ReasonCode::ChannelSwitchedOff, "the channel was switched off"),
        }
    }
}

/// A settlement for a delivery whose turn comes too late, or whose channel no longer wants it.
pub fn without_try(
    delivery: DeliveryId,
    channel: ChannelId,
    content: &Content,
    untried: Untried,
    now: Timestamp,
) -> Settlement {
    let (cause, code, note) = untried.terms();
    let from = if content.tries == 0 { State::Pending } else { State::Retrying };
    let state = from.next(cause).expect("an edge of the state machine");
    settlement(delivery, channel, content, Next::Over { state, code, note: note.to_owned() }, now)
}

/// The same try, for a delivery that was cancelled while it was under way and would otherwise wait.
pub fn cancel(mut settlement: Settlement, order: &Cancellation) -> Settlement {
    if matches!(settlement.next, Next::Wait { .. }) {
        let state = State::Processing.next(Cause::Cancel).expect("an edge of the state machine");
        settlement.next = Next::Over { state, code: order.code, note: order.reason.clone() };
    }
    settlement
}

/// The provider refuses everything on this channel: the delivery waits, uncounted, with all others.
fn hold(answered: Answered, outcome: Outcome, now: Timestamp) -> Decision {
    let attempts = answered.flight.content.attempts;
    let next = Next::Wait { due_at: now, note: outcome.note.clone() };
    let for_channel = ForChannel::Pause(outcome.scope, outcome.note);
    Decision { settlement: of(answered, attempts, next, now), for_channel }
}

/// The whole channel fails: the delivery waits, uncounted, with all others. It is due at once, and the lane holds it: so
/// it goes on as soon as the breaker lets it.
fn trip(answered: Answered, outcome: Outcome, now: Timestamp) -> Decision {
    let attempts = answered.flight.content.attempts;
    let due_at = outcome.hint.map_or(now, |wait| now.after(wait));
    let next = Next::Wait { due_at, note: outcome.note };
    Decision { settlement: of(answered, attempts, next, now), for_channel: ForChannel::GoOn }
}

/// A part was taken and others are left: they have turns of their own, and no attempt is counted before the last.
fn wait_for_turn(answered: Answered, outcome: Outcome, now: Timestamp) -> Decision {
    let attempts = answered.flight.content.attempts;
    let next = Next::Wait { due_at: now, note: outcome.note };
    Decision { settlement: of(answered, attempts, next, now), for_channel: ForChannel::GoOnWithThis }
}

/// It was taken. A provider may say with it that it wants nothing more for a while.
fn deliver(answered: Answered, outcome: Outcome, now: Timestamp) -> Decision {
    let attempts = answered.flight.content.attempts + 1;
    let wait = outcome.hint.filter(|_| answered.flight.content.attempts_max.is_none());
    let decision = over(answered, attempts, Cause::Deliver, (ReasonCode::Delivered, outcome.note), now);
    match wait {
        Some(wait) => Decision { for_channel: ForChannel::BlockUntil(outcome.scope, now.after(wait)), ..decision },
        None => decision,
    }
}

fn throttle(answered: Answered, outcome: Outcome, in_a_row: u32, now: Timestamp, random: u64) -> Decision {
    let own = THROTTLE_BASE.saturating_mul(1 << in_a_row.min(16)).min(THROTTLE_MAX);
    let wait = outcome.hint.unwrap_or_else(|| schedule::jittered(own, random));
    let until = now.after(wait);
    let attempts = answered.flight.content.attempts;
    let next = Next::Wait { due_at: until, note: outcome.note };
    let for_channel = ForChannel::BlockUntil(outcome.scope, until);
    Decision { settlement: of(answered, attempts, next, now), for_channel }
}

fn fail(answered: Answered, outcome: &Outcome, now: Timestamp, random: u64) -> Decision {
    let content = &answered.flight.content;
    let attempts = content.attempts + 1;
    let may_retry = content.attempts_max.is_none_or(|max| attempts < max);
    let wait = answered.flight.live.schedule.wait_after(attempts, outcome.hint, random).filter(|_| may_retry);
    let Some(wait) = wait else {
        let note = format!("gave up after {attempts} attempts: {}", outcome.note);
        return give_up(answered, attempts, (ReasonCode::AttemptsUsedUp, note), now);
    };
    let due_at = now.after(wait);
    if due_at >= content.expires_at {
        let note = format!("gave up: the next attempt would come after its time-to-live: {}", outcome.note);
        return give_up(answered, attempts, (ReasonCode::NoTimeForRetry, note), now);
    }
    let next = Next::Wait { due_at, note: outcome.note.clone() };
    Decision { settlement: of(answered, attempts, next, now), for_channel: ForChannel::GoOn }
}

fn give_up(answered: Answered, attempts: u32, reason: (ReasonCode, String), now: Timestamp) -> Decision {
    over(answered, attempts, Cause::GiveUp, reason, now)
}

fn over(
    answered: Answered,
    attempts: u32,
    cause: Cause,
    (code, note): (ReasonCode, String),
    now: Timestamp,
) -> Decision {
    let state = State::Processing.next(cause).expect("an edge of the state machine");
    let next = Next::Over { state, code, note };
    Decision { settlement: of(answered, attempts, next, now), for_channel: ForChannel::GoOn }
}

fn of(answered: Answered, attempts: u32, next: Next, now: Timestamp) -> Settlement {
    let Answered { flight, records, steps_done, inbox, .. } = answered;
    let provider = Arc::clone(&flight.live.provider_name);
    let unchanged = settlement(flight.delivery, flight.channel, &flight.content, next, now);
    Settlement { provider, records, inbox, attempts, steps_done, ..unchanged }
}

fn settlement(delivery: DeliveryId, channel: ChannelId, content: &Content, next: Next, now: Timestamp) -> Settlement {
    let event = &content.event;
    Settlement {
        delivery,
        channel,
        tenant: event.content.tenant,
        event: event.id,
        event_type: Arc::clone(&event.content.event_type),
        // Only attempts name it.
        provider: "".into(),
        created_at: content.created_at,
        expires_at: content.expires_at,
        settled_at: now,
        tries_before: content.tries,
        digest: None,
        records: Vec::new(),
        inbox: Vec::new(),
        attempts: content.attempts,
        steps_done: content.steps_done,
        next,
    }
}
