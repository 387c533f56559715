//! Deliveries: one, those of an event, and the list.
//!
//! A delivery stands in exactly one of three places: the queue, the dead letters, or the settled ones. A list over all
//! of them is a merge of lists that are each in order of id.

use std::collections::{BTreeMap, VecDeque};

use domain::delivery::{Delivery, State};
use domain::{ChannelId, DeliveryId, DigestId, EventId, ReasonCode, TenantId, Timestamp};
use tokio_postgres::{Error, Row};

use super::super::queue::{EventRow, event_row};
use super::super::statements::{Connection, limit, query, query_opt, unsigned};
use super::CHUNK;
use super::events::expanded;
use crate::blob;
use crate::journal::{DeliveryQuery, Page, StateFilter};
use crate::settings::{code_of, read_code};

pub(super) async fn deliveries_of(
    connection: &Connection,
    tenant: TenantId,
    event: EventId,
    after: DeliveryId,
    rows_max: usize,
) -> Result<Vec<Delivery>, Error> {
    let made = made(connection, tenant, event, after).await?;
    let mut found = Vec::new();
    // What retention has dropped does not make the page shorter.
    for ids in made.chunks(CHUNK) {
        found.extend(these(connection, tenant, ids).await?.into_values());
        if found.len() >= rows_max {
            break;
        }
    }
    found.truncate(rows_max);
    Ok(found)
}

pub(super) async fn delivery_to(
    connection: &Connection,
    tenant: TenantId,
    event: EventId,
    channel: ChannelId,
) -> Result<Option<Delivery>, Error> {
    let Some(row) = event_row(connection, tenant, event).await? else { return Ok(None) };
    match newest_to_each(connection, &[row], channel).await?[..] {
        [Some(id)] => delivery(connection, tenant, id).await,
        _ => Ok(None),
    }
}

/// The newest delivery to a channel of each event: a redrive may have made a second one.
pub(in crate::postgres) async fn newest_to_each(
    connection: &Connection,
    rows: &[EventRow],
    channel: ChannelId,
) -> Result<Vec<Option<DeliveryId>>, Error> {
    let ids: Vec<_> = rows.iter().map(|row| row.event.id.0).collect();
    let mut beyond: BTreeMap<EventId, Option<DeliveryId>> = BTreeMap::new();
    let sql = "SELECT event_id, first_delivery, channels FROM expanded WHERE event_id = ANY ($1)";
    for row in query(connection, sql, &[&ids]).await? {
        let newest = beyond.entry(EventId(row.try_get(0)?)).or_default();
        *newest = (*newest).max(newest_in(row.try_get(1)?, row.try_get(2)?, channel));
    }
    let newest = |row: &EventRow| {
        let own = newest_in(row.first_delivery, &row.channels, channel);
        own.max(beyond.get(&row.event.id).copied().flatten())
    };
    Ok(rows.iter().map(newest).collect())
}

/// The newest delivery to a channel in a run of them.
fn newest_in(first: i64, channels: &[u8], channel: ChannelId) -> Option<DeliveryId> {
    let channels: Vec<ChannelId> = blob::decode_channels(channels);
    (first..).map(DeliveryId).zip(channels).filter(|(_, to)| *to == channel).map(|(id, _)| id).max()
}

/// The deliveries of an event above `after` in order of id, and where they go. None when the tenant has no such event.
pub(super) async fn made(
    connection: &Connection,
    tenant: TenantId,
    event: EventId,
    after: DeliveryId,
) -> Result<Vec<(DeliveryId, ChannelId)>, Error> {
    let Some(row) = event_row(connection, tenant, event).await? else { return Ok(Vec::new()) };
    Ok(all_made(connection, &row, after).await?.filter(|(id, _)| *id > after).collect())
}

async fn all_made(
    connection: &Connection,
    row: &EventRow,
    after: DeliveryId,
) -> Result<impl Iterator<Item = (DeliveryId, ChannelId)> + use<>, Error> {
    let mut runs = vec![(row.first_delivery, blob::decode_channels(&row.channels))];
    runs.extend(expanded(connection, row.event.id, after).await?);
    Ok(runs.into_iter().flat_map(|(first, channels)| (first..).map(DeliveryId).zip(channels)))
}

