//! The tables that every store has, and rows of them without their meaning.

use std::fmt;

/// Rows that are held in memory at a time, at most.
const PAGE_ROWS_MAX: usize = 2_000;

/// Bytes of rows that are held in memory at a time, but for the last row.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// How a table is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Plain,
    /// One row that is always there, and is changed.
    Single,
    /// In segments or partitions, which are each store's own.
    History,
}

/// A table of every store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    pub name: &'static str,
    pub kind: Kind,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

const fn plain(name: &'static str) -> Table {
    Table { name, kind: Kind::Plain }
}

const fn history(name: &'static str) -> Table {
    Table { name, kind: Kind::History }
}

/// Everything that is moved, what is referred to before what refers to it.
pub const TABLES: &[Table] = &[
    Table { name: "sequences", kind: Kind::Single },
    plain("tenants"),
    plain("api_keys"),
    plain("channels"),
    plain("subscriptions"),
    plain("event_types"),
    plain("dialect_settings"),
    plain("queue"),
    plain("dead"),
    plain("digests"),
    plain("waiting"),
    plain("expand"),
    plain("expanded"),
    plain("cancellations"),
    plain("idempotency_even"),
    plain("idempotency_odd"),
    plain("counters"),
    plain("inbox"),
    plain("redrives"),
    plain("kept_events"),
    history("events"),
    history("settled"),
    history("attempts"),
];

/// What a column holds. Whether something is so is 0 or 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A value for each column that was asked for.
pub type Row = Vec<Value>;

/// Rows that are collected until they are enough.
#[derive(Debug, Default)]
pub(crate) struct Page {
    rows: Vec<Row>,
    bytes: usize,
}

impl Page {
    pub(crate) fn push(&mut self, row: Row) {
        let bytes = |value: &Value| match value {
            Value::Null | Value::Integer(_) => 0,
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
        };
        self.bytes += row.iter().map(|value| size_of::<Value>() + bytes(value)).sum::<usize>();
        self.rows.push(row);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.rows.len() >= PAGE_ROWS_MAX || self.bytes >= PAGE_BYTES_MAX
    }

    pub(crate) fn into_rows(self) -> Vec<Row> {
        self.rows
    }
}

/// Where a column stands among those that were asked for.
pub(crate) fn find(columns: &[String], name: &str) -> Option<usize> {
    columns.iter().position(|column| column == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_bounded_by_rows_and_by_bytes() {
        let mut small = Page::default();
        while !small.is_full() {
            small.push(vec![Value::Integer(1), Value::Null]);
        }
        assert_eq!(small.into_rows().len(), PAGE_ROWS_MAX);
        let mut large = Page::default();
        while !large.is_full() {
            large.push(vec![Value::Text("x".repeat(1 << 20)), Value::Bytes(vec![0; 1 << 20])]);
        }
        assert_eq!(large.into_rows().len(), 2);
    }
}
