//! Latencies as a histogram of constant size: recorded in microseconds, read back in milliseconds.
//!
//! Three significant digits from 1 microsecond to 10 minutes; what is longer counts as 10 minutes.

use hdrhistogram::Histogram;
use std::time::Duration;

const LONGEST_US: u64 = 600_000_000;

#[derive(Clone, Debug)]
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(super) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_US, 3).expect("the bounds are constants that hdrhistogram takes"))
    }

    pub(super) fn record_ns(&mut self, ns: u64) {
        self.0.saturating_record((ns / 1000).max(1));
    }

    pub(super) fn record(&mut self, latency: Duration) {
        self.record_ns(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all histograms of the bench have the same bounds");
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency that half of all did not exceed, in milliseconds; `None` when nothing was recorded.
    pub(super) fn p50_ms(&self) -> Option<f64> {
        self.quantile_ms(0.50)
    }

    /// The latency that 99 of 100 did not exceed, in milliseconds; `None` when nothing was recorded.
    pub(super) fn p99_ms(&self) -> Option<f64> {
        self.quantile_ms(0.99)
    }

    #[expect(clippy::cast_precision_loss, reason = "at most 600,000,000 microseconds")]
    fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(quantile) as f64 / 1000.0)
    }
}

/// `count` things in `time`, per second.
#[expect(clippy::cast_precision_loss, reason = "counts of one run are far below 2^52")]
pub(super) fn per_second(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(actual: Option<f64>, expect: f64) {
        let actual = actual.unwrap();
        assert!((actual - expect).abs() <= expect / 500.0, "{actual} is not about {expect}");
    }

    #[test]
    fn percentiles_are_those_of_the_values() {
        let mut latencies = Latencies::new();
        for ms in 1..=1000_u64 {
            latencies.record_ns(ms * 1_000_000);
        }
        close(latencies.p50_ms(), 500.0);
        close(latencies.p99_ms(), 990.0);
    }

    #[test]
    fn nothing_recorded_has_no_percentile() {
        assert_eq!(Latencies::new().p99_ms(), None);
    }

    #[test]
    fn parts_add_up_and_extremes_stay_in_bounds() {
        let (mut one, mut other) = (Latencies::new(), Latencies::new());
        one.record_ns(0);
        other.record_ns(u64::MAX);
        one.add(&other);
        assert_eq!(one.count(), 2);
        close(one.p50_ms(), 0.001);
        close(one.p99_ms(), 600_000.0);
    }

    #[test]
    fn rates_do_not_divide_by_zero() {
        assert!((per_second(10, Duration::from_secs(2)) - 5.0).abs() < 1e-9);
        assert!(per_second(0, Duration::ZERO).is_finite());
    }
}
