//! A primary and its standby: the one that writes changes, and the store goes with it.

use super::super::Options;
use super::super::cluster::{Cluster, Durability};
use super::super::target::Target;
use super::{Opened, PATIENCE, block_on, options};
use crate::conformance::fixtures::{TENANT, sent};
use crate::journal::EventQuery;
use crate::{Journal as _, Queue as _};

/// A primary, and a standby that has everything before a commit is answered.
fn pair() -> (Cluster, Cluster) {
    let primary = Cluster::start(Durability::Volatile).unwrap();
    primary.create_database("mail").unwrap();
    let standby = Cluster::start_standby(&primary).unwrap();
    primary.ask("mail", "ALTER SYSTEM SET synchronous_standby_names = '*'").unwrap();
    primary.ask("mail", "SELECT pg_reload_conf()").unwrap();
    (primary, standby)
}

/// Both servers in one URL, in this order.
fn options_of(first: &Cluster, second: &Cluster, directory: &tempfile::TempDir) -> Options {
    let host = |cluster: &Cluster| {
        let url = cluster.url("mail");
        let (_, rest) = url.split_once('@').unwrap();
        rest.split_once('/').unwrap().0.to_owned()
    };
    let url = format!("postgres://postgres@{},{}/mail", host(first), host(second));
    options(Target::parse(&url, None).unwrap(), directory.path())
}

/// What the store lists is what a server holds.
async fn check(opened: &Opened, server: &Cluster, events: usize) {
    let listed = opened.store.events(TENANT, EventQuery::newest(100)).await.unwrap();
    assert_eq!(listed.rows.len(), events);
    assert_eq!(server.ask("mail", "SELECT count(*) FROM events").unwrap(), events.to_string());
}

#[test]
fn a_promoted_standby_is_found_and_nothing_is_lost() {
    let (mut primary, standby) = pair();
    let directory = tempfile::tempdir().unwrap();
    let options = options_of(&primary, &standby, &directory);
    block_on(async {
        let opened = Opened::open(&options).await.unwrap();
        for _ in 0..3 {
            opened.accept().await.unwrap();
        }
        let heard = opened.heard();
        primary.kill().unwrap();
        // A standby takes nothing as long as it is one.
        assert!(opened.accept().await.unwrap_err().is_transient());
        standby.promote().unwrap();
        opened.accept_when_back().await;
        check(&opened, &standby, 4).await;
        opened.store.settle([sent(&heard[0])].into()).await.unwrap();
        assert_eq!(standby.ask("mail", "SELECT count(*) FROM settled").unwrap(), "1");

        // The old primary comes back as one that only follows. Its address is the first, and still passed over.
        std::fs::write(primary.data().join("standby.signal"), "").unwrap();
        primary.run().unwrap();
        let end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'postrider'";
        standby.ask("mail", end).unwrap();
        opened.accept_when_back().await;
        check(&opened, &standby, 5).await;
    });
}

#[test]
fn a_server_that_takes_no_more_writes_is_left_although_it_still_answers() {
    let (primary, standby) = pair();
    let directory = tempfile::tempdir().unwrap();
    let options = options_of(&primary, &standby, &directory);
    block_on(async {
        let opened = Opened::open(&options).await.unwrap();
        opened.accept().await.unwrap();
        check(&opened, &primary, 1).await;
        // Its connections stay, as when an operator hands over by hand.
        primary.ask("mail", "ALTER SYSTEM SET default_transaction_read_only = on").unwrap();
        primary.ask("mail", "SELECT pg_reload_conf()").unwrap();
        let noticed = async {
            // The setting reaches a connection with its next statement, or the one after it.
            let mut events = 1;
            while opened.accept().await.is_ok() {
                events += 1;
            }
            events
        };
        let events = tokio::time::timeout(PATIENCE, noticed).await.unwrap();
        standby.promote().unwrap();
        opened.accept_when_back().await;
        check(&opened, &standby, events + 1).await;
        assert_eq!(primary.ask("mail", "SELECT count(*) FROM events").unwrap(), events.to_string());
    });
}

#[test]
fn a_standby_that_lacks_a_commit_is_not_written_to() {
    let (mut primary, standby) = pair();
    let directory = tempfile::tempdir().unwrap();
    let options = options_of(&primary, &standby, &directory);
    block_on(async {
        let opened = Opened::open(&options).await.unwrap();
        opened.accept().await.unwrap();
        // From here on the standby hears nothing, and nobody waits for it.
        primary.ask("mail", "ALTER SYSTEM SET synchronous_standby_names = ''").unwrap();
        primary.ask("mail", "SELECT pg_reload_conf()").unwrap();
        standby.ask("mail", "ALTER SYSTEM SET primary_conninfo = ''").unwrap();
        standby.ask("mail", "SELECT pg_reload_conf()").unwrap();
        let alone = async {
            while primary.ask("mail", "SELECT count(*) FROM pg_stat_replication").unwrap() != "0" {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, alone).await.unwrap();
        opened.accept().await.unwrap();
        primary.kill().unwrap();
        standby.promote().unwrap();
        opened.finds_another_past().await;
        assert_eq!(standby.ask("mail", "SELECT count(*) FROM events").unwrap(), "1");
    });
}
