//! Shrinking: what a world that breaks can do without.
//!
//! A world is made of [`Part`]s: what was planned before it began, and each time that something went wrong. Each draws
//! from dice of its own, so that leaving one out changes little of the others. What is left when nothing more can be left
//! out without the world holding is small enough to be read.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::faults::Fault;
use crate::world::{Options, Report, simulate};

/// Something that a world can be simulated without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// What was planned under this number: a tenant, a channel, a request, a change, a look.
    Planned(usize),
    /// A fault that strikes, and how often it had before.
    Strike(Fault, u64),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Planned(number) => write!(f, "{number}"),
            Self::Strike(fault, before) => write!(f, "{fault:?}/{before}"),
        }
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is neither a number nor like Crash/0");
        let Some((name, before)) = text.split_once('/') else {
            return text.parse().map(Self::Planned).map_err(|_| wrong());
        };
        let fault = Fault::ALL.into_iter().find(|fault| format!("{fault:?}") == name);
        Ok(Self::Strike(fault.ok_or_else(wrong)?, before.parse().map_err(|_| wrong())?))
    }
}

/// The parts that a world is made of; all there are by itself.
#[derive(Clone, Debug, Default)]
pub struct Only(Option<BTreeSet<Part>>);

impl Only {
    pub fn these(parts: impl IntoIterator<Item = Part>) -> Self {
        Self(Some(parts.into_iter().collect()))
    }

    pub fn has(&self, part: Part) -> bool {
        self.0.as_ref().is_none_or(|parts| parts.contains(&part))
    }
}

/// The most worlds that are tried for one that is smaller.
const TRIES_MAX: usize = 1_000;

/// What shrinking came to.
#[derive(Debug)]
pub struct Shrunk {
    pub parts: Vec<Part>,
    /// Of the smallest world.
    pub report: Report,
    /// Worlds that were tried.
    pub tries: usize,
}

impl Shrunk {
    /// The command that replays it.
    pub fn command(&self) -> String {
        let parts: Vec<String> = self.parts.iter().map(ToString::to_string).collect();
        format!("cargo run -p sim -- --seed {} --trace --only {}", self.report.seed, parts.join(","))
    }
}

/// Shrinks a world that breaks as long as it breaks in the same way; `None` when it holds.
pub fn shrink(seed: u64, options: &Options) -> anyhow::Result<Option<Shrunk>> {
    let whole = simulate(seed, &Options { prints_trace: false, ..options.clone() })?;
    let Some((_, broken)) = &whole.broken else { return Ok(None) };
    let kind = kind_of(broken);
    let mut best = Shrunk { parts: whole.parts.clone(), report: whole, tries: 0 };
    let mut chunk = best.parts.len().div_ceil(2);
    while chunk > 0 && best.tries < TRIES_MAX {
        let before = best.parts.len();
        leave_out_chunks(&mut best, chunk, &kind, seed, options)?;
        // The smallest steps are repeated until none helps.
        if chunk > 1 || best.parts.len() == before {
            chunk /= 2;
        }
    }
    Ok(Some(best))
}

/// Leaves out so many parts at a time, wherever the world breaks without them.
fn leave_out_chunks(best: &mut Shrunk, chunk: usize, kind: &str, seed: u64, options: &Options) -> anyhow::Result<()> {
    let mut start = 0;
    while start < best.parts.len() && best.tries < TRIES_MAX {
        let end = best.parts.len().min(start + chunk);
        let fewer = best.parts[..start].iter().chain(&best.parts[end..]).copied();
        let options = Options { prints_trace: false, only: Only::these(fewer), ..options.clone() };
        let report = simulate(seed, &options)?;
        best.tries += 1;
        let is_same = report.broken.as_ref().is_some_and(|(_, broken)| kind_of(broken) == kind);
        if is_same {
            // What no longer comes about is left out as well.
            best.parts.clone_from(&report.parts);
            best.report = report;
        } else {
            start = end;
        }
    }
    Ok(())
}

/// What broke, without which: the same fault in a smaller world has other ids.
fn kind_of(broken: &str) -> String {
    let words = broken.split_whitespace().filter(|word| !word.contains(|c: char| c.is_ascii_digit()));
    words.take(6).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_as_they_are_written() {
        for part in [Part::Planned(17), Part::Strike(Fault::CommitAnswerLost, 3)] {
            assert_eq!(part.to_string().parse(), Ok(part));
        }
        for wrong in ["", "x", "Crash", "Crash/", "Flood/1"] {
            assert!(wrong.parse::<Part>().is_err(), "{wrong}");
        }
    }
}
