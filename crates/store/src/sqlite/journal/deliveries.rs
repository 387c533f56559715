//! Deliveries: one, those of an event, and the list.
//!
//! A delivery stands in exactly one of three places: the queue, the dead letters, or a segment of settled ones. A list
//! over all of them is a merge of lists that are each in order of id.

use std::collections::VecDeque;

use domain::delivery::{Delivery, State};
use domain::{ChannelId, DeliveryId, DigestId, EventId, ReasonCode, TenantId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::queue::{EventRow, event_row, event_type};
use super::super::segments::{self, Kind, Lookup, Order, Search, Segment};
use super::CHUNK;
use super::events::expanded;
use crate::blob;
use crate::journal::{DeliveryQuery, Page, StateFilter};
use crate::settings::{code_of, read_code};

pub(super) fn deliveries_of(
    connection: &Connection,
    tenant: TenantId,
    event: EventId,
    after: DeliveryId,
    rows_max: usize,
) -> rusqlite::Result<Vec<Delivery>> {
    let made = made(connection, tenant, event, after)?;
    // What retention has dropped does not make the page shorter.
    made.into_iter().filter_map(|(id, _)| delivery(connection, tenant, id).transpose()).take(rows_max).collect()
}

pub(super) fn delivery_to(
    connection: &Connection,
    tenant: TenantId,
    event: EventId,
    channel: ChannelId,
) -> rusqlite::Result<Option<Delivery>> {
    let Some(row) = event_row(connection, event)?.filter(|row| row.event.content.tenant == tenant) else {
        return Ok(None);
    };
    newest_to(connection, &row, channel)?.map_or(Ok(None), |id| delivery(connection, tenant, id))
}

/// The newest delivery of an event to a channel: a redrive may have made a second one.
pub(in crate::sqlite) fn newest_to(
    connection: &Connection,
    row: &EventRow,
    channel: ChannelId,
) -> rusqlite::Result<Option<DeliveryId>> {
    let made = all_made(connection, row, DeliveryId(0))?;
    Ok(made.filter(|(_, to)| *to == channel).map(|(id, _)| id).max())
}

/// The deliveries of an event above `after` in order of id, and where they go. None when the tenant has no such event.
pub(super) fn made(
    connection: &Connection,
    tenant: TenantId,
    event: EventId,
    after: DeliveryId,
) -> rusqlite::Result<Vec<(DeliveryId, ChannelId)>> {
    let Some(row) = event_row(connection, event)?.filter(|row| row.event.content.tenant == tenant) else {
        return Ok(Vec::new());
    };
    Ok(all_made(connection, &row, after)?.filter(|(id, _)| *id > after).collect())
}

fn all_made(
    connection: &Connection,
    row: &EventRow,
    after: DeliveryId,
) -> rusqlite::Result<impl Iterator<Item = (DeliveryId, ChannelId)> + use<>> {
    let mut runs = vec![(row.first_delivery, blob::decode_channels(&row.channels))];
    runs.extend(expanded(connection, row.event.id, after)?);
    Ok(runs.into_iter().flat_map(|(first, channels)| (first..).map(DeliveryId).zip(channels)))
}

pub(in crate::sqlite) fn delivery(
    connection: &Connection,
    tenant: TenantId,
    delivery: DeliveryId,
) -> rusqlite::Result<Option<Delivery>> {
    let ids = [tenant.0, delivery.0];
    let sql = format!("SELECT {QUEUE_COLUMNS} FROM queue WHERE tenant_id = ?1 AND delivery_id = ?2");
    let mut found = connection.prepare_cached(&sql)?.query_row(ids, read_waiting).optional()?;
    if found.is_none() {
        let sql = format!("SELECT {DEAD_COLUMNS} FROM dead WHERE tenant_id = ?1 AND delivery_id = ?2");
        found = connection.prepare_cached(&sql)?.query_row(ids, read_dead).optional()?;
    }
    match found {
        Some(mut found) => {
            complete(connection, &mut found)?;
            Ok(Some(found))
        }
        None => settled(connection, tenant, delivery),
    }
}

/// A delivery of history.
pub(in crate::sqlite) fn settled(
    connection: &Connection,
    tenant: TenantId,
    delivery: DeliveryId,
) -> rusqlite::Result<Option<Delivery>> {
    // Oldest first: most deliveries settle soon, into the first segment that reaches as far as their id.
    for segment in segments::list(connection, Kind::Settled, delivery.0, delivery.0)?.into_iter().rev() {
        let sql = format!("SELECT {SETTLED_COLUMNS} FROM settled WHERE segment = ?1 AND id = ?2 AND tenant_id = ?3");
        let values = [segment.number, delivery.0, tenant.0];
        let found = connection.prepare_cached(&sql)?.query_row(values, read_settled).optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

pub(super) fn deliveries(
    connection: &Connection,
    tenant: TenantId,
    query: &DeliveryQuery,
) -> rusqlite::Result<Page<Delivery, DeliveryId>> {
    let before = query.before.unwrap_or(DeliveryId(i64::MAX));
    let Some(event) = query.event else {
        let mut merge = Merge::new(connection, tenant, query, before.0)?;
        return page_of(connection, query, || merge.next());
    };
    // The ids are known, so each is looked up.
    let mut made = made(connection, tenant, event, DeliveryId(0))?;
    made.retain(|(id, to)| *id < before && query.channel.is_none_or(|channel| *to == channel));
    let mut found = made.into_iter().rev().filter_map(|(id, _)| delivery(connection, tenant, id).transpose());
    page_of(connection, query, || found.next().transpose())
}

/// Examines what `next` gives, newest first, until the page is full or enough was examined.
fn page_of(
    connection: &Connection,
    query: &DeliveryQuery,
    mut next: impl FnMut() -> rusqlite::Result<Option<Delivery>>,
) -> rusqlite::Result<Page<Delivery, DeliveryId>> {
    let mut page = Page { rows: Vec::new(), next: None };
    let mut examined = 0;
    while let Some(mut delivery) = next()? {
        let id = delivery.id;
        if is_wanted(connection, query, &mut delivery)? {
            complete(connection, &mut delivery)?;
            page.rows.push(delivery);
        }
        examined += 1;
        if page.rows.len() >= query.rows_max || examined >= query.examined_max {
            page.next = Some(id);
            break;
        }
    }
    Ok(page)
}

fn is_wanted(connection: &Connection, query: &DeliveryQuery, delivery: &mut Delivery) -> rusqlite::Result<bool> {
    let is_wanted = query.state.is_none_or(|filter| filter.covers(delivery.state))
        && query.event.is_none_or(|event| delivery.event == event)
        && query.created.contains(delivery.created_at)
        && query.text.as_ref().is_none_or(|text| text.is_in(&delivery.reason));
    let Some(pattern) = query.event_types.as_ref().filter(|_| is_wanted) else { return Ok(is_wanted) };
    complete(connection, delivery)?;
    Ok(pattern.matches(&delivery.event_type))
}

/// The live tables do not repeat the event's type.
pub(in crate::sqlite) fn complete(connection: &Connection, delivery: &mut Delivery) -> rusqlite::Result<()> {
    if delivery.event_type.is_empty() {
        delivery.event_type = event_type(connection, delivery.event)?.to_string();
    }
    Ok(())
}

impl StateFilter {
    fn covers(self, state: State) -> bool {
        match self {
            Self::Pending => state == State::Pending,
            Self::Retrying => state == State::Retrying,
            Self::Waiting => matches!(state, State::Pending | State::Retrying),
            Self::Dead => state == State::Dead,
            Self::Settled(one) => state == one,
        }
    }
}

/// The places where deliveries stand, as one list in order of id.
struct Merge<'c> {
    connection: &'c Connection,
    tenant: TenantId,
    channel: Option<ChannelId>,
    /// Those that may give the newest come first.
    sources: Vec<Source>,
}

/// A place where deliveries stand.
#[derive(Clone, Copy)]
enum Place {
    Queue,
    Dead,
    Settled(Segment),
}

/// One place, read newest first, a chunk at a time.
struct Source {
    place: Place,
    /// The largest id that it may still give.
    top: i64,
    buffer: VecDeque<Delivery>,
    is_drained: bool,
}

impl<'c> Merge<'c> {
    fn new(connection: &'c Connection, tenant: TenantId, query: &DeliveryQuery, before: i64) -> rusqlite::Result<Self> {
        let source =
            |place, last: i64| Source { place, top: last.min(before - 1), buffer: VecDeque::new(), is_drained: false };
        let mut sources = Vec::new();
        let has = |places: &[StateFilter]| {
            query.state.is_none_or(|filter| {
                let is_settled = matches!(filter, StateFilter::Settled(_));
                places.contains(&filter) || (is_settled && places.is_empty())
            })
        };
        if has(&[StateFilter::Pending, StateFilter::Retrying, StateFilter::Waiting]) {
            sources.push(source(Place::Queue, i64::MAX));
        }
        if has(&[StateFilter::Dead]) {
            sources.push(source(Place::Dead, i64::MAX));
        }
        if has(&[]) {
            // In order of settling, so their ids overlap.
            for segment in segments::list(connection, Kind::Settled, 0, before)? {
                sources.push(source(Place::Settled(segment), segment.last_id));
            }
        }
        sources.sort_by_key(|source| std::cmp::Reverse(source.top));
        Ok(Self { connection, tenant, channel: query.channel, sources })
    }

    /// The newest that was not given yet.
    fn next(&mut self) -> rusqlite::Result<Option<Delivery>> {
        let mut newest: Option<(DeliveryId, usize)> = None;
        for (position, source) in self.sources.iter_mut().enumerate() {
            // It can give nothing newer, so it is not read yet.
            if newest.is_some_and(|(id, _)| source.buffer.is_empty() && source.top < id.0) {
                continue;
            }
            source.fill(self.connection, self.tenant, self.channel)?;
            let head = source.buffer.front().map(|delivery| delivery.id);
            if head > newest.map(|(id, _)| id) {
                newest = head.map(|id| (id, position));
            }
        }
        Ok(newest.and_then(|(_, position)| self.sources[position].buffer.pop_front()))
    }
}

impl Source {
    fn fill(&mut self, connection: &Connection, tenant: TenantId, channel: Option<ChannelId>) -> rusqlite::Result<()> {
        if self.is_drained || !self.buffer.is_empty() {
            return Ok(());
        }
        self.buffer = match self.place {
            Place::Queue => live(connection, ("queue", QUEUE_COLUMNS, read_waiting), tenant, channel, self.top)?,
            Place::Dead => live(connection, ("dead", DEAD_COLUMNS, read_dead), tenant, channel, self.top)?,
            Place::Settled(segment) => settled_to(connection, &segment, tenant, channel, self.top)?,
        };
        self.is_drained = self.buffer.len() < CHUNK;
        self.top = self.buffer.back().map_or(0, |last| last.id.0 - 1);
        Ok(())
    }
}

/// A table of deliveries that are not over, with its columns and how they are read.
type Live = (&'static str, &'static str, fn(&Row<'_>) -> rusqlite::Result<Delivery>);

/// The newest of a tenant, or to one of its channels, up to an id.
fn live(
    connection: &Connection,
    (table, columns, read): Live,
    tenant: TenantId,
    channel: Option<ChannelId>,
    top: i64,
) -> rusqlite::Result<VecDeque<Delivery>> {
    // With a channel the channel's index is used, else the tenant's: the plus sign keeps SQLite from the index of the
    // column after it.
    let whose = if channel.is_some() { "+tenant_id = ?1 AND channel_id = ?3" } else { "tenant_id = ?1 AND ?3 IS NULL" };
    let sql = format!(
        "SELECT {columns} FROM {table}
         WHERE {whose} AND delivery_id <= ?2 ORDER BY delivery_id DESC LIMIT {CHUNK}"
    );
    let values = params![tenant.0, top, channel.map(|channel| channel.0)];
    connection.prepare_cached(&sql)?.query_map(values, read)?.collect()
}

/// The same of a segment of history.
fn settled_to(
    connection: &Connection,
    segment: &Segment,
    tenant: TenantId,
    channel: Option<ChannelId>,
    top: i64,
) -> rusqlite::Result<VecDeque<Delivery>> {
    let (lookup, sought) = channel.map_or((Lookup::Tenant, tenant.0), |channel| (Lookup::Channel, channel.0));
    let search = Search { lookup, sought, above: 0, below: top.saturating_add(1), tenant, rows_max: CHUNK };
    Ok(segment.find(connection, &search, Order::NewestFirst, SETTLED_COLUMNS, read_settled)?.into())
}

const QUEUE_COLUMNS: &str = "delivery_id, tenant_id, channel_id, event_id, created_at, expires_at, attempts, note, digest_id, tries, \
     due_at";

fn read_waiting(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    let mut delivery = read_delivery(row)?;
    let (tries, due_at): (u32, i64) = (row.get(9)?, row.get(10)?);
    if tries > 0 {
        (delivery.state, delivery.code) = (State::Retrying, ReasonCode::WaitsForRetry);
    }
    delivery.next_attempt_at = (due_at > 0).then_some(Timestamp::from_ms(due_at));
    Ok(delivery)
}

pub(in crate::sqlite) const DEAD_COLUMNS: &str = "delivery_id, tenant_id, channel_id, event_id, created_at, expires_at, attempts, note, digest_id, died_at, \
     reason_code";

pub(in crate::sqlite) fn read_dead(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    let mut delivery = read_delivery(row)?;
    delivery.state = State::Dead;
    delivery.settled_at = Some(Timestamp::from_ms(row.get(9)?));
    delivery.code = read_code(row.get(10)?, ReasonCode::ReasonNotKept);
    Ok(delivery)
}

const SETTLED_COLUMNS: &str = "id, tenant_id, channel_id, event_id, created_at, expires_at, attempts, note, digest_id, event_type, state, \
     settled_at, reason_code";

fn read_settled(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    let mut delivery = read_delivery(row)?;
    let state: String = row.get(10)?;
    delivery.event_type = row.get(9)?;
    delivery.state = State::parse(&state).unwrap_or(State::Sent);
    delivery.settled_at = Some(Timestamp::from_ms(row.get(11)?));
    delivery.code = code_of(delivery.state, row.get(12)?);
    Ok(delivery)
}

fn read_delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        id: DeliveryId(row.get(0)?),
        tenant: TenantId(row.get(1)?),
        channel: ChannelId(row.get(2)?),
        event: EventId(row.get(3)?),
        event_type: String::new(),
        state: State::Pending,
        code: ReasonCode::WaitsForTurn,
        attempts: row.get(6)?,
        next_attempt_at: None,
        created_at: Timestamp::from_ms(row.get(4)?),
        expires_at: Timestamp::from_ms(row.get(5)?),
        settled_at: None,
        digest: row.get::<_, Option<i64>>(8)?.map(DigestId),
        reason: row.get(7)?,
    })
}
