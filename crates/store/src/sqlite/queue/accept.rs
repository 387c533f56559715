//! Accepting: the events of a request, their queue rows, and fan-outs that are written in slices.

use std::sync::Arc;

use domain::event::{Event, Severity};
use domain::{ChannelId, DeliveryId, EventId, Timestamp, TraceContext};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::from_sqlite;
use super::super::segments::Kind;
use super::super::tx::{Hot, Tx, next};
use super::ledger::{find_reused_key, ledger_entry, write_ledger};
use super::{event_row, expanding};
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

pub(super) fn accept(tx: &mut Tx<'_>, request: &AcceptRequest) -> Result<AcceptAnswer, StoreError> {
    let is_in_order = |event: &AcceptEvent| event.deliveries.is_sorted_by(|left, right| left.channel < right.channel);
    if !request.events.iter().all(is_in_order) {
        return Err(StoreError::Refused("deliveries must be in order of channel, each channel once".to_owned()));
    }
    let mut tenants = request.events.iter().map(|event| event.content.tenant).chain([request.tenant]);
    if let Some(gone) = tenants.find(|tenant| tx.gone.contains(tenant)) {
        // Its slices may have gone past what would be written now.
        return Err(StoreError::Refused(format!("tenant {gone} was deleted")));
    }
    if let Some(reused) = find_reused_key(tx.connection, request).map_err(from_sqlite)? {
        return Ok(reused);
    }
    keep_events(tx, request).map(AcceptAnswer::Kept).map_err(from_sqlite)
}

fn keep_events(tx: &mut Tx<'_>, request: &AcceptRequest) -> rusqlite::Result<Vec<AcceptedEvent>> {
    if let Some(key) = &request.key
        && let Some(entry) = ledger_entry(tx.connection, request.tenant, key, request.now)?
    {
        let ids = entry.first_event..entry.first_event + entry.events;
        return ids.filter_map(|id| repeat_of(tx.connection, EventId(id)).transpose()).collect();
    }
    let first_event = tx.sequences.event;
    let mut accepted = Vec::with_capacity(request.events.len());
    for event in &request.events {
        let repeated = match &event.key {
            Some(key) => ledger_entry(tx.connection, event.content.tenant, key, request.now)?,
            None => None,
        };
        let repeat = match repeated {
            Some(entry) => repeat_of(tx.connection, EventId(entry.first_event))?,
            None => None,
        };
        accepted.push(match repeat {
            Some(repeat) => repeat,
            None => keep_event(tx, event, request.now)?,
        });
    }
    if let Some(key) = &request.key {
        let made = (first_event, tx.sequences.event - first_event);
        write_ledger(tx, request.tenant, key, made, request.now)?;
    }
    Ok(accepted)
}

const INSERT_EVENT: &str =
    "INSERT INTO events (id, tenant_id, type, data, occurred_at, severity, accepted_at, explicit, config_version,
                        first_delivery, channels, skipped, skipped_more, trace)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";

fn keep_event(tx: &mut Tx<'_>, new: &AcceptEvent, at: Timestamp) -> rusqlite::Result<AcceptedEvent> {
    let content = &new.content;
    let id = EventId(next(&mut tx.sequences.event));
    let (now, rest) = new.deliveries.split_at(new.deliveries.len().min(EVENT_DELIVERIES_MAX));
    let first_delivery = tx.sequences.delivery;
    tx.segments.add(Kind::Events);
    tx.hot(Hot::InsertEvent, INSERT_EVENT)?.execute(params![
        id.0,
        content.tenant.0,
        content.event_type,
        content.data,
        content.occurred_at.as_ms(),
        content.severity.map(Severity::name),
        at.as_ms(),
        content.explicit_channels.as_deref().map(encode_named),
        new.verdicts.config_version.0,
        first_delivery,
        blob::encode_channels(now.iter().map(|delivery| delivery.channel)),
        blob::encode_skipped(&new.verdicts.skipped),
        i64::try_from(new.verdicts.skipped_more).unwrap_or(i64::MAX),
        content.trace.map(TraceContext::to_bytes),
    ])?;
    let event = Arc::new(Event { id, accepted_at: at, content: Arc::clone(content) });
    let deliveries = insert_deliveries(tx, &event, at, now, new.attempts_max)?;
    if !rest.is_empty() {
        tx.connection
            .prepare_cached("INSERT INTO expand (event_id, tenant_id, rest) VALUES (?1, ?2, ?3)")?
            .execute(params![id.0, content.tenant.0, blob::encode_deliveries(rest)])?;
    }
    if let Some(key) = &new.key {
        write_ledger(tx, content.tenant, key, (id.0, 1), at)?;
    }
    tx.count(content.tenant, ChannelId(0), &content.event_type, "event", at);
    Ok(AcceptedEvent { id, deliveries, expanding: rest.len(), is_repeat: false })
}

