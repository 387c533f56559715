//! A database that is moved: read from a data directory, or written into one.
//!
//! A new one has an unfinished name until it is whole, so that no server starts on it before. It is written without a
//! log and without waiting for the disk; both come at the end.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use rusqlite::types::{FromSqlError, ToSqlOutput, Value as SqlValue, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};
use tempfile::TempPath;

use super::backup::{flush, unusable};
use super::segments::{self, Segments};
use super::{DATABASE_FILE, connect_for_reading, from_sqlite, known_version, migrate, schema_version};
use crate::StoreError;
use crate::lock::Locks;
use crate::moving::{Kind, Page, Row, Source, Table, Target, Value, check_version};

/// The file that is written until everything in it was read back.
const UNFINISHED_FILE: &str = "postrider.db.moving";

/// Columns of this store alone.
const OWN_COLUMNS: [(&str, &str); 2] = [("sequences", "one"), ("settled", "segment")];

/// A database that is read.
pub struct Database {
    connection: Connection,
    /// None when nothing is left.
    reading: Option<Reading>,
}

/// How far a table is read, along its key.
struct Reading {
    table: Table,
    /// The columns that were asked for.
    columns: Vec<String>,
    key: Vec<String>,
    /// The key of the last row.
    after: Option<Vec<SqlValue>>,
}

impl Database {
    /// Opens the database of a data directory that no other process uses, and takes the directory for as long as `locks`
    /// are held.
    pub fn open(data_dir: &Path, locks: &mut Locks) -> Result<Self, StoreError> {
        let path = data_dir.join(DATABASE_FILE);
        if !path.is_file() {
            return Err(StoreError::Unusable(format!("there is no database in {}", data_dir.display())));
        }
        locks.take(data_dir)?;
        let connection = connect_for_reading(&path)?;
        check_version(schema_version(&connection)?, known_version())?;
        if has_former_segments(&connection).map_err(from_sqlite)? {
            let message = format!(
                "the database in {} is not brought up to date yet: start a server on it once",
                data_dir.display()
            );
            return Err(StoreError::Unusable(message));
        }
        connection.execute_batch("BEGIN").map_err(from_sqlite)?;
        Ok(Self { connection, reading: None })
    }

    fn next_page(&mut self) -> rusqlite::Result<Page> {
        let mut page = Page::default();
        if let Some(mut reading) = self.reading.take() {
            reading.after = reading.read(&self.connection, &mut page)?;
            self.reading = reading.after.is_some().then_some(reading);
        }
        Ok(page)
    }
}

impl Reading {
    /// Reads further rows until the page is full. Returns the key of the last one, or nothing when that was all.
    fn read(&self, connection: &Connection, page: &mut Page) -> rusqlite::Result<Option<Vec<SqlValue>>> {
        let (names, key) = (self.columns.join("\", \""), self.key.join(", "));
        let after = self.after.as_deref();
        let beyond =
            after.map_or_else(String::new, |after| format!("WHERE ({key}) > ({})", vec!["?"; after.len()].join(", ")));
        let sql = format!("SELECT \"{names}\", {key} FROM {} {beyond} ORDER BY {key}", self.table);
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(after.unwrap_or_default()))?;
        while let Some(row) = rows.next()? {
            let columns = self.columns.len();
            page.push((0..columns).map(|column| row.get_ref(column).and_then(value)).collect::<Result<_, _>>()?);
            if page.is_full() {
                return (columns..columns + self.key.len())
                    .map(|column| row.get(column))
                    .collect::<Result<_, _>>()
                    .map(Some);
            }
        }
        Ok(None)
    }
}

#[async_trait]
impl Source for Database {
    async fn columns(&mut self, table: Table) -> Result<Vec<String>, StoreError> {
        columns(&self.connection, table).map_err(from_sqlite)
    }

    async fn count(&mut self, table: Table) -> Result<u64, StoreError> {
        let sql = format!("SELECT COUNT(*) FROM {table}");
        let count = self.connection.query_row(&sql, [], |row| row.get::<_, i64>(0));
        count.map(|rows| u64::try_from(rows).unwrap_or(0)).map_err(from_sqlite)
    }

    async fn begin(&mut self, table: Table, columns: &[String]) -> Result<(), StoreError> {
        let key = key_of(&declared_columns(&self.connection, table).map_err(from_sqlite)?);
        self.reading = Some(Reading { table, columns: columns.to_vec(), key, after: None });
        Ok(())
    }

    async fn next(&mut self) -> Result<Vec<Row>, StoreError> {
        self.next_page().map(Page::into_rows).map_err(from_sqlite)
    }
}

/// A database that is written. Dropped before it is finished, it is removed.
pub struct NewDatabase {
    database: Database,
    segments: Segments,
    unfinished: TempPath,
    data_dir: PathBuf,
}

impl NewDatabase {
    /// Begins a database in a data directory that has none, and takes the directory for as long as `locks` are held.
    pub fn create(data_dir: &Path, locks: &mut Locks) -> Result<Self, StoreError> {
        Self::with_segments(data_dir, locks, segments::ROWS_MAX)
    }

