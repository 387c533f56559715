//! Where the measured server keeps its data: in SQLite, or on a PostgreSQL that the bench starts for it.
//!
//! That PostgreSQL is private to the run: made in the bench's directory, so its disk is the one that is measured, as durable
//! as one should be, reached over a socket, and gone with the bench.

use super::process;
use crate::app::{Cluster, Durability, LiveTables, Target, live_tables};
use anyhow::{Context, anyhow};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The name of the database, which nobody else uses.
const NAME: &str = "postrider";

/// Which store is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Store {
    Sqlite,
    Postgres,
}

impl Store {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }

    /// The share of what SQLite must reach that is asked of this one: here a commit is a conversation of two processes,
    /// which share the processor with the load.
    pub(super) const fn share(self) -> f64 {
        match self {
            Self::Sqlite => 1.0,
            Self::Postgres => 0.4,
        }
    }
}

/// A private PostgreSQL with an empty database. Dropping it stops it and removes what it has written.
pub(super) struct Database {
    url: String,
    pid: u32,
    _cluster: Cluster,
}

impl Database {
    /// Makes and starts one below `parent`.
    pub(super) async fn start(parent: &Path) -> anyhow::Result<Self> {
        let parent = PathBuf::from(parent);
        tokio::task::spawn_blocking(move || {
            let cluster = Cluster::start_in(&parent, Durability::Durable)?;
            cluster.create_database(NAME)?;
            let pid = cluster.pid().ok_or_else(|| anyhow!("the private PostgreSQL has no process"))?;
            Ok(Self { url: cluster.url(NAME), pid, _cluster: cluster })
        })
        .await
        .context("the private PostgreSQL")?
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Processor time of all its processes so far, those that ended included.
    pub(super) fn cpu(&self) -> Option<Duration> {
        process::cpu_of_family(self.pid)
    }

    pub(super) async fn live_tables(&self) -> anyhow::Result<LiveTables> {
        Ok(live_tables(&Target::parse(&self.url, None)?).await?)
    }
}
