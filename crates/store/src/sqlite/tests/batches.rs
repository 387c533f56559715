//! Batches that fail: in part, whole, and in doubt.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::{Clock, Timestamp};
use rusqlite::Connection;

use super::{Call, OneDirectory, Stepped, options, vault};
use crate::conformance::fixtures::{EXPIRES_AT, NOW, OTHER_TENANT, TENANT, content, event, request, sent, settings};
use crate::conformance::{Factory as _, SEGMENT_ROWS};
use crate::directory::NewChannel;
use crate::journal::StatsQuery;
use crate::observe::{Commit, Hold, Observed, Observer};
use crate::queue::{AcceptAnswer, AcceptEvent, AcceptRequest, AcceptedEvent, RetryAnswer};
use crate::sqlite::folding::{FOLD_PAGES, Log};
use crate::sqlite::segments::Kind;
use crate::sqlite::tx::next;
use crate::sqlite::writer::{Fault, Left, Writer};
use crate::sqlite::{DATABASE_FILE, Options, SqliteStore};
use crate::{Directory as _, Journal as _, Queue as _, StoreError};

fn accept(stepped: &Stepped, request: AcceptRequest) -> Call<'_, AcceptAnswer> {
    Box::pin(stepped.store.accept(request))
}

/// A request with one event whose payload has this many bytes.
fn sized(bytes: usize) -> AcceptRequest {
    let mut content = content(TENANT);
    content.data = "x".repeat(bytes).into();
    request(TENANT, vec![AcceptEvent { content: content.into(), ..event(TENANT, &[1]) }])
}

fn kept(answer: Result<AcceptAnswer, StoreError>) -> AcceptedEvent {
    match answer {
        Ok(AcceptAnswer::Kept(mut events)) => events.remove(0),
        other => panic!("not kept: {other:?}"),
    }
}

fn is_unavailable<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unavailable(_)))
}

/// That nothing at all was kept so far, by the answer of the stats.
fn events_of_all(stepped: &Stepped) -> u64 {
    stepped.run(stepped.store.stats(TENANT, StatsQuery::since(NOW))).unwrap().events
}

/// Makes a call that SQLite refuses after it wrote, announced and counted something.
async fn refused(stepped: &Stepped) -> Result<AcceptAnswer, StoreError> {
    let refuse = |tx: &mut crate::sqlite::tx::Tx<'_>| {
        for _ in 0..9 {
            next(&mut tx.sequences.event);
            tx.segments.add(Kind::Events);
            tx.segments.add(Kind::Settled);
        }
        tx.count(TENANT, domain::ChannelId(0), &"x".into(), "event", NOW);
        tx.connection.execute("INSERT INTO expand VALUES (1, 1, x'')", []).unwrap();
        let error = tx.connection.execute("INSERT INTO subscriptions VALUES (1, 99, 99, '*', NULL, 1, NULL)", []);
        Err(crate::sqlite::from_sqlite(error.unwrap_err()))
    };
    stepped.store.write(1, refuse).await
}

#[derive(Default)]
struct Heard(Mutex<(Vec<Commit>, usize)>);

impl Observer for Heard {
    fn committed(&self, commit: &Commit) {
        self.0.lock().unwrap().0.push(commit.clone());
    }

    fn held(&self, _: &Hold) {}

    fn called(&self) {}

    fn failed(&self) {
        self.0.lock().unwrap().1 += 1;
    }
}

/// Moves on by a millisecond whenever it is asked.
#[derive(Default)]
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        NOW
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

#[test]
fn what_is_durable_is_told_once() {
    let directory = OneDirectory::new();
    let heard = Arc::new(Heard::default());
    let observed = Observed { observer: Arc::clone(&heard) as _, clock: Arc::new(Ticking::default()) };
    let options = Options { observed: Some(observed), ..options(directory.0.path()) };
    let store = SqliteStore::open_stepped(&options, vault(), Box::new(|_| ())).unwrap();
    let stepped = Stepped { store, heard: Arc::default() };
    let two = || vec![accept(&stepped, sized(1)), accept(&stepped, sized(1))];
    stepped.batch(two(), Some(Fault::BeforeCommit));
    assert_eq!(*heard.0.lock().unwrap(), (vec![], 2));
    stepped.batch(two(), None);
    let calls: Vec<Call<'_, _>> = vec![accept(&stepped, sized(1)), Box::pin(refused(&stepped))];
    stepped.batch(calls, None);
    let (commits, failures) = heard.0.lock().unwrap().clone();
    let counts: Vec<_> = commits.iter().map(|commit| (commit.counts.clone(), commit.took)).collect();
    let tick = Duration::from_millis(1);
    assert_eq!(counts, [(vec![("event", 2)], tick), (vec![("event", 1)], tick)]);
    assert_eq!(failures, 3);
}

