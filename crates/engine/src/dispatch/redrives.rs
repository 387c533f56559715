//! When the next slice of each running redrive is due.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::{RedriveId, TenantId, Timestamp};

use crate::upkeep::redrive::NextSlice;

/// The redrives that run.
#[derive(Debug, Default)]
pub(super) struct Redrives {
    due: BTreeMap<(TenantId, RedriveId), Timestamp>,
    under_way: BTreeSet<(TenantId, RedriveId)>,
}

impl Redrives {
    /// One was asked for, or goes on.
    pub(super) fn ask(&mut self, redrive: (TenantId, RedriveId), now: Timestamp) {
        self.due.entry(redrive).or_insert(now);
    }

    /// What is due: each is under way until it is [`Redrives::done`].
    pub(super) fn take_due(&mut self, now: Timestamp) -> Vec<(TenantId, RedriveId)> {
        let is_due =
            |(redrive, due): &(&(TenantId, RedriveId), &Timestamp)| **due <= now && !self.under_way.contains(*redrive);
        let taken: Vec<_> = self.due.iter().filter(is_due).map(|(redrive, _)| *redrive).collect();
        for redrive in &taken {
            self.due.remove(redrive);
            self.under_way.insert(*redrive);
        }
        taken
    }

    /// A slice is over. One that was asked for meanwhile stays due: it may have been resumed.
    pub(super) fn done(&mut self, redrive: (TenantId, RedriveId), next: NextSlice, now: Timestamp) {
        self.under_way.remove(&redrive);
        let wait = match next {
            NextSlice::After(wait) => wait,
            NextSlice::Again => Duration::ZERO,
            NextSlice::Never => return,
        };
        self.due.entry(redrive).or_insert_with(|| now.after(wait));
    }

    /// When the first is due.
    pub(super) fn wake_at(&self) -> Option<Timestamp> {
        self.due.iter().filter(|(redrive, _)| !self.under_way.contains(*redrive)).map(|(_, due)| *due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: (TenantId, RedriveId) = (TenantId(1), RedriveId(1));

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    #[test]
    fn slices_come_one_at_a_time_and_at_their_pace() {
        let mut redrives = Redrives::default();
        redrives.ask(ONE, at(5));
        assert_eq!(redrives.wake_at(), Some(at(5)));
        assert_eq!(redrives.take_due(at(4)), []);
        assert_eq!(redrives.take_due(at(5)), [ONE]);
        assert_eq!((redrives.wake_at(), redrives.take_due(at(9))), (None, vec![]));
        redrives.done(ONE, NextSlice::After(Duration::from_millis(100)), at(10));
        assert_eq!(redrives.wake_at(), Some(at(110)));
        assert_eq!(redrives.take_due(at(110)), [ONE]);
        redrives.done(ONE, NextSlice::Never, at(111));
        assert_eq!(redrives.wake_at(), None);
    }

    #[test]
    fn one_that_is_resumed_during_its_last_slice_goes_on() {
        let mut redrives = Redrives::default();
        redrives.ask(ONE, at(0));
        redrives.take_due(at(0));
        redrives.ask(ONE, at(1));
        assert_eq!(redrives.take_due(at(2)), []);
        redrives.done(ONE, NextSlice::Never, at(3));
        assert_eq!(redrives.take_due(at(3)), [ONE]);
    }
}
