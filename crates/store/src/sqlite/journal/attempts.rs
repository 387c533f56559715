//! Attempts: the list.

use std::time::Duration;

use domain::delivery::{Attempt, AttemptRecord};
use domain::outcome::{Class, Outcome, Scope};
use domain::{AttemptId, ChannelId, DeliveryId, DigestId, EventId, TenantId, Timestamp};
use rusqlite::{Connection, Row};

use super::super::segments::{Kind, Lookup, Order, Search, Segment};
use super::deliveries::made;
use super::{Bounds, CHUNK, newest_first};
use crate::journal::{AttemptQuery, Page};

/// An event with at most so many deliveries is listed by looking each of them up; for one with more, all attempts are
/// examined.
const LOOKED_UP_MAX: usize = 32;

/// By what the rows are found.
enum Wanted {
    Deliveries(Vec<DeliveryId>),
    Channel(ChannelId),
    Tenant,
}

pub(super) fn attempts(
    connection: &Connection,
    tenant: TenantId,
    query: &AttemptQuery,
) -> rusqlite::Result<Page<Attempt, AttemptId>> {
    let before = query.before.map_or(i64::MAX, |before| before.0);
    let bounds = Bounds { before, rows_max: query.rows_max, examined_max: query.examined_max };
    let wanted = wanted(connection, tenant, query)?;
    let read = |segment: &Segment, below: i64| rows_below(connection, segment, tenant, &wanted, below);
    let page = newest_first(connection, Kind::Attempts, bounds, read, |attempt| is_wanted(query, attempt))?;
    Ok(Page { rows: page.rows, next: page.next.map(AttemptId) })
}

fn wanted(connection: &Connection, tenant: TenantId, query: &AttemptQuery) -> rusqlite::Result<Wanted> {
    if let Some(delivery) = query.delivery {
        return Ok(Wanted::Deliveries(vec![delivery]));
    }
    if let Some(event) = query.event {
        let made = made(connection, tenant, event, DeliveryId(0))?.into_iter();
        let wanted = made.filter(|(_, to)| query.channel.is_none_or(|channel| *to == channel));
        let deliveries: Vec<_> = wanted.map(|(delivery, _)| delivery).take(LOOKED_UP_MAX + 1).collect();
        if deliveries.len() <= LOOKED_UP_MAX {
            return Ok(Wanted::Deliveries(deliveries));
        }
    }
    Ok(query.channel.map_or(Wanted::Tenant, Wanted::Channel))
}

/// The rows of a segment below an id, newest first.
fn rows_below(
    connection: &Connection,
    segment: &Segment,
    tenant: TenantId,
    wanted: &Wanted,
    below: i64,
) -> rusqlite::Result<Vec<(i64, Attempt)>> {
    let read = |lookup: Lookup, sought: i64, rows_max: usize| -> rusqlite::Result<Vec<(i64, Attempt)>> {
        let search = Search { lookup, sought, above: 0, below, tenant, rows_max };
        segment.find(connection, &search, Order::NewestFirst, COLUMNS, read_attempt)
    };
    match wanted {
        Wanted::Tenant => read(Lookup::Tenant, tenant.0, CHUNK),
        Wanted::Channel(channel) => read(Lookup::Channel, channel.0, CHUNK),
        Wanted::Deliveries(deliveries) => {
            let mut rows = Vec::new();
            for delivery in deliveries {
                // All of them: the rows of several deliveries interleave.
                rows.extend(read(Lookup::Delivery, delivery.0, usize::MAX)?);
            }
            rows.sort_unstable_by_key(|(id, _)| std::cmp::Reverse(*id));
            Ok(rows)
        }
    }
}

fn is_wanted(query: &AttemptQuery, attempt: &Attempt) -> bool {
    let record = &attempt.record;
    query.channel.is_none_or(|channel| attempt.channel == channel)
        && query.event.is_none_or(|event| attempt.event == event)
        && query.class.is_none_or(|class| record.outcome.class == class)
        && query.code.is_none_or(|code| record.code == Some(code))
        && query.provider.as_ref().is_none_or(|provider| attempt.provider == *provider)
        && query.started.contains(record.started_at)
        && query.event_types.as_ref().is_none_or(|pattern| pattern.matches(&attempt.event_type))
        && query.text.as_ref().is_none_or(|text| text.is_in(&record.outcome.note) || text.is_in(&record.body))
}

/// What [`read_attempt`] reads.
pub(super) const COLUMNS: &str =
    "id, delivery_id, tenant_id, channel_id, event_id, provider, event_type, number, step, class, scope, code,
     hint_ms, reference, note, body, started_at, duration_ms, digest_id, gave_up";

pub(super) fn read_attempt(row: &Row<'_>) -> rusqlite::Result<(i64, Attempt)> {
    let (class, scope): (String, String) = (row.get(9)?, row.get(10)?);
    let hint_ms: Option<i64> = row.get(12)?;
    let outcome = Outcome {
        class: Class::parse(&class).unwrap_or(Class::Unknown),
        scope: Scope::parse(&scope).unwrap_or(Scope::Message),
        hint: hint_ms.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0))),
        reference: row.get(13)?,
        note: row.get(14)?,
        // It was of use when the answer came.
        remedy: None,
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
    let id = row.get(0)?;
    let attempt = Attempt {
        id: AttemptId(id),
        delivery: DeliveryId(row.get(1)?),
        tenant: TenantId(row.get(2)?),
        channel: ChannelId(row.get(3)?),
        event: EventId(row.get(4)?),
        provider: row.get(5)?,
        event_type: row.get(6)?,
        digest: row.get::<_, Option<i64>>(18)?.map(DigestId),
        record,
        gave_up: row.get(19)?,
    };
    Ok((id, attempt))
}