#[test]
fn a_refused_job_fails_alone() {
    let directory = OneDirectory::new();
    let stepped = Stepped::open(directory.0.path());
    let calls: Vec<Call<'_, _>> = vec![
        accept(&stepped, sized(10)),
        Box::pin(refused(&stepped)),
        accept(&stepped, sized(10)),
        Box::pin(refused(&stepped)),
    ];
    let mut answers = stepped.batch(calls, None).into_iter();
    let first = kept(answers.next().unwrap());
    assert!(matches!(answers.next().unwrap(), Err(StoreError::Refused(_))));
    let second = kept(answers.next().unwrap());
    assert!(matches!(answers.next().unwrap(), Err(StoreError::Refused(_))));
    // No number was spent on the refused, no arrival came twice, nothing was counted for them.
    assert_eq!((second.id.0, second.deliveries[0].0.0), (first.id.0 + 1, first.deliveries[0].0.0 + 1));
    let heard: Vec<_> = stepped.heard().iter().map(|arrival| arrival.delivery).collect();
    assert_eq!(heard, [first.deliveries[0].0, second.deliveries[0].0]);
    assert_eq!(events_of_all(&stepped), 2);
    assert!(!stepped.run(stepped.store.expand(10)).unwrap());
    // Rows that were rolled back do not fill a segment, least of all an empty one.
    let third = kept(stepped.run(stepped.store.accept(sized(10))));
    assert_eq!(third.id.0, second.id.0 + 1);
    let segments = count(&stepped, "SELECT COUNT(*) FROM segments");
    assert_eq!(segments, 3);
}

fn count(stepped: &Stepped, sql: &str) -> i64 {
    stepped.store.with_writer(|connection| connection.query_row(sql, [], |row| row.get(0)).unwrap())
}

#[test]
fn jobs_of_every_kind_share_a_batch() {
    let directory = OneDirectory::new();
    let stepped = Stepped::open(directory.0.path());
    let foreign = NewChannel { tenant: OTHER_TENANT, settings: settings(), derives_shard: true, routes: Vec::new() };
    let calls: Vec<Call<'_, bool>> = vec![
        Box::pin(async { stepped.store.accept(sized(10)).await.map(|_| true) }),
        Box::pin(async { stepped.store.create_channel(foreign, NOW).await.map(|_| true) }),
        Box::pin(stepped.store.expand(10)),
        Box::pin(async {
            // Made in the same batch, by a job before.
            let answer = stepped.store.retry(TENANT, domain::DeliveryId(1), EXPIRES_AT).await?;
            Ok(matches!(answer, Some(RetryAnswer::Due(_))))
        }),
    ];
    let answers = stepped.batch(calls, None);
    assert!(matches!(answers[..], [Ok(true), Err(StoreError::Refused(_)), Ok(false), Ok(true)]), "{answers:?}");
}

/// Fails a batch of two events, the second of which is too much, and checks that nothing of it is left.
fn check_failing(stepped: &Stepped, break_it: &str, mend_it: &str) {
    let before = kept(stepped.run(stepped.store.accept(sized(10))));
    stepped.heard();
    let pragma = |sql: &str| stepped.store.with_writer(|connection| set(connection, sql));
    pragma(break_it);
    let answers = stepped.batch(vec![accept(stepped, sized(10)), accept(stepped, sized(400_000))], None);
    assert!(answers.iter().all(is_unavailable), "{answers:?}");
    let error = answers[0].as_ref().unwrap_err().to_string();
    assert!(error.starts_with("the database cannot be written or read now: "), "{error}");
    assert!(stepped.heard().is_empty());
    assert_eq!(events_of_all(stepped), 1);
    pragma(mend_it);
    let after = kept(stepped.run(stepped.store.accept(sized(400_000))));
    assert_eq!((after.id.0, after.deliveries[0].0.0), (before.id.0 + 1, before.deliveries[0].0.0 + 1));
    assert_eq!(stepped.heard().len(), 1);
    assert_eq!(events_of_all(stepped), 2);
}

