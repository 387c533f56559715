//! Events: one with its verdicts, and the list.

use domain::event::Severity;
use domain::routing::ConfigVersion;
use domain::verdict::Verdicts;
use domain::{ChannelId, DeliveryId, EventId, TenantId, Timestamp};
use rusqlite::{Connection, Row};

use super::super::queue::{event_row, expanding};
use super::super::segments::{Kind, Lookup, Order, Search, Segment};
use super::{Bounds, CHUNK, newest_first};
use crate::blob;
use crate::journal::{EventQuery, EventRecord, EventSummary, Page};

pub(super) fn event(
    connection: &Connection,
    tenant: TenantId,
    event: EventId,
) -> rusqlite::Result<Option<EventRecord>> {
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

pub(super) fn events(
    connection: &Connection,
    tenant: TenantId,
    query: &EventQuery,
) -> rusqlite::Result<Page<EventSummary, EventId>> {
    let before = query.before.map_or(i64::MAX, |before| before.0);
    let bounds = Bounds { before, rows_max: query.rows_max, examined_max: query.examined_max };
    // The data is read only when it is searched.
    let data = if query.text.is_some() { "data" } else { "''" };
    let read = |segment: &Segment, below: i64| {
        let columns = format!("id, type, occurred_at, accepted_at, severity, channels, {data}");
        let search = Search { lookup: Lookup::Tenant, sought: tenant.0, above: 0, below, tenant, rows_max: CHUNK };
        segment.find(connection, &search, Order::NewestFirst, &columns, read_listed)
    };
    let Page { rows, next } = newest_first(connection, Kind::Events, bounds, read, |listed| is_wanted(query, listed))?;
    let mut rows: Vec<_> = rows.into_iter().map(|listed| listed.summary).collect();
    for summary in &mut rows {
        // The row of a large fan-out holds the beginning only, and redrives make more.
        let beyond = expanded(connection, summary.id, DeliveryId(0))?;
        summary.deliveries += beyond.iter().map(|(_, channels)| channels.len()).sum::<usize>();
        summary.deliveries += expanding(connection, summary.id)?;
    }
    Ok(Page { rows, next: next.map(EventId) })
}

/// An event of the list, and the text that is searched.
struct Listed {
    summary: EventSummary,
    data: String,
}

fn read_listed(row: &Row<'_>) -> rusqlite::Result<(i64, Listed)> {
    let id = row.get(0)?;
    let severity = row.get_ref(4)?.as_str_or_null()?.and_then(Severity::parse);
    let summary = EventSummary {
        id: EventId(id),
        event_type: row.get(1)?,
        occurred_at: Timestamp::from_ms(row.get(2)?),
        accepted_at: Timestamp::from_ms(row.get(3)?),
        severity,
        deliveries: blob::decode_channels(row.get_ref(5)?.as_blob()?).len(),
    };
    Ok((id, Listed { summary, data: row.get(6)? }))
}

fn is_wanted(query: &EventQuery, listed: &Listed) -> bool {
    let Listed { summary, data } = listed;
    query.accepted.contains(summary.accepted_at)
        && query.severity.is_none_or(|severity| summary.severity == Some(severity))
        && query.event_types.as_ref().is_none_or(|pattern| pattern.matches(&summary.event_type))
        && query.text.as_ref().is_none_or(|text| text.is_in(data))
}

/// The slices of a large fan-out that reach above `after`: first delivery and channels.
pub(super) fn expanded(
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
