//! The database goes away: killed, stopped, read-only, and in the middle of a commit.

use std::time::Duration;

use domain::delivery::AttemptRecord;
use domain::outcome::Outcome;
use domain::{ChannelId, TenantId};

use super::super::Options;
use super::super::cluster::{Cluster, Durability};
use super::super::target::Target;
use super::proxy::{Loss, OF_BATCH, OF_PARTITION, Proxy};
use super::{OneDatabase, Opened, PATIENCE, block_on, cluster, options};
use crate::conformance::fixtures::{NOW, TENANT, event, record, request, routes, sent, settings};
use crate::directory::NewChannel;
use crate::journal::{AttemptQuery, EventQuery, StatsQuery};
use crate::queue::{AcceptAnswer, Settlement};
use crate::{Directory as _, Journal as _, Queue as _, StoreError};

fn kept(answer: AcceptAnswer) -> usize {
    match answer {
        AcceptAnswer::Kept(events) => events.len(),
        AcceptAnswer::KeyReused(position) => panic!("the key is reused: {position:?}"),
    }
}

#[test]
fn a_commit_whose_answer_was_lost_is_looked_up() {
    let database = OneDatabase::new();
    let proxy = Proxy::to(cluster().socket());
    let target = Target::parse(&proxy.url(&database.name), None).unwrap();
    block_on(async {
        let opened = Opened::open(&options(target, database.directory.path())).await.unwrap();
        for (loss, is_kept) in [(Loss::Answer, true), (Loss::Commit, false), (Loss::Answer, true)] {
            opened.accept_when_back().await;
            opened.heard();
            let before = opened.store.stats(TENANT, StatsQuery::since(NOW)).await.unwrap().events;
            proxy.lose(loss, OF_BATCH);
            let answer = opened.accept().await;
            assert!(proxy.has_lost());
            // Whoever asked is told the truth, and so is dispatch.
            assert_eq!(answer.is_ok(), is_kept, "{loss:?}: {answer:?}");
            assert_eq!(opened.heard().len(), usize::from(is_kept), "{loss:?}");
            let after = opened.store.stats(TENANT, StatsQuery::since(NOW)).await.unwrap();
            assert_eq!((after.events, after.pending), (before + u64::from(is_kept), before + u64::from(is_kept)));
        }
        // A settlement that was committed without an answer is settled once.
        let kept = opened.store.waiting_after(ChannelId(1), domain::DeliveryId(0), NOW, 1).await.unwrap().remove(0);
        opened.accept_when_back().await;
        let mut arrival = opened.heard().remove(0);
        (arrival.delivery, arrival.event) = (kept.delivery, kept.event.unwrap());
        proxy.lose(Loss::Answer, OF_BATCH);
        opened.store.settle([sent(&arrival)].into()).await.unwrap();
        opened.store.settle([sent(&arrival)].into()).await.unwrap();
        let stats = opened.store.stats(TENANT, StatsQuery::since(NOW)).await.unwrap();
        assert_eq!((stats.sent, stats.pending + stats.sent), (1, stats.events));
    });
}

#[test]
fn a_partition_whose_making_was_not_answered_is_found() {
    let database = OneDatabase::new();
    let proxy = Proxy::to(cluster().socket());
    let target = Target::parse(&proxy.url(&database.name), None).unwrap();
    block_on(async {
        let opened = Opened::open(&options(target, database.directory.path())).await.unwrap();
        for loss in [Loss::Answer, Loss::Commit] {
            proxy.lose(loss, OF_PARTITION);
            let mut turned_away = 0;
            while !proxy.has_lost() {
                turned_away += usize::from(opened.accept().await.is_err());
            }
            assert_eq!(turned_away, 1, "{loss:?}");
            opened.accept_when_back().await;
        }
    });
}

#[test]
fn a_database_that_is_silent_is_given_up_in_time_and_comes_back() {
    let database = OneDatabase::new();
    let proxy = Proxy::to(cluster().socket());
    let target = Target::parse(&format!("{}?connect_timeout=1", proxy.url(&database.name)), None).unwrap();
    let patience = Duration::from_secs(1);
    block_on(async {
        let opened = Opened::open(&Options { patience, ..options(target, database.directory.path()) }).await.unwrap();
        let mut events = kept(opened.accept_when_back().await);
        proxy.fall_silent();
        let error = tokio::time::timeout(PATIENCE, opened.accept()).await.expect("an answer").unwrap_err();
        assert!(error.is_transient() && error.to_string().contains("did not answer"), "{error}");
        let error = tokio::time::timeout(PATIENCE, opened.store.totals()).await.expect("an answer").unwrap_err();
        assert!(error.is_transient(), "{error}");
        // New connections come about, and are silent as well.
        let error = tokio::time::timeout(PATIENCE, opened.accept()).await.expect("an answer").unwrap_err();
        assert!(error.is_transient(), "{error}");
        proxy.speak_again();
        events += kept(opened.accept_when_back().await);
        let listed = opened.store.events(TENANT, EventQuery::newest(100)).await.unwrap();
        assert_eq!((listed.rows.len(), opened.heard().len()), (events, events));
    });
}

