//! Rows on their way: collected while jobs run, and written as one statement for each table.
//!
//! SQLite has no such file: there a row costs as much alone as in company. Here a statement is a trip over the network,
//! so a batch makes one of each kind, with arrays for columns, and sends all of them before it waits for any.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use domain::delivery::{AttemptRecord, State};
use domain::event::{Event, Severity};
use domain::verdict::Verdicts;
use domain::{ChannelId, DeliveryId, EventId, TenantId, Timestamp, TraceContext};
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::statements::{Connection, execute, text};
use crate::blob;
use crate::queue::{NewDelivery, Next, Settlement};

/// An event that was accepted.
pub(super) struct NewEventRow {
    pub event: Arc<Event>,
    pub verdicts: Verdicts,
    pub first_delivery: DeliveryId,
    /// Encoded: where its first deliveries go.
    pub channels: Vec<u8>,
}

/// A delivery that begins to wait.
pub(super) struct NewQueueRow {
    pub delivery: DeliveryId,
    pub channel: ChannelId,
    pub tenant: TenantId,
    pub event: EventId,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub attempts_max: Option<u32>,
}

/// What a key stands for from now on.
pub(super) struct NewLedgerRow {
    pub body_hash: [u8; 32],
    pub first_event: i64,
    pub events: i64,
    pub kept_at: Timestamp,
}

/// A settlement that took effect: one of those that a caller handed over together.
#[derive(Clone)]
pub(super) struct Effective {
    pub of: Arc<[Settlement]>,
    pub position: usize,
}

impl Effective {
    pub(super) fn settlement(&self) -> &Settlement {
        &self.of[self.position]
    }
}

/// An attempt of a settlement that took effect.
pub(super) struct NewAttemptRow {
    pub id: i64,
    pub by: Effective,
    pub position: usize,
    pub gave_up: bool,
}

impl NewAttemptRow {
    fn record(&self) -> &AttemptRecord {
        &self.by.settlement().records[self.position]
    }
}

/// A delivery that is over, with its state; a dead one with its tries.
pub(super) struct OverRow<T> {
    pub by: Effective,
    pub with: T,
}

impl<T> OverRow<T> {
    fn code(&self) -> Option<&'static str> {
        match &self.by.settlement().next {
            Next::Over { code, .. } => Some(code.name()),
            Next::Wait { .. } => None,
        }
    }

    fn note(&self) -> Cow<'_, str> {
        let (Next::Over { note, .. } | Next::Wait { note, .. }) = &self.by.settlement().next;
        text(note)
    }
}

/// Everything that a batch has to write in bulk.
#[derive(Default)]
pub(super) struct Rows {
    pub events: Vec<NewEventRow>,
    pub queue: Vec<NewQueueRow>,
    pub expand: Vec<(EventId, TenantId, Vec<NewDelivery>)>,
    /// Of even and of odd days, by tenant and key: one statement changes a row once.
    pub ledger: [BTreeMap<(TenantId, [u8; 32]), NewLedgerRow>; 2],
    /// Whether a new day begins in the table of even or of odd ones.
    begins: [bool; 2],
    pub attempts: Vec<NewAttemptRow>,
    pub settled: Vec<OverRow<State>>,
    pub dead: Vec<OverRow<u32>>,
    /// Settlements whose inbox entries are written.
    pub inbox: Vec<Effective>,
}

/// The tables of idempotency keys.
const LEDGERS: [&str; 2] = ["idempotency_even", "idempotency_odd"];

impl Rows {
    /// What is in a table of idempotency keys is forgotten, and what was going there.
    pub(super) fn begins_ledger(&mut self, table: usize) {
        self.ledger[table].clear();
        self.begins[table] = true;
    }

