//! The real binary with its database on PostgreSQL: the main path, and what happens when one of the two is killed.
//!
//! Each test has a private cluster of its own, so that it may stop it.

mod bench;
mod commands;
mod killed;
mod main_path;
mod refused;

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
