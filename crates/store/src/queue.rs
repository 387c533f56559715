//! The way of an event: accepting, waiting, settling.

use std::sync::Arc;

use async_trait::async_trait;
use domain::delivery::{AttemptRecord, State};
use domain::event::{Event, NewEvent};
use domain::outcome::Class;
use domain::verdict::Verdicts;
use domain::{ChannelId, DeliveryId, DigestId, EventId, ReasonCode, StepsDone, TenantId, Timestamp};

use crate::StoreError;
use crate::digest::{NewDigest, SealedDigest};
use crate::inbox::InboxEntry;

/// The most deliveries of one event that the accepting transaction writes; the rest is expanded in slices.
pub const EVENT_DELIVERIES_MAX: usize = 1000;

/// Keeps accepted events and their waiting deliveries.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Keeps the events of one request, all or none, with their deliveries, verdicts and idempotency keys.
    ///
    /// When this returns, the events are durable. The deliveries were handed to the [`Feed`] before, in order of id.
    async fn accept(&self, request: AcceptRequest) -> Result<AcceptAnswer, StoreError>;

    /// Writes one slice of fan-outs that were too large for their accepting transaction. Returns whether more is left.
    async fn expand(&self, rows_max: usize) -> Result<bool, StoreError>;

    /// Writes down what became of attempts, all or none. A settlement that comes twice, or for a delivery that no
    /// longer waits, is ignored.
    async fn settle(&self, settlements: Arc<[Settlement]>) -> Result<(), StoreError>;

    /// The channels that have waiting deliveries, in order of id.
    async fn waiting_channels(&self) -> Result<Vec<ChannelId>, StoreError>;

    /// Waiting deliveries of one channel in order of id, those above `after`. Rows that are due after `now`, and those of a
    /// digest, come without their event.
    async fn waiting_after(
        &self,
        channel: ChannelId,
        after: DeliveryId,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<Vec<Waiting>, StoreError>;

    /// The same from the newest down, those below `before`.
    async fn waiting_before(
        &self,
        channel: ChannelId,
        before: DeliveryId,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<Vec<Waiting>, StoreError>;

    /// These deliveries of one channel, as far as they still wait; those of a digest with what it sends. Rows that are due
    /// after `now` come without either.
    async fn waiting_these(
        &self,
        channel: ChannelId,
        deliveries: Vec<DeliveryId>,
        now: Timestamp,
    ) -> Result<Vec<Waiting>, StoreError>;

    /// Makes one message of several deliveries that wait for their first try. When this returns, what is sent is durable;
    /// they have the digest's time-to-live and are due since it was sealed,
    /// and from then on the deliveries of the digest move together: they are settled in one call, and what is retried,
    /// cancelled or expired is all of them. `None`, and nothing is written: one of them no longer waits untried, or is in
    /// a digest already.
    async fn seal_digest(&self, digest: NewDigest) -> Result<Option<DigestId>, StoreError>;

    /// Cancels one slice of what a [`Cancellation`] covers, except what is under way. Returns whether more is left that
    /// is not under way. The cancellation is finished by the slice that finds nothing else, under way or not: call again
    /// when what was under way has settled.
    async fn cancel_slice(
        &self,
        channel: ChannelId,
        under_way: Vec<DeliveryId>,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<bool, StoreError>;

    /// The cancellations that are not finished.
    async fn cancellations(&self) -> Result<Vec<Cancellation>, StoreError>;

    /// Expires one slice of the waiting deliveries of a paused channel whose time is over, except what is under way.
    /// Returns whether more is left that is not under way. It looks at the oldest few thousand: deliveries behind them
    /// are found when those have gone, or at their turn.
    async fn expire_slice(
        &self,
        channel: ChannelId,
        under_way: Vec<DeliveryId>,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<bool, StoreError>;

    /// Expires one slice of the waiting deliveries of a channel that holds more, or for longer, than it may; the oldest,
    /// except what is under way.
    async fn trim_slice(
        &self,
        channel: ChannelId,
        under_way: Vec<DeliveryId>,
        bounds: HeldBounds,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<Trimmed, StoreError>;

    /// Erases one slice of what deleted tenants have left, and in the end the tenants themselves. Returns whether more
    /// is left. What is under way for them settles into nothing.
    async fn purge_slice(&self, rows_max: usize) -> Result<bool, StoreError>;

    /// Whether [`Queue::purge_slice`] has something to do.
    async fn has_purge(&self) -> Result<bool, StoreError>;

    /// Makes a delivery due at once, with a fresh budget of attempts: a dead one waits again, a waiting one waits no
    /// longer; with it all deliveries of its digest. `None` when the tenant has no such delivery.
    async fn retry(
        &self,
        tenant: TenantId,
        delivery: DeliveryId,
        expires_at: Timestamp,
    ) -> Result<Option<RetryAnswer>, StoreError>;
}

/// Hears of deliveries as soon as they are durable, in order of id.
pub type Feed = Box<dyn Fn(Vec<Arrival>) + Send + Sync>;

/// A delivery that has just become durable.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub delivery: DeliveryId,
    pub channel: ChannelId,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    /// Sent at once, outside queue order and limits, with this many attempts: a test.
    pub attempts_max: Option<u32>,
    pub event: Arc<Event>,
}

/// One request with events, checked and routed. Each event says whose it is.
#[derive(Debug)]
pub struct AcceptRequest {
    /// Whose key covers the request.
    pub tenant: TenantId,
    pub now: Timestamp,
    /// Covers the whole request.
    pub key: Option<IdempotencyKey>,
    pub events: Vec<AcceptEvent>,
}

/// One event of a request and where it goes.
#[derive(Debug)]
pub struct AcceptEvent {
    pub content: Arc<NewEvent>,
    /// In order of channel, each channel once. Beyond [`EVENT_DELIVERIES_MAX`] they are expanded after the answer.
    pub deliveries: Vec<NewDelivery>,
    pub verdicts: Verdicts,
    /// Covers this event.
    pub key: Option<IdempotencyKey>,
    /// For a test: its own bound on attempts.
    pub attempts_max: Option<u32>,
}

/// A delivery to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    pub channel: ChannelId,
    pub expires_at: Timestamp,
}

/// An idempotency key and what it stands for, both as SHA-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    pub key_hash: [u8; 32],
    pub body_hash: [u8; 32],
}

/// How long an idempotency key is remembered.
pub const IDEMPOTENCY_KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AcceptAnswer {
    /// All events are durable, in the order of the request.
    Kept(Vec<AcceptedEvent>),
    /// A key was used before for another body; nothing was kept. The position of the event, or `None` for the key of
    /// the whole request.
    KeyReused(Option<usize>),
}

/// An event that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedEvent {
    pub id: EventId,
    /// In order of id; at most [`EVENT_DELIVERIES_MAX`].
    pub deliveries: Vec<(DeliveryId, ChannelId)>,
    /// How many deliveries follow after the answer.
    pub expanding: usize,
    /// It had been accepted before under the same key.
    pub is_repeat: bool,
}

