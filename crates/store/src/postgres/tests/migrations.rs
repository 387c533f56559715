//! Migrations: run by one process at a time, and of a kind that an older version can live with.

use super::super::session;
use super::{OneDatabase, Opened, block_on, cluster, options};
use crate::StoreError;

#[test]
fn two_that_start_at_once_migrate_once() {
    let database = OneDatabase::new();
    let elsewhere = tempfile::tempdir().unwrap();
    block_on(async {
        let first = database.options();
        let second = options(first.target.clone(), elsewhere.path());
        let (one, other) = tokio::join!(Opened::open(&first), Opened::open(&second));
        let (opened, refused) = match (one, other) {
            (Ok(opened), Err(refused)) | (Err(refused), Ok(opened)) => (opened, refused),
            (one, other) => panic!("both the same: {} and {}", one.is_ok(), other.is_ok()),
        };
        assert!(matches!(refused, StoreError::InUse(_)), "{refused}");
        opened.accept().await.unwrap();
        let applied = "SELECT count(*), count(DISTINCT version) FROM refinery_schema_history";
        let applied = cluster().ask(&database.name, applied).unwrap();
        let known = session::migrations().len();
        assert_eq!(applied, format!("{known}|{known}"));
    });
}

#[test]
fn a_migration_that_cannot_have_its_lock_gives_up_and_leaves_nothing() {
    let database = OneDatabase::new();
    block_on(async {
        let other = session::connect_to_look(&database.options().target).await.unwrap();
        other.batch_execute("BEGIN; CREATE TABLE tenants (id BIGINT)").await.unwrap();
        let error = Opened::open(&database.options()).await.err().unwrap();
        assert!(error.to_string().contains("lock timeout"), "{error}");
        other.batch_execute("ROLLBACK").await.unwrap();
        assert_eq!(session::schema_version(&other).await.unwrap(), 0);
        let left = "SELECT to_regclass('sequences') IS NULL";
        assert_eq!(cluster().ask(&database.name, left).unwrap(), "t");
        Opened::open(&database.options()).await.unwrap().accept().await.unwrap();
    });
}

/// A version may run beside the next one's schema for a while, and go back to it: what a migration takes away, no version
/// before it may need. So nothing is taken away, renamed or made of another type; when that is due one day, it is a
/// migration of a later version, and its exception belongs here with the reason.
#[test]
fn migrations_only_add() {
    for (name, sql) in session::migrations() {
        let words: Vec<_> = sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
        let sql = words.join(" ").to_uppercase();
        for taken in ["DROP ", "RENAME ", "ALTER COLUMN", "TRUNCATE ", "DELETE FROM"] {
            assert!(!sql.contains(taken), "{name} says {taken}");
        }
    }
}
