//! Calls counted: so many for each key in a window that begins with its first call.
//!
//! For APIs whose clients know such limits. A key that has used up its calls waits for the end of the window.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::KeyId;
use http::HeaderName;

/// How many calls a key has in a window.
pub(crate) const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");

/// How many of them are left.
pub(crate) const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");

/// For how many seconds none is left.
pub(crate) const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The most keys that are counted at a time: some 500 KiB. Beyond that the one whose window began first begins anew.
const KEYS_MAX: usize = 10_000;

/// How many calls keys have left.
#[derive(Debug)]
pub(crate) struct CallLimit {
    calls_max: u32,
    window: Duration,
    used: Mutex<BTreeMap<KeyId, Used>>,
}

#[derive(Clone, Copy, Debug)]
struct Used {
    since: Duration,
    calls: u32,
}

/// What a call finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Calls {
    /// It may go on, and so many more after it.
    Left(u32),
    /// None is left until so many seconds have passed: at least one.
    Exhausted { seconds: u64 },
}

impl CallLimit {
    pub(crate) fn new(calls_max: u32, window: Duration) -> Self {
        Self { calls_max, window, used: Mutex::default() }
    }

    /// The most calls of a key in a window.
    pub(crate) fn calls_max(&self) -> u32 {
        self.calls_max
    }

    /// Counts a call of `key` at `now`, by a clock that never goes back.
    pub(crate) fn count(&self, key: KeyId, now: Duration) -> Calls {
        let mut all = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEYS_MAX && !all.contains_key(&key) {
            self.make_room(&mut all, now);
        }
        let used = all.entry(key).or_insert(Used { since: now, calls: 0 });
        if self.is_over(*used, now) {
            *used = Used { since: now, calls: 0 };
        }
        if used.calls >= self.calls_max {
            let left = (used.since + self.window).saturating_sub(now);
            return Calls::Exhausted { seconds: left.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX).max(1) };
        }
        used.calls += 1;
        Calls::Left(self.calls_max - used.calls)
    }

    fn is_over(&self, used: Used, now: Duration) -> bool {
        now >= used.since + self.window
    }

    fn make_room(&self, all: &mut BTreeMap<KeyId, Used>, now: Duration) {
        all.retain(|_, used| !self.is_over(*used, now));
        if all.len() >= KEYS_MAX
            && let Some(first) = all.iter().min_by_key(|(_, used)| used.since).map(|(key, _)| *key)
        {
            all.remove(&first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn a_window_begins_with_the_first_call() {
        let limit = CallLimit::new(2, MINUTE);
        let check = |key: i64, ms: u64, expected: Calls| {
            assert_eq!(limit.count(KeyId(key), Duration::from_millis(ms)), expected, "{key} at {ms}");
        };
        check(1, 5_000, Calls::Left(1));
        check(1, 5_001, Calls::Left(0));
        check(1, 5_002, Calls::Exhausted { seconds: 60 });
        check(2, 5_002, Calls::Left(1));
        check(1, 64_999, Calls::Exhausted { seconds: 1 });
        check(1, 65_000, Calls::Left(1));
        check(2, 65_001, Calls::Left(0));
        check(2, 65_002, Calls::Left(1));
    }

    #[test]
    fn memory_is_bounded() {
        let limit = CallLimit::new(1, MINUTE);
        let count = i64::try_from(KEYS_MAX).unwrap() + 5;
        for key in 0..count {
            limit.count(KeyId(key), Duration::from_millis(key.unsigned_abs()));
        }
        assert_eq!(limit.used.lock().unwrap().len(), KEYS_MAX);
        // Those whose windows began first were forgotten, the others were not.
        let now = Duration::from_secs(59);
        assert!(matches!(limit.count(KeyId(count - 1), now), Calls::Exhausted { .. }));
        assert_eq!(limit.count(KeyId(0), now), Calls::Left(0));
        let later = now + Duration::from_secs(59);
        assert_eq!(limit.count(KeyId(count), later), Calls::Left(0));
        assert_eq!(limit.used.lock().unwrap().len(), 2);
    }
}
