//! Which steps of a delivery are done: a small set that fits the one number that the store keeps.
//!
//! A set and no count, because steps may be independent of each other: of three recipients of a mail the second may be
//! refused while the third has it. The set belongs to one list of steps, so it carries a mark of that list: when the
//! channel's recipients change between two tries, the positions mean something else and the set counts as empty. Then
//! somebody may get a message twice, and nobody goes without.
//!
//! It also keeps whether a try ended without an answer: some providers refuse what they have already, and only who knows
//! of such a try can tell that from a message that was sent twice.

/// The most steps of one delivery.
pub const STEPS_MAX: u32 = 50;

/// The bits that are left for the mark.
const MARK_BITS: u32 = 13;

/// The sign: a try ended without an answer.
const DOUBT: i64 = i64::MIN;

/// The steps that were taken, of a list with a certain mark. Nothing done is 0 whatever the mark is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepsDone(i64);

impl StepsDone {
    pub const NONE: Self = Self(0);

    /// Reads what [`StepsDone::bits`] gave.
    pub const fn from_bits(bits: i64) -> Self {
        Self(bits)
    }

    /// For the store alone.
    pub const fn bits(self) -> i64 {
        self.0
    }

    /// The set if it belongs to the list with this mark, else none. Of `mark` 13 bits count. Doubt stays.
    #[must_use]
    pub const fn of_list(self, mark: u16) -> Self {
        if self.mark() == short(mark) { self } else { Self(self.0 & DOUBT) }
    }

    /// The same steps, as those of the list with this mark: one whose positions mean the same.
    #[must_use]
    pub const fn moved_to(self, mark: u16) -> Self {
        let steps = self.0 & ((1 << STEPS_MAX) - 1);
        let mark = if steps == 0 { 0 } else { short(mark) << STEPS_MAX };
        Self((self.0 & DOUBT) | mark | steps)
    }

    /// The same set, after a try that ended without an answer.
    #[must_use]
    pub const fn in_doubt(self) -> Self {
        Self(self.0 | DOUBT)
    }

    /// Whether a try ended without an answer: something may have been taken that is not in the set.
    pub const fn is_in_doubt(self) -> bool {
        self.0 & DOUBT != 0
    }

    /// The same set with a step more, as one of the list with this mark. Positions beyond [`STEPS_MAX`] are not kept.
    #[must_use]
    pub const fn with(self, step: u32, mark: u16) -> Self {
        if step >= STEPS_MAX {
            return self;
        }
        Self(self.0 | (1 << step) | (short(mark) << STEPS_MAX))
    }

    pub const fn has(self, step: u32) -> bool {
        step < STEPS_MAX && self.0 >> step & 1 == 1
    }

    const fn mark(self) -> i64 {
        (self.0 & !DOUBT) >> STEPS_MAX
    }
}

const fn short(mark: u16) -> i64 {
    (mark & ((1 << MARK_BITS) - 1)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_keeps_its_steps_and_its_list() {
        let done = StepsDone::NONE.with(0, 0xffff).with(49, 0xffff).with(50, 0xffff);
        let kept = StepsDone::from_bits(done.bits());
        assert!(kept.bits() > 0);
        assert!(kept.has(0) && !kept.has(1) && kept.has(49) && !kept.has(50) && !kept.has(u32::MAX));
        assert_eq!(kept.of_list(0xffff), kept);
        assert_eq!(kept.of_list(7), StepsDone::NONE);
        assert_eq!(StepsDone::NONE.of_list(7).bits(), 0);
    }

    #[test]
    fn doubt_outlives_the_list() {
        let done = StepsDone::NONE.with(3, 9).in_doubt();
        let kept = StepsDone::from_bits(done.bits());
        assert!(kept.is_in_doubt() && kept.has(3) && !kept.has(4));
        assert_eq!(kept.of_list(9), kept);
        assert_eq!(kept.of_list(8), StepsDone::NONE.in_doubt());
        assert!(kept.of_list(8).with(0, 8).is_in_doubt());
        assert!(!StepsDone::NONE.with(49, 0x1fff).is_in_doubt());
    }

    #[test]
    fn a_list_that_means_the_same_takes_the_steps_over() {
        let done = StepsDone::NONE.with(0, 5).with(2, 5).in_doubt();
        assert_eq!(done.moved_to(6), StepsDone::NONE.with(0, 6).with(2, 6).in_doubt());
        assert_eq!(StepsDone::NONE.moved_to(6), StepsDone::NONE);
    }
}
