//! A database that is moved: read from a server, or written to one.
//!
//! A new one is a single transaction, from its first row to the comparison with the source: whatever ends it before the
//! commit leaves an empty database, and no rubbish either, since its tables are truncated at the beginning of the
//! transaction and so are written into new files.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::{Pin, pin};

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Error, RowStream};

use super::segments;
use super::session;
use super::statements::{Connection, Params, from_postgres, text};
use super::target::Target;
use crate::StoreError;
use crate::moving::{self, Kind, Page, Row, Source, TABLES, Table, Value, check_version, find};

/// Columns of this store alone.
const OWN_COLUMNS: [(&str, &str); 3] = [("sequences", "one"), ("sequences", "batch"), ("sequences", "redrive")];

/// Tables whose deliveries settle some day, and so need a place among those that have settled.
const UNSETTLED: [&str; 2] = ["queue", "dead"];

/// A connection that may take as long as it needs, and reads whole tables.
const PATIENT: &str = "SET enable_seqscan = on;
                       SET enable_sort = on;
                       SET statement_timeout = 0;
                       SET idle_in_transaction_session_timeout = 0;
                       SELECT set_config(name, '0', FALSE) FROM pg_settings WHERE name = 'transaction_timeout'";

/// A database that is read.
pub struct Database {
    connection: Connection,
    rows: Option<Pin<Box<RowStream>>>,
}

impl Database {
    /// Opens a database that no other process uses, and takes it for as long as this lives.
    pub async fn open(target: &Target) -> Result<Self, StoreError> {
        let connection = session::begin(target, None).await?.connection;
        let found = session::schema_version(&connection).await.map_err(from_postgres)?;
        if found == 0 {
            return Err(StoreError::Unusable(format!("there is no database of Postrider in {target}")));
        }
        check_version(found, session::known_version())?;
        // Apart, because statements that come together are a transaction that has begun.
        for sql in [PATIENT, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"] {
            connection.batch_execute(sql).await.map_err(from_postgres)?;
        }
        Ok(Self { connection, rows: None })
    }

    async fn columns_of(&self, table: Table) -> Result<Vec<String>, Error> {
        let sql = "SELECT attname::text FROM pg_attribute
                   WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
                   ORDER BY attnum";
        let rows = self.connection.query(sql, &[&table.name]).await?;
        let names = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
        Ok(names.into_iter().filter(|name| !OWN_COLUMNS.contains(&(table.name, name))).collect())
    }

    async fn begin_rows(&mut self, table: Table, columns: &[String]) -> Result<(), Error> {
        // The server sorts partition after partition.
        let order = if table.kind == Kind::History { "ORDER BY id" } else { "" };
        let sql = format!("SELECT {} FROM {table} {order}", names(columns));
        let none: Params<'_> = &[];
        self.rows = Some(Box::pin(self.connection.query_raw(&sql, none.iter().copied()).await?));
        Ok(())
    }

    async fn next_page(&mut self) -> Result<Page, Error> {
        let mut page = Page::default();
        while let Some(rows) = &mut self.rows
            && !page.is_full()
        {
            match rows.try_next().await? {
                Some(row) => page.push((0..row.len()).map(|column| value(&row, column)).collect::<Result<_, _>>()?),
                None => self.rows = None,
            }
        }
        Ok(page)
    }
}

#[async_trait]
impl Source for Database {
    async fn columns(&mut self, table: Table) -> Result<Vec<String>, StoreError> {
        self.columns_of(table).await.map_err(from_postgres)
    }

    async fn count(&mut self, table: Table) -> Result<u64, StoreError> {
        let row = self.connection.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await;
        let count: Result<i64, Error> = row.and_then(|row| row.try_get(0));
        count.map(|rows| u64::try_from(rows).unwrap_or(0)).map_err(from_postgres)
    }

    async fn begin(&mut self, table: Table, columns: &[String]) -> Result<(), StoreError> {
        self.begin_rows(table, columns).await.map_err(from_postgres)
    }

    async fn next(&mut self) -> Result<Vec<Row>, StoreError> {
        self.next_page().await.map(Page::into_rows).map_err(from_postgres)
    }
}

