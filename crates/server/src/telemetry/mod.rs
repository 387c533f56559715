//! What the server tells about itself: figures for Prometheus, traces for OpenTelemetry, and a log.
//!
//! Start at [`metrics::Metrics`], which the store, the engine and the HTTP server report to. They know nothing of how it
//! is told: the engine and the store call their own `Observer` traits, and [`Telemetry`] is the engine's.

mod export;
pub(crate) mod log;
pub(crate) mod metrics;
mod process;
pub(crate) mod route;
pub(crate) mod traces;

use std::sync::Arc;

use domain::quotas::Quota;
use engine::dispatch::announce::Moment;
use engine::dispatch::attempt::Answered;
use engine::observe::{Commit, Observer};

use metrics::Metrics;
use traces::Traces;

/// Whom the engine reports to.
pub(crate) struct Telemetry {
    pub(crate) metrics: Arc<Metrics>,
    /// `None` without a collector: then nothing is made for it.
    pub(crate) traces: Option<Traces>,
}

impl Observer for Telemetry {
    fn committed(&self, commit: &Commit) {
        if let Some(traces) = &self.traces {
            traces.committed(commit);
        }
    }

    fn attempted(&self, answered: &Answered) {
        self.metrics.attempted(answered);
        if let Some(traces) = &self.traces {
            traces.attempted(answered);
        }
    }

    fn moved(&self, moment: &Moment) {
        self.metrics.moved(moment);
    }

    fn refused(&self, quota: Quota) {
        self.metrics.refused(quota);
    }

    fn in_flight(&self, deliveries: usize) {
        self.metrics.in_flight(deliveries);
    }
}
