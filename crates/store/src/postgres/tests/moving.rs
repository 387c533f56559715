//! A database that is moved: from SQLite here, from here to SQLite, and what is left when it is not.

use std::collections::BTreeSet;
use std::future::Future;

use async_trait::async_trait;
use domain::Secret;
use domain::delivery::State;
use domain::redrive::{Source as RedriveSource, Wanted};
use domain::tenant::Scope;
use rusqlite::Connection;
use tempfile::TempDir;

use super::super::moving::{Database, NewDatabase};
use super::{OneDatabase, block_on, cluster, vault};
use crate::conformance::digests::digest_of;
use crate::conformance::fixtures::{
    DAY_MS, EXPIRES_AT, NOW, TENANT, World, dead, event, key, later, request, retrying, sent, settings, untried,
};
use crate::conformance::{Factory, SEGMENT_ROWS};
use crate::directory::{ChannelChange, NewKey};
use crate::inbox::InboxEntry;
use crate::lock::Locks;
use crate::moving::{self, Copied, Kind, Row, Source, TABLES, Table, Target};
use crate::queue::{AcceptEvent, AcceptRequest, Arrival, Feed, Settlement};
use crate::redrives::NewRedrive;
use crate::sqlite::{self, SqliteStore};
use crate::vault::NO_CHANNEL;
use crate::{Directory as _, Journal as _, Queue as _, Redrives as _, StoreError, Vault};

/// Each store's own.
const NOT_MOVED: [&str; 8] = [
    "segments",
    "refinery_schema_history",
    "events_by_tenant",
    "settled_by_tenant",
    "settled_by_channel",
    "attempts_by_delivery",
    "attempts_by_channel",
    "attempts_by_tenant",
];

/// A data directory.
struct DataDir(TempDir);

