//! What is PostgreSQL's own: the conformance suite over it, the database that goes away, and what is refused.
//!
//! The cluster is one for all tests of the process, and each test has a database of its own.

use std::future::Future;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tempfile::TempDir;

use super::cluster::{Cluster, Durability};
use super::target::Target;
use super::{Options, PostgresStore};
use crate::conformance::fixtures::{TENANT, event, request};
use crate::conformance::{Factory, SEGMENT_ROWS};
use crate::queue::{AcceptAnswer, Arrival, Feed};
use crate::{Queue as _, StoreError, Vault};

mod away;
mod crowded;
mod failover;
mod migrations;
mod moving;
mod opening;
mod plans;
mod proxy;
mod retention;
mod tls;

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

    fn url(&self) -> String {
        cluster().url(&self.name)
    }

    fn options(&self) -> Options {
        let target = Target::parse(&self.url(), None).unwrap();
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

/// Runs a test that stands for itself.
fn block_on<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

/// An open store, and what it announced.
struct Opened {
    store: PostgresStore,
    heard: Arc<Mutex<Vec<Arrival>>>,
}

impl Opened {
    async fn open(options: &Options) -> Result<Self, StoreError> {
        let heard: Arc<Mutex<Vec<Arrival>>> = Arc::default();
        let hear = Arc::clone(&heard);
        let feed: Feed = Box::new(move |arrivals| hear.lock().unwrap().extend(arrivals));
        Ok(Self { store: PostgresStore::open(options, vault(), feed).await?, heard })
    }

    fn heard(&self) -> Vec<Arrival> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }

    async fn accept(&self) -> Result<AcceptAnswer, StoreError> {
        self.store.accept(request(TENANT, vec![event(TENANT, &[1])])).await
    }

    /// Asks until it is kept: the writer tries to connect again a moment after it has failed.
    async fn accept_when_back(&self) -> AcceptAnswer {
        let back = async {
            loop {
                match self.accept().await {
                    Ok(answer) => return answer,
                    Err(error) => assert!(error.is_transient(), "{error}"),
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, back).await.expect("it comes back")
    }

    /// Until then it refuses for a while; in the end because the database is not as it left it.
    async fn finds_another_past(&self) {
        let found = async {
            loop {
                let error = self.accept().await.unwrap_err();
                assert!(error.is_transient(), "{error}");
                if error.to_string().contains("not where this process left it") {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, found).await.unwrap();
    }
}

/// Far more than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
