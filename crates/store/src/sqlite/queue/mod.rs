//! The way of an event in SQL. The order of functions is that of the trait.

mod accept;
mod digests;
mod events;
mod in_memory;
mod ledger;
mod retry;
mod settle;
mod slices;
mod waiting;

use std::sync::Arc;

use async_trait::async_trait;
use domain::{ChannelId, DeliveryId, DigestId, TenantId, Timestamp};
use rusqlite::Connection;

use super::{SqliteStore, from_sqlite, tenants};
use crate::StoreError;
use crate::digest::NewDigest;
use crate::queue::{
    AcceptAnswer, AcceptRequest, Cancellation, HeldBounds, Queue, RetryAnswer, Settlement, Trimmed, Waiting,
};
use accept::{accept, expand, rows_of};
use digests::seal_digest;
use retry::retry;
use settle::settle;
use slices::{cancel_slice, cancellations, expire_slice, trim_slice};
use waiting::{waiting_after, waiting_before, waiting_channels, waiting_these};

pub(super) use accept::deliver_past;
pub(super) use digests::members;
pub(super) use events::{EVENT_COLUMNS, EventRow, event_row, event_type, expanding, is_expanding_to, read_event};
pub(super) use in_memory::InMemory;
pub(super) use retry::revive;

impl SqliteStore {
    /// Reads what waits, and the events that nobody holds.
    async fn read_waiting(
        &self,
        work: impl FnOnce(&Connection, &InMemory) -> rusqlite::Result<Vec<Waiting>> + Send + 'static,
    ) -> Result<Vec<Waiting>, StoreError> {
        let in_memory = Arc::clone(&self.in_memory);
        self.read(move |connection| work(connection, &in_memory).map_err(from_sqlite)).await
    }
}

#[async_trait]
impl Queue for SqliteStore {
    async fn accept(&self, request: AcceptRequest) -> Result<AcceptAnswer, StoreError> {
        let rows = request.events.iter().map(rows_of).sum();
        self.write(rows, move |tx| accept(tx, &request)).await
    }

    async fn expand(&self, rows_max: usize) -> Result<bool, StoreError> {
        self.write(rows_max, move |tx| expand(tx, rows_max).map_err(from_sqlite)).await
    }

    async fn settle(&self, settlements: Arc<[Settlement]>) -> Result<(), StoreError> {
        let rows = settlements.len() * 3;
        self.write_soon(rows, move |tx| {
            settlements.iter().try_for_each(|settlement| settle(tx, settlement)).map_err(from_sqlite)
        })
        .await
    }

    async fn waiting_channels(&self) -> Result<Vec<ChannelId>, StoreError> {
        self.read(|connection| waiting_channels(connection).map_err(from_sqlite)).await
    }

    async fn waiting_after(
        &self,
        channel: ChannelId,
        after: DeliveryId,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<Vec<Waiting>, StoreError> {
        self.read_waiting(move |connection, in_memory| {
            waiting_after(connection, in_memory, channel, after, now, rows_max)
        })
        .await
    }

    async fn waiting_before(
        &self,
        channel: ChannelId,
        before: DeliveryId,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<Vec<Waiting>, StoreError> {
        self.read_waiting(move |connection, in_memory| {
            waiting_before(connection, in_memory, channel, before, now, rows_max)
        })
        .await
    }

    async fn waiting_these(
        &self,
        channel: ChannelId,
        deliveries: Vec<DeliveryId>,
        now: Timestamp,
    ) -> Result<Vec<Waiting>, StoreError> {
        self.read_waiting(move |connection, in_memory| waiting_these(connection, in_memory, channel, &deliveries, now))
            .await
    }

    async fn seal_digest(&self, digest: NewDigest) -> Result<Option<DigestId>, StoreError> {
        let rows = 2 + digest.members.len();
        self.write(rows, move |tx| seal_digest(tx, &digest).map_err(from_sqlite)).await
    }

    async fn cancel_slice(
        &self,
        channel: ChannelId,
        under_way: Vec<DeliveryId>,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<bool, StoreError> {
        self.write(rows_max, move |tx| cancel_slice(tx, channel, &under_way, now, rows_max).map_err(from_sqlite)).await
    }

    async fn cancellations(&self) -> Result<Vec<Cancellation>, StoreError> {
        self.read(|connection| cancellations(connection).map_err(from_sqlite)).await
    }

    async fn expire_slice(
        &self,
        channel: ChannelId,
        under_way: Vec<DeliveryId>,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<bool, StoreError> {
        self.write(rows_max, move |tx| expire_slice(tx, channel, &under_way, now, rows_max).map_err(from_sqlite)).await
    }

    async fn trim_slice(
        &self,
        channel: ChannelId,
        under_way: Vec<DeliveryId>,
        bounds: HeldBounds,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<Trimmed, StoreError> {
        self.write(rows_max, move |tx| trim_slice(tx, channel, &under_way, bounds, now, rows_max).map_err(from_sqlite))
            .await
    }

    async fn purge_slice(&self, rows_max: usize) -> Result<bool, StoreError> {
        self.write(rows_max, move |tx| tenants::purge_slice(tx, rows_max).map_err(from_sqlite)).await
    }

    async fn has_purge(&self) -> Result<bool, StoreError> {
        self.read(|connection| tenants::gone(connection).map(|gone| !gone.is_empty()).map_err(from_sqlite)).await
    }

    async fn retry(
        &self,
        tenant: TenantId,
        delivery: DeliveryId,
        expires_at: Timestamp,
    ) -> Result<Option<RetryAnswer>, StoreError> {
        self.write(2, move |tx| retry(tx, tenant, delivery, expires_at).map_err(from_sqlite)).await
    }
}
