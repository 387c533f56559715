//! Where a world keeps its database, and the one that it begins with.
//!
//! A new database costs more than the shortest worlds: each migration is a transaction of its own. So one is made, and each
//! world begins with a copy. What a crash leaves is looked for below the engine and above the disk, so the files
//! lie in memory where the machine has a place for that.

use std::fs;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use store::Vault;
use store::sqlite::{DATABASE_FILE, Options, SqliteStore};
use tempfile::TempDir;

/// Files here are memory.
const MEMORY: &str = "/dev/shm";

/// It is used with so much room: a world takes some ten MiB, many run beside each other, and a container may have as little
/// as 64 MiB for all of them.
const ROOM_BYTES_MIN: u64 = 512 << 20;

/// A database that nothing has happened in.
static NEW: OnceLock<Vec<u8>> = OnceLock::new();

/// A data directory with a new database.
pub(crate) fn new_data_dir() -> anyhow::Result<TempDir> {
    let data_dir = empty_dir()?;
    fs::write(data_dir.path().join(DATABASE_FILE), new_database()?)?;
    Ok(data_dir)
}

fn empty_dir() -> anyhow::Result<TempDir> {
    let has_room =
        rustix::fs::statvfs(MEMORY).is_ok_and(|room| room.f_bavail.saturating_mul(room.f_frsize) >= ROOM_BYTES_MIN);
    Ok(if has_room { tempfile::tempdir_in(MEMORY) } else { tempfile::tempdir() }?)
}

fn new_database() -> anyhow::Result<&'static [u8]> {
    if let Some(known) = NEW.get() {
        return Ok(known);
    }
    let made = make()?;
    Ok(NEW.get_or_init(|| made))
}

fn make() -> anyhow::Result<Vec<u8>> {
    let data_dir = empty_dir()?;
    let vault = Vault::new([7; 32], |buffer: &mut [u8]| buffer.fill(0));
    // Its log is folded into it when it is closed.
    drop(SqliteStore::open_stepped(&Options::new(data_dir.path()), Arc::new(vault), Box::new(drop))?);
    fs::read(data_dir.path().join(DATABASE_FILE)).context("a new database")
}
