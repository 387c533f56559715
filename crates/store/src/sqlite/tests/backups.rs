//! Copies of a database that is in use, put back elsewhere; and what is refused.

use std::ops::ControlFlow;
use std::path::Path;

use super::{OneDirectory, vault};
use crate::StoreError;
use crate::conformance::Factory as _;
use crate::conformance::fixtures::{NOW, TENANT, World, sent};
use crate::sqlite::backup::{Progress, copy, restore};
use crate::sqlite::inspect::inspect;
use crate::sqlite::{DATABASE_FILE, SqliteStore};

fn refused<T>(result: Result<T, StoreError>, part: &str) {
    let error = result.err().expect("refused").to_string();
    assert!(error.contains(part), "{error}");
}

fn quietly(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

#[test]
fn a_copy_of_an_open_database_holds_what_was_committed_before() {
    let (original, other) = (OneDirectory::new(), OneDirectory::new());
    let file = other.0.path().join("copy.db");
    original.block_on(async {
        let world = World::open(&original).await;
        let before = world.post_each(TENANT, 1, 9).await;
        world.settle(sent(&before[0])).await;
        let mut reports = Vec::new();
        let copied = copy(original.0.path(), &file, &mut |progress| {
            reports.push(progress);
            ControlFlow::Continue(())
        })
        .unwrap();
        let last = reports.last().expect("a report");
        assert_eq!(last.pages_done, last.pages);
        assert_eq!(copied.bytes, std::fs::metadata(&file).unwrap().len());
        world.post_each(TENANT, 1, 5).await;
    });
    assert_eq!(std::fs::read_dir(other.0.path()).unwrap().count(), 1, "one file, without a log");

    let data_dir = other.0.path().join("data");
    restore(&file, &data_dir, &mut quietly).unwrap();
    let elsewhere = OneDirectory::new();
    std::fs::rename(data_dir.join(DATABASE_FILE), elsewhere.0.path().join(DATABASE_FILE)).unwrap();
    elsewhere.block_on(async {
        let world = World::open(&elsewhere).await;
        let kept = world.list(None, None, 100).await;
        assert_eq!(kept.len(), 9);
        let highest = kept.iter().map(|delivery| delivery.id.0).max().unwrap();
        let next = world.post_each(TENANT, 1, 1).await.remove(0);
        assert!(next.delivery.0 > highest + 5, "numbers that the original gave out later are not given out again");
    });
}

#[test]
fn what_is_there_is_not_written_over() {
    let directory = OneDirectory::new();
    let file = directory.0.path().join("copy.db");
    refused(copy(directory.0.path(), &file, &mut quietly), "there is no database");
    let store = SqliteStore::open(&super::options(directory.0.path()), vault(), Box::new(|_| ())).unwrap();
    copy(directory.0.path(), &file, &mut quietly).unwrap();
    refused(restore(&file, directory.0.path(), &mut quietly), "is in use by another");
    drop(store);
    refused(restore(&file, directory.0.path(), &mut quietly), "holds a database already");
}

#[test]
fn a_copy_can_be_ended() {
    let directory = OneDirectory::new();
    let store = SqliteStore::open(&super::options(directory.0.path()), vault(), Box::new(|_| ())).unwrap();
    let file = directory.0.path().join("copy.db");
    refused(copy(directory.0.path(), &file, &mut |_| ControlFlow::Break(())), "ended before it was whole");
    drop(store);
}

#[test]
fn what_is_no_copy_is_not_restored() {
    let directory = OneDirectory::new();
    let data_dir = directory.0.path().join("data");
    let check = |name: &str, content: &[u8]| {
        let file = directory.0.path().join(name);
        std::fs::write(&file, content).unwrap();
        refused(restore(&file, &data_dir, &mut quietly), "is not a Postrider database");
        assert!(!data_dir.join(DATABASE_FILE).exists());
    };
    check("noise", &[b'x'; 8192]);
    check("empty", b"");
    refused(restore(Path::new("/no/such/file"), &data_dir, &mut quietly), "there is no file");
}

#[test]
fn a_copy_that_is_damaged_is_told() {
    let (original, other) = (OneDirectory::new(), OneDirectory::new());
    let file = other.0.path().join("copy.db");
    original.block_on(async {
        let world = World::open(&original).await;
        world.post_each(TENANT, 1, 200).await;
        copy(original.0.path(), &file, &mut quietly).unwrap();
    });
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0xa5);
    std::fs::write(&file, bytes).unwrap();
    let data_dir = other.0.path().join("data");
    assert!(restore(&file, &data_dir, &mut quietly).is_err());
    assert!(!data_dir.join(DATABASE_FILE).exists());
}

#[test]
fn a_look_from_outside_finds_the_newest_event() {
    let directory = OneDirectory::new();
    assert_eq!(inspect(directory.0.path()).unwrap(), None);
    directory.block_on(async {
        let world = World::open(&directory).await;
        assert_eq!(inspect(directory.0.path()).unwrap().unwrap().newest_event, None);
        world.post_each(TENANT, 1, 20).await;
        let seen = inspect(directory.0.path()).unwrap().unwrap();
        assert_eq!((seen.newest_event, seen.faults.len()), (Some(NOW), 0));
    });
}
