//! Events as history holds them.

use std::sync::Arc;

use domain::event::{Event, NewEvent, Severity};
use domain::{ChannelId, EventId, TenantId, Timestamp, TraceContext};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::super::segments::{KEPT_EVENTS, THIS_EVENT};
use crate::blob;
use crate::queue::NewDelivery;

/// How many deliveries of an event are still to be made.
pub(in crate::sqlite) fn expanding(connection: &Connection, event: EventId) -> rusqlite::Result<usize> {
    Ok(to_be_made(connection, event)?.len())
}

/// Whether one of them goes to this channel.
pub(in crate::sqlite) fn is_expanding_to(
    connection: &Connection,
    event: EventId,
    channel: ChannelId,
) -> rusqlite::Result<bool> {
    Ok(to_be_made(connection, event)?.iter().any(|delivery| delivery.channel == channel))
}

fn to_be_made(connection: &Connection, event: EventId) -> rusqlite::Result<Vec<NewDelivery>> {
    let rest: Option<Vec<u8>> = connection
        .prepare_cached("SELECT rest FROM expand WHERE event_id = ?1")?
        .query_row([event.0], |row| row.get(0))
        .optional()?;
    Ok(rest.map_or_else(Vec::new, |blob| blob::decode_deliveries(&blob)))
}

/// An event as history holds it.
pub(in crate::sqlite) struct EventRow {
    pub event: Event,
    pub config_version: i64,
    pub first_delivery: i64,
    /// Encoded: where the deliveries go that the accepting transaction made.
    pub channels: Vec<u8>,
    pub skipped: Vec<u8>,
    pub skipped_more: i64,
}

pub(in crate::sqlite) fn event_row(connection: &Connection, id: EventId) -> rusqlite::Result<Option<EventRow>> {
    find(connection, EVENT_COLUMNS, id, |row| read_event(id, row, 0))
}

/// Reads an event where it stands; it may have outlived its segment.
fn find<T>(
    connection: &Connection,
    columns: &str,
    id: EventId,
    read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    let sql = format!("SELECT {columns} FROM events WHERE {THIS_EVENT}");
    let found = connection.prepare_cached(&sql)?.query_row([id.0], &read).optional()?;
    if found.is_some() {
        return Ok(found);
    }
    let sql = format!("SELECT {columns} FROM {KEPT_EVENTS} WHERE id = ?1");
    connection.prepare_cached(&sql)?.query_row([id.0], read).optional()
}

/// What [`read_event`] reads.
pub(in crate::sqlite) const EVENT_COLUMNS: &str =
    "tenant_id, type, data, occurred_at, severity, accepted_at, explicit, config_version, first_delivery, channels,
     skipped, skipped_more, trace";

/// Reads an event whose columns begin at `first`.
pub(in crate::sqlite) fn read_event(id: EventId, row: &Row<'_>, first: usize) -> rusqlite::Result<EventRow> {
    let severity: Option<String> = row.get(first + 4)?;
    let content = NewEvent {
        tenant: TenantId(row.get(first)?),
        event_type: row.get(first + 1)?,
        data: row.get(first + 2)?,
        occurred_at: Timestamp::from_ms(row.get(first + 3)?),
        severity: severity.as_deref().and_then(Severity::parse),
        explicit_channels: row.get_ref(first + 6)?.as_blob_or_null()?.map(blob::decode_channels),
        trace: row.get_ref(first + 12)?.as_blob_or_null()?.and_then(TraceContext::from_bytes),
    };
    Ok(EventRow {
        event: Event { id, accepted_at: Timestamp::from_ms(row.get(first + 5)?), content: Arc::new(content) },
        config_version: row.get(first + 7)?,
        first_delivery: row.get(first + 8)?,
        channels: row.get(first + 9)?,
        skipped: row.get(first + 10)?,
        skipped_more: row.get(first + 11)?,
    })
}

/// The type of an event; empty when the event is gone.
pub(in crate::sqlite) fn event_type(connection: &Connection, id: EventId) -> rusqlite::Result<Arc<str>> {
    Ok(find(connection, "type", id, |row| row.get(0))?.unwrap_or_else(|| "".into()))
}