/// A database that is written. Dropped before it is finished, nothing of it is there.
pub struct NewDatabase {
    database: Database,
    partitions: Partitions,
}

impl NewDatabase {
    /// Begins to write into an empty database that no other process uses, and takes it for as long as this lives.
    pub async fn create(target: &Target) -> Result<Self, StoreError> {
        Self::with_segments(target, segments::ROWS_MAX).await
    }

    /// The same with so many ids in a partition of history.
    pub(crate) async fn with_segments(target: &Target, rows_max: u64) -> Result<Self, StoreError> {
        let mut connection = session::begin(target, None).await?.connection;
        session::bring_up_to_date(&mut connection).await?;
        if let Some(table) = first_used(&connection).await.map_err(from_postgres)? {
            return Err(StoreError::Unusable(format!(
                "{target} is not empty: there are rows in its table {table}. A server has used it, or a move to it came to \
                 its end. Move into a new database"
            )));
        }
        let emptied: Vec<_> = emptied_tables().map(|table| table.name).collect();
        for sql in [PATIENT, &format!("BEGIN; TRUNCATE {}", emptied.join(", "))] {
            connection.batch_execute(sql).await.map_err(from_postgres)?;
        }
        let database = Database { connection, rows: None };
        Ok(Self { database, partitions: Partitions::new(rows_max) })
    }

    async fn insert(&mut self, table: Table, columns: &[String], rows: &[Row]) -> Result<(), Error> {
        for (kind, id) in places(table, columns, rows) {
            self.partitions.make_for(&self.database.connection, kind, id).await?;
        }
        let connection = &self.database.connection;
        let types = types_of(connection, table, columns).await?;
        if table.kind == Kind::Single {
            return update(connection, table, columns, &types, rows).await;
        }
        let sink = connection.copy_in(&format!("COPY {table} ({}) FROM STDIN BINARY", names(columns))).await?;
        let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
        for row in rows {
            writer.as_mut().write(&parameters(row, &types)).await?;
        }
        writer.finish().await.map(drop)
    }

    async fn commit(mut self) -> Result<(), Error> {
        let connection = &self.database.connection;
        for kind in segments::Kind::ALL {
            let column = match kind {
                segments::Kind::Events => "event",
                segments::Kind::Settled => "delivery",
                segments::Kind::Attempts => "attempt",
            };
            let next = connection.query_one(&format!("SELECT {column} FROM sequences"), &[]).await?.try_get(0)?;
            self.partitions.make_for(connection, kind, next).await?;
        }
        // SQLite numbers redrives by the largest that there is.
        let numbered = "UPDATE sequences SET redrive = (SELECT coalesce(max(id), 0) + 1 FROM redrives)";
        connection.batch_execute(&format!("{numbered}; ANALYZE; COMMIT")).await?;
        session::give_back(connection).await;
        Ok(())
    }
}

#[async_trait]
impl moving::Target for NewDatabase {
    fn written(&mut self) -> &mut dyn Source {
        &mut self.database
    }

    /// A text with U+0000 is kept with U+FFFD in its place, as everywhere in this store.
    fn adapt(&self, row: &mut Row) -> bool {
        let mut is_changed = false;
        for value in row {
            if let Value::Text(kept) = value
                && kept.contains('\0')
            {
                *kept = text(kept).into_owned();
                is_changed = true;
            }
        }
        is_changed
    }

    async fn write(&mut self, table: Table, columns: &[String], rows: &[Row]) -> Result<(), StoreError> {
        self.insert(table, columns, rows).await.map_err(from_postgres)
    }

    async fn finish(self: Box<Self>) -> Result<(), StoreError> {
        self.commit().await.map_err(from_postgres)
    }
}

/// The partitions that were made. Those between two ranges of ids that are in use are not there: nothing will ever have
/// such an id.
struct Partitions {
    rows_max: i64,
    made: BTreeMap<segments::Kind, BTreeSet<i64>>,
}

impl Partitions {
    fn new(rows_max: u64) -> Self {
        Self { rows_max: i64::try_from(rows_max).unwrap_or(i64::MAX), made: BTreeMap::new() }
    }

