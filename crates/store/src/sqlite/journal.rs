//! History in SQL. The order of functions is that of the trait.
//!
//! A delivery stands in exactly one of three places: the queue, the dead letters, or a segment of settled ones. A list
//! over all of them is a merge of three lists that are each in order of id.

use std::time::Duration;

use async_trait::async_trait;
use domain::delivery::{Attempt, AttemptRecord, Delivery, State};
use domain::outcome::{Class, Outcome, Scope};
use domain::routing::{ConfigVersion, Subscription};
use domain::verdict::Verdicts;
use domain::{AttemptId, ChannelId, DeliveryId, EventId, TenantId, Timestamp};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};

use super::directory::{SUBSCRIPTION_COLUMNS, read_subscription};
use super::queue::{event_row, event_type, expanding};
use super::segments::{self, Kind};
use super::writer::BUCKET_MS;
use super::{SqliteStore, from_sqlite};
use crate::StoreError;
use crate::blob;
use crate::journal::{AttemptQuery, ChannelTotals, DeliveryQuery, EventRecord, Journal, StateFilter, Stats};

#[async_trait]
impl Journal for SqliteStore {
    async fn event(&self, tenant: TenantId, event: EventId) -> Result<Option<EventRecord>, StoreError> {
        self.read(move |connection| self::event(connection, tenant, event).map_err(from_sqlite)).await
    }

    async fn deliveries_of(
        &self,
        tenant: TenantId,
        event: EventId,
        after: DeliveryId,
        rows_max: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        self.read(move |connection| deliveries_of(connection, tenant, event, after, rows_max).map_err(from_sqlite))
            .await
    }

    async fn delivery(&self, tenant: TenantId, delivery: DeliveryId) -> Result<Option<Delivery>, StoreError> {
        self.read(move |connection| self::delivery(connection, tenant, delivery).map_err(from_sqlite)).await
    }

    async fn deliveries(&self, tenant: TenantId, query: DeliveryQuery) -> Result<Vec<Delivery>, StoreError> {
        self.read(move |connection| deliveries(connection, tenant, &query).map_err(from_sqlite)).await
    }

    async fn attempts(&self, tenant: TenantId, query: AttemptQuery) -> Result<Vec<Attempt>, StoreError> {
        self.read(move |connection| attempts(connection, tenant, &query).map_err(from_sqlite)).await
    }

    async fn stats(&self, tenant: TenantId, since: Timestamp) -> Result<Stats, StoreError> {
        self.read(move |connection| stats(connection, tenant, since).map_err(from_sqlite)).await
    }

    async fn totals(&self) -> Result<Vec<ChannelTotals>, StoreError> {
        self.read(|connection| totals(connection).map_err(from_sqlite)).await
    }

    async fn subscriptions_at(
        &self,
        tenant: TenantId,
        channel: ChannelId,
        version: ConfigVersion,
    ) -> Result<Vec<Subscription>, StoreError> {
        self.read(move |connection| subscriptions_at(connection, tenant, channel, version).map_err(from_sqlite)).await
    }
}

fn event(connection: &Connection, tenant: TenantId, event: EventId) -> rusqlite::Result<Option<EventRecord>> {
    let Some(row) = event_row(connection, event)?.filter(|row| row.event.content.tenant == tenant) else {
        return Ok(None);
    };
    let beyond: usize = expanded(connection, event, DeliveryId(0))?.iter().map(|(_, channels)| channels.len()).sum();
    let verdicts = Verdicts {
        config_version: ConfigVersion(row.config_version),
        skipped: blob::decode_skipped(&row.skipped),
        skipped_more: u64::try_from(row.skipped_more).unwrap_or(0),
    };
    let deliveries = blob::decode_channels(&row.channels).len() + beyond;
    Ok(Some(EventRecord { event: row.event, verdicts, deliveries, expanding: expanding(connection, event)? }))
}

