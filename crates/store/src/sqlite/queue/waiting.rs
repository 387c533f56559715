//! What waits, read in the order that lanes take it.

use std::sync::Arc;

use super::event_row;
use domain::event::Event;
use domain::{ChannelId, DeliveryId, EventId, StepsDone, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::queue::Waiting;

/// Hops from channel to channel along the key: one look-up each, however much waits.
pub(super) fn waiting_channels(connection: &Connection) -> rusqlite::Result<Vec<ChannelId>> {
    let mut statement = connection.prepare_cached("SELECT MIN(channel_id) FROM queue WHERE channel_id > ?1")?;
    let mut channels = Vec::new();
    let mut last = -1;
    while let Some(channel) = statement.query_row([last], |row| row.get::<_, Option<i64>>(0))? {
        channels.push(ChannelId(channel));
        last = channel;
    }
    Ok(channels)
}

const WAITING_COLUMNS: &str =
    "delivery_id, event_id, created_at, expires_at, due_at, attempts, tries, attempts_max, steps_done";

pub(super) fn waiting_after(
    connection: &Connection,
    channel: ChannelId,
    after: DeliveryId,
    now: Timestamp,
    rows_max: usize,
) -> rusqlite::Result<Vec<Waiting>> {
    let sql = format!(
        "SELECT {WAITING_COLUMNS} FROM queue WHERE channel_id = ?1 AND delivery_id > ?2 ORDER BY delivery_id LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows_max = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![channel.0, after.0, rows_max], read_waiting)?;
    with_events(connection, rows.collect::<Result<_, _>>()?, now)
}

pub(super) fn waiting_these(
    connection: &Connection,
    channel: ChannelId,
    deliveries: &[DeliveryId],
    now: Timestamp,
) -> rusqlite::Result<Vec<Waiting>> {
    let sql = format!("SELECT {WAITING_COLUMNS} FROM queue WHERE channel_id = ?1 AND delivery_id = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        rows.extend(statement.query_row(params![channel.0, delivery.0], read_waiting).optional()?);
    }
    with_events(connection, rows, now)
}

fn read_waiting(row: &Row<'_>) -> rusqlite::Result<(EventId, Waiting)> {
    let waiting = Waiting {
        delivery: DeliveryId(row.get(0)?),
        created_at: Timestamp::from_ms(row.get(2)?),
        expires_at: Timestamp::from_ms(row.get(3)?),
        due_at: Timestamp::from_ms(row.get(4)?),
        attempts: row.get(5)?,
        tries: row.get(6)?,
        attempts_max: row.get(7)?,
        steps_done: StepsDone::from_bits(row.get(8)?),
        event: None,
    };
    Ok((EventId(row.get(1)?), waiting))
}

/// Gives the rows that may start by `now` their events. Rows whose event is gone are left out: retention keeps the
/// events of what waits, so there is nothing to send.
fn with_events(
    connection: &Connection,
    rows: Vec<(EventId, Waiting)>,
    now: Timestamp,
) -> rusqlite::Result<Vec<Waiting>> {
    let mut waiting = Vec::with_capacity(rows.len());
    let mut last: Option<Arc<Event>> = None;
    for (event, mut row) in rows {
        if row.due_at <= now {
            let known = last.take().filter(|known| known.id == event);
            let found = match known {
                Some(known) => Some(known),
                None => event_row(connection, event)?.map(|row| Arc::new(row.event)),
            };
            let Some(found) = found else { continue };
            last = Some(Arc::clone(&found));
            row.event = Some(found);
        }
        waiting.push(row);
    }
    Ok(waiting)
}
