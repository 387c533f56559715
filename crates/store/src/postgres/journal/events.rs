//! Events: one with its verdicts, and the list.

use std::collections::BTreeMap;

use domain::event::Severity;
use domain::routing::ConfigVersion;
use domain::verdict::Verdicts;
use domain::{ChannelId, DeliveryId, EventId, TenantId, Timestamp};
use tokio_postgres::{Error, Row};

use super::super::queue::{event_row, expanding, expanding_each};
use super::super::statements::{Connection, limit, query};
use super::{CHUNK, Filling};
use crate::blob;
use crate::journal::{EventQuery, EventRecord, EventSummary, Page};

pub(super) async fn event(
    connection: &Connection,
    tenant: TenantId,
    event: EventId,
) -> Result<Option<EventRecord>, Error> {
    let Some(row) = event_row(connection, tenant, event).await? else { return Ok(None) };
    let beyond = expanded(connection, event, DeliveryId(0)).await?;
    let beyond: usize = beyond.iter().map(|(_, channels)| channels.len()).sum();
    let verdicts = Verdicts {
        config_version: ConfigVersion(row.config_version),
        skipped: blob::decode_skipped(&row.skipped),
        skipped_more: u64::try_from(row.skipped_more).unwrap_or(0),
    };
    let deliveries = blob::decode_channels(&row.channels).len() + beyond;
    let expanding = expanding(connection, event).await?;
    Ok(Some(EventRecord { event: row.event, verdicts, deliveries, expanding }))
}

pub(super) async fn events(
    connection: &Connection,
    tenant: TenantId,
    query: EventQuery,
) -> Result<Page<EventSummary, EventId>, Error> {
    let before = query.before.map_or(i64::MAX, |before| before.0);
    let mut filling = Filling::new(before, query.rows_max, query.examined_max);
    let Page { rows, next } = loop {
        let chunk = listed_below(connection, tenant, &query, filling.below).await?;
        match filling.take_chunk(chunk, |listed| is_wanted(&query, listed)) {
            Ok(page) => break page,
            Err(more) => filling = more,
        }
    };
    let mut rows: Vec<_> = rows.into_iter().map(|listed| listed.summary).collect();
    // The row of a large fan-out holds the beginning only, and redrives make more.
    let beyond = beyond(connection, &rows).await?;
    for summary in &mut rows {
        summary.deliveries += beyond.get(&summary.id).copied().unwrap_or(0);
    }
    Ok(Page { rows, next: next.map(EventId) })
}

/// How many deliveries events have that are not in their own rows.
async fn beyond(connection: &Connection, rows: &[EventSummary]) -> Result<BTreeMap<EventId, usize>, Error> {
    let ids: Vec<_> = rows.iter().map(|summary| summary.id.0).collect();
    let mut beyond: BTreeMap<EventId, usize> = BTreeMap::new();
    let sql = "SELECT event_id, channels FROM expanded WHERE event_id = ANY ($1)";
    for row in query(connection, sql, &[&ids]).await? {
        *beyond.entry(EventId(row.try_get(0)?)).or_default() += blob::decode_channels(row.try_get(1)?).len();
    }
    for (event, count) in expanding_each(connection, &ids).await? {
        *beyond.entry(event).or_default() += count;
    }
    Ok(beyond)
}

/// An event of the list, and the text that is searched.
struct Listed {
    summary: EventSummary,
    data: String,
}

async fn listed_below(
    connection: &Connection,
    tenant: TenantId,
    asked: &EventQuery,
    below: i64,
) -> Result<Vec<(i64, Listed)>, Error> {
    // The data is read only when it is searched.
    let data = if asked.text.is_some() { "data" } else { "''" };
    let sql = format!(
        "SELECT id, type, occurred_at, accepted_at, severity, channels, {data}
         FROM events WHERE tenant_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3"
    );
    query(connection, &sql, &[&tenant.0, &below, &limit(CHUNK)]).await?.iter().map(read_listed).collect()
}

fn read_listed(row: &Row) -> Result<(i64, Listed), Error> {
    let id = row.try_get(0)?;
    let summary = EventSummary {
        id: EventId(id),
        event_type: row.try_get(1)?,
        occurred_at: Timestamp::from_ms(row.try_get(2)?),
        accepted_at: Timestamp::from_ms(row.try_get(3)?),
        severity: row.try_get::<_, Option<&str>>(4)?.and_then(Severity::parse),
        deliveries: blob::decode_channels(row.try_get(5)?).len(),
    };
    Ok((id, Listed { summary, data: row.try_get(6)? }))
}

fn is_wanted(query: &EventQuery, listed: &Listed) -> bool {
    let Listed { summary, data } = listed;
    query.accepted.contains(summary.accepted_at)
        && query.severity.is_none_or(|severity| summary.severity == Some(severity))
        && query.event_types.as_ref().is_none_or(|pattern| pattern.matches(&summary.event_type))
        && query.text.as_ref().is_none_or(|text| text.is_in(data))
}

/// The slices of a large fan-out that reach above `after`: first delivery and channels.
pub(super) async fn expanded(
    connection: &Connection,
    event: EventId,
    after: DeliveryId,
) -> Result<Vec<(i64, Vec<ChannelId>)>, Error> {
    let sql = "SELECT first_delivery, channels FROM expanded WHERE event_id = $1 ORDER BY first_delivery";
    let slice = |row: &Row| Ok((row.try_get(0)?, blob::decode_channels(row.try_get(1)?)));
    let rows = query(connection, sql, &[&event.0]).await?;
    let slices: Vec<(i64, Vec<ChannelId>)> = rows.iter().map(slice).collect::<Result<_, Error>>()?;
    let reaches = |(first, channels): &(i64, Vec<ChannelId>)| {
        first + i64::try_from(channels.len()).unwrap_or(i64::MAX) > after.0 + 1
    };
    Ok(slices.into_iter().filter(reaches).collect())
}
