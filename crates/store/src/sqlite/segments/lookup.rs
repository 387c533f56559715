//! Look-ups: which rows of a closed segment have a value.
//!
//! What an index of the table would be, but written a segment at a time and in order: each look-up is a table whose rows
//! begin with the segment, so a segment's part is appended in one go, and is taken away as it came. Segments that have
//! none yet are read through.

use domain::TenantId;
use domain::ids::ID_MAX;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{COLUMNS, Kind, Segment};

/// A column of history by which rows are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sqlite) enum Lookup {
    Tenant,
    Channel,
    Delivery,
}

impl Lookup {
    /// The column in the rows themselves.
    pub(super) const fn column(self) -> &'static str {
        match self {
            Self::Tenant => "tenant_id",
            Self::Channel => "channel_id",
            Self::Delivery => "delivery_id",
        }
    }

    /// The table of the look-up of a kind.
    pub(in crate::sqlite) const fn table(self, kind: Kind) -> &'static str {
        match (kind, self) {
            (Kind::Events, _) => "events_by_tenant",
            (Kind::Settled, Self::Channel) => "settled_by_channel",
            (Kind::Settled, _) => "settled_by_tenant",
            (Kind::Attempts, Self::Tenant) => "attempts_by_tenant",
            (Kind::Attempts, Self::Channel) => "attempts_by_channel",
            (Kind::Attempts, Self::Delivery) => "attempts_by_delivery",
        }
    }
}

impl Kind {
    /// The look-ups of a kind, in the order that they are written.
    pub(super) const fn lookups(self) -> &'static [Lookup] {
        match self {
            Self::Events => &[Lookup::Tenant],
            Self::Settled => &[Lookup::Tenant, Lookup::Channel],
            Self::Attempts => &[Lookup::Delivery, Lookup::Channel, Lookup::Tenant],
        }
    }
}

/// What is looked for in a segment.
#[derive(Clone, Copy, Debug)]
pub(in crate::sqlite) struct Search {
    pub lookup: Lookup,
    /// The id of the tenant, the channel or the delivery.
    pub sought: i64,
    /// Only rows with smaller ids.
    pub below: i64,
    /// Whose they are in any case.
    pub tenant: TenantId,
    pub rows_max: usize,
}

impl Segment {
    /// The look-ups that it has.
    pub(in crate::sqlite) fn lookups(&self) -> &'static [Lookup] {
        let all = self.kind.lookups();
        &all[..self.lookups.min(all.len())]
    }

    pub(super) fn has(&self, lookup: Lookup) -> bool {
        self.lookups().contains(&lookup)
    }

    /// A statement that reads the newest rows of this segment that a [`Search`] is for; its values are
    /// [`Segment::values`].
    pub(in crate::sqlite) fn newest_by(&self, lookup: Lookup, columns: &str) -> String {
        let (from, id) = self.found_by(lookup);
        format!("SELECT {columns} FROM {from} AND {id} < ?3 AND tenant_id = ?4 ORDER BY {id} DESC LIMIT ?5")
    }

    /// The same for the oldest rows above an id, which is the sixth value.
    pub(in crate::sqlite) fn oldest_by(&self, lookup: Lookup, columns: &str) -> String {
        let (from, id) = self.found_by(lookup);
        format!("SELECT {columns} FROM {from} AND {id} > ?6 AND {id} < ?3 AND tenant_id = ?4 ORDER BY {id} LIMIT ?5")
    }

    pub(in crate::sqlite) fn values(&self, search: &Search) -> [i64; 5] {
        let Search { lookup, sought, below, tenant, rows_max } = *search;
        let place = if self.kind.is_in_order() && !self.has(lookup) { self.first_id } else { self.number };
        // Without a look-up the bound alone keeps the search inside the segment.
        let below = below.min(self.last_id.saturating_add(1));
        [place, sought, below, tenant.0, i64::try_from(rows_max).unwrap_or(i64::MAX)]
    }

    /// The tables with the conditions for ?1 and ?2, and what is the row's id there.
    fn found_by(&self, lookup: Lookup) -> (String, &'static str) {
        let (kind, table, column) = (self.kind, self.kind.name(), lookup.column());
        if !self.has(lookup) {
            let here = if kind.is_in_order() { "id >= ?1" } else { "segment = ?1" };
            return (format!("{table} WHERE {here} AND {column} = ?2"), "id");
        }
        let same = if kind.is_in_order() { "id = found" } else { "settled.segment = look.segment AND id = found" };
        // CROSS JOIN: SQLite takes the tables in this order.
        let look = lookup.table(kind);
        (format!("{look} AS look CROSS JOIN {table} ON {same} WHERE look.segment = ?1 AND sought = ?2"), "found")
    }
}

