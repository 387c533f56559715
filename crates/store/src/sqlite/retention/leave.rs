//! Events that outlive their segment, because a delivery of theirs waits or is dead.

use domain::EventId;
use domain::ids::ID_MAX;
use rusqlite::{Connection, Row, params};

use super::super::segments::{KEPT_EVENTS, Segment};
use super::super::tx::Tx;
use super::inboxes::Recipient;
use crate::blob;

/// Events that are looked at in one slice, each with a look-up or two.
const LOOK_MAX: usize = 200;

/// How far the events of the segment that goes next were looked through, and those that are kept. In memory only: after a
/// start both begin anew.
#[derive(Clone, Debug, Default)]
pub(in crate::sqlite) struct Leaving {
    number: i64,
    after: i64,
    last: i64,
    kept_after: i64,
    /// The recipient whose inbox was looked at last.
    inbox_after: Option<Recipient>,
}

impl Leaving {
    /// Whether an event is being looked through: what would be made of it now might be missed.
    pub(in crate::sqlite) const fn covers(&self, event: EventId) -> bool {
        event.0 <= self.last
    }

    pub(super) fn inbox_after(&self) -> Option<Recipient> {
        self.inbox_after.clone()
    }

    pub(super) fn set_inbox_after(&mut self, recipient: Option<Recipient>) {
        self.inbox_after = recipient;
    }
}

/// Copies a slice of what is still live out of a segment of events. Returns whether everything was looked at.
pub(super) fn copy_live(tx: &mut Tx<'_>, segment: &Segment) -> rusqlite::Result<bool> {
    let leaving = tx.segments.leaving_mut();
    if leaving.number != segment.number {
        let (number, last) = (segment.number, segment.last_id);
        *leaving = Leaving { number, after: segment.first_id - 1, last, ..leaving.clone() };
    }
    let after = leaving.after;
    let rows = looked_at(tx.connection, "events", after, segment.last_id)?;
    for row in &rows {
        if is_live(tx.connection, row)? {
            tx.connection.prepare_cached(KEEP)?.execute([row.id])?;
        }
    }
    match rows.last() {
        Some(row) if rows.len() == LOOK_MAX => tx.segments.leaving_mut().after = row.id,
        _ => return Ok(true),
    }
    Ok(false)
}

const KEEP: &str =
    "INSERT OR IGNORE INTO kept_events (id, tenant_id, type, data, occurred_at, severity, accepted_at, explicit,
                                       config_version, first_delivery, channels, skipped, skipped_more, trace)
     SELECT id, tenant_id, type, data, occurred_at, severity, accepted_at, explicit, config_version, first_delivery,
            channels, skipped, skipped_more, trace
     FROM events
     WHERE id = ?1";

/// Lets go of a slice of the kept events that nothing waits for any more. Returns whether more are to be looked at.
pub(super) fn forget_kept(tx: &mut Tx<'_>) -> rusqlite::Result<bool> {
    let rows = looked_at(tx.connection, KEPT_EVENTS, tx.segments.leaving_mut().kept_after, ID_MAX)?;
    for row in &rows {
        if !is_live(tx.connection, row)? {
            tx.connection.prepare_cached("DELETE FROM expanded WHERE event_id = ?1")?.execute([row.id])?;
            tx.connection.prepare_cached("DELETE FROM kept_events WHERE id = ?1")?.execute([row.id])?;
        }
    }
    let last = rows.last().filter(|_| rows.len() == LOOK_MAX).map(|row| row.id);
    tx.segments.leaving_mut().kept_after = last.unwrap_or(0);
    Ok(last.is_some())
}

/// An event, and which deliveries were made with it.
struct Looked {
    id: i64,
    tenant: i64,
    first_delivery: i64,
    deliveries: i64,
}

fn looked_at(connection: &Connection, table: &str, after: i64, last: i64) -> rusqlite::Result<Vec<Looked>> {
    let sql = format!(
        "SELECT id, tenant_id, first_delivery, channels FROM {table}
         WHERE id > ?1 AND id <= ?2 ORDER BY id LIMIT {LOOK_MAX}"
    );
    let read = |row: &Row<'_>| {
        let channels = blob::decode_channels(row.get_ref(3)?.as_blob()?).len();
        let deliveries = i64::try_from(channels).unwrap_or(i64::MAX);
        Ok(Looked { id: row.get(0)?, tenant: row.get(1)?, first_delivery: row.get(2)?, deliveries })
    };
    connection.prepare_cached(&sql)?.query_map([after, last], read)?.collect()
}

/// Whether a delivery of the event waits, is dead, or is still to be made.
fn is_live(connection: &Connection, event: &Looked) -> rusqlite::Result<bool> {
    let mut runs = vec![(event.first_delivery, event.deliveries)];
    let run = |row: &Row<'_>| {
        let channels = blob::decode_channels(row.get_ref(1)?.as_blob()?).len();
        Ok((row.get(0)?, i64::try_from(channels).unwrap_or(i64::MAX)))
    };
    let beyond: Vec<(i64, i64)> = connection
        .prepare_cached("SELECT first_delivery, channels FROM expanded WHERE event_id = ?1 ORDER BY first_delivery")?
        .query_map([event.id], run)?
        .collect::<Result<_, _>>()?;
    runs.extend(beyond);
    for (first, count) in runs.into_iter().filter(|(_, count)| *count > 0) {
        let is_there: bool = connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM dead WHERE delivery_id BETWEEN ?2 AND ?3)
                     OR EXISTS (SELECT 1 FROM queue WHERE tenant_id = ?1 AND delivery_id BETWEEN ?2 AND ?3)",
            )?
            .query_row(params![event.tenant, first, first.saturating_add(count - 1)], |row| row.get(0))?;
        if is_there {
            return Ok(true);
        }
    }
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM expand WHERE event_id = ?1)")?
        .query_row([event.id], |row| row.get(0))
}
