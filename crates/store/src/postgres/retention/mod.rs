//! Retention in SQL: one slice at a time, each a few milliseconds of the writer.
//!
//! A partition goes in three steps. Its events are looked through, and those that something still waits for are copied
//! out (`leave`). Then it is marked. Then it is dropped whole (`segment`), which here takes no longer for being large,
//! but needs a moment in which nobody reads. What is not in partitions goes by `side`, and inboxes are bounded by
//! `inboxes`.

mod inboxes;
mod leave;
mod segment;
mod side;

use async_trait::async_trait;
use domain::EventId;
use tokio_postgres::Error;

use super::PostgresStore;
use super::segments::Kind;
use super::statements::{Connection, from_postgres, query_one};
use super::tx::Tx;
use crate::StoreError;
use crate::observe::{Hold, Upkeep};
use crate::retention::{KeptSince, Retention};

pub(super) use leave::Leaving;

/// About how many rows a slice writes: what the batch is told.
const SLICE_ROWS: usize = 500;

#[async_trait]
impl Retention for PostgresStore {
    async fn retain_slice(&self, kept: KeptSince) -> Result<bool, StoreError> {
        let observed = self.observed.clone();
        self.write(SLICE_ROWS, async move |tx| {
            let begun = observed.as_ref().map(|observed| observed.clock.monotonic());
            let has_more = slice(tx, &kept).await.map_err(from_postgres)?;
            if let (Some(observed), Some(begun), true) = (&observed, begun, has_more) {
                let took = observed.clock.monotonic().saturating_sub(begun);
                // Whole partitions go, whose rows nobody counts.
                observed.observer.held(&Hold { work: Upkeep::Retain, rows: 0, took });
            }
            Ok(has_more)
        })
        .await
    }

    async fn kept_from(&self) -> Result<EventId, StoreError> {
        self.read(|connection| Box::pin(kept_from(connection))).await
    }
}

/// Does the first thing that there is to do.
async fn slice(tx: &mut Tx, kept: &KeptSince) -> Result<bool, Error> {
    // One that somebody reads, a backup perhaps, holds up nothing else.
    if let Some(ending) = segment::ending(&tx.connection).await?
        && segment::take_away(tx, &ending).await?
    {
        return Ok(true);
    }
    for (kind, since) in
        [(Kind::Attempts, kept.attempts), (Kind::Settled, kept.deliveries), (Kind::Events, kept.events)]
    {
        if let Some(since) = since
            && segment::end_oldest(tx, kind, since).await?
        {
            return Ok(true);
        }
    }
    if leave::forget_kept(tx).await? {
        return Ok(true);
    }
    if let Some(since) = kept.deliveries
        && segment::thin_emptied(&tx.connection, since).await?
    {
        return Ok(true);
    }
    if side::slice(&tx.connection, kept, SLICE_ROWS).await? {
        return Ok(true);
    }
    match kept.inbox_entries_max {
        Some(max) => inboxes::bound(tx, max, SLICE_ROWS).await,
        None => Ok(false),
    }
}

pub(super) async fn kept_from(connection: &Connection) -> Result<EventId, Error> {
    let sql = "SELECT coalesce(min(first_id), 0) FROM segments WHERE kind = 'events' AND NOT is_ending";
    query_one(connection, sql, &[]).await?.try_get(0).map(EventId)
}
