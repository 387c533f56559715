//! What a redrive may take, read in order of id from where it stands.

use domain::delivery::State;
use domain::{ChannelId, EventId, TenantId};
use rusqlite::{Connection, Row, params};

use super::super::journal::{self, DEAD_COLUMNS, complete, newest_to, read_dead};
use super::super::queue::{EVENT_COLUMNS, EventRow, is_expanding_to, members, read_event};
use super::super::segments::{self, Kind, Lookup, Order, Search};
use crate::redrives::{DeadLetter, DeadLook, EventLook, PastEvent, Stretch};

/// Events that are read at a time: their data may be large.
const CHUNK: usize = 100;

pub(super) fn dead_after(
    connection: &Connection,
    tenant: TenantId,
    look: &DeadLook,
) -> rusqlite::Result<Stretch<DeadLetter>> {
    // The plus sign keeps SQLite from the tenant's index where the channel's finds fewer rows.
    let (plus, of_channel) = if look.channel.is_some() { ("+", "channel_id = ?5") } else { ("", "?5 IS NULL") };
    let sql = format!(
        "SELECT {DEAD_COLUMNS}, code FROM dead
         WHERE {plus}tenant_id = ?1 AND {of_channel} AND delivery_id > ?2 AND delivery_id <= ?3
         ORDER BY delivery_id LIMIT ?4"
    );
    let rows_max = i64::try_from(look.rows_max).unwrap_or(i64::MAX);
    let channel = look.channel.map(|channel| channel.0);
    let letter =
        |row: &Row<'_>| Ok(DeadLetter { delivery: read_dead(row)?, code: row.get("code")?, members: Vec::new() });
    let mut rows: Vec<DeadLetter> = connection
        .prepare_cached(&sql)?
        .query_map(params![tenant.0, look.after.0, look.up_to.0, rows_max, channel], letter)?
        .collect::<Result<_, _>>()?;
    for letter in &mut rows {
        complete(connection, &mut letter.delivery)?;
        let Some(digest) = letter.delivery.digest else { continue };
        letter.members = members(connection, digest)?.unwrap_or_default();
    }
    let is_end = rows.len() < look.rows_max;
    let last = rows.last().map_or(look.after.0, |letter| letter.delivery.id.0);
    Ok(Stretch { reached: if is_end { look.up_to.0 } else { last }, examined: rows.len() as u64, rows, is_end })
}

pub(super) fn events_after(
    connection: &Connection,
    tenant: TenantId,
    look: &EventLook,
) -> rusqlite::Result<Stretch<PastEvent>> {
    let mut stretch = Stretch { rows: Vec::new(), reached: look.after.0, examined: 0, is_end: false };
    for segment in segments::list(connection, Kind::Events, look.after.0 + 1, look.up_to.0)?.into_iter().rev() {
        stretch.examined += 1;
        if look.accepted.since.is_some_and(|since| segment.newest_at.is_some_and(|newest| newest < since)) {
            stretch.reached = stretch.reached.max(segment.last_id);
            continue;
        }
        if !read_segment(connection, tenant, look, &segment, &mut stretch)? {
            return Ok(stretch);
        }
    }
    stretch.is_end = true;
    stretch.reached = look.up_to.0;
    Ok(stretch)
}

/// Goes through one segment. Returns whether there is room for more.
fn read_segment(
    connection: &Connection,
    tenant: TenantId,
    look: &EventLook,
    segment: &segments::Segment,
    stretch: &mut Stretch<PastEvent>,
) -> rusqlite::Result<bool> {
    let columns = format!("id, {EVENT_COLUMNS}");
    let below = look.up_to.0.saturating_add(1);
    loop {
        let event = |row: &Row<'_>| read_event(EventId(row.get(0)?), row, 1);
        let above = stretch.reached;
        let search = Search { lookup: Lookup::Tenant, sought: tenant.0, above, below, tenant, rows_max: CHUNK };
        let chunk: Vec<EventRow> = segment.find(connection, &search, Order::OldestFirst, &columns, event)?;
        let is_last = chunk.len() < CHUNK;
        for row in chunk {
            stretch.reached = row.event.id.0;
            stretch.examined += 1;
            if is_wanted(look, &row) {
                let delivered = delivered(connection, &row, look.channel)?;
                stretch.rows.push(PastEvent { event: row.event, delivered });
            }
            let examined_max = u64::try_from(look.examined_max).unwrap_or(u64::MAX);
            if stretch.rows.len() >= look.rows_max || stretch.examined >= examined_max {
                return Ok(false);
            }
        }
        if is_last {
            return Ok(true);
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
pub(super) fn delivered(
    connection: &Connection,
    row: &EventRow,
    channel: ChannelId,
) -> rusqlite::Result<Option<State>> {
    let tenant = row.event.content.tenant;
    let Some(newest) = newest_to(connection, row, channel)? else {
        return Ok(is_expanding_to(connection, row.event.id, channel)?.then_some(State::Pending));
    };
    let found = journal::delivery(connection, tenant, newest)?;
    // What retention has dropped was delivered, or ended otherwise: it is over.
    Ok(Some(found.map_or(State::Sent, |delivery| delivery.state)))
}
