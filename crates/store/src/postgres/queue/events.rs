//! Events as their partitions hold them, or `kept_events` when these are gone.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::event::{Event, NewEvent, Severity};
use domain::{ChannelId, EventId, TenantId, Timestamp, TraceContext};
use tokio_postgres::{Error, Row};

use super::super::statements::{Connection, query, query_opt};
use crate::blob;
use crate::queue::NewDelivery;

/// How many deliveries of an event are still to be made.
pub(in crate::postgres) async fn expanding(connection: &Connection, event: EventId) -> Result<usize, Error> {
    Ok(expanding_each(connection, &[event.0]).await?.first().map_or(0, |(_, count)| *count))
}

/// The same for several events, those that have any.
pub(in crate::postgres) async fn expanding_each(
    connection: &Connection,
    events: &[i64],
) -> Result<Vec<(EventId, usize)>, Error> {
    let to_be_made = to_be_made(connection, events).await?;
    Ok(to_be_made.into_iter().map(|(event, rest)| (event, rest.len())).collect())
}

/// Those of several events of which one of them goes to this channel.
pub(in crate::postgres) async fn expanding_to(
    connection: &Connection,
    events: &[i64],
    channel: ChannelId,
) -> Result<BTreeSet<EventId>, Error> {
    let to_be_made = to_be_made(connection, events).await?.into_iter();
    let goes_there = |(_, rest): &(EventId, Vec<NewDelivery>)| rest.iter().any(|delivery| delivery.channel == channel);
    Ok(to_be_made.filter(goes_there).map(|(event, _)| event).collect())
}

async fn to_be_made(connection: &Connection, events: &[i64]) -> Result<Vec<(EventId, Vec<NewDelivery>)>, Error> {
    let sql = "SELECT event_id, rest FROM expand WHERE event_id = ANY ($1)";
    let read = |row: &Row| Ok((EventId(row.try_get(0)?), blob::decode_deliveries(row.try_get(1)?)));
    query(connection, sql, &[&events]).await?.iter().map(read).collect()
}

/// An event as its partition holds it.
pub(in crate::postgres) struct EventRow {
    pub event: Event,
    pub config_version: i64,
    pub first_delivery: i64,
    /// Encoded: where the deliveries go that the accepting transaction made.
    pub channels: Vec<u8>,
    pub skipped: Vec<u8>,
    pub skipped_more: i64,
}

pub(in crate::postgres) async fn event_row(
    connection: &Connection,
    tenant: TenantId,
    id: EventId,
) -> Result<Option<EventRow>, Error> {
    let sql = format!("SELECT {EVENT_COLUMNS} FROM known_events WHERE tenant_id = $1 AND id = $2 LIMIT 1");
    query_opt(connection, &sql, &[&tenant.0, &id.0]).await?.map(|row| read_event(&row)).transpose()
}

pub(in crate::postgres) const EVENT_COLUMNS: &str = "tenant_id, type, data, occurred_at, severity, accepted_at, explicit, config_version, first_delivery, channels, \
     skipped, skipped_more, trace, id";

pub(in crate::postgres) fn read_event(row: &Row) -> Result<EventRow, Error> {
    let content = NewEvent {
        tenant: TenantId(row.try_get(0)?),
        event_type: row.try_get::<_, &str>(1)?.into(),
        data: row.try_get::<_, &str>(2)?.into(),
        occurred_at: Timestamp::from_ms(row.try_get(3)?),
        severity: row.try_get::<_, Option<&str>>(4)?.and_then(Severity::parse),
        explicit_channels: row.try_get::<_, Option<&[u8]>>(6)?.map(blob::decode_channels),
        trace: row.try_get::<_, Option<&[u8]>>(12)?.and_then(TraceContext::from_bytes),
    };
    let accepted_at = Timestamp::from_ms(row.try_get(5)?);
    Ok(EventRow {
        event: Event { id: EventId(row.try_get(13)?), accepted_at, content: Arc::new(content) },
        config_version: row.try_get(7)?,
        first_delivery: row.try_get(8)?,
        channels: row.try_get(9)?,
        skipped: row.try_get(10)?,
        skipped_more: row.try_get(11)?,
    })
}