/// Runs a pragma, whether it answers or not.
fn set(connection: &Connection, sql: &str) {
    let mut statement = connection.prepare(sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    while rows.next().unwrap().is_some() {}
}

#[test]
fn a_full_disk_keeps_nothing_and_recovers() {
    let directory = OneDirectory::new();
    let stepped = Stepped::open(directory.0.path());
    // Less than there are pages means: no more than there are.
    check_failing(&stepped, "PRAGMA max_page_count = 1", "PRAGMA max_page_count = 4294967294");
}

#[test]
fn a_read_only_database_keeps_nothing_and_recovers() {
    let directory = OneDirectory::new();
    let stepped = Stepped::open(directory.0.path());
    check_failing(&stepped, "PRAGMA query_only = ON", "PRAGMA query_only = OFF");
}

#[test]
fn a_full_disk_during_upkeep_fails_no_batch() {
    let directory = OneDirectory::new();
    let stepped = Stepped::open(directory.0.path());
    let settle_five = || {
        kept(stepped.run(stepped.store.accept(request(TENANT, vec![event(TENANT, &[1, 2, 3, 4, 5])]))));
        let settlements = stepped.heard().iter().map(sent).collect();
        stepped.run(stepped.store.settle(settlements)).unwrap();
    };
    settle_five();
    stepped.store.with_writer(|connection| set(connection, "PRAGMA query_only = ON"));
    assert!(is_unavailable(&stepped.run(stepped.store.accept(sized(10)))));
    stepped.store.with_writer(|connection| set(connection, "PRAGMA query_only = OFF"));
    settle_five();
    settle_five();
    while stepped.store.between_batches(Writer::upkeep_slice).unwrap() == Left::More {}
    let lacking = "SELECT COUNT(*) FROM segments WHERE last_id < 9007199254740991 AND indexes = 0";
    assert_eq!(count(&stepped, lacking), 0);
    assert!(count(&stepped, "SELECT SUM(indexes) FROM segments") > 0);
}

#[test]
fn a_writer_knows_when_look_ups_fall_behind() {
    let directory = OneDirectory::new();
    let stepped = Stepped::open(directory.0.path());
    assert!(!stepped.store.between_batches(|writer| writer.is_behind()));
    // Each round closes a segment of each kind, and two get their look-ups meanwhile.
    for _ in 0..10 {
        kept(stepped.run(stepped.store.accept(request(TENANT, (0..5).map(|_| event(TENANT, &[1])).collect()))));
        let settlements = stepped.heard().iter().map(sent).collect();
        stepped.run(stepped.store.settle(settlements)).unwrap();
    }
    assert!(stepped.store.between_batches(|writer| writer.is_behind()));
    drop(stepped);
    let stepped = Stepped::open(directory.0.path());
    assert!(stepped.store.between_batches(|writer| writer.is_behind()), "also after a start");
    while stepped.store.between_batches(Writer::upkeep_slice).unwrap() == Left::More {}
    assert!(!stepped.store.between_batches(|writer| writer.is_behind()));
}

#[test]
fn the_log_is_folded_into_the_database_between_batches() {
    let directory = OneDirectory::new();
    let stepped = Stepped::open(directory.0.path());
    let pages = || stepped.store.between_batches(|writer| Log::of(writer.connection())).unwrap().unfolded();
    let mut most = 0;
    for _ in 0..30 {
        kept(stepped.run(stepped.store.accept(sized(1_000_000))));
        assert!(pages() < FOLD_PAGES);
        most = most.max(pages());
    }
    assert!(most > FOLD_PAGES / 2, "{most}");
}

/// With the threads of production: whoever folds beside the writer, the log is begun anew. What is written here is 120 MB;
/// on a machine that gives the thread beside the writer no time, the log may grow beyond what the writer aims at, but not so far.
#[test]
fn the_log_stays_short_when_it_is_folded_beside_the_writer() {
    let directory = OneDirectory::new();
    let data_dir = directory.0.path();
    directory.block_on(async {
        let store = SqliteStore::open(&Options::new(data_dir), vault(), Box::new(|_| ())).unwrap();
        for _ in 0..120 {
            assert!(matches!(store.accept(sized(1_000_000)).await, Ok(AcceptAnswer::Kept(_))));
        }
        let log = std::fs::metadata(data_dir.join(format!("{DATABASE_FILE}-wal"))).unwrap().len();
        assert!(log < 100 * 1024 * 1024, "{log} bytes of log");
    });
    let left = std::fs::metadata(data_dir.join(format!("{DATABASE_FILE}-wal"))).map_or(0, |log| log.len());
    assert_eq!(left, 0, "a stop folds all of it");
}

/// With the threads of production: what is made beside the writer is written although no further job comes.
#[test]
fn look_ups_are_made_while_nothing_else_happens() {
    let directory = OneDirectory::new();
    directory.block_on(async {
        let store = directory.open(Box::new(|_| ())).await;
        for _ in 0..4 {
            assert!(matches!(store.accept(sized(10)).await, Ok(AcceptAnswer::Kept(_))));
            let many = (0..SEGMENT_ROWS).map(|_| event(TENANT, &[1])).collect();
            assert!(matches!(store.accept(request(TENANT, many)).await, Ok(AcceptAnswer::Kept(_))));
        }
        let look = Connection::open(directory.0.path().join(DATABASE_FILE)).unwrap();
        let count = |which: &str| {
            let sql = format!("SELECT COUNT(*) FROM segments WHERE last_id < 9007199254740991 AND indexes {which}");
            look.query_row::<i64, _, _>(&sql, [], |row| row.get(0)).unwrap()
        };
        // Some seconds at most; it takes some milliseconds.
        let done = (0..100_000).position(|_| count("= 0") == 0);
        assert!(done.is_some(), "{} segments lack look-ups", count("= 0"));
        assert!(count("> 0") >= 3);
    });
}

#[test]
fn a_batch_that_fails_before_its_commit_is_as_if_it_never_was() {
    let directory = OneDirectory::new();
    let stepped = Stepped::open(directory.0.path());
    // Enough to turn segments over inside the batch that fails, and again in the one after it.
    for round in 0..4 {
        let calls = (0..5).map(|_| accept(&stepped, sized(10))).collect();
        assert!(stepped.batch(calls, Some(Fault::BeforeCommit)).iter().all(is_unavailable));
        assert!(stepped.heard().is_empty());
        let calls = (0..5).map(|_| accept(&stepped, sized(10))).collect();
        let ids: Vec<_> = stepped.batch(calls, None).into_iter().map(|answer| kept(answer).id.0).collect();
        assert_eq!(ids, (1..=5).map(|number| round * 5 + number).collect::<Vec<_>>());
        assert_eq!(stepped.heard().len(), 5);
    }
    assert_eq!(events_of_all(&stepped), 20);
}

#[test]
fn a_lost_answer_is_a_failure_that_was_kept() {
    let directory = OneDirectory::new();
    let stepped = Stepped::open(directory.0.path());
    let answers = stepped.batch(vec![accept(&stepped, sized(10))], Some(Fault::AnswerLost));
    assert!(is_unavailable(&answers[0]));
    assert_eq!(stepped.heard().len(), 1);
    assert_eq!(events_of_all(&stepped), 1);
    // So it is after a crash.
    drop(stepped);
    let stepped = Stepped::open(directory.0.path());
    assert_eq!(events_of_all(&stepped), 1);
    assert_eq!(stepped.run(stepped.store.waiting_channels()).unwrap().len(), 1);
}

#[test]
fn what_was_asked_of_a_store_that_is_gone_is_unavailable() {
    let directory = OneDirectory::new();
    let stepped = Stepped::open(directory.0.path());
    // Whoever asked went away: the work is done all the same.
    let mut call = accept(&stepped, sized(10));
    assert!(call.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_pending());
    drop(call);
    assert_eq!(stepped.store.run_writes(None), 1);
    assert_eq!(events_of_all(&stepped), 1);
}
