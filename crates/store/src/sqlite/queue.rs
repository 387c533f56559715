//! The way of an event in SQL. The order of functions is that of the trait.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use domain::delivery::State;
use domain::event::{Event, NewEvent, Severity};
use domain::{ChannelId, DeliveryId, EventId, TenantId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::segments::{self, Kind};
use super::writer::{Shift, Tx, next};
use super::{SqliteStore, from_sqlite};
use crate::StoreError;
use crate::blob;
use crate::queue::{
    AcceptAnswer, AcceptEvent, AcceptRequest, AcceptedEvent, Arrival, Cancellation, EVENT_DELIVERIES_MAX,
    IDEMPOTENCY_KEPT_MS, IdempotencyKey, NewDelivery, Next, Queue, RetryAnswer, Settlement, Waiting,
};

#[async_trait]
impl Queue for SqliteStore {
    async fn accept(&self, request: AcceptRequest) -> Result<AcceptAnswer, StoreError> {
        let rows = request.events.iter().map(rows_of).sum();
        self.write(rows, move |tx| accept(tx, &request)).await
    }

    async fn expand(&self, rows_max: usize) -> Result<bool, StoreError> {
        self.write(rows_max, move |tx| expand(tx, rows_max).map_err(from_sqlite)).await
    }

    async fn settle(&self, settlements: Arc<[Settlement]>) -> Result<(), StoreError> {
        let rows = settlements.len() * 3;
        self.write(rows, move |tx| {
            settlements.iter().try_for_each(|settlement| settle(tx, settlement)).map_err(from_sqlite)
        })
        .await
    }

    async fn waiting_channels(&self) -> Result<Vec<ChannelId>, StoreError> {
        self.read(|connection| waiting_channels(connection).map_err(from_sqlite)).await
    }

    async fn waiting_after(
        &self,
        channel: ChannelId,
        after: DeliveryId,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<Vec<Waiting>, StoreError> {
        self.read(move |connection| waiting_after(connection, channel, after, now, rows_max).map_err(from_sqlite)).await
    }

    async fn waiting_these(
        &self,
        channel: ChannelId,
        deliveries: Vec<DeliveryId>,
        now: Timestamp,
    ) -> Result<Vec<Waiting>, StoreError> {
        self.read(move |connection| waiting_these(connection, channel, &deliveries, now).map_err(from_sqlite)).await
    }

    async fn cancel_slice(
        &self,
        channel: ChannelId,
        under_way: Vec<DeliveryId>,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<bool, StoreError> {
        self.write(rows_max, move |tx| cancel_slice(tx, channel, &under_way, now, rows_max).map_err(from_sqlite)).await
    }

    async fn cancellations(&self) -> Result<Vec<Cancellation>, StoreError> {
        self.read(|connection| cancellations(connection).map_err(from_sqlite)).await
    }

    async fn expire_slice(
        &self,
        channel: ChannelId,
        under_way: Vec<DeliveryId>,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<bool, StoreError> {
        self.write(rows_max, move |tx| expire_slice(tx, channel, &under_way, now, rows_max).map_err(from_sqlite)).await
    }

    async fn retry(
        &self,
        tenant: TenantId,
        delivery: DeliveryId,
        expires_at: Timestamp,
    ) -> Result<Option<RetryAnswer>, StoreError> {
        self.write(2, move |tx| retry(tx, tenant, delivery, expires_at).map_err(from_sqlite)).await
    }
}

/// About how many rows an event writes. A large payload counts as the rows that would fill its pages.
fn rows_of(event: &AcceptEvent) -> usize {
    1 + event.deliveries.len().min(EVENT_DELIVERIES_MAX) + event.content.data.len() / PAYLOAD_BYTES_PER_ROW
}

const PAYLOAD_BYTES_PER_ROW: usize = 2048;

fn accept(tx: &mut Tx<'_>, request: &AcceptRequest) -> Result<AcceptAnswer, StoreError> {
    let is_in_order = |event: &AcceptEvent| event.deliveries.is_sorted_by(|left, right| left.channel < right.channel);
    if !request.events.iter().all(is_in_order) {
        return Err(StoreError::Refused("deliveries must be in order of channel, each channel once".to_owned()));
    }
    if let Some(reused) = find_reused_key(tx.connection, request).map_err(from_sqlite)? {
        return Ok(reused);
    }
    keep_events(tx, request).map(AcceptAnswer::Kept).map_err(from_sqlite)
}

/// The refusal, when a key of the request stands for another body.
fn find_reused_key(connection: &Connection, request: &AcceptRequest) -> rusqlite::Result<Option<AcceptAnswer>> {
    if let Some(key) = &request.key
        && ledger_entry(connection, request, key)?.is_some_and(|entry| entry.body_hash != key.body_hash)
    {
        return Ok(Some(AcceptAnswer::KeyReused(None)));
    }
    let mut in_request = BTreeMap::new();
    for (position, event) in request.events.iter().enumerate() {
        let Some(key) = &event.key else { continue };
        let earlier = in_request.insert(key.key_hash, key.body_hash);
        let kept = ledger_entry(connection, request, key)?.map(|entry| entry.body_hash);
        if earlier.or(kept).is_some_and(|body_hash| body_hash != key.body_hash) {
            return Ok(Some(AcceptAnswer::KeyReused(Some(position))));
        }
    }
    Ok(None)
}

fn keep_events(tx: &mut Tx<'_>, request: &AcceptRequest) -> rusqlite::Result<Vec<AcceptedEvent>> {
    if let Some(key) = &request.key
        && let Some(entry) = ledger_entry(tx.connection, request, key)?
    {
        let ids = entry.first_event..entry.first_event + entry.events;
        return ids.filter_map(|id| repeat_of(tx.connection, EventId(id)).transpose()).collect();
    }
    let first_event = tx.sequences.event;
    let mut accepted = Vec::with_capacity(request.events.len());
    for event in &request.events {
        let repeated = match &event.key {
            Some(key) => ledger_entry(tx.connection, request, key)?,
            None => None,
        };
        let repeat = match repeated {
            Some(entry) => repeat_of(tx.connection, EventId(entry.first_event))?,
            None => None,
        };
        accepted.push(match repeat {
            Some(repeat) => repeat,
            None => keep_event(tx, request, event)?,
        });
    }
    if let Some(key) = &request.key {
        write_ledger(tx, request, key, first_event, tx.sequences.event - first_event)?;
    }
    Ok(accepted)
}

fn keep_event(tx: &mut Tx<'_>, request: &AcceptRequest, new: &AcceptEvent) -> rusqlite::Result<AcceptedEvent> {
    let content = &new.content;
    let id = EventId(next(&mut tx.sequences.event));
    let (now, rest) = new.deliveries.split_at(new.deliveries.len().min(EVENT_DELIVERIES_MAX));
    let first_delivery = tx.sequences.delivery;
    tx.connection.prepare_cached(tx.segments.insert_sql(Kind::Events))?.execute(params![
        id.0,
        request.tenant.0,
        content.event_type,
        content.data,
        content.occurred_at.as_ms(),
        content.severity.map(Severity::name),
        request.now.as_ms(),
        content.explicit_channels.as_deref().map(encode_named),
        new.verdicts.config_version.0,
        first_delivery,
        blob::encode_channels(now.iter().map(|delivery| delivery.channel)),
        blob::encode_skipped(&new.verdicts.skipped),
        i64::try_from(new.verdicts.skipped_more).unwrap_or(i64::MAX),
    ])?;
    let event = Arc::new(Event { id, accepted_at: request.now, content: Arc::clone(content) });
    let deliveries = insert_deliveries(tx, &event, now, new.attempts_max)?;
    if !rest.is_empty() {
        tx.connection
            .prepare_cached("INSERT INTO expand (event_id, tenant_id, rest) VALUES (?1, ?2, ?3)")?
            .execute(params![id.0, request.tenant.0, blob::encode_deliveries(rest)])?;
    }
    if let Some(key) = &new.key {
        write_ledger(tx, request, key, id.0, 1)?;
    }
    tx.count(request.tenant, ChannelId(0), &content.event_type, "event", request.now);
    Ok(AcceptedEvent { id, deliveries, expanding: rest.len(), is_repeat: false })
}

/// The channels that a client named, in whatever order.
fn encode_named(channels: &[ChannelId]) -> Vec<u8> {
    let mut channels = channels.to_vec();
    channels.sort_unstable();
    channels.dedup();
    blob::encode_channels(channels)
}

/// Writes the queue rows of an event and announces them.
fn insert_deliveries(
    tx: &mut Tx<'_>,
    event: &Arc<Event>,
    deliveries: &[NewDelivery],
    attempts_max: Option<u32>,
) -> rusqlite::Result<Vec<(DeliveryId, ChannelId)>> {
    let mut statement = tx.connection.prepare_cached(
        "INSERT INTO queue (channel_id, delivery_id, tenant_id, event_id, created_at, expires_at, due_at, attempts,
                            tries, attempts_max)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, 0, ?7)",
    )?;
    let tenant = event.content.tenant;
    let mut made = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        let id = DeliveryId(next(&mut tx.sequences.delivery));
        let channel = delivery.channel;
        statement.execute(params![
            channel.0,
            id.0,
            tenant.0,
            event.id.0,
            event.accepted_at.as_ms(),
            delivery.expires_at.as_ms(),
            attempts_max,
        ])?;
        tx.shift(tenant, channel, Shift { pending: 1, ..Shift::default() });
        tx.announce(Arrival {
            delivery: id,
            channel,
            created_at: event.accepted_at,
            expires_at: delivery.expires_at,
            attempts_max,
            event: Arc::clone(event),
        });
        made.push((id, channel));
    }
    Ok(made)
}

struct LedgerEntry {
    body_hash: [u8; 32],
    first_event: i64,
    events: i64,
}

/// The table that keys of a day go to.
fn ledger_table(day: i64) -> &'static str {
    if day % 2 == 0 { "idempotency_even" } else { "idempotency_odd" }
}

