//! Cancelling and expiring what waits without a try, a slice at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::delivery::State;
use domain::{ChannelId, DeliveryId, DigestId, EventId, ReasonCode, StepsDone, TenantId, Timestamp};
use tokio_postgres::{Error, Row};

use super::super::statements::{Connection, execute, limit, query, query_opt, unsigned};
use super::super::tx::Tx;
use super::digests::together;
use super::settle::settle_all;
use crate::queue::{Cancellation, EXPIRED_HELD, End, HELD_TOO_LONG, HELD_TOO_MANY, HeldBounds, Settlement, Trimmed};
use crate::settings::read_code;

pub(super) async fn cancel_slice(
    tx: &mut Tx,
    channel: ChannelId,
    under_way: &[DeliveryId],
    now: Timestamp,
    rows_max: usize,
) -> Result<bool, Error> {
    let sql = "SELECT up_to, reason, reason_code FROM cancellations WHERE channel_id = $1";
    let Some(order) = query_opt(&tx.connection, sql, &[&channel.0]).await? else { return Ok(false) };
    let (up_to, reason): (i64, String) = (order.try_get(0)?, order.try_get(1)?);
    let code = read_code(order.try_get(2)?, ReasonCode::ChannelSwitchedOff);
    let end = End { state: State::Cancelled, code, note: &reason };
    // One more than is wanted tells whether any is left.
    let rows = rows_from_front(&tx.connection, channel, up_to, rows_max + under_way.len() + 1).await?;
    let found = rows.len();
    let idle: Vec<_> = rows.into_iter().filter(|row| !under_way.contains(&row.delivery)).collect();
    let rows = whole_digests(&tx.connection, channel, &idle[..idle.len().min(rows_max)]).await?;
    settle_idle(tx, channel, &rows, &end, now).await?;
    // The order stands until what was under way has come back and is cancelled or over.
    if found <= rows_max && found == idle.len() {
        execute(&tx.connection, "DELETE FROM cancellations WHERE channel_id = $1", &[&channel.0]).await?;
    }
    Ok(idle.len() > rows_max)
}

pub(super) async fn cancellations(connection: &Connection) -> Result<Vec<Cancellation>, Error> {
    let cancellation = |row: &Row| {
        let (channel, up_to) = (ChannelId(row.try_get(0)?), DeliveryId(row.try_get(1)?));
        let code = read_code(row.try_get(3)?, ReasonCode::ChannelSwitchedOff);
        Ok(Cancellation { channel, up_to, code, reason: row.try_get(2)? })
    };
    let sql = "SELECT channel_id, up_to, reason, reason_code FROM cancellations ORDER BY channel_id";
    query(connection, sql, &[]).await?.iter().map(cancellation).collect()
}

pub(super) async fn expire_slice(
    tx: &mut Tx,
    channel: ChannelId,
    under_way: &[DeliveryId],
    now: Timestamp,
    rows_max: usize,
) -> Result<bool, Error> {
    let look_max = EXPIRY_LOOK_MAX.max(rows_max + under_way.len() + 1);
    let rows = rows_from_front(&tx.connection, channel, i64::MAX, look_max).await?;
    let is_over = |row: &IdleRow| row.expires_at <= now && !under_way.contains(&row.delivery);
    let over: Vec<_> = rows.into_iter().filter(is_over).collect();
    let rows = whole_digests(&tx.connection, channel, &over[..over.len().min(rows_max)]).await?;
    settle_idle(tx, channel, &rows, &EXPIRED_HELD, now).await?;
    Ok(over.len() > rows_max)
}

pub(super) async fn trim_slice(
    tx: &mut Tx,
    channel: ChannelId,
    under_way: &[DeliveryId],
    bounds: HeldBounds,
    now: Timestamp,
    rows_max: usize,
) -> Result<Trimmed, Error> {
    let surplus = usize::try_from(waiting(tx, channel).await?.saturating_sub(bounds.count_max)).unwrap_or(usize::MAX);
    let rows = rows_from_front(&tx.connection, channel, i64::MAX, rows_max + under_way.len() + 1).await?;
    let idle = rows.into_iter().filter(|row| !under_way.contains(&row.delivery)).enumerate();
    let over = idle.filter_map(|(place, row)| Some((bounds.end(row.created_at, place < surplus)?, row)));
    let mut over: Vec<_> = over.collect();
    let has_more = over.len() > rows_max;
    over.truncate(rows_max);
    for end in [HELD_TOO_LONG, HELD_TOO_MANY] {
        let rows: Vec<_> = over.iter().filter(|(of, _)| of.code == end.code).map(|(_, row)| row.clone()).collect();
        let rows = whole_digests(&tx.connection, channel, &rows).await?;
        settle_idle(tx, channel, &rows, &end, now).await?;
    }
    Ok(Trimmed { has_more, waiting: waiting(tx, channel).await? })
}