    pub(super) async fn write(&self, connection: &Connection) -> Result<(), Error> {
        for (table, _) in LEDGERS.into_iter().zip(self.begins).filter(|(_, begins)| *begins) {
            empty(connection, table).await?;
        }
        let [even, odd] = &self.ledger;
        tokio::try_join!(
            write_events(connection, &self.events),
            write_queue(connection, &self.queue),
            write_expand(connection, &self.expand),
            write_ledger(connection, LEDGERS[0], even),
            write_ledger(connection, LEDGERS[1], odd),
            write_attempts(connection, &self.attempts),
            write_settled(connection, &self.settled),
            write_dead(connection, &self.dead),
            write_inbox(connection, &self.inbox),
        )?;
        Ok(())
    }
}

/// One column of all rows, as the array that a statement takes.
fn column<'r, R, T>(rows: &'r [R], of: impl Fn(&'r R) -> T) -> Vec<T> {
    rows.iter().map(of).collect()
}

async fn write_events(connection: &Connection, rows: &[NewEventRow]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let content = |row: &'_ NewEventRow| Arc::clone(&row.event.content);
    let named = |row: &NewEventRow| row.event.content.explicit_channels.as_deref().map(encode_named);
    let skipped_more = |row: &NewEventRow| i64::try_from(row.verdicts.skipped_more).unwrap_or(i64::MAX);
    let trace = |row: &NewEventRow| row.event.content.trace.map(TraceContext::to_bytes).map(|bytes| bytes.to_vec());
    let sql = "INSERT INTO events (id, tenant_id, type, data, occurred_at, severity, accepted_at, explicit,
                                   config_version, first_delivery, channels, skipped, skipped_more, trace)
               SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::text[],
                                    $7::bigint[], $8::bytea[], $9::bigint[], $10::bigint[], $11::bytea[],
                                    $12::bytea[], $13::bigint[], $14::bytea[])";
    execute(
        connection,
        sql,
        &[
            &column(rows, |row| row.event.id.0),
            &column(rows, |row| content(row).tenant.0),
            &column(rows, |row| text(&row.event.content.event_type)),
            &column(rows, |row| text(&row.event.content.data)),
            &column(rows, |row| content(row).occurred_at.as_ms()),
            &column(rows, |row| content(row).severity.map(Severity::name)),
            &column(rows, |row| row.event.accepted_at.as_ms()),
            &column(rows, named),
            &column(rows, |row| row.verdicts.config_version.0),
            &column(rows, |row| row.first_delivery.0),
            &column(rows, |row| &*row.channels),
            &column(rows, |row| blob::encode_skipped(&row.verdicts.skipped)),
            &column(rows, skipped_more),
            &column(rows, trace),
        ],
    )
    .await
    .map(drop)
}

/// The channels that a client named, in whatever order.
fn encode_named(channels: &[ChannelId]) -> Vec<u8> {
    let mut channels = channels.to_vec();
    channels.sort_unstable();
    channels.dedup();
    blob::encode_channels(channels)
}

async fn write_queue(connection: &Connection, rows: &[NewQueueRow]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO queue (channel_id, delivery_id, tenant_id, event_id, created_at, expires_at, attempts_max,
                                  due_at, attempts, tries)
               SELECT *, 0, 0, 0
               FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                           $7::bigint[])";
    execute(
        connection,
        sql,
        &[
            &column(rows, |row| row.channel.0),
            &column(rows, |row| row.delivery.0),
            &column(rows, |row| row.tenant.0),
            &column(rows, |row| row.event.0),
            &column(rows, |row| row.created_at.as_ms()),
            &column(rows, |row| row.expires_at.as_ms()),
            &column(rows, |row| row.attempts_max.map(i64::from)),
        ],
    )
    .await
    .map(drop)
}

async fn write_expand(connection: &Connection, rows: &[(EventId, TenantId, Vec<NewDelivery>)]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO expand (event_id, tenant_id, rest)
               SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bytea[])";
    execute(
        connection,
        sql,
        &[
            &column(rows, |(event, ..)| event.0),
            &column(rows, |(_, tenant, _)| tenant.0),
            &column(rows, |(.., rest)| blob::encode_deliveries(rest)),
        ],
    )
    .await
    .map(drop)
}