/// A delivery that waits, read from the table.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub delivery: DeliveryId,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub due_at: Timestamp,
    pub attempts: u32,
    pub tries: u32,
    pub attempts_max: Option<u32>,
    pub steps_done: StepsDone,
    /// The digest that it is in.
    pub digest: Option<DigestId>,
    /// `None` when it is due later than the reader asked for, or its digest was not asked for.
    pub event: Option<Arc<Event>>,
    /// What its digest sends, when it was asked for by id and is due.
    pub sealed: Option<Arc<SealedDigest>>,
}

/// What became of a try of one delivery.
#[derive(Clone, Debug)]
pub struct Settlement {
    pub delivery: DeliveryId,
    pub channel: ChannelId,
    pub tenant: TenantId,
    pub event: EventId,
    pub event_type: Arc<str>,
    pub provider: Arc<str>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub settled_at: Timestamp,
    /// How many tries the delivery had before: the fence against settling twice.
    pub tries_before: u32,
    /// The digest that was tried; its other deliveries have a settlement each in the same call.
    pub digest: Option<DigestId>,
    /// Empty when it settled without a try: cancelled or expired at its turn.
    pub records: Vec<AttemptRecord>,
    /// Written into the tenant's inbox in the same transaction, each once.
    pub inbox: Vec<InboxEntry>,
    /// Attempts that count, with this one.
    pub attempts: u32,
    pub steps_done: StepsDone,
    pub next: Next,
}

impl Settlement {
    /// Which of the records the delivery was given up with: the last that failed of a try that made it dead.
    pub(crate) fn given_up_with(&self) -> Option<usize> {
        let is_dead = matches!(self.next, Next::Over { state: State::Dead, .. });
        let failed = |record: &AttemptRecord| record.outcome.class != Class::Delivered;
        self.records.iter().rposition(failed).filter(|_| is_dead)
    }
}

/// Where a settled try leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It waits for `due_at`.
    Wait { due_at: Timestamp, note: String },
    /// It is over: sent, dead, cancelled or expired, and why.
    Over { state: State, code: ReasonCode, note: String },
}

/// An order to cancel what waits for a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancellation {
    pub channel: ChannelId,
    /// Everything at or below.
    pub up_to: DeliveryId,
    pub code: ReasonCode,
    /// The same in words.
    pub reason: String,
}

/// How much a channel may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldBounds {
    /// So many deliveries.
    pub count_max: u64,
    /// Those that were accepted since; `None`: from whenever.
    pub kept_since: Option<Timestamp>,
}

impl HeldBounds {
    /// The end of a delivery that is beyond the bounds; `is_surplus` says that it is so by count.
    pub(crate) fn end(&self, accepted_at: Timestamp, is_surplus: bool) -> Option<End<'static>> {
        let is_too_old = self.kept_since.is_some_and(|since| accepted_at < since);
        if is_too_old { Some(HELD_TOO_LONG) } else { is_surplus.then_some(HELD_TOO_MANY) }
    }
}

/// What a [`Queue::trim_slice`] left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trimmed {
    /// More is beyond the bounds and not under way.
    pub has_more: bool,
    /// Deliveries that wait now.
    pub waiting: u64,
}

/// How what waits ends without a try.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End<'n> {
    pub state: State,
    pub code: ReasonCode,
    pub note: &'n str,
}

impl End<'_> {
    pub(crate) fn next(&self) -> Next {
        Next::Over { state: self.state, code: self.code, note: self.note.to_owned() }
    }
}

pub(crate) const EXPIRED_HELD: End<'static> =
    End { state: State::Expired, code: ReasonCode::ExpiredHeld, note: "its time-to-live ended while it was held" };

pub(crate) const HELD_TOO_LONG: End<'static> = End {
    state: State::Expired,
    code: ReasonCode::HeldTooLong,
    note: "the channel was held for longer than it keeps deliveries (breaker.held_seconds)",
};

pub(crate) const HELD_TOO_MANY: End<'static> = End {
    state: State::Expired,
    code: ReasonCode::HeldTooMany,
    note: "the channel held more deliveries than it keeps (breaker.held_max), and this was the oldest",
};

/// What a [`Queue::retry`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAnswer {
    /// It waits for a start on this channel.
    Due(ChannelId),
    /// It is over in this state and cannot be retried.
    Over(State),
}
