//! Redrives: orders to try many deliveries again, and what they are carried out with.
//!
//! An order is carried out in slices, each in two steps. First rows are read ([`Redrives::dead_after`],
//! [`Redrives::events_after`]) and whoever asks decides which are wanted. Then [`Redrives::redrive_slice`] writes what
//! follows together with how far the order has come, so that a crash between the two costs nothing and doubles nothing.

use async_trait::async_trait;
use domain::delivery::{Delivery, State};
use domain::event::Event;
use domain::redrive::{Progress, Redrive, Source, Wanted};
use domain::routing::Pattern;
use domain::{ChannelId, DeliveryId, EventId, RedriveId, TenantId, Timestamp};

use crate::StoreError;
use crate::digest::DigestMember;
use crate::journal::{Span, Text};

/// Keeps redrives and carries them out.
#[async_trait]
pub trait Redrives: Send + Sync {
    /// Takes an order, which covers what there is now. `None` when the tenant has
    /// [`OPEN_MAX`](domain::redrive::OPEN_MAX) that are not over.
    async fn begin_redrive(
        &self,
        tenant: TenantId,
        new: NewRedrive,
        now: Timestamp,
    ) -> Result<Option<Redrive>, StoreError>;

    async fn redrive(&self, tenant: TenantId, redrive: RedriveId) -> Result<Option<Redrive>, StoreError>;

    /// Redrives below `before`, newest first; `None` begins at the newest.
    async fn redrives(
        &self,
        tenant: TenantId,
        before: Option<RedriveId>,
        rows_max: usize,
    ) -> Result<Vec<Redrive>, StoreError>;

    /// Pauses a redrive, lets it go on or ends it, and notes why. One that is over stays as it is. `None` when the
    /// tenant has no such redrive.
    async fn steer_redrive(
        &self,
        tenant: TenantId,
        redrive: RedriveId,
        steer: Steer,
    ) -> Result<Option<Redrive>, StoreError>;

    /// The redrives that run, of every tenant, in order of id.
    async fn running_redrives(&self) -> Result<Vec<(TenantId, RedriveId)>, StoreError>;

    /// Dead letters above a delivery, in order of id.
    async fn dead_after(&self, tenant: TenantId, look: DeadLook) -> Result<Stretch<DeadLetter>, StoreError>;

    /// Events above one, in order of id, those that pass.
    async fn events_after(&self, tenant: TenantId, look: EventLook) -> Result<Stretch<PastEvent>, StoreError>;

    /// Writes down one slice of a running redrive: what is taken waits from now on, and was announced to the
    /// [`Feed`](crate::queue::Feed) where it is new. A slice that does not begin where the last one ended changes
    /// nothing. The redrive as it is afterwards; `None` when the tenant has none.
    async fn redrive_slice(
        &self,
        tenant: TenantId,
        slice: RedriveSlice,
        now: Timestamp,
    ) -> Result<Option<Redrive>, StoreError>;
}

/// An order to be taken.
#[derive(Clone, Debug)]
pub struct NewRedrive {
    pub source: Source,
    pub wanted: Wanted,
    pub pace: u32,
}

/// What is to become of a redrive.
#[derive(Clone, Debug)]
pub struct Steer {
    pub to: Progress,
    pub note: String,
    pub now: Timestamp,
}

/// Which dead letters to look at.
#[derive(Clone, Debug)]
pub struct DeadLook {
    pub channel: Option<ChannelId>,
    pub after: DeliveryId,
    pub up_to: DeliveryId,
    pub rows_max: usize,
}

/// A dead letter, and what its receiver answered last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub delivery: Delivery,
    pub code: Option<u16>,
    /// The deliveries of its digest, itself among them, in order of delivery; empty when it goes by itself.
    pub members: Vec<DigestMember>,
}

/// Which events to look at, with regard to a channel.
#[derive(Clone, Debug)]
pub struct EventLook {
    pub channel: ChannelId,
    pub event_types: Option<Pattern>,
    pub accepted: Span,
    /// In the data.
    pub text: Option<Text>,
    pub after: EventId,
    pub up_to: EventId,
    pub rows_max: usize,
    pub examined_max: usize,
}

/// An event that passed.
#[derive(Clone, Debug)]
pub struct PastEvent {
    pub event: Event,
    /// How its newest delivery to the channel stands; one that is still to be made is pending. `None`: there is none.
    pub delivered: Option<State>,
}

/// A part of the rows that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch<T> {
    pub rows: Vec<T>,
    /// The last row that was looked at, whether it passed or not.
    pub reached: i64,
    pub examined: u64,
    /// Whether there is nothing beyond.
    pub is_end: bool,
}

/// What one slice does.
#[derive(Clone, Debug)]
pub struct RedriveSlice {
    pub redrive: RedriveId,
    /// Where the one before ended.
    pub after: i64,
    pub reached: i64,
    pub is_end: bool,
    pub examined: u64,
    /// Wanted, and not to be taken.
    pub skipped: u64,
    pub take: Take,
}

/// The deliveries of a slice.
#[derive(Clone, Debug)]
pub enum Take {
    /// Dead letters that wait again, with a fresh budget of attempts and this time-to-live; with one of a digest all of
    /// it. Those that are no longer dead are skipped.
    Dead(Vec<(DeliveryId, Timestamp)>),
    /// Events that are delivered to a channel, unless the newest delivery to it no longer stands like this.
    Events { channel: ChannelId, expires_at: Timestamp, delivered: Option<State>, events: Vec<EventId> },
}
