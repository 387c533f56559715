//! What goes wrong, and how often: drawn from the seed.

use std::collections::BTreeMap;

use crate::dice::Dice;

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The process is gone between two steps.
    Crash,
    /// The process is gone when a commit is durable and nobody has been told.
    CrashAfterCommit,
    /// The process is told to stop, and started again.
    Stop,
    /// A commit fails.
    CommitFailed,
    /// A commit goes through and is reported as failed.
    CommitAnswerLost,
    /// A commit takes long.
    SlowCommit,
    /// The disk takes nothing for a while.
    Outage,
    /// A result of the store reaches the dispatcher late.
    LateResult,
    /// The wall clock jumps ahead.
    ClockForward,
    /// The wall clock jumps back.
    ClockBack,
    /// A client does not get the answer to its request.
    ClientAnswerLost,
    /// No connection to the receiver.
    Refused,
    /// The receiver never answers.
    Silent,
    /// The receiver took the request; its answer is lost.
    DroppedAnswer,
    /// The receiver takes long.
    Slow,
    /// 429.
    Throttled,
    /// 429 with `Retry-After`.
    ThrottledWithHint,
    /// 500 or 503.
    ServerError,
    /// 410.
    Gone,
}

impl Fault {
    pub const ALL: [Self; 19] = [
        Self::Crash,
        Self::CrashAfterCommit,
        Self::Stop,
        Self::CommitFailed,
        Self::CommitAnswerLost,
        Self::SlowCommit,
        Self::Outage,
        Self::LateResult,
        Self::ClockForward,
        Self::ClockBack,
        Self::ClientAnswerLost,
        Self::Refused,
        Self::Silent,
        Self::DroppedAnswer,
        Self::Slow,
        Self::Throttled,
        Self::ThrottledWithHint,
        Self::ServerError,
        Self::Gone,
    ];

    /// How often it strikes at most, in a thousand chances.
    const fn per_mille_max(self) -> u64 {
        match self {
            Self::Crash | Self::Stop | Self::Outage => 2,
            Self::CrashAfterCommit | Self::ClockForward | Self::ClockBack => 6,
            Self::CommitFailed | Self::SlowCommit => 80,
            Self::CommitAnswerLost => 250,
            Self::ClientAnswerLost => 100,
            Self::Gone => 20,
            Self::LateResult => 300,
            Self::Refused
            | Self::Silent
            | Self::DroppedAnswer
            | Self::Slow
            | Self::Throttled
            | Self::ThrottledWithHint
            | Self::ServerError => 150,
        }
    }
}

/// How often what goes wrong in one simulation. About half of the kinds do not happen at all in it, so that each is
/// also seen without the others.
#[derive(Debug)]
pub struct Faults {
    dice: Dice,
    rates: BTreeMap<Fault, u64>,
    struck: BTreeMap<Fault, u64>,
    is_over: bool,
}

impl Faults {
    pub fn new(mut dice: Dice) -> Self {
        let rates = Fault::ALL
            .into_iter()
            .map(|fault| (fault, if dice.chance(550) { dice.between(1, fault.per_mille_max()) } else { 0 }))
            .collect();
        Self { dice, rates, struck: BTreeMap::new(), is_over: false }
    }

    /// Whether it strikes now.
    pub fn strikes(&mut self, fault: Fault) -> bool {
        let strikes = !self.is_over && self.dice.chance(self.rates[&fault]);
        if strikes {
            *self.struck.entry(fault).or_default() += 1;
        }
        strikes
    }

    /// Nothing goes wrong from now on.
    pub fn end(&mut self) {
        self.is_over = true;
    }

    /// How often each has struck.
    pub fn struck(&self) -> &BTreeMap<Fault, u64> {
        &self.struck
    }
}
