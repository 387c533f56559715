//! Deliveries: one event for one channel, and the states that it goes through.
//!
//! `docs/states.md` draws these states; a test holds the drawing against [`EDGES`].

use std::fmt;

use crate::outcome::{Class, Outcome};
use crate::{AttemptId, ChannelId, DeliveryId, DigestId, EventId, ReasonCode, TenantId, Timestamp};

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Waits for its first attempt.
    Pending,
    /// An attempt is under way. Known in memory only: after a crash the delivery is what it was before.
    Processing,
    /// Waits for a later attempt.
    Retrying,
    /// Waits because its channel is paused or its tenant suspended. Follows from these; the row itself stays as it was.
    Held,
    /// Final: the provider took it.
    Sent,
    /// Gave up; waits for a person, who may retry it.
    Dead,
    /// Final: the owner no longer wants it sent.
    Cancelled,
    /// Final: its time-to-live ended before it could be tried.
    Expired,
}

impl State {
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Processing,
        Self::Retrying,
        Self::Held,
        Self::Sent,
        Self::Dead,
        Self::Cancelled,
        Self::Expired,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Retrying => "retrying",
            Self::Held => "held",
            Self::Sent => "sent",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == text)
    }

    /// Whether nothing more happens by itself.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Sent | Self::Dead | Self::Cancelled | Self::Expired)
    }

    /// Where `cause` leads from here; `None` when it cannot happen here.
    pub fn next(self, cause: Cause) -> Option<Self> {
        EDGES.iter().find(|(from, on, _)| *from == self && *on == cause).map(|(_, _, to)| *to)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What moves a delivery from one state to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// Dispatch starts an attempt.
    Start,
    /// The provider took it.
    Deliver,
    /// The attempt failed and another is due later.
    Fail,
    /// The provider asked for a pause: the attempt does not count.
    Throttle,
    /// A part of the message was taken and others are left, which have turns of their own.
    GoOn,
    /// The attempt failed and no other is left, or the next would come after the time-to-live.
    GiveUp,
    /// Its channel was paused, or its tenant suspended.
    Hold,
    /// Its channel goes on.
    Resume,
    /// The owner switched the channel off or deleted it.
    Cancel,
    /// Its time-to-live ended.
    Expire,
    /// A person asked for another try.
    Retry,
    /// The process died in mid-attempt.
    Crash,
}

impl Cause {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Deliver => "deliver",
            Self::Fail => "fail",
            Self::Throttle => "throttle",
            Self::GoOn => "go on",
            Self::GiveUp => "give up",
            Self::Hold => "hold",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Expire => "expire",
            Self::Retry => "retry",
            Self::Crash => "crash",
        }
    }
}

/// Every way from one state to another; nothing else can happen.
pub const EDGES: &[(State, Cause, State)] = &[
    (State::Pending, Cause::Start, State::Processing),
    (State::Pending, Cause::Hold, State::Held),
    (State::Pending, Cause::Cancel, State::Cancelled),
    (State::Pending, Cause::Expire, State::Expired),
    (State::Processing, Cause::Deliver, State::Sent),
    (State::Processing, Cause::Fail, State::Retrying),
    (State::Processing, Cause::Throttle, State::Retrying),
    (State::Processing, Cause::GoOn, State::Retrying),
    (State::Processing, Cause::GiveUp, State::Dead),
    (State::Processing, Cause::Hold, State::Held),
    (State::Processing, Cause::Cancel, State::Cancelled),
    (State::Processing, Cause::Crash, State::Pending),
    (State::Retrying, Cause::Start, State::Processing),
    (State::Retrying, Cause::Hold, State::Held),
    (State::Retrying, Cause::Cancel, State::Cancelled),
    (State::Retrying, Cause::Expire, State::Expired),
    (State::Retrying, Cause::Retry, State::Pending),
    (State::Held, Cause::Resume, State::Pending),
    (State::Held, Cause::Cancel, State::Cancelled),
    (State::Held, Cause::Expire, State::Expired),
    (State::Dead, Cause::Retry, State::Pending),
];

/// A delivery as a person sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub id: DeliveryId,
    pub tenant: TenantId,
    pub channel: ChannelId,
    pub event: EventId,
    pub event_type: String,
    pub state: State,
    /// Attempts that counted against the schedule.
    pub attempts: u32,
    /// When the next attempt is due; `None` when there will be none or it may start now.
    pub next_attempt_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    /// When it reached its final state.
    pub settled_at: Option<Timestamp>,
    /// The digest that it was merged in.
    pub digest: Option<DigestId>,
    /// Why it stands where it stands.
    pub code: ReasonCode,
    /// The same in words; empty when there is nothing to say.
    pub reason: String,
}

/// One try at one step of a delivery, as a person sees it. Append-only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub id: AttemptId,
    pub delivery: DeliveryId,
    pub tenant: TenantId,
    pub channel: ChannelId,
    pub event: EventId,
    pub provider: String,
    pub event_type: String,
    /// The digest that was tried; its other deliveries have an attempt each.
    pub digest: Option<DigestId>,
    pub record: AttemptRecord,
    /// The delivery was given up with it. It stays so when a person has the delivery tried again.
    pub gave_up: bool,
}

/// What an attempt came to, in the fewest words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptResult {
    /// The provider took it.
    Delivered,
    /// It failed, and the delivery went on.
    Failed,
    /// The delivery was given up with it.
    GaveUp,
}

impl Attempt {
    pub fn result(&self) -> AttemptResult {
        AttemptResult::of(self.record.outcome.class, self.gave_up)
    }

    /// What it came to, for programs.
    pub fn code(&self) -> ReasonCode {
        ReasonCode::of_attempt(&self.record.outcome, self.record.code)
    }
}

impl AttemptResult {
    /// What an attempt with this outcome came to.
    pub fn of(class: Class, gave_up: bool) -> Self {
        match class {
            Class::Delivered => Self::Delivered,
            _ if gave_up => Self::GaveUp,
            _ => Self::Failed,
        }
    }
}

/// The most of an answer's body that is kept with an attempt, in bytes.
pub const ATTEMPT_BODY_BYTES_MAX: usize = 4096;

/// What is written down of one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// Counts every try of the delivery from 1, also those that burned no attempt.
    pub number: u32,
    /// Which part of the message; counts from 0.
    pub step: u32,
    pub outcome: Outcome,
    /// The provider's status: an HTTP status or SMTP reply code.
    pub code: Option<u16>,
    /// The beginning of the provider's answer, at most [`ATTEMPT_BODY_BYTES_MAX`] bytes.
    pub body: String,
    pub started_at: Timestamp,
    pub duration_ms: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_leads_to_one_state() {
        for (index, (from, cause, _)) in EDGES.iter().enumerate() {
            let again = EDGES[index + 1..].iter().any(|(other, on, _)| other == from && on == cause);
            assert!(!again, "{from} --{}--> leads to two states", cause.name());
        }
    }

    #[test]
    fn final_states_are_left_only_by_a_person() {
        for (from, cause, _) in EDGES {
            assert!(!from.is_final() || (*from == State::Dead && *cause == Cause::Retry), "{from}");
        }
        for state in State::ALL.into_iter().filter(|state| !state.is_final()) {
            assert!(EDGES.iter().any(|(from, _, _)| *from == state), "{state} cannot be left");
            assert_eq!(State::parse(state.name()), Some(state));
        }
    }
}
