//! What waits, read in the order that lanes take it.

use std::sync::Arc;

use domain::{ChannelId, DeliveryId, DigestId, EventId, StepsDone, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::digests::sealed;
use super::{InMemory, event_row};
use crate::digest::SealedDigest;
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
    "delivery_id, event_id, created_at, expires_at, due_at, attempts, tries, attempts_max, steps_done, digest_id";

pub(super) fn waiting_after(
    connection: &Connection,
    in_memory: &InMemory,
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
    let is_wanted = |row: &Waiting| row.due_at <= now && row.digest.is_none();
    with_events(connection, in_memory, rows.collect::<Result<_, _>>()?, is_wanted)
}

pub(super) fn waiting_before(
    connection: &Connection,
    in_memory: &InMemory,
    channel: ChannelId,
    before: DeliveryId,
    now: Timestamp,
    rows_max: usize,
) -> rusqlite::Result<Vec<Waiting>> {
    let sql = format!(
        "SELECT {WAITING_COLUMNS} FROM queue
         WHERE channel_id = ?1 AND delivery_id < ?2
         ORDER BY delivery_id DESC
         LIMIT ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows_max = i64::try_from(rows_max).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![channel.0, before.0, rows_max], read_waiting)?;
    let is_wanted = |row: &Waiting| row.due_at <= now && row.digest.is_none();
    with_events(connection, in_memory, rows.collect::<Result<_, _>>()?, is_wanted)
}

pub(super) fn waiting_these(
    connection: &Connection,
    in_memory: &InMemory,
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
    let rows = with_events(connection, in_memory, rows, |row| row.due_at <= now)?;
    with_digests(connection, rows, now)
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
        digest: row.get::<_, Option<i64>>(9)?.map(DigestId),
        event: None,
        sealed: None,
    };
    Ok((EventId(row.get(1)?), waiting))
}

/// Gives the rows that are wanted with it their events. Rows whose event is gone are left out: retention keeps the
/// events of what waits, so there is nothing to send.
fn with_events(
    connection: &Connection,
    in_memory: &InMemory,
    rows: Vec<(EventId, Waiting)>,
    is_wanted: impl Fn(&Waiting) -> bool,
) -> rusqlite::Result<Vec<Waiting>> {
    let mut waiting = Vec::with_capacity(rows.len());
    for (event, mut row) in rows {
        if is_wanted(&row) {
            row.event = match in_memory.get(event) {
                Some(held) => Some(held),
                None => event_row(connection, event)?.map(|found| {
                    let event = Arc::new(found.event);
                    in_memory.put(&event);
                    event
                }),
            };
            if row.event.is_none() {
                continue;
            }
        }
        waiting.push(row);
    }
    Ok(waiting)
}

/// Gives the rows that may start by `now` what their digests send.
fn with_digests(connection: &Connection, mut rows: Vec<Waiting>, now: Timestamp) -> rusqlite::Result<Vec<Waiting>> {
    let mut last: Option<Arc<SealedDigest>> = None;
    for row in rows.iter_mut().filter(|row| row.due_at <= now) {
        let Some(digest) = row.digest else { continue };
        if last.as_ref().is_none_or(|known| known.id != digest) {
            last = sealed(connection, digest)?.map(Arc::new);
        }
        row.sealed.clone_from(&last);
    }
    Ok(rows)
}
