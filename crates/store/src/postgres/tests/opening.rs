//! Opening: who has the database, which schema it has, and what a look from outside sees.

use super::super::inspect::{Inspection, inspect};
use super::super::session;
use super::{OneDatabase, Opened, block_on, cluster, options};
use crate::StoreError;
use crate::conformance::fixtures::NOW;

#[test]
fn a_second_process_is_told_that_the_database_is_in_use() {
    let database = OneDatabase::new();
    let elsewhere = tempfile::tempdir().unwrap();
    block_on(async {
        let opened = Opened::open(&database.options()).await.unwrap();
        let second = options(database.options().target, elsewhere.path());
        let error = Opened::open(&second).await.err().unwrap();
        assert!(matches!(&error, StoreError::InUse(text) if text.starts_with(&database.name)), "{error}");
        // The same data directory is refused before the database is asked.
        assert!(matches!(Opened::open(&database.options()).await.err().unwrap(), StoreError::Locked(_)));
        opened.accept().await.unwrap();
        drop(opened);
        Opened::open(&second).await.unwrap();
    });
}

#[test]
fn a_newer_schema_is_refused() {
    let database = OneDatabase::new();
    block_on(async {
        drop(Opened::open(&database.options()).await.unwrap());
        let newer = "INSERT INTO refinery_schema_history VALUES (999, 'newer', '2026-01-01T00:00:00Z', '1')";
        cluster().ask(&database.name, newer).unwrap();
        let error = Opened::open(&database.options()).await.err().unwrap();
        assert!(matches!(error, StoreError::Newer { found: 999, known } if known < 999), "{error}");
        let error = inspect(&database.options().target).await.unwrap_err();
        assert!(matches!(error, StoreError::Newer { .. }), "{error}");
    });
}

#[test]
fn a_look_from_outside_changes_nothing() {
    let database = OneDatabase::new();
    block_on(async {
        let target = database.options().target;
        assert_eq!(inspect(&target).await.unwrap(), None);
        let opened = Opened::open(&database.options()).await.unwrap();
        let seen = inspect(&target).await.unwrap().unwrap();
        assert_eq!((seen.newest_event, seen.has_channels), (None, false));
        let own = crate::directory::NewTenant {
            slug: "acme".to_owned(),
            name: "Acme".to_owned(),
            email: None,
            providers: None,
            quotas: domain::quotas::Quotas::default(),
        };
        crate::Directory::put_tenant(&opened.store, own, NOW).await.unwrap();
        opened.accept().await.unwrap();
        let seen = inspect(&target).await.unwrap().unwrap();
        assert!(matches!(seen, Inspection { newest_event: Some(NOW), bytes: 1.., .. }), "{seen:?}");
        let connection = session::connect_to_look(&target).await.unwrap();
        assert!(session::schema_version(&connection).await.unwrap() > 0);
    });
}