/// Writes one look-up that a closed segment lacks. Returns how many rows it has; `None` when none was lacking.
pub(super) fn write_one(connection: &Connection) -> rusqlite::Result<Option<usize>> {
    for kind in Kind::ALL {
        let Some(segment) = lacking(connection, kind)? else { continue };
        let lookup = kind.lookups()[segment.lookups];
        let (table, column) = (lookup.table(kind), lookup.column());
        let sql = format!(
            "INSERT INTO {table} (segment, sought, found)
             SELECT ?1, {column}, id FROM {} WHERE {} ORDER BY {column}, id",
            kind.name(),
            kind.rows(),
        );
        let rows = connection.prepare_cached(&sql)?.execute(segment.bounds())?;
        connection
            .prepare_cached("UPDATE segments SET indexes = indexes + 1 WHERE kind = ?1 AND number = ?2")?
            .execute(params![kind.name(), segment.number])?;
        // An empty one is written as well: its rows were erased with their tenant.
        return Ok(Some(rows.max(1)));
    }
    Ok(None)
}

/// How many look-ups closed segments lack.
pub(super) fn count_lacking(connection: &Connection) -> rusqlite::Result<usize> {
    let sql = format!(
        "SELECT COALESCE(SUM(?2 - indexes), 0) FROM segments INDEXED BY segments_closed
         WHERE kind = ?1 AND last_id < {ID_MAX} AND indexes < ?2 AND is_ending = 0"
    );
    let mut lacking = 0;
    for kind in Kind::ALL {
        let all = i64::try_from(kind.lookups().len()).unwrap_or(0);
        let count: i64 = connection.query_row(&sql, params![kind.name(), all], |row| row.get(0))?;
        lacking += usize::try_from(count).unwrap_or(0);
    }
    Ok(lacking)
}

fn lacking(connection: &Connection, kind: Kind) -> rusqlite::Result<Option<Segment>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM segments INDEXED BY segments_closed
         WHERE kind = ?1 AND last_id < {ID_MAX} AND indexes < ?2 AND is_ending = 0
         LIMIT 1"
    );
    let all = i64::try_from(kind.lookups().len()).unwrap_or(0);
    connection.prepare_cached(&sql)?.query_row(params![kind.name(), all], |row| Segment::read(kind, row)).optional()
}

/// Takes one look-up of a segment away. Returns whether it had one.
pub(in crate::sqlite) fn take_one(connection: &Connection, segment: &Segment) -> rusqlite::Result<bool> {
    let Some(lookup) = segment.lookups().last() else { return Ok(false) };
    // A whole segment's part stands together, so it is small however many rows it has.
    let sql = format!("DELETE FROM {} WHERE segment = ?1", lookup.table(segment.kind));
    connection.prepare_cached(&sql)?.execute([segment.number])?;
    connection
        .prepare_cached("UPDATE segments SET indexes = indexes - 1 WHERE kind = ?1 AND number = ?2")?
        .execute(params![segment.kind.name(), segment.number])?;
    Ok(true)
}
