//! The real binary with its database on PostgreSQL: the main path, and what happens when one of the two is killed.
//!
//! Each test has a private cluster of its own, so that it may stop it. Tests from elsewhere that run on both stores share
//! one, with a database each.

mod bench;
mod commands;
mod killed;
mod main_path;
mod moving;
mod refused;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use store::postgres::cluster::{Cluster, Durability};

use crate::harness::Setup;

const DATABASE: &str = "postrider";

/// A cluster with an empty database. What is killed here is processes, so nothing has to outlive the machine.
fn cluster() -> Cluster {
    let cluster = Cluster::start(Durability::Volatile).expect("a private PostgreSQL");
    cluster.create_database(DATABASE).expect("a database");
    cluster
}

/// The usual settings, and this database.
fn setup(cluster: &Cluster) -> Setup {
    Setup::new().set("POSTRIDER_DATABASE_URL", &cluster.url(DATABASE))
}

/// The same with a database of its own in the cluster of all tests that stop none.
pub(crate) fn setup_in_shared_cluster() -> Setup {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    static MADE: AtomicU32 = AtomicU32::new(0);
    let cluster = CLUSTER.get_or_init(|| Cluster::start(Durability::Volatile).expect("a private PostgreSQL"));
    let database = format!("test_{}", MADE.fetch_add(1, Ordering::Relaxed));
    cluster.create_database(&database).expect("a database");
    Setup::new().set("POSTRIDER_DATABASE_URL", &cluster.url(&database))
}
