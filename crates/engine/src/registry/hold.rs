//! Why the deliveries of a channel are held, and what says so for all states of its configuration at once.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use domain::breaker::Trip;
use domain::channel::Pause;
use domain::{ReasonCode, Timestamp};
use providers::message::rfc3339;

/// Why the deliveries of a channel are held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The platform suspends its tenant, since then.
    Suspended(Timestamp),
    /// Everything sent to it is refused.
    Paused(Pause),
    /// It fails, and is tried now and then.
    Tripped(Trip),
}

impl Hold {
    pub const fn code(&self) -> ReasonCode {
        match self {
            Self::Suspended(_) => ReasonCode::TenantSuspended,
            Self::Paused(pause) => pause.code,
            Self::Tripped(_) => ReasonCode::ChannelTripped,
        }
    }

    /// In words, for a channel.
    pub fn reason(&self) -> &str {
        match self {
            Self::Suspended(_) => "the tenant is suspended",
            Self::Paused(pause) => &pause.reason,
            Self::Tripped(trip) => &trip.reason,
        }
    }

    pub fn since(&self) -> Timestamp {
        match self {
            Self::Suspended(since) => *since,
            Self::Paused(pause) => pause.since,
            Self::Tripped(trip) => trip.since,
        }
    }
}

/// In words, for a delivery.
impl std::fmt::Display for Hold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Suspended(_) => f.write_str(self.reason()),
            Self::Paused(pause) => write!(f, "the channel is paused: {}", pause.reason),
            Self::Tripped(trip) => {
                let probe_at = rfc3339(trip.probe_at);
                write!(f, "the channel is tripped, and tried now and then, next at {probe_at}: {}", trip.reason)
            }
        }
    }
}

/// Whether a tenant is suspended, shared by all of its channels: one change reaches them all.
#[derive(Debug, Default)]
pub(crate) struct Suspension {
    /// 0: it is not.
    since_ms: AtomicI64,
}

impl Suspension {
    pub(super) fn set(&self, since: Option<Timestamp>) {
        // At the very least a millisecond after 1970, so that it is none of those that mean no suspension.
        self.since_ms.store(since.map_or(0, |since| since.as_ms().max(1)), Ordering::Release);
    }

    pub(super) fn since(&self) -> Option<Timestamp> {
        let since_ms = self.since_ms.load(Ordering::Acquire);
        (since_ms != 0).then(|| Timestamp::from_ms(since_ms))
    }
}

/// Whether the breaker of a channel is open, shared by all states of its configuration.
#[derive(Debug, Default)]
pub struct TripState(Mutex<Option<Trip>>);

impl TripState {
    pub(crate) fn set(&self, trip: Option<Trip>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = trip;
    }

    pub(super) fn get(&self) -> Option<Trip> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
