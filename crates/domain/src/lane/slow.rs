//! The share of all slots that slow channels may hold together.
//!
//! A receiver that takes long to answer holds its slots for long, and enough of them would hold all there are. So channels
//! are slow or quick by what their answers took, and the slow ones share half of the slots. A channel that has not answered
//! yet is taken for slow: it may turn out to be one that never does.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::ChannelId;

/// Answers that take longer on average make a channel slow.
const SLOW: Duration = Duration::from_secs(1);

/// A single answer counts as at most this much, so that a channel that recovers is soon quick again.
const SAMPLE_MAX: Duration = Duration::from_secs(4);

/// How long the answers of a channel take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    /// A moving average; `None` before the first answer.
    latency: Option<Duration>,
}

impl Pace {
    pub(super) fn is_slow(self) -> bool {
        self.latency.is_none_or(|latency| latency > SLOW)
    }

    pub(super) fn answered(&mut self, took: Duration) {
        let took = took.min(SAMPLE_MAX);
        self.latency = Some(self.latency.map_or(took, |before| (before * 3 + took) / 4));
    }
}

/// The slots that slow channels hold.
#[derive(Debug)]
pub(super) struct SlowShare {
    slots_max: usize,
    held: usize,
    /// In the order in which they came, each once.
    waiting: Vec<ChannelId>,
    listed: BTreeSet<ChannelId>,
}

impl SlowShare {
    /// Half of these, and one at least.
    pub(super) fn of(slots: usize) -> Self {
        Self { slots_max: slots.div_ceil(2).max(1), held: 0, waiting: Vec::new(), listed: BTreeSet::new() }
    }

    pub(super) fn has_room(&self) -> bool {
        self.held < self.slots_max
    }

    pub(super) fn hold(&mut self, slots: usize) {
        self.held += slots;
    }

    pub(super) fn give_back(&mut self, slots: usize) {
        self.held = self.held.saturating_sub(slots);
    }

    pub(super) fn wait(&mut self, channel: ChannelId) {
        if self.listed.insert(channel) {
            self.waiting.push(channel);
        }
    }

    /// Those that may look again, when there is room.
    pub(super) fn woken(&mut self) -> Vec<ChannelId> {
        if self.waiting.is_empty() || !self.has_room() {
            return Vec::new();
        }
        self.listed.clear();
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_slow_by_what_their_answers_take() {
        let mut pace = Pace::default();
        assert!(pace.is_slow(), "nobody knows yet");
        pace.answered(Duration::from_millis(20));
        assert!(!pace.is_slow());
        pace.answered(Duration::from_secs(30));
        assert!(pace.is_slow());
        (0..6).for_each(|_| pace.answered(Duration::from_millis(20)));
        assert!(!pace.is_slow(), "it has recovered");
    }
}