/// The slices of a large fan-out that reach above `after`: first delivery and channels.
fn expanded(
    connection: &Connection,
    event: EventId,
    after: DeliveryId,
) -> rusqlite::Result<Vec<(i64, Vec<ChannelId>)>> {
    let slice = |row: &Row<'_>| {
        let channels = blob::decode_channels(row.get_ref(1)?.as_blob()?);
        Ok((row.get::<_, i64>(0)?, channels))
    };
    let slices: Vec<_> = connection
        .prepare_cached("SELECT first_delivery, channels FROM expanded WHERE event_id = ?1 ORDER BY first_delivery")?
        .query_map([event.0], slice)?
        .collect::<Result<_, _>>()?;
    let reaches = |(first, channels): &(i64, Vec<ChannelId>)| {
        first + i64::try_from(channels.len()).unwrap_or(i64::MAX) > after.0 + 1
    };
    Ok(slices.into_iter().filter(reaches).collect())
}

fn deliveries_of(
    connection: &Connection,
    tenant: TenantId,
    event: EventId,
    after: DeliveryId,
    rows_max: usize,
) -> rusqlite::Result<Vec<Delivery>> {
    let Some(row) = event_row(connection, event)?.filter(|row| row.event.content.tenant == tenant) else {
        return Ok(Vec::new());
    };
    let mut runs = vec![(row.first_delivery, blob::decode_channels(&row.channels))];
    runs.extend(expanded(connection, event, after)?);
    let ids = runs
        .iter()
        .flat_map(|(first, channels)| (*first..).zip(channels))
        .map(|(id, _)| DeliveryId(id))
        .filter(|id| *id > after);
    // What retention has dropped does not make the page shorter.
    ids.filter_map(|id| delivery(connection, tenant, id).transpose()).take(rows_max).collect()
}

pub(super) fn delivery(
    connection: &Connection,
    tenant: TenantId,
    delivery: DeliveryId,
) -> rusqlite::Result<Option<Delivery>> {
    let only = Only {
        tenant,
        channel: None,
        before: DeliveryId(delivery.0.saturating_add(1)),
        at_least: delivery,
        rows_max: 1,
    };
    let waiting = waiting(connection, &only, WaitingWhat::Any)?;
    if let Some(found) = waiting.into_iter().next() {
        return Ok(Some(found));
    }
    if let Some(found) = dead(connection, &only)?.into_iter().next() {
        return Ok(Some(found));
    }
    settled(connection, tenant, delivery)
}

