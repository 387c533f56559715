//! What happened in a simulation, as a hash, and as lines for whoever looks into a seed.

use std::fmt;
use std::time::Duration;

use engine::dispatch::Input;

/// The trace of one simulation. Lines name what the seed decides and nothing else, so that two runs compare.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    is_printed: bool,
}

impl Trace {
    pub fn new(is_printed: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, is_printed }
    }

    /// Adds a line.
    pub fn note(&mut self, at: Duration, line: fmt::Arguments<'_>) {
        let text = format!("{:>12.6} {line}", at.as_secs_f64());
        if self.is_printed {
            println!("{text}");
        }
        // FNV-1a.
        for byte in text.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// The same for the same lines.
    pub fn hash(&self) -> u64 {
        self.hash
    }
}

/// What the dispatcher hears, in a line.
pub(crate) fn describe(input: &Input) -> String {
    match input {
        Input::Settled(settlements) => format!("{} results are durable", settlements.len()),
        Input::SettleFailed(settlements) => format!("{} results could not be written", settlements.len()),
        Input::Loaded(load, found) => {
            format!("load of channel {} {:?}: {:?} rows", load.channel, load.what, found.as_ref().map(Vec::len))
        }
        Input::WorkDone(work, more) => format!("{work:?} done, more: {more:?}"),
        Input::Answered(answered) => {
            format!("delivery {} answered: {}", answered.flight.delivery, answered.outcome.class.name())
        }
        Input::SealDone(seal, sealed) => {
            format!("seal of {:?} of channel {}: {sealed:?}", seal.closed.members, seal.channel)
        }
        other => format!("{other:?}"),
    }
}
