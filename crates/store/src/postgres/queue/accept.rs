//! Accepting: the events of all requests of a batch, their queue rows, and fan-outs that are written in slices.
//!
//! What was kept under the keys of the batch is asked for in one go; then every request is answered in memory, in order,
//! as SQLite answers it row by row.

use std::sync::Arc;

use domain::event::Event;
use domain::{ChannelId, DeliveryId, EventId, TenantId, Timestamp};
use tokio_postgres::Error;

use super::super::rows::{NewEventRow, NewQueueRow};
use super::super::statements::{execute, query_opt};
use super::super::tx::{Tx, next};
use super::event_row;
use super::ledger::Ledger;
use crate::StoreError;
use crate::blob;
use crate::queue::{
    AcceptAnswer, AcceptEvent, AcceptRequest, AcceptedEvent, Arrival, EVENT_DELIVERIES_MAX, NewDelivery,
};
use crate::sums::Shift;

/// About how many rows an event writes. A large payload counts as the rows that would fill its pages.
pub(super) fn rows_of(event: &AcceptEvent) -> usize {
    1 + event.deliveries.len().min(EVENT_DELIVERIES_MAX) + event.content.data.len() / PAYLOAD_BYTES_PER_ROW
}

const PAYLOAD_BYTES_PER_ROW: usize = 2048;

/// Keeps the events of requests, each request whole or not at all.
pub(in crate::postgres) async fn accept_all(
    tx: &mut Tx,
    requests: &[&AcceptRequest],
) -> Result<Vec<Result<AcceptAnswer, StoreError>>, Error> {
    let mut ledger = Ledger::of(&tx.connection, requests).await?;
    Ok(requests.iter().map(|request| accept(tx, &mut ledger, request)).collect())
}

fn accept(tx: &mut Tx, ledger: &mut Ledger, request: &AcceptRequest) -> Result<AcceptAnswer, StoreError> {
    let is_in_order = |event: &AcceptEvent| event.deliveries.is_sorted_by(|left, right| left.channel < right.channel);
    if !request.events.iter().all(is_in_order) {
        return Err(StoreError::Refused("deliveries must be in order of channel, each channel once".to_owned()));
    }
    let mut tenants = request.events.iter().map(|event| event.content.tenant).chain([request.tenant]);
    if let Some(gone) = tenants.find(|tenant| tx.gone.contains(tenant)) {
        // Its slices may have gone past what would be written now.
        return Err(StoreError::Refused(format!("tenant {gone} was deleted")));
    }
    if let Some(reused) = ledger.find_reused_key(request) {
        return Ok(reused);
    }
    Ok(AcceptAnswer::Kept(keep_events(tx, ledger, request)))
}

fn keep_events(tx: &mut Tx, ledger: &mut Ledger, request: &AcceptRequest) -> Vec<AcceptedEvent> {
    if let Some(key) = &request.key
        && let Some(entry) = ledger.entry(request.tenant, key, request.now)
    {
        let ids = entry.first_event..entry.first_event + entry.events;
        return ids.filter_map(|id| ledger.repeat_of(EventId(id))).collect();
    }
    let first_event = tx.sequences.event;
    let mut accepted = Vec::with_capacity(request.events.len());
    for event in &request.events {
        let repeated = event.key.as_ref().and_then(|key| ledger.entry(event.content.tenant, key, request.now));
        let repeat = repeated.and_then(|entry| ledger.repeat_of(EventId(entry.first_event)));
        accepted.push(repeat.unwrap_or_else(|| keep_event(tx, ledger, event, request.now)));
    }
    if let Some(key) = &request.key {
        let made = (first_event, tx.sequences.event - first_event);
        ledger.write(tx, request.tenant, key, made, request.now);
    }
    accepted
}

