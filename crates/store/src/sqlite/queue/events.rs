//! Events as their segments hold them.

use std::sync::Arc;

use domain::event::{Event, NewEvent, Severity};
use domain::{EventId, TenantId, Timestamp, TraceContext};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::super::segments::{self, EventTable};
use crate::blob;

/// How many deliveries of an event are still to be made.
pub(in crate::sqlite) fn expanding(connection: &Connection, event: EventId) -> rusqlite::Result<usize> {
    let rest: Option<Vec<u8>> = connection
        .prepare_cached("SELECT rest FROM expand WHERE event_id = ?1")?
        .query_row([event.0], |row| row.get(0))
        .optional()?;
    Ok(rest.map_or(0, |blob| blob::decode_deliveries(&blob).len()))
}

/// An event as its segment holds it.
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
    let Some(table) = segments::table_of_event(connection, id.0)? else { return Ok(None) };
    let EventTable { name, has_trace } = table;
    let trace = if has_trace { "trace" } else { "NULL" };
    let sql = format!(
        "SELECT tenant_id, type, data, occurred_at, severity, accepted_at, explicit, config_version, first_delivery,
                channels, skipped, skipped_more, {trace}
         FROM {name} WHERE id = ?1"
    );
    connection.prepare_cached(&sql)?.query_row([id.0], |row| read_event(id, row)).optional()
}

fn read_event(id: EventId, row: &Row<'_>) -> rusqlite::Result<EventRow> {
    let severity: Option<String> = row.get(4)?;
    let content = NewEvent {
        tenant: TenantId(row.get(0)?),
        event_type: row.get(1)?,
        data: row.get(2)?,
        occurred_at: Timestamp::from_ms(row.get(3)?),
        severity: severity.as_deref().and_then(Severity::parse),
        explicit_channels: row.get_ref(6)?.as_blob_or_null()?.map(blob::decode_channels),
        trace: row.get_ref(12)?.as_blob_or_null()?.and_then(TraceContext::from_bytes),
    };
    Ok(EventRow {
        event: Event { id, accepted_at: Timestamp::from_ms(row.get(5)?), content: Arc::new(content) },
        config_version: row.get(7)?,
        first_delivery: row.get(8)?,
        channels: row.get(9)?,
        skipped: row.get(10)?,
        skipped_more: row.get(11)?,
    })
}

/// The type of an event; empty when the event is gone.
pub(in crate::sqlite) fn event_type(connection: &Connection, id: EventId) -> rusqlite::Result<Arc<str>> {
    let Some(table) = segments::table_of_event(connection, id.0)? else { return Ok("".into()) };
    let sql = format!("SELECT type FROM {} WHERE id = ?1", table.name);
    let found = connection.prepare_cached(&sql)?.query_row([id.0], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or_else(|| "".into()))
}
