//! Retry schedules: how long to wait after each failed attempt.

use std::time::Duration;

/// The most attempts that a schedule may hold.
pub const ATTEMPTS_MAX: usize = 20;

/// The longest single wait.
pub const WAIT_MAX: Duration = Duration::from_hours(24);

/// Why a list of waits is not a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("may hold at most {} waits", ATTEMPTS_MAX - 1)]
    TooMany,
    #[error("each wait must be at most 24 hours")]
    TooLong,
}

/// The waits between the attempts of one delivery: `waits[n]` follows failed attempt `n + 1`. The first attempt is
/// made at once; when the waits are used up the delivery is given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    waits: Vec<Duration>,
}

impl Schedule {
    /// A schedule of the given waits: at most 19, each at most 24 hours. None at all means a single attempt.
    pub fn new(waits: Vec<Duration>) -> Result<Self, ScheduleError> {
        if waits.len() >= ATTEMPTS_MAX {
            return Err(ScheduleError::TooMany);
        }
        if waits.iter().any(|wait| *wait > WAIT_MAX) {
            return Err(ScheduleError::TooLong);
        }
        Ok(Self { waits })
    }

    /// The schedule that the Standard Webhooks specification 1.0 recommends: ten attempts over about 75 hours.
    pub fn webhook() -> Self {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 3600;
        let seconds = [5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR];
        Self { waits: seconds.map(Duration::from_secs).to_vec() }
    }

    /// For mail: 18 attempts over about two days. Servers that greylist refuse what comes back within five minutes, so
    /// even at its shortest the first wait is that long.
    pub fn mail() -> Self {
        const MINUTE: u64 = 60;
        const LONGEST: u64 = 4 * 3600;
        let doubling = [10, 20, 40, 80, 160].map(|minutes| minutes * MINUTE);
        let seconds = doubling.into_iter().chain([LONGEST; 12]);
        Self { waits: seconds.map(Duration::from_secs).collect() }
    }

    /// For chats: five attempts over some minutes, because a message that people read is soon old.
    pub fn chat() -> Self {
        Self { waits: [30, 60, 120, 240].map(Duration::from_secs).to_vec() }
    }

    /// How many attempts a delivery gets.
    pub fn attempts_max(&self) -> u32 {
        u32::try_from(self.waits.len() + 1).expect("at most 20 waits")
    }

    pub fn waits(&self) -> &[Duration] {
        &self.waits
    }

    /// The same proportions with `base` as the first wait that is not zero; each wait at most 24 hours.
    ///
    /// Operators and tests set this with `POSTRIDER_DELIVERY__RETRY_BASE_MS`.
    #[must_use]
    pub fn with_base(&self, base: Duration) -> Self {
        let Some(first) = self.waits.iter().find(|wait| !wait.is_zero()) else { return self.clone() };
        let scaled = |wait: &Duration| {
            let micros = wait.as_micros().saturating_mul(base.as_micros()) / first.as_micros();
            Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)).min(WAIT_MAX)
        };
        Self { waits: self.waits.iter().map(scaled).collect() }
    }

    /// How long to wait after `attempts` attempts have failed, or `None` when there is no further attempt.
    ///
    /// `random` is any number, evenly drawn: the wait falls evenly in [d/2, d] of the scheduled wait d, so that
    /// deliveries that failed together do not come back together. A `hint` is a minimum: the wait is never shorter.
    pub fn wait_after(&self, attempts: u32, hint: Option<Duration>, random: u64) -> Option<Duration> {
        let scheduled = *self.waits.get(usize::try_from(attempts).ok()?.checked_sub(1)?)?;
        let own = jittered(scheduled, random);
        Some(hint.map_or(own, |least| own.max(least)))
    }
}

/// A wait spread evenly over [wait/2, wait].
pub fn jittered(wait: Duration, random: u64) -> Duration {
    let half = wait / 2;
    let spread = u64::try_from(wait.saturating_sub(half).as_micros()).unwrap_or(u64::MAX).saturating_add(1);
    half + Duration::from_micros(random % spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_webhook_schedule_is_the_specification() {
        let schedule = Schedule::webhook();
        assert_eq!(schedule.attempts_max(), 10);
        let total: Duration = schedule.waits().iter().sum();
        assert_eq!(total.as_secs(), 5 + 300 + 1800 + 3600 * (2 + 5 + 10 + 14 + 20 + 24));
    }

    #[test]
    fn mail_waits_out_greylisting_and_fits_its_time_to_live() {
        let schedule = Schedule::mail();
        assert!((0..1000).all(|random| schedule.wait_after(1, None, random) >= Some(Duration::from_secs(300))));
        assert_eq!(schedule.attempts_max(), 18);
        assert!(schedule.waits().iter().sum::<Duration>() < Duration::from_hours(3 * 24));
    }

    #[test]
    fn a_wait_is_jittered_below_and_hinted_above() {
        let schedule = Schedule::new(vec![Duration::from_secs(10)]).unwrap();
        let check = |attempts, hint: Option<u64>, random, expected: Option<Duration>| {
            assert_eq!(schedule.wait_after(attempts, hint.map(Duration::from_secs), random), expected);
        };
        check(1, None, 0, Some(Duration::from_secs(5)));
        check(1, None, 5_000_000, Some(Duration::from_secs(10)));
        check(1, None, 5_000_001, Some(Duration::from_secs(5)));
        check(1, Some(60), 0, Some(Duration::from_secs(60)));
        check(1, Some(1), 0, Some(Duration::from_secs(5)));
        check(2, None, 0, None);
        check(2, Some(60), 0, None);
        check(0, None, 0, None);
    }

    #[test]
    fn a_base_scales_the_whole_schedule() {
        let fast = Schedule::webhook().with_base(Duration::from_millis(10));
        assert_eq!(fast.waits()[0], Duration::from_millis(10));
        assert_eq!(fast.waits()[1], Duration::from_millis(600));
        let slow = Schedule::webhook().with_base(Duration::from_hours(1));
        assert!(slow.waits().iter().all(|wait| *wait <= WAIT_MAX));
    }

    #[test]
    fn bounds_are_kept() {
        assert_eq!(Schedule::new(vec![Duration::ZERO; 20]), Err(ScheduleError::TooMany));
        assert_eq!(Schedule::new(vec![Duration::from_hours(25)]), Err(ScheduleError::TooLong));
    }
}