fn keep_event(tx: &mut Tx, ledger: &mut Ledger, new: &AcceptEvent, at: Timestamp) -> AcceptedEvent {
    let content = &new.content;
    let id = EventId(next(&mut tx.sequences.event));
    let (now, rest) = new.deliveries.split_at(new.deliveries.len().min(EVENT_DELIVERIES_MAX));
    let event = Arc::new(Event { id, accepted_at: at, content: Arc::clone(content) });
    tx.rows.events.push(NewEventRow {
        event: Arc::clone(&event),
        verdicts: new.verdicts.clone(),
        first_delivery: DeliveryId(tx.sequences.delivery),
        channels: blob::encode_channels(now.iter().map(|delivery| delivery.channel)),
    });
    let deliveries = insert_deliveries(tx, &event, at, now, new.attempts_max);
    if !rest.is_empty() {
        tx.rows.expand.push((id, content.tenant, rest.to_vec()));
    }
    tx.count(content.tenant, ChannelId(0), &content.event_type, "event", at);
    let accepted = AcceptedEvent { id, deliveries, expanding: rest.len(), is_repeat: false };
    if let Some(key) = &new.key {
        ledger.write(tx, content.tenant, key, (id.0, 1), at);
    }
    ledger.remember(&accepted);
    accepted
}

/// Writes the queue rows of an event and announces them.
fn insert_deliveries(
    tx: &mut Tx,
    event: &Arc<Event>,
    created_at: Timestamp,
    deliveries: &[NewDelivery],
    attempts_max: Option<u32>,
) -> Vec<(DeliveryId, ChannelId)> {
    let tenant = event.content.tenant;
    let mut made = Vec::with_capacity(deliveries.len());
    for NewDelivery { channel, expires_at } in deliveries.iter().copied() {
        let delivery = DeliveryId(next(&mut tx.sequences.delivery));
        tx.rows.queue.push(NewQueueRow {
            delivery,
            channel,
            tenant,
            event: event.id,
            created_at,
            expires_at,
            attempts_max,
        });
        tx.shift(tenant, channel, Shift { pending: 1, ..Shift::default() });
        tx.announce(Arrival { delivery, channel, created_at, expires_at, attempts_max, event: Arc::clone(event) });
        made.push((delivery, channel));
    }
    made
}

/// Makes a delivery of an event that was accepted long ago.
pub(in crate::postgres) async fn deliver_past(
    tx: &mut Tx,
    event: &Arc<Event>,
    delivery: NewDelivery,
    now: Timestamp,
) -> Result<(), Error> {
    deliver_beyond(tx, event, now, &[delivery]).await
}

/// Makes deliveries that are not in the event's own row, and notes which.
async fn deliver_beyond(
    tx: &mut Tx,
    event: &Arc<Event>,
    created_at: Timestamp,
    deliveries: &[NewDelivery],
) -> Result<(), Error> {
    let channels = blob::encode_channels(deliveries.iter().map(|delivery| delivery.channel));
    execute(
        &tx.connection,
        "INSERT INTO expanded (event_id, first_delivery, channels) VALUES ($1, $2, $3)",
        &[&event.id.0, &tx.sequences.delivery, &channels],
    )
    .await?;
    insert_deliveries(tx, event, created_at, deliveries, None);
    Ok(())
}

pub(super) async fn expand(tx: &mut Tx, rows_max: usize) -> Result<bool, Error> {
    let sql = "SELECT event_id, tenant_id, rest FROM expand ORDER BY event_id LIMIT 1";
    let Some(oldest) = query_opt(&tx.connection, sql, &[]).await? else { return Ok(false) };
    let (event_id, tenant): (i64, i64) = (oldest.try_get(0)?, oldest.try_get(1)?);
    let rest = blob::decode_deliveries(oldest.try_get(2)?);
    let (slice, rest) = rest.split_at(rest.len().min(rows_max));
    if let Some(row) = event_row(&tx.connection, TenantId(tenant), EventId(event_id)).await? {
        let accepted_at = row.event.accepted_at;
        deliver_beyond(tx, &Arc::new(row.event), accepted_at, slice).await?;
    }
    if rest.is_empty() {
        execute(&tx.connection, "DELETE FROM expand WHERE event_id = $1", &[&event_id]).await?;
        let more = query_opt(&tx.connection, "SELECT FROM expand LIMIT 1", &[]).await?;
        return Ok(more.is_some());
    }
    let rest = blob::encode_deliveries(rest);
    execute(&tx.connection, "UPDATE expand SET rest = $2 WHERE event_id = $1", &[&event_id, &rest]).await?;
    Ok(true)
}