    /// The same with so many rows in a segment of history.
    pub(crate) fn with_segments(data_dir: &Path, locks: &mut Locks, rows_max: u64) -> Result<Self, StoreError> {
        locks.take(data_dir)?;
        if data_dir.join(DATABASE_FILE).exists() {
            return Err(StoreError::Unusable(format!(
                "{} holds a database already: move into a data directory without one, or take that {DATABASE_FILE} away \
                 when it is not wanted any more",
                data_dir.display()
            )));
        }
        let path = data_dir.join(UNFINISHED_FILE);
        // What a move has left that was killed. The lock says that none is at it.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(unusable(&path, &error)),
            _ => {}
        }
        let mut connection = Connection::open(&path).map_err(from_sqlite)?;
        let unfinished = TempPath::try_from_path(&path).map_err(|error| unusable(&path, &error))?;
        connection
            .execute_batch(
                "PRAGMA journal_mode = OFF;
                 PRAGMA synchronous = OFF;
                 PRAGMA cache_size = -65536;
                 PRAGMA foreign_keys = ON;",
            )
            .map_err(from_sqlite)?;
        migrate(&mut connection)?;
        let segments = Segments::open(&connection, rows_max)?;
        let database = Database { connection, reading: None };
        Ok(Self { database, segments, unfinished, data_dir: data_dir.to_owned() })
    }

    fn insert(&mut self, table: Table, columns: &[String], rows: &[Row]) -> Result<(), StoreError> {
        let connection = &self.database.connection;
        let (names, places) = (columns.join(", "), vec!["?"; columns.len()].join(", "));
        let kind = segments::Kind::parse(table.name).filter(|_| table.kind == Kind::History);
        let sql = match table.kind {
            Kind::Single => format!("UPDATE {table} SET ({names}) = ({places})"),
            _ if kind == Some(segments::Kind::Settled) => {
                format!("INSERT INTO {table} ({names}, segment) VALUES ({places}, ?)")
            }
            Kind::Plain | Kind::History => format!("INSERT INTO {table} ({names}) VALUES ({places})"),
        };
        for row in rows {
            let segment = kind.map(|kind| (kind, self.segments.add(kind)));
            let settled_in = segment.filter(|(kind, _)| *kind == segments::Kind::Settled);
            let values = row.iter().cloned().chain(settled_in.map(|(_, number)| Value::Integer(number)));
            connection
                .prepare_cached(&sql)
                .and_then(|mut statement| statement.execute(params_from_iter(values)))
                .map_err(from_sqlite)?;
            self.segments.rotate_full(connection)?;
        }
        Ok(())
    }
}

#[async_trait]
impl Target for NewDatabase {
    fn written(&mut self) -> &mut dyn Source {
        &mut self.database
    }

    /// Everything that the other stores keep can be kept here.
    fn adapt(&self, _row: &mut Row) -> bool {
        false
    }

    async fn write(&mut self, table: Table, columns: &[String], rows: &[Row]) -> Result<(), StoreError> {
        self.database.connection.execute_batch("BEGIN").map_err(from_sqlite)?;
        self.insert(table, columns, rows)?;
        self.database.connection.execute_batch("COMMIT").map_err(from_sqlite)?;
        // Segments that are full get their look-ups at once.
        while self.segments.index_one(&self.database.connection)?.is_some() {}
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<(), StoreError> {
        let Self { database, unfinished, data_dir, .. } = *self;
        database.connection.close().map_err(|(_, error)| from_sqlite(error))?;
        flush(&unfinished)?;
        let target = data_dir.join(DATABASE_FILE);
        unfinished.persist_noclobber(&target).map_err(|error| unusable(&target, &error.error))?;
        flush(&data_dir)
    }
}

/// Whether a segment is still a table of its own, which a start would move.
fn has_former_segments(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT EXISTS (SELECT 1 FROM segments WHERE form > 0)", [], |row| row.get(0))
}

/// A column as the schema declares it.
struct Declared {
    name: String,
    /// Its place in the key, from 1; 0 when it is not in it.
    key: i64,
}

fn declared_columns(connection: &Connection, table: Table) -> rusqlite::Result<Vec<Declared>> {
    connection
        .prepare_cached("SELECT name, pk FROM pragma_table_info(?1) ORDER BY cid")?
        .query_map([table.name], |row| Ok(Declared { name: row.get(0)?, key: row.get(1)? }))?
        .collect()
}

/// The columns that every store has.
fn columns(connection: &Connection, table: Table) -> rusqlite::Result<Vec<String>> {
    let declared = declared_columns(connection, table)?;
    let names = declared.into_iter().map(|column| column.name);
    Ok(names.filter(|name| !OWN_COLUMNS.contains(&(table.name, name))).collect())
}

fn key_of(declared: &[Declared]) -> Vec<String> {
    let mut key: Vec<_> = declared.iter().filter(|column| column.key > 0).collect();
    key.sort_by_key(|column| column.key);
    key.into_iter().map(|column| column.name.clone()).collect()
}

fn value(value: ValueRef<'_>) -> rusqlite::Result<Value> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Text(_) => Value::Text(value.as_str()?.to_owned()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_owned()),
        // No table has a column of such numbers.
        ValueRef::Real(_) => return Err(FromSqlError::InvalidType.into()),
    })
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