fn ledger_entry(
    connection: &Connection,
    request: &AcceptRequest,
    key: &IdempotencyKey,
) -> rusqlite::Result<Option<LedgerEntry>> {
    let entry =
        |row: &Row<'_>| Ok(LedgerEntry { body_hash: row.get(0)?, first_event: row.get(1)?, events: row.get(2)? });
    connection
        .prepare_cached(
            "SELECT body_hash, event_id, events FROM idempotency_even
             WHERE tenant_id = ?1 AND key_hash = ?2 AND kept_at > ?3
             UNION ALL
             SELECT body_hash, event_id, events FROM idempotency_odd
             WHERE tenant_id = ?1 AND key_hash = ?2 AND kept_at > ?3
             LIMIT 1",
        )?
        .query_row(params![request.tenant.0, key.key_hash, request.now.as_ms() - IDEMPOTENCY_KEPT_MS], entry)
        .optional()
}

fn write_ledger(
    tx: &mut Tx<'_>,
    request: &AcceptRequest,
    key: &IdempotencyKey,
    first_event: i64,
    events: i64,
) -> rusqlite::Result<()> {
    let day = request.now.as_ms().div_euclid(IDEMPOTENCY_KEPT_MS);
    let table = ledger_table(day);
    // The first key of a new day finds only keys of two days before: the table is emptied whole. When the clock goes
    // back, keys go to the tables as they are.
    if day > tx.sequences.idempotency_day {
        tx.connection.execute(&format!("DELETE FROM {table}"), [])?;
        tx.sequences.idempotency_day = day;
    }
    tx.connection
        .prepare_cached(&format!(
            "INSERT OR REPLACE INTO {table} (tenant_id, key_hash, body_hash, event_id, events, kept_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
        ))?
        .execute(params![request.tenant.0, key.key_hash, key.body_hash, first_event, events, request.now.as_ms()])
        .map(drop)
}