/// The channels that a client named, in whatever order.
fn encode_named(channels: &[ChannelId]) -> Vec<u8> {
    let mut channels = channels.to_vec();
    channels.sort_unstable();
    channels.dedup();
    blob::encode_channels(channels)
}

const INSERT_DELIVERY: &str =
    "INSERT INTO queue (channel_id, delivery_id, tenant_id, event_id, created_at, expires_at, due_at, attempts,
                        tries, attempts_max)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, 0, ?7)";

/// Writes the queue rows of an event and announces them.
fn insert_deliveries(
    tx: &mut Tx<'_>,
    event: &Arc<Event>,
    created_at: Timestamp,
    deliveries: &[NewDelivery],
    attempts_max: Option<u32>,
) -> rusqlite::Result<Vec<(DeliveryId, ChannelId)>> {
    let tenant = event.content.tenant;
    let mut made = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        let id = DeliveryId(next(&mut tx.sequences.delivery));
        let channel = delivery.channel;
        tx.hot(Hot::InsertDelivery, INSERT_DELIVERY)?.execute(params![
            channel.0,
            id.0,
            tenant.0,
            event.id.0,
            created_at.as_ms(),
            delivery.expires_at.as_ms(),
            attempts_max,
        ])?;
        tx.shift(tenant, channel, Shift { pending: 1, ..Shift::default() });
        tx.announce(Arrival {
            delivery: id,
            channel,
            created_at,
            expires_at: delivery.expires_at,
            attempts_max,
            event: Arc::clone(event),
        });
        made.push((id, channel));
    }
    Ok(made)
}

/// The answer for an event that was accepted before, rebuilt from its row.
fn repeat_of(connection: &Connection, id: EventId) -> rusqlite::Result<Option<AcceptedEvent>> {
    let Some(row) = event_row(connection, id)? else { return Ok(None) };
    let expanding = expanding(connection, id)?;
    let ids = (row.first_delivery..).map(DeliveryId);
    let deliveries = ids.zip(blob::decode_channels(&row.channels)).collect();
    Ok(Some(AcceptedEvent { id, deliveries, expanding, is_repeat: true }))
}

/// Makes a delivery of an event that was accepted long ago.
pub(in crate::sqlite) fn deliver_past(
    tx: &mut Tx<'_>,
    event: &Arc<Event>,
    delivery: NewDelivery,
    now: Timestamp,
) -> rusqlite::Result<()> {
    deliver_beyond(tx, event, now, &[delivery])
}

/// Makes deliveries that are not in the event's own row, and notes which.
fn deliver_beyond(
    tx: &mut Tx<'_>,
    event: &Arc<Event>,
    created_at: Timestamp,
    deliveries: &[NewDelivery],
) -> rusqlite::Result<()> {
    tx.connection
        .prepare_cached("INSERT INTO expanded (event_id, first_delivery, channels) VALUES (?1, ?2, ?3)")?
        .execute(params![
            event.id.0,
            tx.sequences.delivery,
            blob::encode_channels(deliveries.iter().map(|delivery| delivery.channel)),
        ])?;
    insert_deliveries(tx, event, created_at, deliveries, None).map(drop)
}

pub(super) fn expand(tx: &mut Tx<'_>, rows_max: usize) -> rusqlite::Result<bool> {
    let oldest: Option<(i64, Vec<u8>)> = tx
        .connection
        .prepare_cached("SELECT event_id, rest FROM expand ORDER BY event_id LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((event_id, rest)) = oldest else { return Ok(false) };
    let rest = blob::decode_deliveries(&rest);
    let (slice, rest) = rest.split_at(rest.len().min(rows_max));
    if let Some(row) = event_row(tx.connection, EventId(event_id))? {
        let accepted_at = row.event.accepted_at;
        deliver_beyond(tx, &Arc::new(row.event), accepted_at, slice)?;
    }
    if rest.is_empty() {
        tx.connection.prepare_cached("DELETE FROM expand WHERE event_id = ?1")?.execute([event_id])?;
        let more = "SELECT EXISTS (SELECT 1 FROM expand)";
        return tx.connection.prepare_cached(more)?.query_row([], |row| row.get(0));
    }
    tx.connection
        .prepare_cached("UPDATE expand SET rest = ?2 WHERE event_id = ?1")?
        .execute(params![event_id, blob::encode_deliveries(rest)])?;
    Ok(true)
}