/// A delivery of history.
pub(super) fn settled(
    connection: &Connection,
    tenant: TenantId,
    delivery: DeliveryId,
) -> rusqlite::Result<Option<Delivery>> {
    // Oldest first: most deliveries settle soon, into the first segment that reaches as far as their id.
    for segment in segments::list(connection, Kind::Settled, delivery.0, delivery.0)?.into_iter().rev() {
        let sql = format!("SELECT {SETTLED_COLUMNS} FROM {} WHERE id = ?1 AND tenant_id = ?2", segment.table);
        let found = connection.prepare_cached(&sql)?.query_row([delivery.0, tenant.0], read_settled).optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Which rows of a source are wanted, newest first.
struct Only {
    tenant: TenantId,
    channel: Option<ChannelId>,
    before: DeliveryId,
    at_least: DeliveryId,
    rows_max: usize,
}

impl Only {
    /// The condition and its values; `?1` to `?4`. With a channel the channel's index is used, else the tenant's: the
    /// plus sign keeps SQLite from the index of the column after it.
    fn condition(&self, id: &str) -> (String, Vec<Value>) {
        let (plus, channel) = if self.channel.is_some() { ("+", " AND channel_id = ?4") } else { ("", "") };
        let condition = format!("{plus}tenant_id = ?1 AND {id} < ?2 AND {id} >= ?3{channel}");
        let mut values = vec![self.tenant.0.into(), self.before.0.into(), self.at_least.0.into()];
        values.extend(self.channel.map(|channel| Value::from(channel.0)));
        (condition, values)
    }

    fn limit(&self) -> i64 {
        i64::try_from(self.rows_max).unwrap_or(i64::MAX)
    }
}

fn deliveries(connection: &Connection, tenant: TenantId, query: &DeliveryQuery) -> rusqlite::Result<Vec<Delivery>> {
    let only = Only {
        tenant,
        channel: query.channel,
        before: query.before.unwrap_or(DeliveryId(i64::MAX)),
        at_least: DeliveryId(0),
        rows_max: query.rows_max,
    };
    match query.state {
        Some(StateFilter::Pending) => waiting(connection, &only, WaitingWhat::Pending),
        Some(StateFilter::Retrying) => waiting(connection, &only, WaitingWhat::Retrying),
        Some(StateFilter::Waiting) => waiting(connection, &only, WaitingWhat::Any),
        Some(StateFilter::Dead) => dead(connection, &only),
        Some(StateFilter::Settled(state)) => settled_list(connection, &only, Some(state)),
        None => {
            let mut all = waiting(connection, &only, WaitingWhat::Any)?;
            all.extend(dead(connection, &only)?);
            all.extend(settled_list(connection, &only, None)?);
            all.sort_unstable_by_key(|delivery| std::cmp::Reverse(delivery.id));
            all.truncate(query.rows_max);
            Ok(all)
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum WaitingWhat {
    Any,
    Pending,
    Retrying,
}

fn waiting(connection: &Connection, only: &Only, what: WaitingWhat) -> rusqlite::Result<Vec<Delivery>> {
    let (condition, values) = only.condition("delivery_id");
    let tries = match what {
        WaitingWhat::Any => "",
        WaitingWhat::Pending => " AND tries = 0",
        WaitingWhat::Retrying => " AND tries > 0",
    };
    let sql = format!(
        "SELECT delivery_id, tenant_id, channel_id, event_id, created_at, expires_at, attempts, note, tries, due_at
         FROM queue WHERE {condition}{tries} ORDER BY delivery_id DESC LIMIT {}",
        only.limit()
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), |row| {
        let mut delivery = read_delivery(row)?;
        let (tries, due_at): (u32, i64) = (row.get(8)?, row.get(9)?);
        delivery.state = if tries == 0 { State::Pending } else { State::Retrying };
        delivery.next_attempt_at = (due_at > 0).then_some(Timestamp::from_ms(due_at));
        Ok(delivery)
    })?;
    with_types(connection, rows.collect::<Result<_, _>>()?)
}

fn dead(connection: &Connection, only: &Only) -> rusqlite::Result<Vec<Delivery>> {
    let (condition, values) = only.condition("delivery_id");
    let sql = format!(
        "SELECT delivery_id, tenant_id, channel_id, event_id, created_at, expires_at, attempts, note, died_at
         FROM dead WHERE {condition} ORDER BY delivery_id DESC LIMIT {}",
        only.limit()
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params_from_iter(values), |row| {
        let mut delivery = read_delivery(row)?;
        delivery.state = State::Dead;
        delivery.settled_at = Some(Timestamp::from_ms(row.get(8)?));
        Ok(delivery)
    })?;
    with_types(connection, rows.collect::<Result<_, _>>()?)
}

fn read_delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        id: DeliveryId(row.get(0)?),
        tenant: TenantId(row.get(1)?),
        channel: ChannelId(row.get(2)?),
        event: EventId(row.get(3)?),
        event_type: String::new(),
        state: State::Pending,
        attempts: row.get(6)?,
        next_attempt_at: None,
        created_at: Timestamp::from_ms(row.get(4)?),
        expires_at: Timestamp::from_ms(row.get(5)?),
        settled_at: None,
        reason: row.get(7)?,
    })
}

/// The live tables do not repeat the event's type.
fn with_types(connection: &Connection, mut deliveries: Vec<Delivery>) -> rusqlite::Result<Vec<Delivery>> {
    for delivery in &mut deliveries {
        delivery.event_type = event_type(connection, delivery.event)?.to_string();
    }
    Ok(deliveries)
}

const SETTLED_COLUMNS: &str =
    "id, tenant_id, channel_id, event_id, created_at, expires_at, attempts, note, event_type, state, settled_at";

fn read_settled(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    let mut delivery = read_delivery(row)?;
    let state: String = row.get(9)?;
    delivery.event_type = row.get(8)?;
    delivery.state = State::parse(&state).unwrap_or(State::Sent);
    delivery.settled_at = Some(Timestamp::from_ms(row.get(10)?));
    Ok(delivery)
}

/// Settled deliveries, newest first. Segments are in order of settling, so their ids overlap: a segment is left out
/// only when the page is full of newer ids than it holds.
fn settled_list(connection: &Connection, only: &Only, state: Option<State>) -> rusqlite::Result<Vec<Delivery>> {
    let (condition, values) = only.condition("id");
    let mut page: Vec<Delivery> = Vec::new();
    for segment in segments::list(connection, Kind::Settled, only.at_least.0, only.before.0)? {
        let oldest = if page.len() == only.rows_max { page.last().map(|delivery| delivery.id.0) } else { None };
        if oldest.is_some_and(|oldest| segment.last_id < oldest) {
            continue;
        }
        let state = state.map_or(String::new(), |state| format!(" AND state = '{}'", state.name()));
        let sql = format!(
            "SELECT {SETTLED_COLUMNS} FROM {} WHERE {condition}{state} ORDER BY id DESC LIMIT {}",
            segment.table,
            only.limit()
        );
        let mut statement = connection.prepare_cached(&sql)?;
        for row in statement.query_map(params_from_iter(values.iter()), read_settled)? {
            page.push(row?);
        }
        page.sort_unstable_by_key(|delivery| std::cmp::Reverse(delivery.id));
        page.truncate(only.rows_max);
    }
    Ok(page)
}

/// Attempts, newest first. Their ids are in order of settling, as are the segments: the first that fill the page do.
fn attempts(connection: &Connection, tenant: TenantId, query: &AttemptQuery) -> rusqlite::Result<Vec<Attempt>> {
    let before = query.before.map_or(i64::MAX, |before| before.0);
    let mut conditions = vec!["id < ?1".to_owned()];
    let mut values: Vec<Value> = vec![before.into()];
    // The first that is given is looked up in its index; the plus sign keeps SQLite from the index of the others.
    for (column, id) in [
        ("delivery_id", query.delivery.map(|delivery| delivery.0)),
        ("channel_id", query.channel.map(|channel| channel.0)),
        ("tenant_id", Some(tenant.0)),
    ] {
        let Some(id) = id else { continue };
        let plus = if values.len() > 1 { "+" } else { "" };
        values.push(id.into());
        conditions.push(format!("{plus}{column} = ?{}", values.len()));
    }
    if let Some(class) = query.class {
        values.push(class.name().to_owned().into());
        conditions.push(format!("class = ?{}", values.len()));
    }
    let condition = conditions.join(" AND ");
    let mut page = Vec::new();
    for segment in segments::list(connection, Kind::Attempts, 0, before)? {
        let wanted = query.rows_max - page.len();
        let sql = format!(
            "SELECT id, delivery_id, tenant_id, channel_id, event_id, provider, event_type, number, step, class,
                    scope, code, hint_ms, reference, note, body, started_at, duration_ms
             FROM {} WHERE {condition} ORDER BY id DESC LIMIT {wanted}",
            segment.table
        );
        let mut statement = connection.prepare_cached(&sql)?;
        for row in statement.query_map(params_from_iter(values.iter()), read_attempt)? {
            page.push(row?);
        }
        if page.len() == query.rows_max {
            break;
        }
    }
    Ok(page)
}

fn read_attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    let (class, scope): (String, String) = (row.get(9)?, row.get(10)?);
    let hint_ms: Option<i64> = row.get(12)?;
    let outcome = Outcome {
        class: Class::parse(&class).unwrap_or(Class::Unknown),
        scope: Scope::parse(&scope).unwrap_or(Scope::Message),
        hint: hint_ms.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0))),
        reference: row.get(13)?,
        note: row.get(14)?,
    };
    let record = AttemptRecord {
        number: row.get(7)?,
        step: row.get(8)?,
        outcome,
        code: row.get(11)?,
        body: row.get(15)?,
        started_at: Timestamp::from_ms(row.get(16)?),
        duration_ms: row.get(17)?,
    };
    Ok(Attempt {
        id: AttemptId(row.get(0)?),
        delivery: DeliveryId(row.get(1)?),
        tenant: TenantId(row.get(2)?),
        channel: ChannelId(row.get(3)?),
        event: EventId(row.get(4)?),
        provider: row.get(5)?,
        event_type: row.get(6)?,
        record,
    })
}