/// The answer for an event that was accepted before, rebuilt from its row.
fn repeat_of(connection: &Connection, id: EventId) -> rusqlite::Result<Option<AcceptedEvent>> {
    let Some(row) = event_row(connection, id)? else { return Ok(None) };
    let expanding = expanding(connection, id)?;
    let ids = (row.first_delivery..).map(DeliveryId);
    let deliveries = ids.zip(blob::decode_channels(&row.channels)).collect();
    Ok(Some(AcceptedEvent { id, deliveries, expanding, is_repeat: true }))
}

/// How many deliveries of an event are still to be made.
pub(super) fn expanding(connection: &Connection, event: EventId) -> rusqlite::Result<usize> {
    let rest: Option<Vec<u8>> = connection
        .prepare_cached("SELECT rest FROM expand WHERE event_id = ?1")?
        .query_row([event.0], |row| row.get(0))
        .optional()?;
    Ok(rest.map_or(0, |blob| blob::decode_deliveries(&blob).len()))
}

/// An event as its segment holds it.
pub(super) struct EventRow {
    pub event: Event,
    pub config_version: i64,
    pub first_delivery: i64,
    /// Encoded: where the deliveries go that the accepting transaction made.
    pub channels: Vec<u8>,
    pub skipped: Vec<u8>,
    pub skipped_more: i64,
}

