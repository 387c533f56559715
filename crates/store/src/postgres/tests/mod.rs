//! What is PostgreSQL's own: the conformance suite over it, on a private cluster.
//!
//! The cluster is one for all tests of the process, and each test has a database of its own.

use std::future::Future;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use tempfile::TempDir;

use super::cluster::{Cluster, Durability};
use super::target::Target;
use super::{Options, PostgresStore};
use crate::Vault;
use crate::conformance::{Factory, SEGMENT_ROWS};
use crate::queue::Feed;

mod conformance {
    store_conformance!(crate::postgres::tests::OneDatabase::new());
}

/// A database of the tests' cluster.
struct OneDatabase {
    name: String,
    /// The data directory.
    directory: TempDir,
}

impl OneDatabase {
    fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("case_{}", MADE.fetch_add(1, Ordering::Relaxed));
        cluster().create_database(&name).unwrap();
        Self { name, directory: tempfile::tempdir().unwrap() }
    }

    fn options(&self) -> Options {
        let target = Target::parse(&cluster().url(&self.name), None).unwrap();
        options(target, self.directory.path())
    }
}

fn options(target: Target, data_dir: &Path) -> Options {
    Options { segment_rows_max: SEGMENT_ROWS, readers: 2, ..Options::new(target, data_dir) }
}

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::start(Durability::Volatile).unwrap())
}

impl Factory for OneDatabase {
    type Store = PostgresStore;

    async fn open(&self, feed: Feed) -> PostgresStore {
        PostgresStore::open(&self.options(), vault(), feed).await.unwrap()
    }

    fn block_on<T>(&self, case: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(case)
    }
}

fn vault() -> Arc<Vault> {
    Arc::new(Vault::new([7; 32], |bytes| bytes.fill(9)))
}