pub(super) async fn delivery(
    connection: &Connection,
    tenant: TenantId,
    delivery: DeliveryId,
) -> Result<Option<Delivery>, Error> {
    // Where it goes is not needed to find it.
    let found = these(connection, tenant, &[(delivery, ChannelId(0))]).await?;
    Ok(found.into_values().next())
}

/// These deliveries, as far as they are there. All places are asked at once.
pub(in crate::postgres) async fn these(
    connection: &Connection,
    tenant: TenantId,
    made: &[(DeliveryId, ChannelId)],
) -> Result<BTreeMap<DeliveryId, Delivery>, Error> {
    let ids: Vec<_> = made.iter().map(|(id, _)| id.0).collect();
    let [queue, dead, settled] = Place::ALL;
    let (queue, dead, settled) = tokio::try_join!(
        these_in(connection, &queue, tenant, &ids),
        these_in(connection, &dead, tenant, &ids),
        these_in(connection, &settled, tenant, &ids),
    )?;
    Ok(queue.into_iter().chain(dead).chain(settled).map(|delivery| (delivery.id, delivery)).collect())
}

async fn these_in(
    connection: &Connection,
    place: &Place,
    tenant: TenantId,
    ids: &[i64],
) -> Result<Vec<Delivery>, Error> {
    let Place { table, id, columns, read, .. } = place;
    let sql = format!(
        "SELECT found.*
         FROM unnest($2::bigint[]) AS asked (wanted)
         CROSS JOIN LATERAL (SELECT {columns} FROM {table}
                             WHERE tenant_id = $1 AND {id} BETWEEN asked.wanted AND asked.wanted
                             ORDER BY {id} LIMIT 1) AS found"
    );
    query(connection, &sql, &[&tenant.0, &ids]).await?.iter().map(read).collect()
}

/// A delivery of history.
pub(in crate::postgres) async fn settled(
    connection: &Connection,
    tenant: TenantId,
    delivery: DeliveryId,
) -> Result<Option<Delivery>, Error> {
    let sql = format!("SELECT {SETTLED_COLUMNS} FROM settled WHERE tenant_id = $1 AND id = $2");
    query_opt(connection, &sql, &[&tenant.0, &delivery.0]).await?.map(|row| read_settled(&row)).transpose()
}

pub(super) async fn deliveries(
    connection: &Connection,
    tenant: TenantId,
    query: DeliveryQuery,
) -> Result<Page<Delivery, DeliveryId>, Error> {
    let mut page = PageOf { query: &query, page: Page { rows: Vec::new(), next: None }, examined: 0 };
    let before = query.before.unwrap_or(DeliveryId(i64::MAX));
    let Some(event) = query.event else {
        let mut merge = Merge::new(connection, tenant, &query, before.0);
        while let Some(delivery) = merge.next().await? {
            if page.take(delivery) {
                break;
            }
        }
        return Ok(page.page);
    };
    // The ids are known, so each is looked up.
    let mut made = made(connection, tenant, event, DeliveryId(0)).await?;
    made.retain(|(id, to)| *id < before && query.channel.is_none_or(|channel| *to == channel));
    made.reverse();
    for ids in made.chunks(CHUNK) {
        for delivery in these(connection, tenant, ids).await?.into_values().rev() {
            if page.take(delivery) {
                return Ok(page.page);
            }
        }
    }
    Ok(page.page)
}

/// A page that is filled newest first, until it is full or enough was examined.
struct PageOf<'q> {
    query: &'q DeliveryQuery,
    page: Page<Delivery, DeliveryId>,
    examined: usize,
}

impl PageOf<'_> {
    /// Examines a delivery. Returns whether the page is over with it.
    fn take(&mut self, delivery: Delivery) -> bool {
        let id = delivery.id;
        if is_wanted(self.query, &delivery) {
            self.page.rows.push(delivery);
        }
        self.examined += 1;
        let is_over = self.page.rows.len() >= self.query.rows_max || self.examined >= self.query.examined_max;
        if is_over {
            self.page.next = Some(id);
        }
        is_over
    }
}

