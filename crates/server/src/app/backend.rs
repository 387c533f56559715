//! Which store there is: SQLite in the data directory, or PostgreSQL where `database_url` says. The only place that names
//! a backend.

mod moving;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use domain::Timestamp;
use engine::dispatch::run::Handle;
use engine::random::Entropy;
use store::observe::Observed;
use store::postgres::{self, PostgresStore};
use store::queue::Feed;
use store::sqlite::{self, SqliteStore};
use store::{Store, StoreError, Vault};

pub(crate) use moving::{Place, move_store};
pub(crate) use store::lock::LOCK_FILE;
pub(crate) use store::postgres::cluster::{Cluster, Durability};
pub(crate) use store::postgres::inspect::{LiveTables, live_tables};
pub(crate) use store::postgres::target::Target;
pub(crate) use store::sqlite::DATABASE_FILE;
pub(crate) use store::sqlite::backup::{Copied, OnProgress, Progress};

use super::KEY_FILE;
use crate::config::Config;
use crate::entropy::SystemEntropy;

/// Opens the store of these settings, and takes the data directory. With the key that links in mails are signed with.
pub(super) async fn open_store(
    config: &Config,
    entropy: &Arc<dyn Entropy>,
    dispatch: &Handle,
    observed: Observed,
) -> anyhow::Result<(Arc<dyn Store>, [u8; 32])> {
    make_data_dir(&config.data_dir)?;
    check_key(config).await?;
    let bytes = Arc::clone(entropy);
    let vault = Vault::open(&config.data_dir.join(KEY_FILE), move |buffer: &mut [u8]| bytes.fill(buffer))?;
    let link_key = vault.derive("links in mails");
    let vault = Arc::new(vault);
    let dispatch = dispatch.clone();
    let feed: Feed = Box::new(move |arrivals| dispatch.arrived(arrivals));
    let store: Arc<dyn Store> = match &config.database {
        None => {
            let options = sqlite::Options { observed: Some(observed), ..sqlite::Options::new(&config.data_dir) };
            Arc::new(SqliteStore::open(&options, vault, feed)?)
        }
        Some(target) => {
            warn_of_other_database(&config.data_dir);
            let options = postgres::Options {
                observed: Some(observed),
                readers: config.database_readers,
                ..postgres::Options::new(target.clone(), &config.data_dir)
            };
            Arc::new(PostgresStore::open(&options, vault, feed).await?)
        }
    };
    Ok((store, link_key))
}

/// Opens the SQLite store of a data directory that no server uses, for the bench, which writes a past into it. Nobody hears
/// of what is written.
pub(crate) fn open_idle_store(data_dir: &Path) -> anyhow::Result<Arc<dyn Store>> {
    let vault = Vault::open(&data_dir.join(KEY_FILE), |buffer: &mut [u8]| SystemEntropy.fill(buffer))?;
    Ok(Arc::new(SqliteStore::open(&sqlite::Options::new(data_dir), Arc::new(vault), Box::new(|_| ()))?))
}

/// Makes the data directory where it is missing: for its owner alone, because the key and the socket are in it.
fn make_data_dir(data_dir: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data_dir)
        .with_context(|| format!("the data directory {} cannot be made", data_dir.display()))
}

/// A new key would fit nothing that is there, and stand in the way of the right one.
async fn check_key(config: &Config) -> anyhow::Result<()> {
    let key = config.data_dir.join(KEY_FILE);
    if key.exists() {
        return Ok(());
    }
    let is_in_use = match &config.database {
        None => config.data_dir.join(DATABASE_FILE).exists(),
        Some(target) => postgres::inspect::inspect(target).await?.is_some_and(|seen| seen.has_channels),
    };
    if is_in_use {
        anyhow::bail!(
            "{} is missing, and the channels in the database are encrypted with it: put your copy of it back, or use \
             another data directory",
            key.display()
        );
    }
    Ok(())
}

fn warn_of_other_database(data_dir: &Path) {
    let unused = data_dir.join(DATABASE_FILE);
    if unused.exists() {
        tracing::warn!(
            file = %unused.display(),
            "database_url is set, so this SQLite database is not used: what waits in it is not sent. Unset database_url \
             to go on with it, or remove it when it is not wanted any more"
        );
    }
}

/// Copies the database of a data directory to a file that is not there or empty, whether a server uses it or not.
pub(crate) fn back_up(data_dir: &Path, to: &Path, on_progress: OnProgress<'_>) -> Result<Copied, StoreError> {
    sqlite::backup::copy(data_dir, to, on_progress)
}

/// Puts such a copy into a data directory without a database.
pub(crate) fn restore(from: &Path, data_dir: &Path, on_progress: OnProgress<'_>) -> anyhow::Result<Copied> {
    make_data_dir(data_dir)?;
    Ok(sqlite::backup::restore(from, data_dir, on_progress)?)
}

/// What was seen of a database from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inspection {
    /// What is wrong with it; nothing when all is well.
    pub faults: Vec<String>,
    /// When the newest event was accepted.
    pub newest_event: Option<Timestamp>,
    pub bytes: u64,
    /// Where it is, when it is not in the data directory.
    pub server: Option<String>,
}

/// Looks at the database of these settings from outside; `None` when there is none.
pub(crate) async fn inspect(config: &Config) -> Result<Option<Inspection>, StoreError> {
    let Some(target) = &config.database else {
        let seen = sqlite::inspect::inspect(&config.data_dir)?;
        return Ok(seen.map(|seen| Inspection {
            faults: seen.faults,
            newest_event: seen.newest_event,
            bytes: seen.bytes,
            server: None,
        }));
    };
    let seen = postgres::inspect::inspect(target).await?;
    Ok(seen.map(|seen| Inspection {
        faults: missing_key(config, &seen).into_iter().collect(),
        newest_event: seen.newest_event,
        bytes: seen.bytes,
        server: Some(describe(target, &seen)),
    }))
}

fn missing_key(config: &Config, seen: &postgres::inspect::Inspection) -> Option<String> {
    let key = config.data_dir.join(KEY_FILE);
    (seen.has_channels && !key.exists()).then(|| format!("{} is missing, its channels cannot be read", key.display()))
}

fn describe(target: &Target, seen: &postgres::inspect::Inspection) -> String {
    format!("{target}, PostgreSQL {}", seen.server)
}
