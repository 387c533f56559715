//! What the operator decides for the engine.

use std::time::Duration;

use domain::Timestamp;
use domain::lane::Bounds;
use domain::quotas::Quotas;
use domain::schedule::Schedule;
use providers::Spec;
use store::retention::KeptSince;

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
    /// Deliveries that a channel holds while it fails or is paused, unless it says otherwise.
    pub held_max: u32,
    /// How old these may get; `None`: as old as they live.
    pub held_for: Option<Duration>,
    /// How long history is kept.
    pub retention: Retention,
    /// What a tenant may bring and have that has no quotas of its own.
    pub quotas: Quotas,
}

/// How long each kind of history is kept; `None`: for ever. Nothing goes that something waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Events with their data and verdicts.
    pub events: Option<Duration>,
    /// Deliveries that are sent, cancelled or expired.
    pub deliveries: Option<Duration>,
    pub attempts: Option<Duration>,
    pub inbox: Option<Duration>,
    /// Entries in the inbox of one recipient; beyond that the oldest go.
    pub inbox_entries_max: Option<usize>,
    /// Sums, and redrives that are over.
    pub sums: Option<Duration>,
}

impl Retention {
    /// What is older than this goes now.
    pub(crate) fn kept_since(&self, now: Timestamp) -> KeptSince {
        let since = |kept: Option<Duration>| {
            let ms = |kept: Duration| i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
            kept.map(|kept| Timestamp::from_ms(now.as_ms().saturating_sub(ms(kept))))
        };
        KeptSince {
            events: since(self.events),
            deliveries: since(self.deliveries),
            attempts: since(self.attempts),
            inbox: since(self.inbox),
            inbox_entries_max: self.inbox_entries_max,
            sums: since(self.sums),
        }
    }

    /// Whether anything ever goes.
    pub(crate) fn is_bounded(&self) -> bool {
        *self != Self::default()
    }
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
            held_max: 100_000,
            held_for: None,
            retention: Retention::default(),
            quotas: Quotas::default(),
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