pub(super) fn event_row(connection: &Connection, id: EventId) -> rusqlite::Result<Option<EventRow>> {
    let Some(table) = segments::table_of_event(connection, id.0)? else { return Ok(None) };
    let sql = format!(
        "SELECT tenant_id, type, data, occurred_at, severity, accepted_at, explicit, config_version, first_delivery,
                channels, skipped, skipped_more
         FROM {table} WHERE id = ?1"
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
pub(super) fn event_type(connection: &Connection, id: EventId) -> rusqlite::Result<Arc<str>> {
    let Some(table) = segments::table_of_event(connection, id.0)? else { return Ok("".into()) };
    let sql = format!("SELECT type FROM {table} WHERE id = ?1");
    let found = connection.prepare_cached(&sql)?.query_row([id.0], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or_else(|| "".into()))
}

fn expand(tx: &mut Tx<'_>, rows_max: usize) -> rusqlite::Result<bool> {
    let oldest: Option<(i64, Vec<u8>)> = tx
        .connection
        .prepare_cached("SELECT event_id, rest FROM expand ORDER BY event_id LIMIT 1")?
        .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((event_id, rest)) = oldest else { return Ok(false) };
    let rest = blob::decode_deliveries(&rest);
    let (slice, rest) = rest.split_at(rest.len().min(rows_max));
    if let Some(row) = event_row(tx.connection, EventId(event_id))? {
        tx.connection
            .prepare_cached("INSERT INTO expanded (event_id, first_delivery, channels) VALUES (?1, ?2, ?3)")?
            .execute(params![
                event_id,
                tx.sequences.delivery,
                blob::encode_channels(slice.iter().map(|delivery| delivery.channel)),
            ])?;
        insert_deliveries(tx, &Arc::new(row.event), slice, None)?;
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

fn settle(tx: &mut Tx<'_>, settlement: &Settlement) -> rusqlite::Result<()> {
    let tries = settlement.tries_before + u32::from(!settlement.records.is_empty());
    if !leave_or_wait(tx, settlement, tries)? {
        return Ok(());
    }
    for record in &settlement.records {
        insert_attempt(tx, settlement, record)?;
    }
    let (tenant, channel) = (settlement.tenant, settlement.channel);
    let mut shift = if settlement.tries_before == 0 {
        Shift { pending: -1, ..Shift::default() }
    } else {
        Shift { retrying: -1, ..Shift::default() }
    };
    match &settlement.next {
        Next::Wait { .. } if tries == 0 => shift.pending += 1,
        Next::Wait { .. } => shift.retrying += 1,
        Next::Over { state, note } => {
            tx.count(tenant, channel, &settlement.event_type, state.name(), settlement.settled_at);
            if *state == State::Dead {
                shift.dead += 1;
                insert_dead(tx, settlement, tries, note)?;
            } else {
                insert_settled(tx, settlement, *state, note)?;
            }
        }
    }
    tx.shift(tenant, channel, shift);
    Ok(())
}

/// Moves the queue row on, or out. Returns whether it stood where the settlement found it.
fn leave_or_wait(tx: &Tx<'_>, settlement: &Settlement, tries: u32) -> rusqlite::Result<bool> {
    let (channel, delivery) = (settlement.channel.0, settlement.delivery.0);
    let changed = match &settlement.next {
        Next::Over { .. } => tx
            .connection
            .prepare_cached("DELETE FROM queue WHERE channel_id = ?1 AND delivery_id = ?2 AND tries = ?3")?
            .execute(params![channel, delivery, settlement.tries_before])?,
        Next::Wait { due_at, note } => tx
            .connection
            .prepare_cached(
                "UPDATE queue
                 SET due_at = ?4, attempts = ?5, tries = ?6, steps_done = ?7, note = ?8
                 WHERE channel_id = ?1 AND delivery_id = ?2 AND tries = ?3",
            )?
            .execute(params![
                channel,
                delivery,
                settlement.tries_before,
                due_at.as_ms(),
                settlement.attempts,
                tries,
                settlement.steps_done,
                note,
            ])?,
    };
    Ok(changed > 0)
}

fn insert_attempt(
    tx: &mut Tx<'_>,
    settlement: &Settlement,
    record: &domain::delivery::AttemptRecord,
) -> rusqlite::Result<()> {
    let outcome = &record.outcome;
    let hint_ms = outcome.hint.map(|wait| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
    let id = next(&mut tx.sequences.attempt);
    tx.connection.prepare_cached(tx.segments.insert_sql(Kind::Attempts))?.execute(params![
        id,
        settlement.delivery.0,
        settlement.tenant.0,
        settlement.channel.0,
        settlement.event.0,
        settlement.provider,
        settlement.event_type,
        record.number,
        record.step,
        outcome.class.name(),
        outcome.scope.name(),
        record.code,
        hint_ms,
        outcome.reference,
        outcome.note,
        record.body,
        record.started_at.as_ms(),
        record.duration_ms,
        None::<i64>,
    ])?;
    if outcome.class != domain::outcome::Class::Delivered {
        tx.count(settlement.tenant, settlement.channel, &settlement.event_type, "failed", settlement.settled_at);
    }
    Ok(())
}

fn insert_dead(tx: &Tx<'_>, settlement: &Settlement, tries: u32, note: &str) -> rusqlite::Result<()> {
    tx.connection
        .prepare_cached(
            "INSERT INTO dead (delivery_id, channel_id, tenant_id, event_id, created_at, expires_at, attempts, tries,
                               steps_done, code, note, died_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
        )?
        .execute(params![
            settlement.delivery.0,
            settlement.channel.0,
            settlement.tenant.0,
            settlement.event.0,
            settlement.created_at.as_ms(),
            settlement.expires_at.as_ms(),
            settlement.attempts,
            tries,
            settlement.steps_done,
            settlement.records.last().and_then(|record| record.code),
            note,
            settlement.settled_at.as_ms(),
        ])
        .map(drop)
}

fn insert_settled(tx: &mut Tx<'_>, settlement: &Settlement, state: State, note: &str) -> rusqlite::Result<()> {
    tx.connection
        .prepare_cached(tx.segments.insert_sql(Kind::Settled))?
        .execute(params![
            settlement.delivery.0,
            settlement.tenant.0,
            settlement.channel.0,
            settlement.event.0,
            settlement.event_type,
            state.name(),
            settlement.attempts,
            settlement.created_at.as_ms(),
            settlement.expires_at.as_ms(),
            settlement.settled_at.as_ms(),
            note,
            None::<i64>,
        ])
        .map(drop)
}

/// Hops from channel to channel along the key: one look-up each, however much waits.
fn waiting_channels(connection: &Connection) -> rusqlite::Result<Vec<ChannelId>> {
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

fn waiting_after(
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

fn waiting_these(
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
        steps_done: row.get(8)?,
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

fn cancel_slice(
    tx: &mut Tx<'_>,
    channel: ChannelId,
    under_way: &[DeliveryId],
    now: Timestamp,
    rows_max: usize,
) -> rusqlite::Result<bool> {
    let order: Option<(i64, String)> = tx
        .connection
        .prepare_cached("SELECT up_to, reason FROM cancellations WHERE channel_id = ?1")?
        .query_row([channel.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((up_to, reason)) = order else { return Ok(false) };
    // One more than is wanted tells whether any is left.
    let rows = rows_from_front(tx.connection, channel, up_to, rows_max + under_way.len() + 1)?;
    let found = rows.len();
    let idle: Vec<_> = rows.into_iter().filter(|row| !under_way.contains(&row.delivery)).collect();
    for row in idle.iter().take(rows_max) {
        settle_idle(tx, channel, row, State::Cancelled, &reason, now)?;
    }
    // The order stands until what was under way has come back and is cancelled or over.
    if found <= rows_max && found == idle.len() {
        tx.connection.prepare_cached("DELETE FROM cancellations WHERE channel_id = ?1")?.execute([channel.0])?;
    }
    Ok(idle.len() > rows_max)
}

fn cancellations(connection: &Connection) -> rusqlite::Result<Vec<Cancellation>> {
    let cancellation = |row: &Row<'_>| {
        Ok(Cancellation { channel: ChannelId(row.get(0)?), up_to: DeliveryId(row.get(1)?), reason: row.get(2)? })
    };
    connection
        .prepare_cached("SELECT channel_id, up_to, reason FROM cancellations ORDER BY channel_id")?
        .query_map([], cancellation)?
        .collect()
}

fn expire_slice(
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
        settle_idle(tx, channel, row, State::Expired, "its time-to-live ended while the channel was paused", now)?;
    }
    Ok(over.len() > rows_max)
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
    steps_done: u32,
}

fn rows_from_front(
    connection: &Connection,
    channel: ChannelId,
    up_to: i64,
    rows_max: usize,
) -> rusqlite::Result<Vec<IdleRow>> {
    let read = |row: &Row<'_>| {
        Ok(IdleRow {
            delivery: DeliveryId(row.get(0)?),
            tenant: TenantId(row.get(1)?),
            event: EventId(row.get(2)?),
            created_at: Timestamp::from_ms(row.get(3)?),
            expires_at: Timestamp::from_ms(row.get(4)?),
            attempts: row.get(5)?,
            tries: row.get(6)?,
            steps_done: row.get(7)?,
        })
    };
    connection
        .prepare_cached(
            "SELECT delivery_id, tenant_id, event_id, created_at, expires_at, attempts, tries, steps_done
             FROM queue
             WHERE channel_id = ?1 AND delivery_id <= ?2
             ORDER BY delivery_id
             LIMIT ?3",
        )?
        .query_map(params![channel.0, up_to, i64::try_from(rows_max).unwrap_or(i64::MAX)], read)?
        .collect()
}

fn settle_idle(
    tx: &mut Tx<'_>,
    channel: ChannelId,
    row: &IdleRow,
    state: State,
    note: &str,
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
        records: Vec::new(),
        attempts: row.attempts,
        steps_done: row.steps_done,
        next: Next::Over { state, note: note.to_owned() },
    };
    settle(tx, &settlement)
}

fn retry(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    delivery: DeliveryId,
    expires_at: Timestamp,
) -> rusqlite::Result<Option<RetryAnswer>> {
    if let Some(channel) = revive(tx, tenant, delivery, expires_at)? {
        return Ok(Some(RetryAnswer::Due(channel)));
    }
    let waiting: Option<i64> = tx
        .connection
        .prepare_cached("SELECT channel_id FROM queue WHERE tenant_id = ?1 AND delivery_id = ?2")?
        .query_row([tenant.0, delivery.0], |row| row.get(0))
        .optional()?;
    if let Some(channel) = waiting {
        tx.connection
            .prepare_cached("UPDATE queue SET due_at = 0 WHERE channel_id = ?1 AND delivery_id = ?2")?
            .execute([channel, delivery.0])?;
        return Ok(Some(RetryAnswer::Due(ChannelId(channel))));
    }
    let over = super::journal::settled(tx.connection, tenant, delivery)?;
    Ok(over.map(|delivery| RetryAnswer::Over(delivery.state)))
}

/// Moves a dead delivery back into the queue.
fn revive(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    delivery: DeliveryId,
    expires_at: Timestamp,
) -> rusqlite::Result<Option<ChannelId>> {
    let moved: Option<(i64, u32)> = tx
        .connection
        .prepare_cached(
            "INSERT INTO queue (channel_id, delivery_id, tenant_id, event_id, created_at, expires_at, due_at, attempts,
                                tries, steps_done, digest_id, note)
             SELECT channel_id, delivery_id, tenant_id, event_id, created_at, ?3, 0, 0, tries, steps_done, digest_id,
                    note
             FROM dead
             WHERE tenant_id = ?1 AND delivery_id = ?2
             RETURNING channel_id, tries",
        )?
        .query_row(params![tenant.0, delivery.0, expires_at.as_ms()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((channel, tries)) = moved else { return Ok(None) };
    tx.connection.prepare_cached("DELETE FROM dead WHERE delivery_id = ?1")?.execute([delivery.0])?;
    let pending = i64::from(tries == 0);
    tx.shift(tenant, ChannelId(channel), Shift { pending, retrying: 1 - pending, dead: -1 });
    Ok(Some(ChannelId(channel)))
}
