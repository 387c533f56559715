//! When the next request is to be sent: as fast as answers come, or on a fixed schedule whatever the answers do.
//!
//! On a schedule every request has its intended time, and latency counts from there: a server that stalls cannot hide
//! it by slowing the load down (coordinated omission). A thread releases what is due, because timers of the runtime
//! are a millisecond coarse.

use super::stopwatch::Stopwatch;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// The thread looks no more often than this; what falls due in between goes out together.
const TURN_NS: u64 = 250_000;

/// How requests follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// So many requests, each worker as fast as answers come.
    Count(u64),
    /// For so long, each worker as fast as answers come.
    For(Duration),
    /// So many requests at even distances.
    Steady { requests: u64, per_second: f64 },
}

/// One request that is to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) number: u64,
    pub(super) intended_ns: u64,
}

/// The requests of one load, handed out to its workers.
pub(super) struct Schedule {
    watch: Stopwatch,
    next: AtomicU64,
    rule: Rule,
}

enum Rule {
    Count { requests: u64 },
    Until { end_ns: u64 },
    Steady { plan: Plan, due: Arc<Semaphore>, _releases: Releases },
}

impl Schedule {
    /// A schedule that begins now.
    pub(super) fn start(pace: Pace, watch: Stopwatch) -> anyhow::Result<Self> {
        let start_ns = watch.ns();
        let rule = match pace {
            Pace::Count(requests) => Rule::Count { requests },
            Pace::For(time) => {
                Rule::Until { end_ns: start_ns.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)) }
            }
            Pace::Steady { requests, per_second } => {
                let plan = Plan { start_ns, requests, per_second };
                let due = Arc::new(Semaphore::new(0));
                Rule::Steady { plan, due: due.clone(), _releases: Releases::start(plan, due, watch)? }
            }
        };
        Ok(Self { watch, next: AtomicU64::new(0), rule })
    }

    /// Waits until a request is due; `None` when the load is over.
    pub(super) async fn next(&self) -> Option<Slot> {
        if let Rule::Steady { due, .. } = &self.rule {
            due.acquire().await.ok()?.forget();
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let now_ns = self.watch.ns();
        match &self.rule {
            Rule::Count { requests } => (number < *requests).then_some(Slot { number, intended_ns: now_ns }),
            Rule::Until { end_ns } => (now_ns < *end_ns).then_some(Slot { number, intended_ns: now_ns }),
            Rule::Steady { plan, .. } => {
                (number < plan.requests).then_some(Slot { number, intended_ns: plan.intended_ns(number) })
            }
        }
    }
}

/// Requests at even distances, pure.
#[derive(Clone, Copy, Debug)]
struct Plan {
    start_ns: u64,
    requests: u64,
    per_second: f64,
}

impl Plan {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "request numbers and times of one run are positive and far below 2^52"
    )]
    fn intended_ns(&self, number: u64) -> u64 {
        self.start_ns + (number as f64 * 1e9 / self.per_second) as u64
    }

    /// How many requests have an intended time up to `now_ns`.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "request numbers and times of one run are positive and far below 2^52"
    )]
    fn due(&self, now_ns: u64) -> u64 {
        let elapsed = now_ns.saturating_sub(self.start_ns) as f64;
        ((elapsed * self.per_second / 1e9) as u64).saturating_add(1).min(self.requests)
    }
}

/// The thread that releases what is due; it ends with the plan, or when this is dropped.
struct Releases {
    _stop: mpsc::Sender<()>,
}

impl Releases {
    fn start(plan: Plan, due: Arc<Semaphore>, watch: Stopwatch) -> anyhow::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        std::thread::Builder::new().name("pace".to_owned()).spawn(move || release(plan, &due, watch, &stopped))?;
        Ok(Self { _stop: stop })
    }
}

fn release(plan: Plan, due: &Semaphore, watch: Stopwatch, stopped: &mpsc::Receiver<()>) {
    let mut released = 0;
    while released < plan.requests {
        let now_ns = watch.ns();
        let number = plan.due(now_ns);
        due.add_permits(usize::try_from(number - released).unwrap_or(0));
        released = number;
        let wait = plan.intended_ns(released).saturating_sub(now_ns).max(TURN_NS);
        if stopped.recv_timeout(Duration::from_nanos(wait)) == Err(RecvTimeoutError::Disconnected) {
            break;
        }
    }
    // Workers that still wait are told that no more will come, after what was released.
    due.add_permits(Semaphore::MAX_PERMITS / 2);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_even_and_bounded() {
        let plan = Plan { start_ns: 5_000, requests: 4, per_second: 1000.0 };
        let intended: Vec<u64> = (0..4).map(|number| plan.intended_ns(number)).collect();
        assert_eq!(intended, [5_000, 1_005_000, 2_005_000, 3_005_000]);
        for (now_ns, expect) in [(0, 1), (5_000, 1), (1_004_999, 1), (1_005_000, 2), (2_005_000, 3), (u64::MAX, 4)] {
            assert_eq!(plan.due(now_ns), expect, "{now_ns}");
        }
    }

    async fn check(pace: Pace, expect: u64) {
        let schedule = Schedule::start(pace, Stopwatch::start()).unwrap();
        let mut last = None;
        let mut count = 0;
        while let Some(slot) = schedule.next().await {
            assert!(Some(slot.intended_ns) >= last, "{slot:?}");
            assert_eq!(slot.number, count);
            (last, count) = (Some(slot.intended_ns), count + 1);
        }
        assert_eq!(count, expect, "{pace:?}");
    }

    #[tokio::test]
    async fn every_pace_ends() {
        check(Pace::Count(10), 10).await;
        check(Pace::For(Duration::ZERO), 0).await;
        check(Pace::Steady { requests: 50, per_second: 1e6 }, 50).await;
    }
}
