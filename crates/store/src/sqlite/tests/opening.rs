//! Opening the data directory: the lock, newer versions, what is on the disk.

use std::path::Path;
use std::sync::Arc;

use domain::delivery::State;
use domain::event::NewEvent;
use domain::quotas::Quotas;
use domain::{ReasonCode, TraceContext};
use rusqlite::Connection;

use super::{OneDirectory, Stepped, options, vault};
use crate::conformance::Factory as _;
use crate::conformance::fixtures::{NOW, TENANT, World, content, dead, event, request, sent, settings};
use crate::directory::{ChannelChange, DialectSettings, NewChannel, NewTenant, SteeringChange};
use crate::journal::AttemptQuery;
use crate::queue::AcceptEvent;
use crate::sqlite::{DATABASE_FILE, SqliteStore};
use crate::{Directory as _, Journal as _, Queue as _, StoreError};

fn open(factory: &OneDirectory) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(&options(factory.0.path()), vault(), Box::new(|_| ()))
}

#[test]
fn a_data_directory_has_one_owner() {
    let factory = OneDirectory::new();
    let first = open(&factory).unwrap();
    let error = open(&factory).err().expect("refused");
    assert!(matches!(&error, StoreError::Locked(path) if path == factory.0.path()));
    assert!(!error.is_transient());
    let message = error.to_string();
    assert!(
        message.contains(factory.0.path().to_str().unwrap()) && message.contains("POSTRIDER_DATA_DIR"),
        "{message}"
    );
    drop(first);
    open(&factory).unwrap();
}

#[test]
fn a_data_directory_is_made_and_a_file_in_its_place_is_told() {
    let factory = OneDirectory::new();
    let deep = factory.0.path().join("a/b");
    drop(SqliteStore::open(&options(&deep), vault(), Box::new(|_| ())).unwrap());
    assert!(deep.join(DATABASE_FILE).exists());
    let file = factory.0.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let error = SqliteStore::open(&options(&file), vault(), Box::new(|_| ())).err().unwrap();
    assert!(matches!(&error, StoreError::Unusable(text) if text.contains(file.to_str().unwrap())), "{error}");
}

#[test]
fn what_is_not_a_database_is_refused() {
    let factory = OneDirectory::new();
    std::fs::write(factory.0.path().join(DATABASE_FILE), vec![b'x'; 8192]).unwrap();
    assert!(matches!(open(&factory).err(), Some(StoreError::Unusable(_))));
}

