//! What a redrive may take, read in order of id from where it stands.

use domain::delivery::State;
use domain::{ChannelId, DeliveryId, TenantId};
use tokio_postgres::{Error, Row};

use super::super::journal::{DEAD_COLUMNS, newest_to_each, read_dead, these};
use super::super::queue::{EVENT_COLUMNS, EventRow, expanding_to, members, read_event};
use super::super::retention::kept_from;
use super::super::statements::{Connection, limit, query, unsigned_opt};
use crate::redrives::{DeadLetter, DeadLook, EventLook, PastEvent, Stretch};

/// Events that are read at a time: their data may be large.
const CHUNK: usize = 100;

pub(super) async fn dead_after(
    connection: &Connection,
    tenant: TenantId,
    look: DeadLook,
) -> Result<Stretch<DeadLetter>, Error> {
    // With a channel the channel's index is used, else the tenant's: the sum and the pairs keep PostgreSQL from the
    // others.
    let rows = if look.channel.is_some() {
        "tenant_id + 0 = $1 AND (channel_id, delivery_id) > ($5, $2) AND (channel_id, delivery_id) <= ($5, $3)
         ORDER BY channel_id, delivery_id"
    } else {
        "(tenant_id, delivery_id) > ($1, $2) AND (tenant_id, delivery_id) <= ($1, $3)
         ORDER BY tenant_id, delivery_id"
    };
    let sql = format!("SELECT {DEAD_COLUMNS}, code FROM dead WHERE {rows} LIMIT $4");
    let (after, up_to, rows_max) = (look.after.0, look.up_to.0, limit(look.rows_max));
    let rows = match look.channel {
        None => query(connection, &sql, &[&tenant.0, &after, &up_to, &rows_max]).await?,
        Some(channel) => query(connection, &sql, &[&tenant.0, &after, &up_to, &rows_max, &channel.0]).await?,
    };
    let letter =
        |row: &Row| Ok(DeadLetter { delivery: read_dead(row)?, code: unsigned_opt(row, 12)?, members: Vec::new() });
    let mut rows: Vec<DeadLetter> = rows.iter().map(letter).collect::<Result<_, Error>>()?;
    let digests: Vec<i64> = rows.iter().filter_map(|letter| letter.delivery.digest).map(|digest| digest.0).collect();
    let of_digests = members(connection, &digests).await?;
    for letter in &mut rows {
        let of_its_own = letter.delivery.digest.and_then(|digest| of_digests.get(&digest));
        letter.members = of_its_own.cloned().unwrap_or_default();
    }
    let is_end = rows.len() < look.rows_max;
    let last = rows.last().map_or(after, |letter| letter.delivery.id.0);
    Ok(Stretch { reached: if is_end { up_to } else { last }, examined: rows.len() as u64, rows, is_end })
}

pub(super) async fn events_after(
    connection: &Connection,
    tenant: TenantId,
    look: EventLook,
) -> Result<Stretch<PastEvent>, Error> {
    // What is about to go is not offered.
    let reached = look.after.0.max(kept_from(connection).await?.0 - 1);
    let mut stretch = Stretch { rows: Vec::new(), reached, examined: 0, is_end: false };
    let examined_max = u64::try_from(look.examined_max).unwrap_or(u64::MAX);
    let sql = format!(
        "SELECT {EVENT_COLUMNS} FROM events WHERE tenant_id = $1 AND id > $2 AND id <= $3 ORDER BY id LIMIT $4"
    );
    loop {
        let found = query(connection, &sql, &[&tenant.0, &stretch.reached, &look.up_to.0, &limit(CHUNK)]).await?;
        let is_last = found.len() < CHUNK;
        let mut wanted = Vec::new();
        let mut is_over = false;
        for row in found {
            let row = read_event(&row)?;
            stretch.reached = row.event.id.0;
            stretch.examined += 1;
            if is_wanted(&look, &row) {
                wanted.push(row);
            }
            is_over = stretch.rows.len() + wanted.len() >= look.rows_max || stretch.examined >= examined_max;
            if is_over {
                break;
            }
        }
        let delivered = delivered_each(connection, tenant, &wanted, look.channel).await?;
        let past = wanted.into_iter().zip(delivered).map(|(row, delivered)| PastEvent { event: row.event, delivered });
        stretch.rows.extend(past);
        if is_over {
            return Ok(stretch);
        }
        if is_last {
            return Ok(Stretch { reached: look.up_to.0, is_end: true, ..stretch });
        }
    }
}

fn is_wanted(look: &EventLook, row: &EventRow) -> bool {
    let content = &row.event.content;
    look.event_types.as_ref().is_none_or(|pattern| pattern.matches(&content.event_type))
        && look.accepted.contains(row.event.accepted_at)
        && look.text.as_ref().is_none_or(|text| text.is_in(&content.data))
}

/// How the newest delivery of each of a tenant's events to a channel stands; one that is still to be made is pending.
pub(super) async fn delivered_each(
    connection: &Connection,
    tenant: TenantId,
    rows: &[EventRow],
    channel: ChannelId,
) -> Result<Vec<Option<State>>, Error> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let newest = newest_to_each(connection, rows, channel).await?;
    let made: Vec<_> = newest.iter().flatten().map(|id| (*id, channel)).collect();
    let found = these(connection, tenant, &made).await?;
    let events: Vec<_> = rows.iter().map(|row| row.event.id.0).collect();
    let expanding = expanding_to(connection, &events, channel).await?;
    let state = |(row, newest): (&EventRow, Option<DeliveryId>)| match newest {
        // What retention has dropped was delivered, or ended otherwise: it is over.
        Some(newest) => Some(found.get(&newest).map_or(State::Sent, |delivery| delivery.state)),
        None => expanding.contains(&row.event.id).then_some(State::Pending),
    };
    Ok(rows.iter().zip(newest).map(state).collect())
}