fn stats(connection: &Connection, tenant: TenantId, since: Timestamp) -> rusqlite::Result<Stats> {
    let mut stats = Stats::default();
    let bucket = since.as_ms().div_euclid(BUCKET_MS);
    let mut statement = connection.prepare_cached(
        "SELECT status, SUM(count) FROM counters WHERE tenant_id = ?1 AND bucket >= ?2 GROUP BY status",
    )?;
    let mut rows = statement.query([tenant.0, bucket])?;
    while let Some(row) = rows.next()? {
        let count = u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
        match row.get_ref(0)?.as_str()? {
            "event" => stats.events = count,
            "sent" => stats.sent = count,
            "failed" => stats.failed_attempts = count,
            "cancelled" => stats.cancelled = count,
            "expired" => stats.expired = count,
            _ => {}
        }
    }
    let mut statement = connection.prepare_cached(
        "SELECT channel_id, pending, retrying, dead FROM waiting WHERE tenant_id = ?1 ORDER BY channel_id",
    )?;
    let mut rows = statement.query([tenant.0])?;
    while let Some(row) = rows.next()? {
        let sum = |column| row.get(column).map(|sum: i64| u64::try_from(sum).unwrap_or(0));
        let (pending, retrying, dead) = (sum(1)?, sum(2)?, sum(3)?);
        stats.pending += pending;
        stats.retrying += retrying;
        stats.dead += dead;
        if pending + retrying > 0 {
            stats.waiting.push((ChannelId(row.get(0)?), pending, retrying));
        }
    }
    Ok(stats)
}