#[test]
fn a_database_of_a_newer_version_is_refused_untouched() {
    let factory = OneDirectory::new();
    drop(open(&factory).unwrap());
    let path = factory.0.path().join(DATABASE_FILE);
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "INSERT INTO refinery_schema_history VALUES (4711, 'later', '2030-01-01T00:00:00Z', '1');
             PRAGMA wal_checkpoint(TRUNCATE);",
        )
        .unwrap();
    drop(connection);
    let before = std::fs::read(&path).unwrap();
    let error = open(&factory).err().unwrap();
    assert!(matches!(error, StoreError::Newer { found: 4711, known: 9 }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn dropping_leaves_one_whole_file() {
    let factory = OneDirectory::new();
    let world = factory.block_on(async {
        let world = World::open(&factory).await;
        for arrival in world.post_each(TENANT, 1, 9).await {
            world.settle(sent(&arrival)).await;
        }
        world
    });
    drop(world);
    let log = factory.0.path().join(format!("{DATABASE_FILE}-wal"));
    assert_eq!(std::fs::metadata(log).map_or(0, |log| log.len()), 0);
    let copy = OneDirectory::new();
    std::fs::copy(factory.0.path().join(DATABASE_FILE), copy.0.path().join(DATABASE_FILE)).unwrap();
    copy.block_on(async {
        assert_eq!(World::open(&copy).await.list(None, None, 100).await.len(), 9);
    });
}

/// Makes a table of each segment, as they were.
fn part(connection: &Connection) {
    for (kind, condition, columns) in [
        (
            "events",
            "id BETWEEN first_id AND last_id",
            "id, tenant_id, type, data, occurred_at, severity, accepted_at, explicit, config_version, first_delivery,
             channels, skipped, skipped_more",
        ),
        (
            "settled",
            "segment = number",
            "id, tenant_id, channel_id, event_id, event_type, state, attempts, created_at, expires_at, settled_at, note,
             digest_id",
        ),
        (
            "attempts",
            "id BETWEEN first_id AND last_id",
            "id, delivery_id, tenant_id, channel_id, event_id, provider, event_type, attempts.number, step, class, scope,
             code, hint_ms, reference, note, body, started_at, duration_ms, digest_id",
        ),
    ] {
        let condition = condition.replace("= number", "= segments.number");
        let numbers: Vec<i64> = connection
            .prepare("SELECT number FROM segments WHERE kind = ?1")
            .and_then(|mut statement| statement.query_map([kind], |row| row.get(0))?.collect())
            .unwrap();
        assert!(numbers.len() > 1, "closed segments and an open one of {kind}: {numbers:?}");
        for number in numbers {
            let sql = format!(
                "CREATE TABLE {kind}_{number} AS
                 SELECT {columns} FROM segments, {kind}
                 WHERE segments.kind = '{kind}' AND segments.number = {number} AND {condition}"
            );
            connection.execute_batch(&sql).unwrap();
        }
    }
}

/// Takes away what later schemas added, so that the file is as the first version left it.
fn age(database: &Path) {
    let connection = Connection::open(database).unwrap();
    part(&connection);
    connection
        .execute_batch(
            "DROP INDEX segments_closed;
             DROP TABLE events;
             DROP TABLE settled;
             DROP TABLE attempts;
             DROP TABLE events_by_tenant;
             DROP TABLE settled_by_tenant;
             DROP TABLE settled_by_channel;
             DROP TABLE attempts_by_delivery;
             DROP TABLE attempts_by_channel;
             DROP TABLE attempts_by_tenant;
             ALTER TABLE segments DROP COLUMN form;
             ALTER TABLE segments DROP COLUMN newest_at;
             DROP INDEX segments_ending;
             ALTER TABLE segments DROP COLUMN is_ending;
             DROP INDEX channels_deleted;
             DROP INDEX channels_tripped;
             ALTER TABLE channels DROP COLUMN pause_code;
             ALTER TABLE channels DROP COLUMN tripped_at;
             ALTER TABLE channels DROP COLUMN trip_code;
             ALTER TABLE channels DROP COLUMN trip_reason;
             ALTER TABLE dead DROP COLUMN reason_code;
             ALTER TABLE cancellations DROP COLUMN reason_code;
             DROP TABLE redrives;
             DROP TABLE kept_events;
             DROP INDEX inbox_by_recipient;
             DROP INDEX inbox_unread;
             DROP INDEX inbox_unread_by_recipient;
             DROP TABLE dialect_settings;
             DELETE FROM refinery_schema_history WHERE version > 1;",
        )
        .unwrap();
}

#[test]
fn history_of_an_older_version_is_read_and_gone_on_with() {
    let factory = OneDirectory::new();
    let before = factory.block_on(async {
        let world = World::open(&factory).await;
        // Two batches: the first fills a segment, the second opens another.
        let mut arrivals = Vec::new();
        for count in [5, 1] {
            let posted = world.post_each(TENANT, 1, count).await;
            world.store().settle(posted.iter().map(dead).collect()).await.unwrap();
            for arrival in world.post_each(TENANT, 2, count).await {
                world.settle(sent(&arrival)).await;
            }
            arrivals.extend(posted);
            let posted = world.post_each(TENANT, 1, count).await;
            world.store().settle(posted.iter().map(sent).collect()).await.unwrap();
            arrivals.extend(posted);
        }
        arrivals
    });
    age(&factory.0.path().join(DATABASE_FILE));
    // Twice: what was brought up to date is left alone.
    for _ in 0..2 {
        factory.block_on(async {
            let world = World::open(&factory).await;
            let trace = TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
            let traced =
                AcceptEvent { content: Arc::new(NewEvent { trace, ..content(TENANT) }), ..event(TENANT, &[1]) };
            let kept = world.accept(request(TENANT, vec![traced])).await.remove(0);
            let trace_of = async |event| world.store().event(TENANT, event).await.unwrap().unwrap().event.content.trace;
            assert_eq!(trace_of(kept.id).await, trace);
            for arrival in &before {
                assert_eq!(trace_of(arrival.event.id).await, None);
                let read = world.delivery(arrival.delivery).await;
                let was_sent = read.state == State::Sent;
                assert_eq!(read.code, if was_sent { ReasonCode::Delivered } else { ReasonCode::ReasonNotKept });
            }
            world.store().settle(world.heard().iter().map(dead).collect()).await.unwrap();
            let attempts = world.store().attempts(TENANT, AttemptQuery::newest(100)).await.unwrap().rows;
            // Nobody wrote it down of those before.
            assert!(attempts[0].gave_up && attempts.iter().rev().take(12).all(|attempt| !attempt.gave_up));
            assert_eq!(world.list(Some(2), None, 100).await.len(), 6);
        });
    }
}

#[test]
fn no_secret_reaches_the_disk_in_clear() {
    let factory = OneDirectory::new();
    let stepped = Stepped::open(factory.0.path());
    let tenant = NewTenant {
        slug: "acme".to_owned(),
        name: "Acme".to_owned(),
        email: None,
        providers: None,
        quotas: Quotas::default(),
    };
    let tenant = stepped.run(stepped.store.put_tenant(tenant, NOW)).unwrap().id;
    let with_secret = |secret: &str| {
        let config = domain::Secret::new(format!("{{\"token\":\"{secret}\"}}"));
        domain::channel::ChannelSettings { config, ..settings() }
    };
    let new = NewChannel { tenant, settings: with_secret("canary-one"), derives_shard: true, routes: Vec::new() };
    let channel = stepped.run(stepped.store.create_channel(new, NOW)).unwrap().channel.id;
    let settings = with_secret("canary-two");
    let change = ChannelChange { tenant, channel, settings, routes: None, resumes: false, cancels: None };
    stepped.run(stepped.store.update_channel(change, NOW)).unwrap();
    let set = DialectSettings { tenant, dialect: "d".to_owned(), settings: domain::Secret::new("canary-three") };
    let steering = SteeringChange { settings: set, makes: vec![], changes: vec![], deletes: vec![] };
    stepped.run(stepped.store.put_dialect_settings(steering, NOW)).unwrap();
    let read = || -> Vec<u8> {
        let files = std::fs::read_dir(factory.0.path()).unwrap();
        files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    };
    let contains = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let while_open = read();
    drop(stepped);
    for bytes in [while_open, read()] {
        assert!(contains(&bytes, "Accounting"), "the channel's name is there");
        assert!(!contains(&bytes, "canary"));
    }
}

#[test]
fn a_wrong_key_is_told() {
    let factory = OneDirectory::new();
    factory.block_on(async {
        World::open(&factory).await.own_channel().await;
    });
    let other = std::sync::Arc::new(crate::Vault::new([8; 32], |bytes| bytes.fill(9)));
    let store = SqliteStore::open(&options(factory.0.path()), other, Box::new(|_| ())).unwrap();
    let error = factory.block_on(store.load()).unwrap_err();
    assert!(matches!(&error, StoreError::Unusable(text) if text.contains("secret.key")), "{error}");
}
