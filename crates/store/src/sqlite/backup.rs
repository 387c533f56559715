//! Copies of a whole database: taken while it is in use, checked, and put back.
//!
//! A copy is one view of the database: everything that was committed before it began, and nothing that came later. It
//! goes page by page through SQLite's own interface, reads beside the writer and never holds it up; only the log cannot
//! be folded in full until the copy is done. It is a plain file without a log of its own. The key that opens the channel
//! configs is not in it.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::{DATABASE_FILE, connect_for_reading, from_sqlite, lock, refuse_newer, schema_version};
use crate::StoreError;

/// Pages copied between two reports of progress: 4 MiB.
const STEP_PAGES: i32 = 1024;

/// How many numbers of deliveries a restored database leaves out. The deliveries that the original made after the copy
/// have their numbers on the wire, and receivers drop what they have had: without the gap they would drop new ones. So
/// many are made by no server between a backup and the day that it is needed, and there is room for millions of gaps.
const NUMBERS_LEFT_OUT: i64 = 1_000_000_000;

/// The file that a restore is written to before it is known to be whole.
const UNFINISHED_FILE: &str = "postrider.db.restoring";

/// The most faults that a check tells.
const FAULTS_MAX: usize = 10;

/// How far a copy has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub pages_done: u64,
    pub pages: u64,
}

/// Hears how far a copy has come, and may end it there.
pub type OnProgress<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// A copy that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    pub bytes: u64,
}

/// Copies the database in `data_dir` to the file `to`, which must be empty or not there, and checks the copy. Works
/// whether a server uses the database or not. When it fails, what is at `to` is of no use.
pub fn copy(data_dir: &Path, to: &Path, on_progress: OnProgress<'_>) -> Result<Copied, StoreError> {
    let from = data_dir.join(DATABASE_FILE);
    if !from.exists() {
        return Err(StoreError::Unusable(format!("there is no database in {}", data_dir.display())));
    }
    let source = connect_for_reading(&from)?;
    refuse_newer(&source)?;
    copy_pages(&source, to, on_progress)?;
    drop(open_checked(to)?);
    flush(to)?;
    let bytes = std::fs::metadata(to).map_err(|error| unusable(to, &error))?.len();
    Ok(Copied { bytes })
}

/// Puts the copy `from` into a data directory that holds no database, and checks it there. Takes the data directory for
/// as long. The next deliveries get numbers that the original has not given out.
pub fn restore(from: &Path, data_dir: &Path, on_progress: OnProgress<'_>) -> Result<Copied, StoreError> {
    let _lock = lock(data_dir)?;
    let target = data_dir.join(DATABASE_FILE);
    if target.exists() {
        let data_dir = data_dir.display();
        return Err(StoreError::Unusable(format!("{data_dir} holds a database already; restore into an empty one")));
    }
    let source = open_copy(from)?;
    let unfinished = data_dir.join(UNFINISHED_FILE);
    let restored = restore_to(&source, &unfinished, on_progress).and_then(|copied| {
        std::fs::rename(&unfinished, &target).map_err(|error| unusable(&target, &error))?;
        flush(data_dir).map(|()| copied)
    });
    if restored.is_err() {
        // What failed is what the caller should read, not that its leavings could not be removed.
        let _ = std::fs::remove_file(&unfinished);
    }
    restored
}

fn restore_to(source: &Connection, to: &Path, on_progress: OnProgress<'_>) -> Result<Copied, StoreError> {
    copy_pages(source, to, on_progress)?;
    let restored = open_checked(to)?;
    restored.execute("UPDATE sequences SET delivery = delivery + ?1", [NUMBERS_LEFT_OUT]).map_err(from_sqlite)?;
    restored.close().map_err(|(_, error)| from_sqlite(error))?;
    flush(to)?;
    let bytes = std::fs::metadata(to).map_err(|error| unusable(to, &error))?.len();
    Ok(Copied { bytes })
}

/// Opens a copy of a Postrider database.
fn open_copy(path: &Path) -> Result<Connection, StoreError> {
    if !path.is_file() {
        return Err(StoreError::Unusable(format!("there is no file {}", path.display())));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let foreign = || StoreError::Unusable(format!("{} is not a Postrider database", path.display()));
    let connection = Connection::open_with_flags(path, flags).map_err(|_| foreign())?;
    if schema_version(&connection).map_err(|_| foreign())? == 0 {
        return Err(foreign());
    }
    refuse_newer(&connection)?;
    Ok(connection)
}

/// Copies every page of one view. The view is held over all steps, so the copy is not begun anew when somebody writes.
fn copy_pages(source: &Connection, to: &Path, on_progress: OnProgress<'_>) -> Result<(), StoreError> {
    let view = source.unchecked_transaction().map_err(from_sqlite)?;
    // A transaction sees from its first statement on.
    schema_version(&view)?;
    let mut target = Connection::open(to).map_err(from_sqlite)?;
    // A copy that is cut short is thrown away, and one that is whole is flushed at its end.
    target.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;").map_err(from_sqlite)?;
    let backup = Backup::new(&view, &mut target).map_err(from_sqlite)?;
    loop {
        let step = backup.step(STEP_PAGES).map_err(from_sqlite)?;
        let progress = backup.progress();
        let count = |pages: i32| u64::try_from(pages).unwrap_or(0);
        let pages = count(progress.pagecount);
        let so_far = on_progress(Progress { pages_done: pages.saturating_sub(count(progress.remaining)), pages });
        if so_far.is_break() {
            return Err(StoreError::Unavailable("the copy was ended before it was whole".to_owned()));
        }
        match step {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            _ => return Err(StoreError::Unavailable("the database is locked by another program".to_owned())),
        }
    }
}

/// Opens a copy, makes it a file that needs no log beside it, and checks every page of it.
fn open_checked(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path).map_err(from_sqlite)?;
    connection.execute_batch("PRAGMA journal_mode = DELETE").map_err(from_sqlite)?;
    let faults = faults(&connection, "integrity_check")?;
    if faults.is_empty() {
        return Ok(connection);
    }
    Err(StoreError::Unusable(format!("the copy {} is damaged: {}", path.display(), faults.join("; "))))
}

/// What one of SQLite's checks finds; nothing when all is well.
pub(super) fn faults(connection: &Connection, check: &str) -> Result<Vec<String>, StoreError> {
    let read = || -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare(&format!("PRAGMA {check}({FAULTS_MAX})"))?;
        statement.query_map([], |row| row.get(0))?.collect()
    };
    let said = read().map_err(from_sqlite)?;
    Ok(said.into_iter().filter(|line| line != "ok").collect())
}

/// Makes a file, or the names in a directory, survive a power cut.
pub(super) fn flush(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| unusable(path, &error))
}

pub(super) fn unusable(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Unusable(format!("{} cannot be used: {error}", path.display()))
}