impl DataDir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Its database, for what a store does not do.
    fn by_hand(&self, sql: &str) {
        self.connection().execute_batch(sql).unwrap();
    }

    fn connection(&self) -> Connection {
        Connection::open(self.0.path().join(sqlite::DATABASE_FILE)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Factory for DataDir {
    type Store = SqliteStore;

    async fn open(&self, feed: Feed) -> SqliteStore {
        let options = sqlite::Options { segment_rows_max: SEGMENT_ROWS, ..sqlite::Options::new(self.0.path()) };
        SqliteStore::open(&options, vault(), feed).unwrap()
    }

    fn block_on<T>(&self, case: impl Future<Output = T>) -> T {
        block_on(case)
    }
}

/// What the tests go on with after a move.
struct Filled {
    /// Where the event with a key went.
    channel: i64,
    dead: Arrival,
    waiting: Arrival,
}

/// Puts something into every table, by the store where it writes it.
async fn fill(data_dir: &DataDir) -> Filled {
    let world = World::open(data_dir).await;
    let channel = world.own_channel().await;
    let new_key = NewKey {
        tenant: Some(TENANT),
        name: "K".to_owned(),
        hash: [1; 32],
        prefix: "pk".to_owned(),
        username: None,
        scopes: vec![Scope::Inbox],
        expires_at: None,
    };
    world.store().create_key(new_key, NOW).await.unwrap().unwrap();
    let wide: Vec<_> = (1_000..2_010).collect();
    world.accept(request(TENANT, vec![keyed(channel.0), event(TENANT, &wide), event(TENANT, &[])])).await;
    let tomorrow =
        AcceptRequest { now: later(DAY_MS), key: Some(key(2, 2)), ..request(TENANT, vec![event(TENANT, &[7])]) };
    world.accept(tomorrow).await;
    assert!(world.store().expand(3).await.unwrap());
    let heard = world.heard();
    let merged = world.post_each(TENANT, 8, 2).await;
    world.store().seal_digest(digest_of(&merged)).await.unwrap().expect("sealed");
    let inbox = vec![InboxEntry { recipient: "ada".to_owned(), content: "{}".to_owned() }];
    let ends = [sent, dead, |one: &Arrival| untried(one, State::Expired), |one: &Arrival| retrying(one, EXPIRES_AT)];
    for batch in heard[1..21].chunks(4) {
        let settlements = batch.iter().zip(ends.iter().cycle()).map(|(arrival, end)| end(arrival)).collect();
        world.store().settle(settlements).await.unwrap();
    }
    world.settle(Settlement { inbox, ..sent(&heard[0]) }).await;
    let cancels = Some("off".to_owned());
    let change = ChannelChange { tenant: TENANT, channel, settings: settings(), routes: None, resumes: false, cancels };
    world.store().update_channel(change, NOW).await.unwrap();
    begin_redrive(&world).await;
    drop(world);
    let sealed = vault().seal(TENANT, NO_CHANNEL, &Secret::new("{}"));
    data_dir.connection().execute("INSERT INTO dialect_settings VALUES (1, 'd', ?1, 1)", [sealed]).unwrap();
    // And numbers that a restore has left out.
    data_dir.by_hand(
        "INSERT INTO event_types (tenant_id, type, label, description, created_at) VALUES (1, 'a', '', 'x' || char(0), 1);
         INSERT INTO kept_events (id, tenant_id, type, data, occurred_at, accepted_at, config_version, first_delivery,
                                  channels, skipped, skipped_more)
         VALUES (1000000, 1, 'a', '{}', 1, 1, 1, 1, x'', x'', 0);
         UPDATE sequences SET delivery = delivery + 1000000000;",
    );
    Filled { channel: channel.0, dead: heard[2].clone(), waiting: heard[50].clone() }
}

fn keyed(channel: i64) -> AcceptEvent {
    AcceptEvent { key: Some(key(1, 1)), ..event(TENANT, &[channel]) }
}

async fn begin_redrive<F: Factory>(world: &World<'_, F>) -> i64 {
    let new = NewRedrive { source: RedriveSource::Dead, wanted: Wanted::default(), pace: 20 };
    world.store().begin_redrive(TENANT, new, NOW).await.unwrap().unwrap().id.0
}

async fn run(source: &mut dyn Source, target: &mut dyn Target) -> Result<Copied, StoreError> {
    moving::copy(source, target, &vault(), &mut |_| ()).await
}

async fn to_postgres(from: &DataDir, to: &OneDatabase) -> Copied {
    let mut source = sqlite::moving::Database::open(from.0.path(), &mut Locks::default()).unwrap();
    let mut target = NewDatabase::with_segments(&to.options().target, SEGMENT_ROWS).await.unwrap();
    let copied = run(&mut source, &mut target).await.unwrap();
    Box::new(target).finish().await.unwrap();
    copied
}

async fn to_sqlite(from: &OneDatabase, to: &DataDir) -> Copied {
    let mut source = Database::open(&from.options().target).await.unwrap();
    let mut locks = Locks::default();
    let mut target = sqlite::moving::NewDatabase::with_segments(to.0.path(), &mut locks, SEGMENT_ROWS).unwrap();
    let copied = run(&mut source, &mut target).await.unwrap();
    Box::new(target).finish().await.unwrap();
    copied
}

/// What is there does what it would have done in the old place.
async fn goes_on<F: Factory>(factory: &F, filled: &Filled) {
    let world = World::open(factory).await;
    let again = world.accept(request(TENANT, vec![keyed(filled.channel)])).await;
    assert_eq!((again[0].id.0, again[0].is_repeat), (1, true));
    let new = world.post_each(TENANT, 9, 1).await.remove(0);
    assert!(new.event.id.0 == 7 && new.delivery.0 > 1_000_000_000, "{new:?}");
    world.settle(sent(&new)).await;
    // Deliveries of long ago settle where their ids belong.
    world.store().retry(TENANT, filled.dead.delivery, EXPIRES_AT).await.unwrap();
    world.settle(Settlement { tries_before: 1, ..sent(&filled.dead) }).await;
    world.settle(sent(&filled.waiting)).await;
    for arrival in [&new, &filled.dead, &filled.waiting] {
        assert_eq!(world.delivery(arrival.delivery).await.state, State::Sent);
    }
    assert_eq!(world.store().event(TENANT, new.event.id).await.unwrap().unwrap().deliveries, 1);
    assert!(begin_redrive(&world).await > 1);
    while world.store().expand(50).await.unwrap() {}
    let channels = world.store().load().await.unwrap().channels;
    assert_eq!(channels[0].channel.settings.config.reveal(), settings().config.reveal());
}

#[test]
fn a_database_is_the_same_there_and_back_again() {
    let (from, postgres, back) = (DataDir::new(), OneDatabase::new(), DataDir::new());
    block_on(async {
        let filled = fill(&from).await;
        let there = to_postgres(&from, &postgres).await;
        let empty: Vec<_> = there.tables.iter().filter(|table| table.source.rows == 0).collect();
        assert!(there.is_equal() && empty.is_empty(), "{empty:?}");
        assert_eq!(there.adapted, 1, "the text with U+0000");
        assert_eq!(there.rows(), there.tables.iter().map(|table| table.target.rows).sum::<u64>());
        // Partitions are there for ids in use, and not for those between.
        let partitions = cluster().ask(&postgres.name, "SELECT count(*) FROM segments WHERE kind = 'settled'").unwrap();
        assert!(partitions.parse::<u64>().unwrap() < 300, "{partitions}");

        let and_back = to_sqlite(&postgres, &back).await;
        assert!(and_back.is_equal());
        assert_eq!(and_back.adapted, 0);
        let targets = |copied: &Copied| copied.tables.iter().map(|table| table.target).collect::<Vec<_>>();
        assert_eq!(targets(&and_back), targets(&there));
        assert_eq!(back.names(), [sqlite::DATABASE_FILE, crate::lock::LOCK_FILE]);
        let unindexed = "SELECT COUNT(*) FROM segments WHERE last_id < 9007199254740991 AND indexes = 0";
        assert_eq!(back.connection().query_row(unindexed, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
        let faults: String = back.connection().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(faults, "ok");

        goes_on(&postgres, &filled).await;
        goes_on(&back, &filled).await;
        goes_on(&from, &filled).await;
    });
}

#[test]
fn every_table_of_both_schemas_is_moved() {
    let (directory, database) = (DataDir::new(), OneDatabase::new());
    let is_moved = |name: &str| {
        let is_segment = |table: &Table| {
            let number = name.strip_prefix(table.name).and_then(|rest| rest.strip_prefix('_'));
            table.kind == Kind::History && number.is_some_and(|number| number.parse::<u64>().is_ok())
        };
        TABLES.iter().any(|table| table.name == name || is_segment(table))
    };
    block_on(async {
        drop(World::open(&directory).await);
        drop(World::open(&database).await);
        let connection = directory.connection();
        let mut statement = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
        let of_sqlite =
            statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<BTreeSet<String>, _>>().unwrap();
        let sql = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace";
        let of_postgres: BTreeSet<_> = cluster().ask(&database.name, sql).unwrap().lines().map(str::to_owned).collect();
        for name in of_sqlite.union(&of_postgres) {
            assert!(is_moved(name) != NOT_MOVED.contains(&name.as_str()), "{name}: name it in moving::TABLES");
        }
        let mut one = sqlite::moving::Database::open(directory.0.path(), &mut Locks::default()).unwrap();
        let mut other = Database::open(&database.options().target).await.unwrap();
        for table in TABLES {
            let (of_one, of_other) = (one.columns(*table).await.unwrap(), other.columns(*table).await.unwrap());
            assert!(of_one.len() > 2, "{table}");
            assert_eq!(of_one.iter().collect::<BTreeSet<_>>(), of_other.iter().collect(), "{table}");
        }
    });
}

/// A target on a disk that loses a row.
struct Forgetful(NewDatabase);

#[async_trait]
impl Target for Forgetful {
    fn written(&mut self) -> &mut dyn Source {
        self.0.written()
    }

    fn adapt(&self, row: &mut Row) -> bool {
        self.0.adapt(row)
    }

    async fn write(&mut self, table: Table, columns: &[String], rows: &[Row]) -> Result<(), StoreError> {
        let lost = usize::from(table.name == "attempts");
        self.0.write(table, columns, &rows[lost..]).await
    }

    async fn finish(self: Box<Self>) -> Result<(), StoreError> {
        Box::new(self.0).finish().await
    }
}

#[test]
fn a_copy_that_is_not_equal_is_seen_and_nothing_is_left_of_it() {
    let (from, to) = (DataDir::new(), OneDatabase::new());
    block_on(async {
        fill(&from).await;
        let mut source = sqlite::moving::Database::open(from.0.path(), &mut Locks::default()).unwrap();
        let target = NewDatabase::with_segments(&to.options().target, SEGMENT_ROWS).await.unwrap();
        let mut target = Forgetful(target);
        let copied = run(&mut source, &mut target).await.unwrap();
        let different: Vec<_> = copied.tables.iter().filter(|table| table.source != table.target).collect();
        assert_eq!(different.iter().map(|table| table.table.name).collect::<Vec<_>>(), ["attempts"]);
        assert!(different[0].source.rows > different[0].target.rows, "{different:?}");
        assert!(!copied.is_equal());
        drop(target);
        // It can be begun anew at once, and what is left takes no room.
        let target = NewDatabase::with_segments(&to.options().target, SEGMENT_ROWS).await.unwrap();
        drop(target);
        let left = "SELECT count(*) FROM pg_class WHERE relname ~ '^(events|settled|attempts)_[0-9]+$'";
        assert_eq!(cluster().ask(&to.name, left).unwrap(), "0");
        assert!(to_postgres(&from, &to).await.is_equal());
    });
}

#[test]
fn a_move_that_is_ended_leaves_no_database() {
    let (from, postgres, to) = (DataDir::new(), OneDatabase::new(), DataDir::new());
    block_on(async {
        fill(&from).await;
        to_postgres(&from, &postgres).await;
        let mut source = Database::open(&postgres.options().target).await.unwrap();
        // One that was killed.
        std::fs::write(to.0.path().join("postrider.db.moving"), "half of it").unwrap();
        let mut locks = Locks::default();
        let mut target = sqlite::moving::NewDatabase::create(to.0.path(), &mut locks).unwrap();
        run(&mut source, &mut target).await.unwrap();
        drop(target);
        assert_eq!(to.names(), [crate::lock::LOCK_FILE]);
        drop((locks, source));
        assert!(to_sqlite(&postgres, &to).await.is_equal());
    });
}

#[test]
fn what_cannot_be_moved_is_told_before_anything_is_copied() {
    let (from, used, to) = (DataDir::new(), OneDatabase::new(), OneDatabase::new());
    let nothing = tempfile::tempdir().unwrap();
    let open = |data_dir| sqlite::moving::Database::open(data_dir, &mut Locks::default());
    let told = |error: Option<StoreError>, part: &str| {
        let error = error.expect("refused").to_string();
        assert!(error.contains(part), "{part}: {error}");
    };
    block_on(async {
        fill(&from).await;
        told(open(nothing.path()).err(), "there is no database in");
        told(Database::open(&to.options().target).await.err(), "there is no database of Postrider in");
        // Somebody uses it.
        let world = World::open(&from).await;
        told(open(from.0.path()).err(), "in use by another Postrider process");
        drop(world);
        let world = World::open(&used).await;
        world.own_channel().await;
        told(Database::open(&used.options().target).await.err(), "in use by another Postrider process");
        drop(world);
        told(
            NewDatabase::create(&used.options().target).await.err(),
            "is not empty: there are rows in its table tenants",
        );
        let into_used = sqlite::moving::NewDatabase::create(from.0.path(), &mut Locks::default());
        told(into_used.err(), "holds a database already");
        // Another key.
        let mut source = open(from.0.path()).unwrap();
        let mut target = NewDatabase::create(&to.options().target).await.unwrap();
        let wrong = Vault::new([8; 32], |bytes| bytes.fill(9));
        let copied = moving::copy(&mut source, &mut target, &wrong, &mut |_| ()).await;
        told(copied.err(), "secret.key");
        drop((source, target));
        // Another version.
        from.by_hand("DELETE FROM refinery_schema_history WHERE version > 1");
        told(open(from.0.path()).err(), "start the server of this version on it once");
        let newer = "INSERT INTO refinery_schema_history VALUES (999, 'newer', '2026-01-01T00:00:00Z', '1')";
        cluster().ask(&used.name, newer).unwrap();
        let error = Database::open(&used.options().target).await.err().unwrap();
        assert!(matches!(error, StoreError::Newer { found: 999, .. }), "{error}");
    });
}
