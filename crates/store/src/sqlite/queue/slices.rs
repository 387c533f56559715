//! Cancelling and expiring what waits without a try, a slice at a time.

use domain::delivery::State;
use domain::{ChannelId, DeliveryId, DigestId, EventId, ReasonCode, StepsDone, TenantId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::tx::Tx;
use super::digests::together;
use super::event_type;
use super::settle::settle;
use crate::queue::{Cancellation, EXPIRED_HELD, End, HeldBounds, Settlement, Trimmed};
use crate::settings::read_code;

pub(super) fn cancel_slice(
    tx: &mut Tx<'_>,
    channel: ChannelId,
    under_way: &[DeliveryId],
    now: Timestamp,
    rows_max: usize,
) -> rusqlite::Result<bool> {
    let order: Option<(i64, String, Option<String>)> = tx
        .connection
        .prepare_cached("SELECT up_to, reason, reason_code FROM cancellations WHERE channel_id = ?1")?
        .query_row([channel.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((up_to, reason, code)) = order else { return Ok(false) };
    let end = End { state: State::Cancelled, code: read_code(code, ReasonCode::ChannelSwitchedOff), note: &reason };
    // One more than is wanted tells whether any is left.
    let rows = rows_from_front(tx.connection, channel, up_to, rows_max + under_way.len() + 1)?;
    let found = rows.len();
    let idle: Vec<_> = rows.into_iter().filter(|row| !under_way.contains(&row.delivery)).collect();
    for row in idle.iter().take(rows_max) {
        settle_together(tx, channel, row, &end, now)?;
    }
    // The order stands until what was under way has come back and is cancelled or over.
    if found <= rows_max && found == idle.len() {
        tx.connection.prepare_cached("DELETE FROM cancellations WHERE channel_id = ?1")?.execute([channel.0])?;
    }
    Ok(idle.len() > rows_max)
}

pub(super) fn cancellations(connection: &Connection) -> rusqlite::Result<Vec<Cancellation>> {
    let cancellation = |row: &Row<'_>| {
        let code = read_code(row.get(3)?, ReasonCode::ChannelSwitchedOff);
        Ok(Cancellation { channel: ChannelId(row.get(0)?), up_to: DeliveryId(row.get(1)?), code, reason: row.get(2)? })
    };
    connection
        .prepare_cached("SELECT channel_id, up_to, reason, reason_code FROM cancellations ORDER BY channel_id")?
        .query_map([], cancellation)?
        .collect()
}

pub(super) fn expire_slice(
    tx: &mut Tx<'_>,
    channel: ChannelId,
    under_way: &[DeliveryId],
    now: Timestamp,
    rows_max: usize,
) -> rusqlite::Result<bool> {
    let rows = rows_from_front(tx.connection, channel, i64::MAX, EXPIRY_LOOK_MAX.max(rows_max + under_way.len() + 1))?;
    let is_over = |row: &IdleRow| row.expires_at <= now && !under_way.contains(&row.delivery);
    let over: Vec<_> = rows.into_iter().filter(is_over).collect();
    for row in over.iter().take(rows_max) {
        settle_together(tx, channel, row, &EXPIRED_HELD, now)?;
    }
    Ok(over.len() > rows_max)
}

pub(super) fn trim_slice(
    tx: &mut Tx<'_>,
    channel: ChannelId,
    under_way: &[DeliveryId],
    bounds: HeldBounds,
    now: Timestamp,
    rows_max: usize,
) -> rusqlite::Result<Trimmed> {
    let surplus = usize::try_from(waiting(tx, channel)?.saturating_sub(bounds.count_max)).unwrap_or(usize::MAX);
    let rows = rows_from_front(tx.connection, channel, i64::MAX, rows_max + under_way.len() + 1)?;
    let idle = rows.iter().filter(|row| !under_way.contains(&row.delivery)).enumerate();
    let over: Vec<_> =
        idle.filter_map(|(place, row)| Some((row, bounds.end(row.created_at, place < surplus)?))).collect();
    for (row, end) in over.iter().take(rows_max) {
        settle_together(tx, channel, row, end, now)?;
    }
    Ok(Trimmed { has_more: over.len() > rows_max, waiting: waiting(tx, channel)? })
}

/// How many deliveries of a channel wait, as this transaction leaves it.
fn waiting(tx: &Tx<'_>, channel: ChannelId) -> rusqlite::Result<u64> {
    let kept: Option<i64> = tx
        .connection
        .prepare_cached("SELECT pending + retrying FROM waiting WHERE channel_id = ?1")?
        .query_row([channel.0], |row| row.get(0))
        .optional()?;
    Ok(u64::try_from(kept.unwrap_or(0) + tx.shifted(channel)).unwrap_or(0))
}

/// How many rows a slice looks at. Deliveries of a channel expire in about the order of their ids, but one that a
/// person has retried lives longer than those behind it.
const EXPIRY_LOOK_MAX: usize = 4_000;

/// A row of the queue that is settled without a try.
struct IdleRow {
    delivery: DeliveryId,
    tenant: TenantId,
    event: EventId,
    created_at: Timestamp,
    expires_at: Timestamp,
    attempts: u32,
    tries: u32,
    steps_done: StepsDone,
    digest: Option<DigestId>,
}

const IDLE_COLUMNS: &str =
    "delivery_id, tenant_id, event_id, created_at, expires_at, attempts, tries, steps_done, digest_id";

fn read_idle(row: &Row<'_>) -> rusqlite::Result<IdleRow> {
    Ok(IdleRow {
        delivery: DeliveryId(row.get(0)?),
        tenant: TenantId(row.get(1)?),
        event: EventId(row.get(2)?),
        created_at: Timestamp::from_ms(row.get(3)?),
        expires_at: Timestamp::from_ms(row.get(4)?),
        attempts: row.get(5)?,
        tries: row.get(6)?,
        steps_done: StepsDone::from_bits(row.get(7)?),
        digest: row.get::<_, Option<i64>>(8)?.map(DigestId),
    })
}

fn rows_from_front(
    connection: &Connection,
    channel: ChannelId,
    up_to: i64,
    rows_max: usize,
) -> rusqlite::Result<Vec<IdleRow>> {
    let sql = format!(
        "SELECT {IDLE_COLUMNS} FROM queue WHERE channel_id = ?1 AND delivery_id <= ?2 ORDER BY delivery_id LIMIT ?3"
    );
    connection
        .prepare_cached(&sql)?
        .query_map(params![channel.0, up_to, i64::try_from(rows_max).unwrap_or(i64::MAX)], read_idle)?
        .collect()
}

/// Settles a row, and with it the others of its digest, which may lie beyond the slice.
fn settle_together(
    tx: &mut Tx<'_>,
    channel: ChannelId,
    row: &IdleRow,
    end: &End<'_>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    if row.digest.is_none() {
        return settle_idle(tx, channel, row, end, now);
    }
    let sql = format!("SELECT {IDLE_COLUMNS} FROM queue WHERE channel_id = ?1 AND delivery_id = ?2");
    for delivery in together(tx.connection, row.delivery, row.digest)? {
        // One that was settled with an earlier row of this slice is no longer there.
        let found = tx.connection.prepare_cached(&sql)?.query_row([channel.0, delivery.0], read_idle).optional()?;
        if let Some(found) = found {
            settle_idle(tx, channel, &found, end, now)?;
        }
    }
    Ok(())
}

fn settle_idle(
    tx: &mut Tx<'_>,
    channel: ChannelId,
    row: &IdleRow,
    end: &End<'_>,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let event_type = event_type(tx.connection, row.event)?;
    let settlement = Settlement {
        delivery: row.delivery,
        channel,
        tenant: row.tenant,
        event: row.event,
        event_type,
        provider: "".into(),
        created_at: row.created_at,
        expires_at: row.expires_at,
        settled_at: now,
        tries_before: row.tries,
        digest: row.digest,
        records: Vec::new(),
        inbox: Vec::new(),
        attempts: row.attempts,
        steps_done: row.steps_done,
        next: end.next(),
    };
    settle(tx, &settlement)
}
