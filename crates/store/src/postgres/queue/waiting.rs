//! What waits, read in the order that lanes take it.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::event::Event;
use domain::{ChannelId, DeliveryId, DigestId, EventId, StepsDone, TenantId, Timestamp};
use tokio_postgres::{Error, Row};

use super::super::statements::{Connection, limit, query, unsigned, unsigned_opt};
use super::digests::sealed;
use super::events::{EVENT_COLUMNS, read_event};
use crate::queue::Waiting;

/// Hops from channel to channel along the key: one look-up each, however much waits.
pub(super) async fn waiting_channels(connection: &Connection) -> Result<Vec<ChannelId>, Error> {
    // The server hops, so it is one trip.
    let sql = "WITH RECURSIVE hop (channel_id) AS (
                   SELECT (SELECT channel_id FROM queue ORDER BY channel_id LIMIT 1)
                   UNION ALL
                   SELECT (SELECT queue.channel_id FROM queue
                           WHERE queue.channel_id > hop.channel_id
                           ORDER BY queue.channel_id LIMIT 1)
                   FROM hop
                   WHERE hop.channel_id IS NOT NULL
               )
               SELECT channel_id FROM hop WHERE channel_id IS NOT NULL";
    query(connection, sql, &[]).await?.iter().map(|row| row.try_get(0).map(ChannelId)).collect()
}

const WAITING_COLUMNS: &str = "delivery_id, event_id, created_at, expires_at, due_at, attempts, tries, attempts_max, steps_done, tenant_id, \
     digest_id";

pub(super) async fn waiting_after(
    connection: &Connection,
    channel: ChannelId,
    after: DeliveryId,
    now: Timestamp,
    rows_max: usize,
) -> Result<Vec<Waiting>, Error> {
    let sql = format!(
        "SELECT {WAITING_COLUMNS} FROM queue WHERE channel_id = $1 AND delivery_id > $2 ORDER BY delivery_id LIMIT $3"
    );
    let rows = query(connection, &sql, &[&channel.0, &after.0, &limit(rows_max)]).await?;
    with_events(connection, &rows, |row| row.due_at <= now && row.digest.is_none()).await
}

pub(super) async fn waiting_before(
    connection: &Connection,
    channel: ChannelId,
    before: DeliveryId,
    now: Timestamp,
    rows_max: usize,
) -> Result<Vec<Waiting>, Error> {
    let sql = format!(
        "SELECT {WAITING_COLUMNS} FROM queue
         WHERE channel_id = $1 AND delivery_id < $2
         ORDER BY delivery_id DESC
         LIMIT $3"
    );
    let rows = query(connection, &sql, &[&channel.0, &before.0, &limit(rows_max)]).await?;
    with_events(connection, &rows, |row| row.due_at <= now && row.digest.is_none()).await
}

pub(super) async fn waiting_these(
    connection: &Connection,
    channel: ChannelId,
    deliveries: Vec<DeliveryId>,
    now: Timestamp,
) -> Result<Vec<Waiting>, Error> {
    let ids: Vec<_> = deliveries.iter().map(|delivery| delivery.0).collect();
    let sql = format!(
        "SELECT found.*
         FROM unnest($2::bigint[]) WITH ORDINALITY AS asked (id, place)
         CROSS JOIN LATERAL (SELECT {WAITING_COLUMNS} FROM queue
                             WHERE channel_id = $1 AND delivery_id BETWEEN asked.id AND asked.id
                             ORDER BY delivery_id LIMIT 1) AS found
         ORDER BY place"
    );
    let rows = query(connection, &sql, &[&channel.0, &ids]).await?;
    let mut rows = with_events(connection, &rows, |row| row.due_at <= now).await?;
    let due = rows.iter_mut().filter(|row| row.due_at <= now);
    let mut merged: Vec<_> = due.filter_map(|row| Some((row.digest?, row))).collect();
    let ids: Vec<_> = merged.iter().map(|(digest, _)| digest.0).collect();
    let found = sealed(connection, &ids).await?;
    for (digest, row) in &mut merged {
        row.sealed = found.get(digest).cloned();
    }
    Ok(rows)
}

fn read_waiting(row: &Row) -> Result<Waiting, Error> {
    Ok(Waiting {
        delivery: DeliveryId(row.try_get(0)?),
        created_at: Timestamp::from_ms(row.try_get(2)?),
        expires_at: Timestamp::from_ms(row.try_get(3)?),
        due_at: Timestamp::from_ms(row.try_get(4)?),
        attempts: unsigned(row, 5)?,
        tries: unsigned(row, 6)?,
        attempts_max: unsigned_opt(row, 7)?,
        steps_done: StepsDone::from_bits(row.try_get(8)?),
        digest: row.try_get::<_, Option<i64>>(10)?.map(DigestId),
        event: None,
        sealed: None,
    })
}

/// Gives the rows that are wanted with it their events. Rows whose event is gone are left out: retention keeps the
/// events of what waits, so there is nothing to send.
async fn with_events(
    connection: &Connection,
    rows: &[Row],
    is_wanted: impl Fn(&Waiting) -> bool,
) -> Result<Vec<Waiting>, Error> {
    let mut waiting = Vec::with_capacity(rows.len());
    for row in rows {
        waiting.push((TenantId(row.try_get(9)?), EventId(row.try_get(1)?), read_waiting(row)?));
    }
    let due = waiting.iter().filter(|(.., row)| is_wanted(row));
    let asked = due.map(|(tenant, event, _)| (*tenant, *event)).collect();
    let events = events_of(connection, asked).await?;
    let with_event = |(_, event, row): (TenantId, EventId, Waiting)| {
        if !is_wanted(&row) {
            return Some(row);
        }
        let event = Arc::clone(events.get(&event)?);
        Some(Waiting { event: Some(event), ..row })
    };
    Ok(waiting.into_iter().filter_map(with_event).collect())
}

async fn events_of(
    connection: &Connection,
    mut asked: Vec<(TenantId, EventId)>,
) -> Result<BTreeMap<EventId, Arc<Event>>, Error> {
    if asked.is_empty() {
        return Ok(BTreeMap::new());
    }
    asked.sort_unstable();
    asked.dedup();
    let (tenants, ids): (Vec<_>, Vec<_>) = asked.into_iter().map(|(tenant, event)| (tenant.0, event.0)).unzip();
    let sql = format!(
        "SELECT found.*
         FROM unnest($1::bigint[], $2::bigint[]) AS asked (tenant_id, id)
         CROSS JOIN LATERAL (SELECT {EVENT_COLUMNS} FROM known_events AS known
                             WHERE known.tenant_id = asked.tenant_id AND known.id = asked.id
                             LIMIT 1) AS found"
    );
    let rows = query(connection, &sql, &[&tenants, &ids]).await?;
    let event = |row: &Row| read_event(row).map(|row| (row.event.id, Arc::new(row.event)));
    rows.iter().map(event).collect()
}
