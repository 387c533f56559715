//! What a redrive may take, read in order of id from where it stands.

use domain::delivery::State;
use domain::{ChannelId, TenantId};
use tokio_postgres::{Error, Row};

use super::super::journal::{self, DEAD_COLUMNS, newest_to, read_dead};
use super::super::queue::{EVENT_COLUMNS, EventRow, is_expanding_to, read_event};
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
    // With a channel the channel's index is used, else the tenant's: the sum keeps PostgreSQL from the index of the
    // column in it.
    let condition = if look.channel.is_some() { "tenant_id + 0 = $1 AND channel_id = $5" } else { "tenant_id = $1" };
    let sql = format!(
        "SELECT {DEAD_COLUMNS}, code FROM dead
         WHERE {condition} AND delivery_id > $2 AND delivery_id <= $3
         ORDER BY delivery_id LIMIT $4"
    );
    let (after, up_to, rows_max) = (look.after.0, look.up_to.0, limit(look.rows_max));
    let rows = match look.channel {
        None => query(connection, &sql, &[&tenant.0, &after, &up_to, &rows_max]).await?,
        Some(channel) => query(connection, &sql, &[&tenant.0, &after, &up_to, &rows_max, &channel.0]).await?,
    };
    let letter = |row: &Row| Ok(DeadLetter { delivery: read_dead(row)?, code: unsigned_opt(row, 12)? });
    let rows: Vec<DeadLetter> = rows.iter().map(letter).collect::<Result<_, Error>>()?;
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
        for row in found {
            let row = read_event(&row)?;
            stretch.reached = row.event.id.0;
            stretch.examined += 1;
            if is_wanted(&look, &row) {
                let delivered = delivered(connection, &row, look.channel).await?;
                stretch.rows.push(PastEvent { event: row.event, delivered });
            }
            if stretch.rows.len() >= look.rows_max || stretch.examined >= examined_max {
                return Ok(stretch);
            }
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

/// How the newest delivery of an event to a channel stands; one that is still to be made is pending.
pub(super) async fn delivered(
    connection: &Connection,
    row: &EventRow,
    channel: ChannelId,
) -> Result<Option<State>, Error> {
    let tenant = row.event.content.tenant;
    let Some(newest) = newest_to(connection, row, channel).await? else {
        return Ok(is_expanding_to(connection, row.event.id, channel).await?.then_some(State::Pending));
    };
    let found = journal::delivery(connection, tenant, newest).await?;
    // What retention has dropped was delivered, or ended otherwise: it is over.
    Ok(Some(found.map_or(State::Sent, |delivery| delivery.state)))
}