/// Empties a table that nobody reads any more. A backup may hold it for hours: then it is left as it is, and its keys are
/// too old to count until its next turn.
async fn empty(connection: &Connection, table: &str) -> Result<(), Error> {
    let emptied = connection
        .batch_execute(&format!("SAVEPOINT turn; SET LOCAL lock_timeout = 200; TRUNCATE {table}; RELEASE turn"))
        .await;
    match emptied {
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
            connection.batch_execute("ROLLBACK TO turn; RELEASE turn").await
        }
        emptied => emptied,
    }
}

async fn write_ledger(
    connection: &Connection,
    table: &str,
    rows: &BTreeMap<(TenantId, [u8; 32]), NewLedgerRow>,
) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = rows.iter().collect();
    let sql = format!(
        "INSERT INTO {table} (tenant_id, key_hash, body_hash, event_id, events, kept_at)
         SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bigint[], $5::bigint[], $6::bigint[])
         ON CONFLICT (tenant_id, key_hash)
         DO UPDATE SET body_hash = excluded.body_hash, event_id = excluded.event_id, events = excluded.events,
                       kept_at = excluded.kept_at"
    );
    execute(
        connection,
        &sql,
        &[
            &column(&rows, |((tenant, _), _)| tenant.0),
            &column(&rows, |((_, hash), _)| &hash[..]),
            &column(&rows, |(_, row)| &row.body_hash[..]),
            &column(&rows, |(_, row)| row.first_event),
            &column(&rows, |(_, row)| row.events),
            &column(&rows, |(_, row)| row.kept_at.as_ms()),
        ],
    )
    .await
    .map(drop)
}

async fn write_attempts(connection: &Connection, rows: &[NewAttemptRow]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let hint =
        |row: &NewAttemptRow| row.record().outcome.hint.map(|wait| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
    let sql = "INSERT INTO attempts (id, delivery_id, tenant_id, channel_id, event_id, provider, event_type, number,
                                     step, class, scope, code, hint_ms, reference, note, body, started_at,
                                     duration_ms, gave_up, digest_id)
               SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[],
                                    $7::text[], $8::bigint[], $9::bigint[], $10::text[], $11::text[], $12::bigint[],
                                    $13::bigint[], $14::text[], $15::text[], $16::text[], $17::bigint[],
                                    $18::bigint[], $19::boolean[], $20::bigint[])";
    execute(
        connection,
        sql,
        &[
            &column(rows, |row| row.id),
            &column(rows, |row| row.by.settlement().delivery.0),
            &column(rows, |row| row.by.settlement().tenant.0),
            &column(rows, |row| row.by.settlement().channel.0),
            &column(rows, |row| row.by.settlement().event.0),
            &column(rows, |row| text(&row.by.settlement().provider)),
            &column(rows, |row| text(&row.by.settlement().event_type)),
            &column(rows, |row| i64::from(row.record().number)),
            &column(rows, |row| i64::from(row.record().step)),
            &column(rows, |row| row.record().outcome.class.name()),
            &column(rows, |row| row.record().outcome.scope.name()),
            &column(rows, |row| row.record().code.map(i64::from)),
            &column(rows, hint),
            &column(rows, |row| row.record().outcome.reference.as_deref().map(text)),
            &column(rows, |row| text(&row.record().outcome.note)),
            &column(rows, |row| text(&row.record().body)),
            &column(rows, |row| row.record().started_at.as_ms()),
            &column(rows, |row| i64::from(row.record().duration_ms)),
            &column(rows, |row| row.gave_up),
            &column(rows, |row| row.by.settlement().digest.map(|digest| digest.0)),
        ],
    )
    .await
    .map(drop)
}

