//! Others have all the connections that the server allows.

use tokio_postgres::{Client, NoTls};

use super::super::cluster::{Cluster, Durability};
use super::super::target::Target;
use super::{Opened, PATIENCE, block_on, options};
use crate::conformance::fixtures::TENANT;
use crate::journal::EventQuery;
use crate::{Journal as _, StoreError};

/// One for the store's writer, and enough for others.
const CONNECTIONS_MAX: usize = 6;

/// Connections of programs that are none of ours.
struct Others {
    url: String,
    clients: Vec<Client>,
}

impl Others {
    /// Takes connections until there are none left.
    #[expect(clippy::disallowed_methods, reason = "a connection ends with its client")]
    async fn take_all(&mut self) {
        while let Ok((client, connection)) = tokio_postgres::connect(&self.url, NoTls).await {
            tokio::spawn(connection);
            self.clients.push(client);
        }
    }

    /// Ends every connection of ours, and returns how many there were.
    async fn end_ours(&self) -> u64 {
        let sql = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'postrider'";
        self.clients[0].execute(sql, &[]).await.unwrap()
    }
}

#[test]
fn without_a_connection_nothing_is_accepted_until_there_is_one_again() {
    let mut cluster = Cluster::start(Durability::Volatile).unwrap();
    cluster.create_database("mail").unwrap();
    cluster.stop().unwrap();
    cluster.set(&format!("max_connections={CONNECTIONS_MAX}"));
    // The tests connect as the owner of everything.
    cluster.set("superuser_reserved_connections=0");
    cluster.set("max_wal_senders=0");
    cluster.run().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let target = Target::parse(&cluster.url("mail"), None).unwrap();
    block_on(async {
        let opened = Opened::open(&options(target, directory.path())).await.unwrap();
        opened.accept().await.unwrap();
        let mut others = Others { url: cluster.url("mail"), clients: Vec::new() };
        others.take_all().await;
        // Whoever comes first gets what is free: until others have all of them.
        let crowded_out = async {
            while others.end_ours().await > 0 {
                others.take_all().await;
            }
        };
        tokio::time::timeout(PATIENCE, crowded_out).await.unwrap();
        assert_eq!(others.clients.len(), CONNECTIONS_MAX);

        let refused = async {
            loop {
                let error = opened.accept().await.unwrap_err();
                assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
                if error.to_string().contains("too many clients") {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, refused).await.unwrap();
        let error = opened.store.totals().await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");

        drop(others);
        opened.accept_when_back().await;
        let listed = opened.store.events(TENANT, EventQuery::newest(10)).await.unwrap();
        assert_eq!((listed.rows.len(), opened.heard().len()), (2, 2));
    });
}
