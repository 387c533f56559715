//! The history of a tenant that is deleted: erased segment by segment.

use domain::TenantId;
use rusqlite::{Connection, Row, params};

use super::making::take_all;
use super::{COLUMNS, Kind, Lookup, Search, Segment, Segments};

/// The last segment that has nothing of a tenant any more, in order of kind and number, and how far the one after it is gone
/// through.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Purged {
    tenant: TenantId,
    kind: usize,
    number: i64,
    to: i64,
}

/// Segments looked into by one slice of a purge.
const LOOK_MAX: i64 = 64;

/// Events erased by one slice are fewer than rows of other kinds: a payload may fill many pages.
const EVENTS_DIVISOR: i64 = 10;

impl Segments {
    /// Erases a slice of a tenant's history. Returns whether nothing of it is left. Nothing may be written for the tenant
    /// any more, so a segment that was gone through stays clean. A segment that is left empty stays, as a place for no
    /// ids.
    pub(in crate::sqlite) fn purge(
        &mut self,
        connection: &Connection,
        tenant: TenantId,
        rows_max: usize,
    ) -> rusqlite::Result<bool> {
        if self.purged.tenant != tenant {
            self.purged = Purged { tenant, ..Purged::default() };
        }
        let mut rows_left = i64::try_from(rows_max).unwrap_or(i64::MAX);
        let mut looks_left = LOOK_MAX;
        for (position, kind) in Kind::ALL.into_iter().enumerate().skip(self.purged.kind) {
            if position > self.purged.kind {
                self.purged = Purged { kind: position, number: 0, to: 0, ..self.purged };
            }
            for segment in after(connection, kind, self.purged.number, looks_left)? {
                let erased = erase(connection, &segment, tenant, self.purged.to, rows_left)?;
                looks_left -= 1;
                rows_left -= i64::try_from(erased.ids.len()).unwrap_or(i64::MAX);
                if let Some(last) = erased.ids.last() {
                    self.purged.to = *last;
                    self.erasures += 1;
                }
                if erased.has_more || rows_left <= 0 {
                    return Ok(false);
                }
                // Also by the slices before, and by those before a start.
                if self.purged.to > 0 && take_all(connection, &segment)? {
                    self.lacking += 1;
                }
                self.purged = Purged { number: segment.number, to: 0, ..self.purged };
            }
            if looks_left == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The segments of a kind beyond one, in order of number.
fn after(connection: &Connection, kind: Kind, number: i64, rows_max: i64) -> rusqlite::Result<Vec<Segment>> {
    let sql = format!("SELECT {COLUMNS} FROM segments WHERE kind = ?1 AND number > ?2 ORDER BY number LIMIT ?3");
    let read = |row: &Row<'_>| Segment::read(kind, row);
    connection.prepare_cached(&sql)?.query_map(params![kind.name(), number, rows_max], read)?.collect()
}

/// What became of a tenant's rows in one segment.
struct Erased {
    ids: Vec<i64>,
    has_more: bool,
}

/// Erases at most `rows_max` rows of a tenant above an id. What belongs to an event and names no tenant goes with it.
///
/// The look-ups speak of these rows until the last has gone; then they are made again without them.
fn erase(
    connection: &Connection,
    segment: &Segment,
    tenant: TenantId,
    above: i64,
    rows_max: i64,
) -> rusqlite::Result<Erased> {
    let kind = segment.kind;
    let limit = if kind == Kind::Events { (rows_max / EVENTS_DIVISOR).max(1) } else { rows_max };
    let rows_max = usize::try_from(limit).unwrap_or(0);
    let search = Search { lookup: Lookup::Tenant, sought: tenant.0, above, below: i64::MAX, tenant, rows_max };
    let ids = segment.oldest_ids(connection, &search)?;
    let sql = format!("DELETE FROM {} WHERE {} AND id = ?2", kind.name(), kind.of_segment());
    for id in &ids {
        if kind == Kind::Events {
            connection.prepare_cached("DELETE FROM expanded WHERE event_id = ?1")?.execute([id])?;
        }
        connection.prepare_cached(&sql)?.execute([segment.number, *id])?;
    }
    let has_more = ids.len() == rows_max;
    Ok(Erased { ids, has_more })
}
