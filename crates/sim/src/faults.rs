//! What goes wrong, and how often: drawn from the seed.

use std::collections::BTreeMap;

use crate::dice::Dice;
use crate::shrink::{Only, Part};

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The process is gone between two steps.
    Crash,
    /// The process is gone when a commit is durable and nobody has been told.
    CrashAfterCommit,
    /// The machine is without power between two steps: notes of sends under way are lost or torn.
    PowerLoss,
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
    /// The dispatcher hears of arrivals later than readers see their rows.
    LateArrival,
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
    /// The answer does not follow the protocol.
    Garbled,
    /// A status that a receiver has no business with.
    OddStatus,
    /// 410.
    Gone,
}

impl Fault {
    pub const ALL: [Self; 23] = [
        Self::Crash,
        Self::CrashAfterCommit,
        Self::PowerLoss,
        Self::Stop,
        Self::CommitFailed,
        Self::CommitAnswerLost,
        Self::SlowCommit,
        Self::Outage,
        Self::LateResult,
        Self::LateArrival,
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
        Self::Garbled,
        Self::OddStatus,
        Self::Gone,
    ];

    /// How often it strikes at most, in a thousand chances.
    const fn per_mille_max(self) -> u64 {
        match self {
            Self::Crash | Self::PowerLoss | Self::Stop | Self::Outage => 2,
            Self::CrashAfterCommit | Self::ClockForward | Self::ClockBack => 6,
            Self::CommitFailed | Self::SlowCommit => 80,
            Self::CommitAnswerLost => 250,
            Self::ClientAnswerLost => 100,
            Self::Gone | Self::OddStatus => 20,
            Self::LateResult | Self::LateArrival => 300,
            Self::Refused
            | Self::Silent
            | Self::DroppedAnswer
            | Self::Slow
            | Self::Throttled
            | Self::ThrottledWithHint
            | Self::ServerError
            | Self::Garbled => 150,
        }
    }
}

/// How often what goes wrong in one simulation. About half of the kinds do not happen at all in it, so that each is
/// also seen without the others.
#[derive(Debug)]
pub struct Faults {
    kinds: BTreeMap<Fault, Kind>,
    only: Only,
    is_over: bool,
}

/// One kind of fault. It has dice of its own, so that one that does not strike changes nothing of the others.
#[derive(Debug)]
struct Kind {
    dice: Dice,
    per_mille: u64,
    /// How often it would have struck.
    drawn: u64,
    struck: Vec<Part>,
}

impl Faults {
    pub fn new(mut dice: Dice, only: Only) -> Self {
        let kind = |fault: Fault| {
            let mut dice = dice.fork();
            let per_mille = if dice.chance(550) { dice.between(1, fault.per_mille_max()) } else { 0 };
            (fault, Kind { dice, per_mille, drawn: 0, struck: Vec::new() })
        };
        Self { kinds: Fault::ALL.into_iter().map(kind).collect(), only, is_over: false }
    }

    /// From now on it strikes so often, in a thousand chances.
    pub fn turn(&mut self, fault: Fault, per_mille: u64) {
        if let Some(kind) = self.kinds.get_mut(&fault) {
            kind.per_mille = per_mille;
        }
    }

    /// Whether it strikes now.
    pub fn strikes(&mut self, fault: Fault) -> bool {
        let Some(kind) = self.kinds.get_mut(&fault).filter(|_| !self.is_over) else { return false };
        kind.dice.chance(kind.per_mille) && kind.strike(fault, &self.only)
    }

    /// It strikes, whatever its rate: unless this world goes without that.
    pub fn strikes_surely(&mut self, fault: Fault) -> bool {
        let Some(kind) = self.kinds.get_mut(&fault).filter(|_| !self.is_over) else { return false };
        kind.strike(fault, &self.only)
    }

    /// Nothing goes wrong from now on.
    pub fn end(&mut self) {
        self.is_over = true;
    }

    /// How often each has struck.
    pub fn struck(&self) -> BTreeMap<Fault, usize> {
        let struck = self.kinds.iter().map(|(fault, kind)| (*fault, kind.struck.len()));
        struck.filter(|(_, times)| *times > 0).collect()
    }

    /// Each time that one has struck.
    pub fn parts(&self) -> impl Iterator<Item = Part> {
        self.kinds.values().flat_map(|kind| kind.struck.iter().copied())
    }
}

impl Kind {
    fn strike(&mut self, fault: Fault, only: &Only) -> bool {
        let part = Part::Strike(fault, self.drawn);
        self.drawn += 1;
        let strikes = only.has(part);
        if strikes {
            self.struck.push(part);
        }
        strikes
    }
}
