//! Receivers: what stands at the other end of a channel, in moods that change.

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use providers::step::{Failure, FailureKind, HttpReply, Reply};

use crate::dice::Dice;
use crate::faults::{Fault, Faults};

/// What a receiver does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Healthy,
    /// Does this with every request.
    Always(Fault),
    /// Whatever the faults say, request by request.
    Mixed,
}

/// A receiver, and what its moods are drawn from.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub mood: Mood,
    pub dice: Dice,
}

/// What goes wrong at a receiver.
pub(crate) const MOODS: [Fault; 8] = [
    Fault::Refused,
    Fault::Silent,
    Fault::DroppedAnswer,
    Fault::Slow,
    Fault::Throttled,
    Fault::ThrottledWithHint,
    Fault::ServerError,
    Fault::Garbled,
];

impl Mood {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        match dice.between(0, 9) {
            0..=3 => Self::Healthy,
            4..=6 => Self::Mixed,
            _ => Self::Always(dice.pick(&MOODS)),
        }
    }
}

/// What comes of a request.
#[derive(Clone, Debug)]
pub(crate) struct Fate {
    /// When the receiver gets it, from now; `None`: never.
    pub arrives_us: Option<u64>,
    /// What the receiver answers, if it gets that far.
    pub answer: Option<u16>,
    /// What the sender hears.
    pub reply: Reply,
    /// When, from now.
    pub replies_us: u64,
}

/// Draws what comes of a request with this time limit.
pub(crate) fn draw_fate(mood: Mood, timeout_us: u64, dice: &mut Dice, faults: &mut Faults) -> Fate {
    let fault = match mood {
        Mood::Healthy => None,
        Mood::Always(fault) => faults.strikes_surely(fault).then_some(fault),
        Mood::Mixed => MOODS.into_iter().chain([Fault::OddStatus, Fault::Gone]).find(|fault| faults.strikes(*fault)),
    };
    let arrives_us = dice.between(100, 3_000);
    let replies_us = arrives_us + dice.between(100, 30_000);
    let answered = |status: u16, hint_s: Option<u64>| Fate {
        arrives_us: Some(arrives_us),
        answer: Some(status),
        reply: reply(status, hint_s),
        replies_us,
    };
    match fault {
        None => answered(dice.pick(&[200, 202, 204]), None),
        Some(Fault::Refused) => {
            Fate { arrives_us: None, answer: None, reply: failed(FailureKind::Connect), replies_us: arrives_us }
        }
        Some(Fault::DroppedAnswer) => Fate { reply: failed(FailureKind::NoAnswer), ..answered(200, None) },
        Some(Fault::Slow) => {
            let slow_us = arrives_us + dice.between(500_000, timeout_us + 3_000_000);
            let answered = Fate { replies_us: slow_us, ..answered(200, None) };
            if slow_us < timeout_us { answered } else { unanswered(&answered, timeout_us) }
        }
        Some(Fault::Throttled) => answered(429, None),
        Some(Fault::ThrottledWithHint) => answered(429, Some(dice.between(1, 40))),
        Some(Fault::ServerError) => {
            let hint_s = dice.chance(300).then(|| dice.between(1, 20));
            answered(dice.pick(&[500, 503]), hint_s)
        }
        Some(Fault::Garbled) => Fate { reply: failed(FailureKind::Garbled), ..answered(200, None) },
        Some(Fault::OddStatus) => answered(dice.pick(&[301, 400, 404, 418, 451, 599]), None),
        Some(Fault::Gone) => answered(410, None),
        Some(_) => unanswered(&Fate { answer: None, ..answered(200, None) }, timeout_us),
    }
}

fn unanswered(fate: &Fate, timeout_us: u64) -> Fate {
    let Fate { arrives_us, answer, .. } = *fate;
    Fate { arrives_us, answer, reply: failed(FailureKind::NoAnswer), replies_us: timeout_us }
}

fn failed(kind: FailureKind) -> Reply {
    Reply::Failed(Failure { kind, detail: String::new() })
}

fn reply(status: u16, hint_s: Option<u64>) -> Reply {
    let headers = hint_s.map(|seconds| (RETRY_AFTER, HeaderValue::from(seconds)));
    Reply::Http(HttpReply {
        status: StatusCode::from_u16(status).expect("a status"),
        headers: HeaderMap::from_iter(headers),
        body: Bytes::new(),
    })
}
