//! Attempts: the list.

use std::time::Duration;

use domain::delivery::{Attempt, AttemptRecord};
use domain::outcome::{Class, Outcome, Scope};
use domain::{AttemptId, ChannelId, DeliveryId, DigestId, EventId, TenantId, Timestamp};
use tokio_postgres::{Error, Row};

use super::super::statements::{Connection, limit, query, unsigned, unsigned_opt};
use super::deliveries::made;
use super::{CHUNK, Filling};
use crate::journal::{AttemptQuery, Page};

/// An event with at most so many deliveries is listed by looking each of them up; for one with more, all attempts are
/// examined.
const LOOKED_UP_MAX: usize = 32;

/// By which index the rows are found.
enum Lookup {
    Deliveries(Vec<i64>),
    Channel(ChannelId),
    Tenant,
}

pub(super) async fn attempts(
    connection: &Connection,
    tenant: TenantId,
    query: AttemptQuery,
) -> Result<Page<Attempt, AttemptId>, Error> {
    let before = query.before.map_or(i64::MAX, |before| before.0);
    let lookup = lookup(connection, tenant, &query).await?;
    let mut filling = Filling::new(before, query.rows_max, query.examined_max);
    let page = loop {
        let chunk = rows_below(connection, tenant, &lookup, filling.below).await?;
        match filling.take_chunk(chunk, |attempt| is_wanted(&query, attempt)) {
            Ok(page) => break page,
            Err(more) => filling = more,
        }
    };
    Ok(Page { rows: page.rows, next: page.next.map(AttemptId) })
}

async fn lookup(connection: &Connection, tenant: TenantId, query: &AttemptQuery) -> Result<Lookup, Error> {
    if let Some(delivery) = query.delivery {
        return Ok(Lookup::Deliveries(vec![delivery.0]));
    }
    if let Some(event) = query.event {
        let made = made(connection, tenant, event, DeliveryId(0)).await?.into_iter();
        let wanted = made.filter(|(_, to)| query.channel.is_none_or(|channel| *to == channel));
        let deliveries: Vec<_> = wanted.map(|(delivery, _)| delivery.0).take(LOOKED_UP_MAX + 1).collect();
        if deliveries.len() <= LOOKED_UP_MAX {
            return Ok(Lookup::Deliveries(deliveries));
        }
    }
    Ok(query.channel.map_or(Lookup::Tenant, Lookup::Channel))
}

/// Rows below an id, newest first. A sum of nothing keeps PostgreSQL from the tenant's index where another finds fewer
/// rows.
async fn rows_below(
    connection: &Connection,
    tenant: TenantId,
    lookup: &Lookup,
    below: i64,
) -> Result<Vec<(i64, Attempt)>, Error> {
    let select = |condition: &str| {
        format!("SELECT {COLUMNS} FROM attempts WHERE {condition} AND id < $2 ORDER BY id DESC LIMIT $3")
    };
    let chunk = limit(CHUNK);
    let rows = match lookup {
        Lookup::Tenant => query(connection, &select("tenant_id = $1"), &[&tenant.0, &below, &chunk]).await?,
        Lookup::Channel(channel) => {
            let sql = select("channel_id = $4 AND tenant_id + 0 = $1");
            query(connection, &sql, &[&tenant.0, &below, &chunk, &channel.0]).await?
        }
        Lookup::Deliveries(deliveries) => {
            let sql = format!(
                "SELECT found.*
                 FROM unnest($4::bigint[]) AS asked (delivery)
                 CROSS JOIN LATERAL ({}) AS found
                 ORDER BY id DESC LIMIT $3",
                select("delivery_id = asked.delivery AND tenant_id + 0 = $1")
            );
            query(connection, &sql, &[&tenant.0, &below, &chunk, deliveries]).await?
        }
    };
    rows.iter().map(read_attempt).collect()
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

pub(super) const COLUMNS: &str = "id, delivery_id, tenant_id, channel_id, event_id, provider, event_type, number, step, class, scope, code, \
     hint_ms, reference, note, body, started_at, duration_ms, gave_up, digest_id";

pub(super) fn read_attempt(row: &Row) -> Result<(i64, Attempt), Error> {
    let outcome = Outcome {
        class: Class::parse(row.try_get(9)?).unwrap_or(Class::Unknown),
        scope: Scope::parse(row.try_get(10)?).unwrap_or(Scope::Message),
        hint: unsigned_opt(row, 12)?.map(Duration::from_millis),
        reference: row.try_get(13)?,
        note: row.try_get(14)?,
        // It was of use when the answer came.
        remedy: None,
    };
    let record = AttemptRecord {
        number: unsigned(row, 7)?,
        step: unsigned(row, 8)?,
        outcome,
        code: unsigned_opt(row, 11)?,
        body: row.try_get(15)?,
        started_at: Timestamp::from_ms(row.try_get(16)?),
        duration_ms: unsigned(row, 17)?,
    };
    let id = row.try_get(0)?;
    let attempt = Attempt {
        id: AttemptId(id),
        delivery: DeliveryId(row.try_get(1)?),
        tenant: TenantId(row.try_get(2)?),
        channel: ChannelId(row.try_get(3)?),
        event: EventId(row.try_get(4)?),
        provider: row.try_get(5)?,
        event_type: row.try_get(6)?,
        record,
        gave_up: row.try_get(18)?,
        digest: row.try_get::<_, Option<i64>>(19)?.map(DigestId),
    };
    Ok((id, attempt))
}