fn is_wanted(query: &DeliveryQuery, delivery: &Delivery) -> bool {
    query.state.is_none_or(|filter| covers(filter, delivery.state))
        && query.event.is_none_or(|event| delivery.event == event)
        && query.created.contains(delivery.created_at)
        && query.text.as_ref().is_none_or(|text| text.is_in(&delivery.reason))
        && query.event_types.as_ref().is_none_or(|pattern| pattern.matches(&delivery.event_type))
}

/// A place where deliveries stand.
struct Place {
    table: &'static str,
    id: &'static str,
    columns: &'static str,
    read: fn(&Row) -> Result<Delivery, Error>,
    /// The rows below $2 of the tenant $1.
    of_tenant: &'static str,
    /// The same of its channel $4.
    of_channel: &'static str,
    /// Which states stand there.
    holds: fn(StateFilter) -> bool,
}

impl Place {
    const ALL: [Self; 3] = [
        Self {
            table: "queue",
            id: "delivery_id",
            columns: QUEUE_COLUMNS,
            read: read_waiting,
            of_tenant: "tenant_id = $1 AND delivery_id <= $2 ORDER BY delivery_id DESC",
            of_channel: "tenant_id + 0 = $1 AND channel_id = $4 AND delivery_id <= $2 ORDER BY delivery_id DESC",
            holds: |state| matches!(state, StateFilter::Pending | StateFilter::Retrying | StateFilter::Waiting),
        },
        Self {
            table: "dead",
            id: "delivery_id",
            columns: DEAD_COLUMNS,
            read: read_dead,
            // All dead letters have an index in order of id as well. Pairs keep PostgreSQL from walking through it until
            // it has come past enough of the rows that are asked for.
            of_tenant: "(tenant_id, delivery_id) <= ($1, $2) AND tenant_id >= $1
                        ORDER BY tenant_id DESC, delivery_id DESC",
            of_channel: "tenant_id + 0 = $1 AND (channel_id, delivery_id) <= ($4, $2) AND channel_id >= $4
                         ORDER BY channel_id DESC, delivery_id DESC",
            holds: |state| state == StateFilter::Dead,
        },
        Self {
            table: "settled",
            id: "id",
            columns: SETTLED_COLUMNS,
            read: read_settled,
            of_tenant: "tenant_id = $1 AND id <= $2 ORDER BY id DESC",
            of_channel: "tenant_id + 0 = $1 AND channel_id = $4 AND id <= $2 ORDER BY id DESC",
            holds: |state| matches!(state, StateFilter::Settled(_)),
        },
    ];
}

/// The places where deliveries stand, as one list in order of id.
struct Merge<'c> {
    connection: &'c Connection,
    tenant: TenantId,
    channel: Option<ChannelId>,
    sources: Vec<Source>,
}

/// One place, read newest first, a chunk at a time.
struct Source {
    sql: String,
    read: fn(&Row) -> Result<Delivery, Error>,
    /// The largest id that it may still give.
    top: i64,
    buffer: VecDeque<Delivery>,
    is_drained: bool,
}

impl<'c> Merge<'c> {
    fn new(connection: &'c Connection, tenant: TenantId, query: &DeliveryQuery, before: i64) -> Self {
        // With a channel the channel's index is used, else the tenant's: a sum keeps PostgreSQL from the index of the
        // column in it.
        let rows = |place: &Place| if query.channel.is_some() { place.of_channel } else { place.of_tenant };
        let source = |place: Place| Source {
            sql: format!("SELECT {} FROM {} WHERE {} LIMIT $3", place.columns, place.table, rows(&place)),
            read: place.read,
            top: before - 1,
            buffer: VecDeque::new(),
            is_drained: false,
        };
        let is_asked = |place: &Place| query.state.is_none_or(place.holds);
        let sources = Place::ALL.into_iter().filter(is_asked).map(source).collect();
        Self { connection, tenant, channel: query.channel, sources }
    }

    /// The newest that was not given yet.
    async fn next(&mut self) -> Result<Option<Delivery>, Error> {
        let mut newest: Option<(DeliveryId, usize)> = None;
        for (position, source) in self.sources.iter_mut().enumerate() {
            source.fill(self.connection, self.tenant, self.channel).await?;
            let head = source.buffer.front().map(|delivery| delivery.id);
            if head > newest.map(|(id, _)| id) {
                newest = head.map(|id| (id, position));
            }
        }
        Ok(newest.and_then(|(_, position)| self.sources[position].buffer.pop_front()))
    }
}