    /// Makes the partition that holds an id, where it is missing. Numbers ascend with ids.
    async fn make_for(&mut self, connection: &Connection, kind: segments::Kind, id: i64) -> Result<(), Error> {
        let number = (id - 1).div_euclid(self.rows_max) + 1;
        let made = self.made.entry(kind).or_default();
        if made.contains(&number) {
            return Ok(());
        }
        let last_id = number * self.rows_max;
        let first_id = last_id - self.rows_max + 1;
        connection.batch_execute(&segments::making(kind, number, first_id, last_id)).await?;
        made.insert(number);
        Ok(())
    }
}

/// Which partitions rows need, now or when they settle.
fn places(table: Table, columns: &[String], rows: &[Row]) -> Vec<(segments::Kind, i64)> {
    let (kind, column) = match segments::Kind::parse(table.name) {
        Some(kind) => (kind, "id"),
        None if UNSETTLED.contains(&table.name) => (segments::Kind::Settled, "delivery_id"),
        None => return Vec::new(),
    };
    let Some(at) = find(columns, column) else { return Vec::new() };
    let id = |row: &Row| if let Value::Integer(id) = row[at] { Some((kind, id)) } else { None };
    rows.iter().filter_map(id).collect()
}

/// Everything but what always has its row.
fn emptied_tables() -> impl Iterator<Item = Table> {
    TABLES.iter().copied().filter(|table| table.kind != Kind::Single)
}

/// The first table with a row in it.
async fn first_used(connection: &Connection) -> Result<Option<&'static str>, Error> {
    for name in emptied_tables().map(|table| table.name).chain(["segments"]) {
        let sql = format!("SELECT EXISTS (SELECT FROM {name})");
        if connection.query_one(&sql, &[]).await?.try_get(0)? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn names(columns: &[String]) -> String {
    let quoted: Vec<_> = columns.iter().map(|name| format!("\"{name}\"")).collect();
    quoted.join(", ")
}

async fn types_of(connection: &Connection, table: Table, columns: &[String]) -> Result<Vec<Type>, Error> {
    let statement = connection.prepare_cached(&format!("SELECT {} FROM {table}", names(columns))).await?;
    Ok(statement.columns().iter().map(|column| column.type_().clone()).collect())
}

async fn update(
    connection: &Connection,
    table: Table,
    columns: &[String],
    types: &[Type],
    rows: &[Row],
) -> Result<(), Error> {
    let places: Vec<_> = (1..=columns.len()).map(|place| format!("${place}")).collect();
    let sql = format!("UPDATE {table} SET ({}) = ROW ({})", names(columns), places.join(", "));
    for row in rows {
        connection.execute(&sql, &parameters(row, types)).await?;
    }
    Ok(())
}

fn value(row: &tokio_postgres::Row, column: usize) -> Result<Value, Error> {
    let kept = match *row.columns()[column].type_() {
        Type::INT8 => row.try_get::<_, Option<i64>>(column)?.map(Value::Integer),
        Type::BOOL => row.try_get::<_, Option<bool>>(column)?.map(|is_so| Value::Integer(i64::from(is_so))),
        Type::BYTEA => row.try_get::<_, Option<Vec<u8>>>(column)?.map(Value::Bytes),
        _ => row.try_get::<_, Option<String>>(column)?.map(Value::Text),
    };
    Ok(kept.unwrap_or(Value::Null))
}

fn parameters<'a>(row: &'a [Value], types: &[Type]) -> Vec<&'a (dyn ToSql + Sync)> {
    row.iter().zip(types).map(|(value, kind)| parameter(value, kind)).collect()
}

fn parameter<'a>(value: &'a Value, kind: &Type) -> &'a (dyn ToSql + Sync) {
    match (value, kind) {
        (Value::Null, &Type::INT8) => &None::<i64>,
        (Value::Null, &Type::BOOL) => &None::<bool>,
        (Value::Null, &Type::BYTEA) => &None::<Vec<u8>>,
        (Value::Null, _) => &None::<String>,
        (Value::Integer(number), &Type::BOOL) => {
            if *number == 0 {
                &false
            } else {
                &true
            }
        }
        (Value::Integer(number), _) => number,
        (Value::Text(text), _) => text,
        (Value::Bytes(bytes), _) => bytes,
    }
}