async fn write_settled(connection: &Connection, rows: &[OverRow<State>]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = "INSERT INTO settled (id, tenant_id, channel_id, event_id, event_type, state, attempts, created_at,
                                    expires_at, settled_at, note, digest_id, reason_code)
               SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[],
                                    $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::text[],
                                    $12::bigint[], $13::text[])";
    execute(
        connection,
        sql,
        &[
            &column(rows, |row| row.by.settlement().delivery.0),
            &column(rows, |row| row.by.settlement().tenant.0),
            &column(rows, |row| row.by.settlement().channel.0),
            &column(rows, |row| row.by.settlement().event.0),
            &column(rows, |row| text(&row.by.settlement().event_type)),
            &column(rows, |row| row.with.name()),
            &column(rows, |row| i64::from(row.by.settlement().attempts)),
            &column(rows, |row| row.by.settlement().created_at.as_ms()),
            &column(rows, |row| row.by.settlement().expires_at.as_ms()),
            &column(rows, |row| row.by.settlement().settled_at.as_ms()),
            &column(rows, OverRow::note),
            &column(rows, |row| row.by.settlement().digest.map(|digest| digest.0)),
            &column(rows, OverRow::code),
        ],
    )
    .await
    .map(drop)
}

async fn write_dead(connection: &Connection, rows: &[OverRow<u32>]) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let code = |row: &OverRow<u32>| row.by.settlement().records.last().and_then(|record| record.code).map(i64::from);
    let sql = "INSERT INTO dead (delivery_id, channel_id, tenant_id, event_id, created_at, expires_at, attempts, tries,
                                 steps_done, code, note, died_at, digest_id, reason_code)
               SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                                    $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::text[],
                                    $12::bigint[], $13::bigint[], $14::text[])";
    execute(
        connection,
        sql,
        &[
            &column(rows, |row| row.by.settlement().delivery.0),
            &column(rows, |row| row.by.settlement().channel.0),
            &column(rows, |row| row.by.settlement().tenant.0),
            &column(rows, |row| row.by.settlement().event.0),
            &column(rows, |row| row.by.settlement().created_at.as_ms()),
            &column(rows, |row| row.by.settlement().expires_at.as_ms()),
            &column(rows, |row| i64::from(row.by.settlement().attempts)),
            &column(rows, |row| i64::from(row.with)),
            &column(rows, |row| row.by.settlement().steps_done.bits()),
            &column(rows, code),
            &column(rows, OverRow::note),
            &column(rows, |row| row.by.settlement().settled_at.as_ms()),
            &column(rows, |row| row.by.settlement().digest.map(|digest| digest.0)),
            &column(rows, OverRow::code),
        ],
    )
    .await
    .map(drop)
}

/// One that is there already stays: a delivery that was settled under another number brings it a second time.
async fn write_inbox(connection: &Connection, settlements: &[Effective]) -> Result<(), Error> {
    let of = |by: &'_ Effective| by.settlement().inbox.len();
    let rows: Vec<_> = settlements.iter().flat_map(|by| (0..of(by)).map(move |position| (by, position))).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let entry = |(by, position): &(&'_ Effective, usize)| by.settlement().inbox[*position].clone();
    let sql = "INSERT INTO inbox (tenant_id, id, channel_id, event_id, recipient, content, created_at)
               SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[],
                                    $7::bigint[])
               ON CONFLICT DO NOTHING";
    execute(
        connection,
        sql,
        &[
            &column(&rows, |(by, _)| by.settlement().tenant.0),
            &column(&rows, |(by, _)| by.settlement().delivery.0),
            &column(&rows, |(by, _)| by.settlement().channel.0),
            &column(&rows, |(by, _)| by.settlement().event.0),
            &column(&rows, |row| text(&entry(row).recipient).into_owned()),
            &column(&rows, |row| text(&entry(row).content).into_owned()),
            &column(&rows, |(by, _)| by.settlement().settled_at.as_ms()),
        ],
    )
    .await
    .map(drop)
}