impl Source {
    async fn fill(
        &mut self,
        connection: &Connection,
        tenant: TenantId,
        channel: Option<ChannelId>,
    ) -> Result<(), Error> {
        if self.is_drained || !self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = limit(CHUNK);
        let rows = match channel {
            None => query(connection, &self.sql, &[&tenant.0, &self.top, &chunk]).await?,
            Some(channel) => query(connection, &self.sql, &[&tenant.0, &self.top, &chunk, &channel.0]).await?,
        };
        self.buffer = rows.iter().map(self.read).collect::<Result<_, _>>()?;
        self.is_drained = self.buffer.len() < CHUNK;
        self.top = self.buffer.back().map_or(0, |last| last.id.0 - 1);
        Ok(())
    }
}

fn covers(filter: StateFilter, state: State) -> bool {
    match filter {
        StateFilter::Pending => state == State::Pending,
        StateFilter::Retrying => state == State::Retrying,
        StateFilter::Waiting => matches!(state, State::Pending | State::Retrying),
        StateFilter::Dead => state == State::Dead,
        StateFilter::Settled(one) => state == one,
    }
}

// The live tables do not repeat the event's type; it is empty when the event is gone.

const QUEUE_COLUMNS: &str = "delivery_id, tenant_id, channel_id, event_id, created_at, expires_at, attempts, note, \
                             coalesce((SELECT type FROM known_events AS known WHERE known.tenant_id = queue.tenant_id \
                                       AND known.id = queue.event_id LIMIT 1), ''), digest_id, tries, due_at";

fn read_waiting(row: &Row) -> Result<Delivery, Error> {
    let mut delivery = read_delivery(row)?;
    let (tries, due_at): (i64, i64) = (row.try_get(10)?, row.try_get(11)?);
    if tries > 0 {
        (delivery.state, delivery.code) = (State::Retrying, ReasonCode::WaitsForRetry);
    }
    delivery.next_attempt_at = (due_at > 0).then_some(Timestamp::from_ms(due_at));
    Ok(delivery)
}

pub(in crate::postgres) const DEAD_COLUMNS: &str = "delivery_id, tenant_id, channel_id, event_id, created_at, expires_at, attempts, note, \
                            coalesce((SELECT type FROM known_events AS known WHERE known.tenant_id = dead.tenant_id \
                                      AND known.id = dead.event_id LIMIT 1), ''), digest_id, died_at, reason_code";

pub(in crate::postgres) fn read_dead(row: &Row) -> Result<Delivery, Error> {
    let mut delivery = read_delivery(row)?;
    delivery.state = State::Dead;
    delivery.settled_at = Some(Timestamp::from_ms(row.try_get(10)?));
    delivery.code = read_code(row.try_get(11)?, ReasonCode::ReasonNotKept);
    Ok(delivery)
}

const SETTLED_COLUMNS: &str = "id, tenant_id, channel_id, event_id, created_at, expires_at, attempts, note, event_type, digest_id, state, \
     settled_at, reason_code";

fn read_settled(row: &Row) -> Result<Delivery, Error> {
    let mut delivery = read_delivery(row)?;
    delivery.state = State::parse(row.try_get(10)?).unwrap_or(State::Sent);
    delivery.settled_at = Some(Timestamp::from_ms(row.try_get(11)?));
    delivery.code = code_of(delivery.state, row.try_get(12)?);
    Ok(delivery)
}

fn read_delivery(row: &Row) -> Result<Delivery, Error> {
    Ok(Delivery {
        id: DeliveryId(row.try_get(0)?),
        tenant: TenantId(row.try_get(1)?),
        channel: ChannelId(row.try_get(2)?),
        event: EventId(row.try_get(3)?),
        event_type: row.try_get(8)?,
        state: State::Pending,
        code: ReasonCode::WaitsForTurn,
        attempts: unsigned(row, 6)?,
        next_attempt_at: None,
        created_at: Timestamp::from_ms(row.try_get(4)?),
        expires_at: Timestamp::from_ms(row.try_get(5)?),
        settled_at: None,
        digest: row.try_get::<_, Option<i64>>(9)?.map(DigestId),
        reason: row.try_get(7)?,
    })
}
