//! How many notifications a second a person is shown, pure: the caller says what time it is.
//!
//! The first ones of a second are shown, the rest are counted and told in one line when the second is over.

use std::time::Duration;

const WINDOW: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Throttle {
    shown_max: u64,
    start: Duration,
    shown: u64,
    hidden: u64,
}

impl Throttle {
    /// Shows at most `shown_max` a second.
    pub(super) const fn new(shown_max: u64) -> Self {
        Self { shown_max, start: Duration::ZERO, shown: 0, hidden: 0 }
    }

    /// Whether one more that arrived at `now` may be shown. Call [`Throttle::turn`] before.
    pub(super) fn admit(&mut self, now: Duration) -> bool {
        if self.shown == 0 {
            self.start = now;
        }
        let admitted = self.shown < self.shown_max;
        if admitted {
            self.shown += 1;
        } else {
            self.hidden += 1;
        }
        admitted
    }

    /// Counts `number` that were dropped before they came here.
    pub(super) fn hide(&mut self, number: u64) {
        self.hidden += number;
    }

    /// How many were hidden in the second that is over at `now`, when it is over and there were any.
    pub(super) fn turn(&mut self, now: Duration) -> Option<u64> {
        (now.saturating_sub(self.start) >= WINDOW).then(|| self.close()).flatten()
    }

    /// Ends the second at once and tells how many were hidden in it, when there were any.
    pub(super) fn close(&mut self) -> Option<u64> {
        self.shown = 0;
        let hidden = std::mem::take(&mut self.hidden);
        (hidden > 0).then_some(hidden)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_flood_is_shown_up_to_the_bound_and_counted() {
        let mut throttle = Throttle::new(2);
        assert!(throttle.admit(ms(5_000)) && throttle.admit(ms(5_001)));
        assert!(!throttle.admit(ms(5_002)) && !throttle.admit(ms(5_500)));
        throttle.hide(3);
        assert_eq!(throttle.turn(ms(5_999)), None);
        assert_eq!(throttle.turn(ms(6_000)), Some(5));
        assert!(throttle.admit(ms(6_000)));
        assert_eq!(throttle.turn(ms(7_000)), None);
    }
}
