//! The way of an event in SQL. The order of functions is that of the trait.

mod accept;
mod digests;
mod events;
mod ledger;
mod retry;
mod settle;
mod slices;
mod waiting;

use std::sync::Arc;

use async_trait::async_trait;
use domain::{ChannelId, DeliveryId, DigestId, TenantId, Timestamp};

use super::statements::from_postgres;
use super::writer::{Asked, Job};
use super::{PostgresStore, tenants};
use crate::StoreError;
use crate::digest::NewDigest;
use crate::queue::{
    AcceptAnswer, AcceptRequest, Cancellation, HeldBounds, Queue, RetryAnswer, Settlement, Trimmed, Waiting,
};
use accept::{expand, rows_of};
use digests::seal_digest;
use retry::retry;
use slices::{cancel_slice, cancellations, expire_slice, trim_slice};
use waiting::{waiting_after, waiting_before, waiting_channels, waiting_these};

pub(super) use accept::{accept_all, deliver_past};
pub(super) use digests::members;
pub(super) use events::{EVENT_COLUMNS, EventRow, event_row, expanding, expanding_each, expanding_to, read_event};
pub(super) use retry::revive;
pub(super) use settle::settle_all;

#[async_trait]
impl Queue for PostgresStore {
    async fn accept(&self, request: AcceptRequest) -> Result<AcceptAnswer, StoreError> {
        let rows = request.events.iter().map(rows_of).sum();
        self.submit(|reply| Job::Accept(Asked::new(request, rows, reply))).await
    }

    async fn expand(&self, rows_max: usize) -> Result<bool, StoreError> {
        self.write(rows_max, async move |tx| expand(tx, rows_max).await.map_err(from_postgres)).await
    }

    async fn settle(&self, settlements: Arc<[Settlement]>) -> Result<(), StoreError> {
        let rows = settlements.iter().map(|settlement| 2 + settlement.records.len()).sum();
        self.submit(|reply| Job::Settle(Asked::new(settlements, rows, reply))).await
    }

    async fn waiting_channels(&self) -> Result<Vec<ChannelId>, StoreError> {
        self.read(|connection| Box::pin(waiting_channels(connection))).await
    }

    async fn waiting_after(
        &self,
        channel: ChannelId,
        after: DeliveryId,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<Vec<Waiting>, StoreError> {
        self.read(move |connection| Box::pin(waiting_after(connection, channel, after, now, rows_max))).await
    }

    async fn waiting_before(
        &self,
        channel: ChannelId,
        before: DeliveryId,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<Vec<Waiting>, StoreError> {
        self.read(move |connection| Box::pin(waiting_before(connection, channel, before, now, rows_max))).await
    }

    async fn waiting_these(
        &self,
        channel: ChannelId,
        deliveries: Vec<DeliveryId>,
        now: Timestamp,
    ) -> Result<Vec<Waiting>, StoreError> {
        self.read(move |connection| Box::pin(waiting_these(connection, channel, deliveries, now))).await
    }

    async fn seal_digest(&self, digest: NewDigest) -> Result<Option<DigestId>, StoreError> {
        let rows = 2 + digest.members.len();
        self.write(rows, async move |tx| seal_digest(tx, &digest).await.map_err(from_postgres)).await
    }

    async fn cancel_slice(
        &self,
        channel: ChannelId,
        under_way: Vec<DeliveryId>,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<bool, StoreError> {
        self.write(rows_max, async move |tx| {
            cancel_slice(tx, channel, &under_way, now, rows_max).await.map_err(from_postgres)
        })
        .await
    }

    async fn cancellations(&self) -> Result<Vec<Cancellation>, StoreError> {
        self.read(|connection| Box::pin(cancellations(connection))).await
    }

    async fn expire_slice(
        &self,
        channel: ChannelId,
        under_way: Vec<DeliveryId>,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<bool, StoreError> {
        self.write(rows_max, async move |tx| {
            expire_slice(tx, channel, &under_way, now, rows_max).await.map_err(from_postgres)
        })
        .await
    }

    async fn trim_slice(
        &self,
        channel: ChannelId,
        under_way: Vec<DeliveryId>,
        bounds: HeldBounds,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<Trimmed, StoreError> {
        self.write(rows_max, async move |tx| {
            trim_slice(tx, channel, &under_way, bounds, now, rows_max).await.map_err(from_postgres)
        })
        .await
    }

    async fn purge_slice(&self, rows_max: usize) -> Result<bool, StoreError> {
        self.write(rows_max, async move |tx| tenants::purge_slice(tx, rows_max).await.map_err(from_postgres)).await
    }

    async fn has_purge(&self) -> Result<bool, StoreError> {
        let gone = self.read(|connection| Box::pin(tenants::gone(connection))).await?;
        Ok(!gone.is_empty())
    }

    async fn retry(
        &self,
        tenant: TenantId,
        delivery: DeliveryId,
        expires_at: Timestamp,
    ) -> Result<Option<RetryAnswer>, StoreError> {
        self.write(2, async move |tx| retry(tx, tenant, delivery, expires_at).await.map_err(from_postgres)).await
    }
}
