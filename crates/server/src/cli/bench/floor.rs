//! The floor: the same load straight to the receiver, with nothing between.
//!
//! What a server adds is told as a ratio to it, so that figures from different machines can be compared.

use super::body::Bodies;
use super::load::{self, Load, Target};
use super::pace::Pace;
use super::receiver::Receiver;
use super::stats::per_second;
use super::stopwatch::Stopwatch;
use std::time::Duration;

const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(3);

/// Notifications a second that `workers` connections bring to a receiver of the bench.
pub(super) async fn measure(bodies: &Bodies, workers: usize, watch: Stopwatch) -> anyhow::Result<f64> {
    measure_for(bodies, workers, watch, [WARM_UP, MEASURED]).await
}

/// Runs the load for each of the times and returns the rate of the last one.
async fn measure_for(bodies: &Bodies, workers: usize, watch: Stopwatch, times: [Duration; 2]) -> anyhow::Result<f64> {
    let mut rate = 0.0;
    for time in times {
        let receiver = Receiver::start(watch).await?;
        let load = Load {
            address: receiver.address(),
            target: Target::Receiver,
            bodies: bodies.clone(),
            workers,
            pace: Pace::For(time),
        };
        let loaded = load::run(load, watch, std::sync::Arc::default()).await?;
        rate = per_second(receiver.total().deliveries, loaded.time);
    }
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_floor_is_measured_on_loopback() {
        let times = [Duration::from_millis(1), Duration::from_millis(50)];
        let rate = measure_for(&Bodies::new(0..1, 256, 1), 4, Stopwatch::start(), times).await.unwrap();
        assert!(rate > 0.0, "{rate}");
    }
}
