//! What the operator decides for the engine.

use std::time::Duration;

use domain::lane::Bounds;
use domain::schedule::Schedule;
use providers::Spec;

/// The engine's settings; the server reads them from `defaults.toml`, environment and flags.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The first wait of every default retry schedule, the others in proportion; `None` leaves them as they are.
    pub retry_base: Option<Duration>,
    /// Deliveries started and not durably settled, over all channels.
    pub in_flight_max: usize,
    /// Deliveries buffered in memory for one channel; what is beyond waits in the queue table.
    pub lane_items_max: usize,
    /// Payload bytes buffered in memory over all channels.
    pub buffered_bytes_max: usize,
    /// Deliveries read from the queue table at a time: enough to keep a lane busy, few enough to be read in a
    /// millisecond.
    pub load_items_max: usize,
    /// Whether the rates in the providers' SPECs are kept to. Servers of one's own that speak a provider's API may have
    /// none.
    pub keeps_provider_rates: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            retry_base: None,
            in_flight_max: 512,
            lane_items_max: 1024,
            buffered_bytes_max: 32 << 20,
            load_items_max: 256,
            keeps_provider_rates: true,
        }
    }
}

impl Settings {
    pub(crate) fn bounds(&self) -> Bounds {
        Bounds {
            unsettled_max: self.in_flight_max,
            lane_items_max: self.lane_items_max,
            buffered_bytes_max: self.buffered_bytes_max,
            load_items_max: self.load_items_max,
        }
    }

    /// The schedule of a channel that names none.
    pub(crate) fn default_schedule(&self, spec: &Spec) -> Schedule {
        self.in_proportion((spec.retry)())
    }

    /// A schedule that no owner has chosen, in the proportion that the operator decides.
    pub(crate) fn in_proportion(&self, schedule: Schedule) -> Schedule {
        match self.retry_base {
            Some(base) => schedule.with_base(base),
            None => schedule,
        }
    }
}
