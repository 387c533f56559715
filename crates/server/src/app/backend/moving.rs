//! A database that is moved to another store, with what lies beside it in the data directory: the key, and the notes of
//! sends that were under way.
//!
//! What is copied and how it is compared is the store's business ([`store::moving`]).

use std::fmt;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use engine::random::Entropy as _;
use store::Vault;
use store::lock::Locks;
use store::moving::{self, Copied, OnProgress, Source};
use store::postgres::target::Target;
use store::{postgres, sqlite};

use super::{DATABASE_FILE, make_data_dir};
use crate::app::KEY_FILE;
use crate::entropy::SystemEntropy;
use crate::in_flight::IN_FLIGHT_FILE;

/// Where a server keeps things.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub data_dir: PathBuf,
    /// Where the database is, when it is not in the data directory.
    pub server: Option<Target>,
}

impl fmt::Display for Place {
    /// The database, without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.server {
            Some(target) => target.fmt(f),
            None => self.data_dir.join(DATABASE_FILE).display().fmt(f),
        }
    }
}

/// Copies a database to a place that has none, reads the copy back and compares. Takes both places for as long. Only
/// when everything is equal there is a database afterwards; in all other cases nothing is left.
pub(crate) async fn move_store(from: &Place, to: &Place, on_progress: OnProgress<'_>) -> anyhow::Result<Copied> {
    let mut locks = Locks::default();
    let mut source = open(from, &mut locks).await?;
    check_key_of_target(from, to)?;
    make_data_dir(&to.data_dir)?;
    let mut target = create(to, &mut locks).await?;
    let vault = Vault::open(&from.data_dir.join(KEY_FILE), |bytes: &mut [u8]| SystemEntropy.fill(bytes))?;
    let copied = moving::copy(&mut *source, &mut *target, &vault, on_progress).await?;
    if copied.is_equal() {
        // Before there is a database, so that there never is one without its key.
        hand_over(from, to)?;
        target.finish().await?;
    }
    Ok(copied)
}

async fn open(from: &Place, locks: &mut Locks) -> anyhow::Result<Box<dyn Source>> {
    match &from.server {
        None => {
            let database = sqlite::moving::Database::open(&from.data_dir, locks)?;
            check_key_of_source(from)?;
            Ok(Box::new(database))
        }
        Some(target) => {
            check_key_of_source(from)?;
            locks.take(&from.data_dir)?;
            Ok(Box::new(postgres::moving::Database::open(target).await?))
        }
    }
}

async fn create(to: &Place, locks: &mut Locks) -> anyhow::Result<Box<dyn moving::Target>> {
    match &to.server {
        None => Ok(Box::new(sqlite::moving::NewDatabase::create(&to.data_dir, locks)?)),
        Some(target) => {
            locks.take(&to.data_dir)?;
            Ok(Box::new(postgres::moving::NewDatabase::create(target).await?))
        }
    }
}

fn check_key_of_source(from: &Place) -> anyhow::Result<()> {
    let key = from.data_dir.join(KEY_FILE);
    if !key.exists() {
        anyhow::bail!(
            "{} is missing, and the channels in {from} are encrypted with it: put your copy of it there, or name the data \
             directory of that server with --data-dir",
            key.display()
        );
    }
    Ok(())
}

/// A key that is there already must be the same: two cannot lie in one directory.
fn check_key_of_target(from: &Place, to: &Place) -> anyhow::Result<()> {
    let key = to.data_dir.join(KEY_FILE);
    if key.exists() && read(&key)? != read(&from.data_dir.join(KEY_FILE))? {
        anyhow::bail!(
            "{} is another key than that of {from}, and what is moved could not be read with it: take it away if nothing \
             needs it, or choose another data directory",
            key.display()
        );
    }
    Ok(())
}

/// Copies what lies beside the database, unless both places have the same data directory. Of the notes those count
/// whose try the database has not seen settled, wherever it is: the first start makes attempts of them whose outcome is
/// unknown.
fn hand_over(from: &Place, to: &Place) -> anyhow::Result<()> {
    if from.data_dir.canonicalize()? == to.data_dir.canonicalize()? {
        return Ok(());
    }
    for name in [KEY_FILE, IN_FLIGHT_FILE] {
        let source = from.data_dir.join(name);
        if source.exists() {
            put(&to.data_dir, name, &read(&source)?)
                .with_context(|| format!("{} cannot be written", to.data_dir.join(name).display()))?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// Makes a file for its owner alone, durable and whole.
fn put(directory: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(directory.join(name))?;
    File::open(directory)?.sync_all()?;
    Ok(())
}