/// How many deliveries of a channel wait, as this transaction leaves it.
async fn waiting(tx: &Tx, channel: ChannelId) -> Result<u64, Error> {
    let sql = "SELECT pending + retrying FROM waiting WHERE channel_id = $1";
    let kept = query_opt(&tx.connection, sql, &[&channel.0]).await?;
    let kept: i64 = kept.map_or(Ok(0), |row| row.try_get(0))?;
    Ok(u64::try_from(kept + tx.shifted(channel)).unwrap_or(0))
}

/// How many rows a slice looks at. Deliveries of a channel expire in about the order of their ids, but one that a
/// person has retried lives longer than those behind it.
const EXPIRY_LOOK_MAX: usize = 4_000;

/// A row of the queue that is settled without a try.
#[derive(Clone)]
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

fn read_idle(row: &Row) -> Result<IdleRow, Error> {
    Ok(IdleRow {
        delivery: DeliveryId(row.try_get(0)?),
        tenant: TenantId(row.try_get(1)?),
        event: EventId(row.try_get(2)?),
        created_at: Timestamp::from_ms(row.try_get(3)?),
        expires_at: Timestamp::from_ms(row.try_get(4)?),
        attempts: unsigned(row, 5)?,
        tries: unsigned(row, 6)?,
        steps_done: StepsDone::from_bits(row.try_get(7)?),
        digest: row.try_get::<_, Option<i64>>(8)?.map(DigestId),
    })
}

/// The rows, and with those of a digest its others, which may lie beyond the slice.
async fn whole_digests(connection: &Connection, channel: ChannelId, rows: &[IdleRow]) -> Result<Vec<IdleRow>, Error> {
    let mut whole: BTreeMap<DeliveryId, IdleRow> = rows.iter().map(|row| (row.delivery, row.clone())).collect();
    let digests: BTreeSet<DigestId> = rows.iter().filter_map(|row| row.digest).collect();
    let sql = format!(
        "SELECT found.*
         FROM unnest($2::bigint[]) AS asked (id)
         CROSS JOIN LATERAL (SELECT {IDLE_COLUMNS} FROM queue
                             WHERE channel_id = $1 AND delivery_id BETWEEN asked.id AND asked.id
                             ORDER BY delivery_id LIMIT 1) AS found"
    );
    for digest in digests {
        let members = together(connection, DeliveryId(0), Some(digest)).await?;
        let missing: Vec<_> =
            members.iter().filter(|member| !whole.contains_key(member)).map(|member| member.0).collect();
        for row in query(connection, &sql, &[&channel.0, &missing]).await? {
            let row = read_idle(&row)?;
            whole.insert(row.delivery, row);
        }
    }
    Ok(whole.into_values().collect())
}

async fn rows_from_front(
    connection: &Connection,
    channel: ChannelId,
    up_to: i64,
    rows_max: usize,
) -> Result<Vec<IdleRow>, Error> {
    let sql = format!(
        "SELECT {IDLE_COLUMNS} FROM queue WHERE channel_id = $1 AND delivery_id <= $2 ORDER BY delivery_id LIMIT $3"
    );
    query(connection, &sql, &[&channel.0, &up_to, &limit(rows_max)]).await?.iter().map(read_idle).collect()
}

async fn settle_idle(
    tx: &mut Tx,
    channel: ChannelId,
    rows: &[IdleRow],
    end: &End<'_>,
    now: Timestamp,
) -> Result<(), Error> {
    let types = types_of(&tx.connection, rows).await?;
    let settlement = |row: &IdleRow| Settlement {
        delivery: row.delivery,
        channel,
        tenant: row.tenant,
        event: row.event,
        // Empty when the event is gone.
        event_type: types.get(&row.event).cloned().unwrap_or_else(|| "".into()),
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
    settle_all(tx, vec![rows.iter().map(settlement).collect()]).await
}

/// The types of the rows' events.
async fn types_of(connection: &Connection, rows: &[IdleRow]) -> Result<BTreeMap<EventId, Arc<str>>, Error> {
    let tenants: Vec<_> = rows.iter().map(|row| row.tenant.0).collect();
    let events: Vec<_> = rows.iter().map(|row| row.event.0).collect();
    let sql = "SELECT id, found.type
               FROM unnest($1::bigint[], $2::bigint[]) AS asked (tenant_id, id)
               CROSS JOIN LATERAL (SELECT type FROM known_events AS known
                                   WHERE known.tenant_id = asked.tenant_id AND known.id = asked.id
                                   LIMIT 1) AS found";
    let found = query(connection, sql, &[&tenants, &events]).await?;
    found.iter().map(|row| Ok((EventId(row.try_get(0)?), row.try_get::<_, &str>(1)?.into()))).collect()
}