fn totals(connection: &Connection) -> rusqlite::Result<Vec<ChannelTotals>> {
    let read = |row: &Row<'_>| {
        let sum = |column| row.get(column).map(|sum: i64| u64::try_from(sum).unwrap_or(0));
        Ok(ChannelTotals { channel: ChannelId(row.get(0)?), pending: sum(1)?, retrying: sum(2)?, dead: sum(3)? })
    };
    let mut statement =
        connection.prepare_cached("SELECT channel_id, pending, retrying, dead FROM waiting ORDER BY channel_id")?;
    let mut totals: Vec<ChannelTotals> = statement.query_map([], read)?.collect::<Result<_, _>>()?;
    totals.retain(|one| one.pending + one.retrying + one.dead > 0);
    Ok(totals)
}

fn subscriptions_at(
    connection: &Connection,
    tenant: TenantId,
    channel: ChannelId,
    version: ConfigVersion,
) -> rusqlite::Result<Vec<Subscription>> {
    let sql = format!(
        "SELECT {SUBSCRIPTION_COLUMNS} FROM subscriptions
         WHERE channel_id = ?2 AND tenant_id = ?1 AND valid_from <= ?3 AND (valid_to IS NULL OR valid_to > ?3)
         ORDER BY valid_from, id"
    );
    connection.prepare_cached(&sql)?.query_map(params![tenant.0, channel.0, version.0], read_subscription)?.collect()
}