#[test]
fn what_comes_while_it_is_away_is_turned_away_until_it_is_back() {
    let mut cluster = Cluster::start(Durability::Volatile).unwrap();
    cluster.create_database("mail").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let target = Target::parse(&cluster.url("mail"), None).unwrap();
    block_on(async {
        let opened = Opened::open(&options(target, directory.path())).await.unwrap();
        let mut events = 0;
        for end in [Cluster::kill, Cluster::stop] {
            events += kept(opened.accept_when_back().await);
            end(&mut cluster).unwrap();
            for _ in 0..3 {
                let error = opened.accept().await.unwrap_err();
                assert!(error.is_transient(), "{error}");
                let error = opened.store.totals().await.unwrap_err();
                assert!(error.is_transient(), "{error}");
            }
            cluster.run().unwrap();
            events += kept(opened.accept_when_back().await);
            let listed = opened.store.events(TENANT, EventQuery::newest(100)).await.unwrap();
            assert_eq!(listed.rows.len(), events);
            assert_eq!(opened.heard().len(), 2);
        }
        // A standby answers questions, and takes nothing.
        cluster.stop().unwrap();
        let signal = cluster.data().join("standby.signal");
        std::fs::write(&signal, "").unwrap();
        cluster.run().unwrap();
        assert!(opened.accept().await.unwrap_err().is_transient());
        cluster.stop().unwrap();
        std::fs::remove_file(&signal).unwrap();
        cluster.run().unwrap();
        opened.accept_when_back().await;
    });
}

#[test]
fn a_database_that_somebody_else_has_written_to_is_left_alone() {
    let database = OneDatabase::new();
    block_on(async {
        let opened = Opened::open(&database.options()).await.unwrap();
        opened.accept().await.unwrap();
        let meddle = "UPDATE sequences SET batch = batch + 5;
                      SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
                      WHERE datname = current_database() AND pid <> pg_backend_pid()";
        cluster().ask(&database.name, meddle).unwrap();
        opened.finds_another_past().await;
        // The lock was given back: after a restart everything is read anew.
        drop(opened);
        Opened::open(&database.options()).await.unwrap().accept().await.unwrap();
    });
}

#[test]
fn a_job_that_is_refused_fails_alone() {
    let database = OneDatabase::new();
    block_on(async {
        let opened = Opened::open(&database.options()).await.unwrap();
        // There is no such tenant, which its foreign key finds.
        let nobody =
            NewChannel { tenant: TenantId(99), settings: settings(), derives_shard: true, routes: routes(&["*"]) };
        let (first, refused, second) =
            tokio::join!(opened.accept(), opened.store.create_channel(nobody, NOW), opened.accept());
        assert_eq!(kept(first.unwrap()) + kept(second.unwrap()), 2);
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
        let ids: Vec<_> = opened.heard().iter().map(|arrival| arrival.event.id.0).collect();
        assert_eq!(ids, [1, 2]);
    });
}

#[test]
fn an_answer_with_a_zero_byte_is_kept() {
    let database = OneDatabase::new();
    block_on(async {
        let opened = Opened::open(&database.options()).await.unwrap();
        opened.accept().await.unwrap();
        let arrival = opened.heard().remove(0);
        let answer = AttemptRecord { body: "a\0b".to_owned(), ..record(1, Outcome::retry("\0")) };
        opened.store.settle([Settlement { records: vec![answer], ..sent(&arrival) }].into()).await.unwrap();
        let read = opened.store.attempts(TENANT, AttemptQuery::newest(1)).await.unwrap().rows.remove(0);
        assert_eq!((read.record.body.as_str(), read.record.outcome.note.as_str()), ("a\u{FFFD}b", "\u{FFFD}"));
        let request = request(TENANT, vec![event(TENANT, &[1])]);
        assert_eq!(kept(opened.store.accept(request).await.unwrap()), 1);
    });
}
