//! Look-ups: which rows of a closed segment have a value.
//!
//! What an index of the table would be, but written a segment at a time and in order: each look-up is a table of [`leaves`],
//! whose rows begin with the segment, so a segment's part is appended in one go, and is taken away as it came. Segments that
//! have none yet are read through. How they are made is in [`making`](super::making).

use std::rc::Rc;

use domain::TenantId;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::leaves::{self, Entry};
use super::{Kind, Segment};

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
    /// The look-ups of a kind, in the order that they are counted.
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
    /// Only rows with larger ids.
    pub above: i64,
    /// Only rows with smaller ids.
    pub below: i64,
    /// Whose they are in any case.
    pub tenant: TenantId,
    pub rows_max: usize,
}

/// In which order of id rows are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sqlite) enum Order {
    NewestFirst,
    OldestFirst,
}

impl Segment {
    /// The look-ups that it has.
    pub(super) fn lookups(&self) -> &'static [Lookup] {
        let all = self.kind.lookups();
        &all[..self.lookups.min(all.len())]
    }

    fn has(&self, lookup: Lookup) -> bool {
        self.lookups().contains(&lookup)
    }

    /// Reads columns of the rows that a [`Search`] is for.
    pub(in crate::sqlite) fn find<T>(
        &self,
        connection: &Connection,
        search: &Search,
        order: Order,
        columns: &str,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        if !self.has(search.lookup) {
            return self.read_through(connection, search, order, columns, read);
        }
        let found = match order {
            Order::NewestFirst => self.newest_found(connection, search)?,
            Order::OldestFirst => self.oldest_found(connection, search)?,
        };
        self.rows_with(connection, found, search.tenant, columns, read)
    }

    /// The smallest ids alone, also of rows that are gone and that the look-up still speaks of.
    pub(super) fn oldest_ids(&self, connection: &Connection, search: &Search) -> rusqlite::Result<Vec<i64>> {
        if self.has(search.lookup) {
            return self.oldest_found(connection, search);
        }
        self.read_through(connection, search, Order::OldestFirst, "id", |row| row.get(0))
    }

    /// Searches without a look-up: the bounds alone keep it inside the segment.
    fn read_through<T>(
        &self,
        connection: &Connection,
        search: &Search,
        order: Order,
        columns: &str,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        let above = search.above.max(self.first_id - 1);
        let below = search.below.min(self.last_id.saturating_add(1));
        let direction = if order == Order::NewestFirst { "DESC" } else { "ASC" };
        let (table, column) = (self.kind.name(), search.lookup.column());
        let sql = format!(
            "SELECT {columns} FROM {table}
             WHERE {} AND id > ?2 AND id < ?3 AND {column} = ?4 AND tenant_id = ?5
             ORDER BY id {direction} LIMIT ?6",
            self.kind.of_segment(),
        );
        let rows_max = i64::try_from(search.rows_max).unwrap_or(i64::MAX);
        let values = [self.number, above, below, search.sought, search.tenant.0, rows_max];
        connection.prepare_cached(&sql)?.query_map(values, read)?.collect()
    }

    /// The largest ids that a look-up finds, in that order.
    fn newest_found(&self, connection: &Connection, search: &Search) -> rusqlite::Result<Vec<i64>> {
        let sql = format!(
            "SELECT sought, found, rest FROM {}
             WHERE segment = ?1 AND (sought, found) < (?2, ?3)
             ORDER BY sought DESC, found DESC",
            search.lookup.table(self.kind),
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query([self.number, search.sought, search.below])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let first = Entry { sought: row.get(0)?, found: row.get(1)? };
            let mut here = search.among(first, row.get_ref(2)?.as_blob()?);
            here.reverse();
            here.truncate(search.rows_max - found.len());
            found.append(&mut here);
            if found.len() == search.rows_max || !search.is_before(first) {
                break;
            }
        }
        Ok(found)
    }

    /// The smallest ids that a look-up finds, in order.
    fn oldest_found(&self, connection: &Connection, search: &Search) -> rusqlite::Result<Vec<i64>> {
        let table = search.lookup.table(self.kind);
        // The leaf that begins at or before the place may reach beyond it.
        let sql = format!(
            "SELECT sought, found FROM {table}
             WHERE segment = ?1 AND (sought, found) <= (?2, ?3)
             ORDER BY sought DESC, found DESC LIMIT 1"
        );
        let place = [self.number, search.sought, search.above];
        let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        let begin = connection.prepare_cached(&sql)?.query_row(place, read).optional()?;
        let (sought, found) = begin.unwrap_or((search.sought, search.above));
        let sql = format!(
            "SELECT sought, found, rest FROM {table}
             WHERE segment = ?1 AND (sought, found) >= (?2, ?3)
             ORDER BY sought, found"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query([self.number, sought, found])?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            let first = Entry { sought: row.get(0)?, found: row.get(1)? };
            if first.sought > search.sought {
                break;
            }
            let mut here = search.among(first, row.get_ref(2)?.as_blob()?);
            here.truncate(search.rows_max - found.len());
            found.append(&mut here);
            if found.len() == search.rows_max {
                break;
            }
        }
        Ok(found)
    }

    /// The rows with these ids, in that order. Those that are gone, or another tenant's, are left out.
    fn rows_with<T>(
        &self,
        connection: &Connection,
        found: Vec<i64>,
        tenant: TenantId,
        columns: &str,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        // CROSS JOIN: SQLite takes the tables in this order.
        let sql = format!(
            "SELECT {columns} FROM rarray(?2) AS looked_up CROSS JOIN {}
             WHERE {} AND id = looked_up.value AND tenant_id = ?3",
            self.kind.name(),
            self.kind.of_segment(),
        );
        let found: Rc<Vec<Value>> = Rc::new(found.into_iter().map(Value::Integer).collect());
        connection.prepare_cached(&sql)?.query_map(params![self.number, found, tenant.0], read)?.collect()
    }
}

impl Search {
    /// The ids in a leaf that are looked for, in order.
    fn among(&self, first: Entry, rest: &[u8]) -> Vec<i64> {
        leaves::entries(first, rest)
            .skip_while(|entry| entry.sought < self.sought)
            .take_while(|entry| entry.sought == self.sought && entry.found < self.below)
            .filter(|entry| entry.found > self.above)
            .map(|entry| entry.found)
            .collect()
    }

    /// Whether what is looked for may also stand before this entry.
    const fn is_before(&self, first: Entry) -> bool {
        first.sought == self.sought && first.found > self.above
    }
}

/// Every entry of a look-up's table: the segment, what is sought, and the id.
#[cfg(test)]
pub(in crate::sqlite) fn entries_of(connection: &Connection, table: &str) -> Vec<[i64; 3]> {
    let mut statement = connection.prepare(&format!("SELECT segment, sought, found, rest FROM {table}")).unwrap();
    let leaf = |row: &Row<'_>| {
        let first = Entry { sought: row.get(1)?, found: row.get(2)? };
        let (segment, rest) = (row.get(0)?, row.get::<_, Vec<u8>>(3)?);
        Ok(leaves::entries(first, &rest).map(|entry| [segment, entry.sought, entry.found]).collect::<Vec<_>>())
    };
    statement.query_map([], leaf).unwrap().flat_map(Result::unwrap).collect()
}
