//! Redrives: many deliveries tried again, or made anew, by one order that is carried out slice by slice.
//!
//! What is wanted is said once, when the order is given; what it reaches is bounded by the newest row of that moment, so
//! that what dies again is not taken again.

use crate::delivery::State;
use crate::routing::Pattern;
use crate::{ChannelId, RedriveId, TenantId, Timestamp};

/// The fastest that a redrive may be asked to go, in deliveries a second.
pub const PACE_MAX: u32 = 10_000;

/// How fast a redrive goes that names no pace, in deliveries a second: slow enough for a receiver that has just come
/// back.
pub const PACE_DEFAULT: u32 = 50;

/// The most redrives of a tenant that are not over.
pub const OPEN_MAX: u32 = 16;

/// Where the deliveries of a redrive come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Dead letters, which wait again as they are.
    Dead,
    /// Events that were accepted, each delivered anew to one channel that would hear of it now.
    History,
}

impl Source {
    pub const ALL: [Self; 2] = [Self::Dead, Self::History];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::History => "history",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.name() == text)
    }
}

/// Where a redrive stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Running,
    /// A person has stopped it for a while.
    Paused,
    /// Everything that was wanted has been looked at.
    Done,
    /// Ended before that: by a person, or because its channel is gone.
    Cancelled,
}

impl Progress {
    pub const ALL: [Self; 4] = [Self::Running, Self::Paused, Self::Done, Self::Cancelled];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|progress| progress.name() == text)
    }

    pub const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }
}

/// Which deliveries, or events, a redrive is for. All that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of dead letters: only those of this channel. From history: the channel that gets the events.
    pub channel: Option<ChannelId>,
    /// From history: only events whose newest delivery to the channel ended like this. Without it, only those that have
    /// no delivery to it.
    pub state: Option<State>,
    /// What the receiver answered last.
    pub code: Option<u16>,
    pub provider: Option<String>,
    pub event_types: Option<Pattern>,
    /// Accepted from then on.
    pub since: Option<Timestamp>,
    /// Accepted before.
    pub until: Option<Timestamp>,
    /// In the reason of a dead letter, or the data of an event; in whatever case.
    pub text: Option<String>,
}

/// An order, and how far it is carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redrive {
    pub id: RedriveId,
    pub tenant: TenantId,
    pub source: Source,
    pub wanted: Wanted,
    /// Deliveries a second.
    pub pace: u32,
    pub progress: Progress,
    /// Why it was cancelled; empty when there is nothing to say.
    pub note: String,
    /// The last row that was looked at: a delivery's id, or from history an event's.
    pub reached: i64,
    /// The last row that will be.
    pub up_to: i64,
    /// Rows that were looked at.
    pub examined: u64,
    /// Deliveries that wait again, or were made.
    pub redriven: u64,
    /// Deliveries that were wanted and could not be: their channel is gone or switched off, or they have moved on by
    /// themselves.
    pub skipped: u64,
    pub created_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}
