//! The beginning of the writer's connection: the database is taken for this process, and its schema brought up to date.
//!
//! SQLite has a lock on a file instead. Here it is an advisory lock that lives as long as the session; whoever holds it
//! is the only one that writes. It is taken again after a lost connection, and only then is it certain that the lost
//! one's transaction is over.

use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::advice::advice;
use super::statements::{Connection, explain, from_postgres};
use super::target::Target;
use crate::StoreError;

/// The oldest server that is supported, as `server_version_num` says it.
const SERVER_VERSION_MIN: i32 = 150_000;

/// Names Postrider's advisory lock among those of other programs in the same database; the second number is the
/// schema's.
const LOCK_CLASS: i32 = 0x0050_6f73;

/// How long a statement of the writer waits for a lock. It also bounds how long a new process waits for one that is just
/// ending.
const LOCK_WAIT_MS: u32 = 5_000;

/// How long a new connection may take for what has to be said at its beginning: for the end of a predecessor and for the
/// lock that it held.
const BEGINNING_MAX: Duration = Duration::from_secs(10);

/// How long the database may take to take the lock back. Its session ends in any case.
const GIVING_BACK_MAX: Duration = Duration::from_secs(2);

mod migrations {
    //! The migrations, embedded in the binary.
    refinery::embed_migrations!("migrations/postgres");
}

/// The server process behind a connection: what may still be busy when the connection is lost.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    pid: i32,
    /// Numbers of processes are used again, so the time of its start goes with it.
    started_at: String,
}

/// A connection that alone may write.
pub(super) struct Session {
    pub connection: Connection,
    pub backend: Backend,
}

/// Connects, and takes the database. `predecessor` is the backend of a connection of our own that was lost.
pub(super) async fn begin(target: &Target, predecessor: Option<&Backend>) -> Result<Session, StoreError> {
    in_time(target, take_database(target, predecessor)).await
}

async fn take_database(target: &Target, predecessor: Option<&Backend>) -> Result<Session, StoreError> {
    let connection = look_at_server(target).await?;
    set_up(&connection).await.map_err(from_postgres)?;
    if let Some(predecessor) = predecessor {
        end(&connection, predecessor).await.map_err(from_postgres)?;
    }
    take(&connection, target).await?;
    let backend = backend(&connection).await.map_err(from_postgres)?;
    Ok(Session { connection, backend })
}

/// Connects, and takes nothing.
pub(super) async fn connect_to_look(target: &Target) -> Result<Connection, StoreError> {
    in_time(target, look_at_server(target)).await
}

/// A server that takes connections may say nothing on them: then this ends all the same.
async fn in_time<T>(target: &Target, beginning: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let bound = target.connecting_max() + BEGINNING_MAX;
    let silent = |_| {
        let message = format!("the database {target} was silent for {} s after it was connected to", bound.as_secs());
        Err(StoreError::Unavailable(message))
    };
    timeout(bound, beginning).await.unwrap_or_else(silent)
}

async fn look_at_server(target: &Target) -> Result<Connection, StoreError> {
    let connection = connect(target).await.map_err(|error| cannot_connect(target, &error))?;
    refuse_older_server(&connection).await?;
    Ok(connection)
}

#[expect(clippy::disallowed_methods, reason = "the connection owns the task, and ends it when it is dropped")]
async fn connect(target: &Target) -> Result<Connection, Error> {
    let (client, connection) = target.config.connect(target.tls.clone()).await?;
    // What goes wrong with it is seen by whoever asks next.
    let task = tokio::spawn(async move { drop(connection.await) });
    Ok(Connection::new(client, task))
}

/// Gives the database back, so that the next process need not wait until this connection is seen to be gone.
pub(super) async fn give_back(connection: &Connection) {
    // When this fails, the end of the session does it.
    let _ = timeout(GIVING_BACK_MAX, connection.batch_execute("SELECT pg_advisory_unlock_all()")).await;
}

/// A server that cannot be reached may be there later; one that refuses who we are will not change its mind.
fn cannot_connect(target: &Target, error: &Error) -> StoreError {
    // Wrong credentials, no such database.
    let is_lasting = error.code().is_some_and(|code| ["28", "3D"].iter().any(|class| code.code().starts_with(class)));
    let mut why = explain(error);
    if let Some(advice) = advice(error) {
        why = format!("{why}. {advice}");
    }
    if is_lasting {
        StoreError::Unusable(format!("the database {target} refuses the connection: {why}"))
    } else {
        StoreError::Unavailable(format!("the database {target} cannot be reached: {why}"))
    }
}

async fn refuse_older_server(connection: &Connection) -> Result<(), StoreError> {
    let row = connection
        .query_one("SELECT current_setting('server_version_num')::int, current_setting('server_version')", &[])
        .await
        .map_err(from_postgres)?;
    let (number, name): (i32, String) = (row.get(0), row.get(1));
    if number < SERVER_VERSION_MIN {
        let oldest = SERVER_VERSION_MIN / 10_000;
        return Err(StoreError::Unusable(format!("PostgreSQL {name} is too old: Postrider needs {oldest} or newer")));
    }
    Ok(())
}

async fn set_up(connection: &Connection) -> Result<(), Error> {
    // A commit is an answer to a client: with `off` it would be given before anything is on a disk. The other values say
    // how many disks, and that is the operator's to say.
    connection
        .batch_execute(&format!(
            "SET lock_timeout = {LOCK_WAIT_MS};
             SET idle_session_timeout = 0;
             SELECT set_config('synchronous_commit', 'on', FALSE) WHERE current_setting('synchronous_commit') = 'off'"
        ))
        .await
}

/// Whether this server takes no writes, or does not any more.
pub(super) async fn is_read_only(connection: &Connection) -> Result<bool, Error> {
    connection.query_one("SELECT current_setting('transaction_read_only')::boolean", &[]).await?.try_get(0)
}

async fn backend(connection: &Connection) -> Result<Backend, Error> {
    let row = connection
        .query_one("SELECT pid, backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()", &[])
        .await?;
    Ok(Backend { pid: row.try_get(0)?, started_at: row.try_get(1)? })
}

/// Ends a backend that may not have noticed that nobody listens.
async fn end(connection: &Connection, predecessor: &Backend) -> Result<(), Error> {
    connection
        .query(
            "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE pid = $1 AND backend_start::text = $2",
            &[&predecessor.pid, &predecessor.started_at],
        )
        .await
        .map(drop)
}

/// Takes the lock that makes this the one process that writes.
async fn take(connection: &Connection, target: &Target) -> Result<(), StoreError> {
    let lock = "SELECT pg_advisory_lock($1, hashtext(coalesce(current_schema(), '')))";
    match connection.query(lock, &[&LOCK_CLASS]).await {
        Ok(_) => Ok(()),
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Err(StoreError::InUse(target.to_string())),
        Err(error) => Err(from_postgres(error)),
    }
}

/// Refuses a database that a newer version has written, before anything in it is touched.
pub(super) async fn refuse_newer(connection: &Connection) -> Result<(), StoreError> {
    let (found, known) = (schema_version(connection).await.map_err(from_postgres)?, known_version());
    if found > known { Err(StoreError::Newer { found, known }) } else { Ok(()) }
}

/// The schema version that this version of Postrider writes.
pub(super) fn known_version() -> u64 {
    let runner = migrations::migrations::runner();
    let known = runner.get_migrations().iter().map(|migration| i64::from(migration.version())).max();
    known.and_then(|known| u64::try_from(known).ok()).unwrap_or(0)
}

/// Applies the migrations that are missing.
pub(super) async fn bring_up_to_date(connection: &mut Connection) -> Result<(), StoreError> {
    refuse_newer(connection).await?;
    migrations::migrations::runner()
        .run_async(&mut **connection)
        .await
        .map(drop)
        .map_err(|error| StoreError::Unusable(format!("the database could not be brought up to date: {}", why(&error))))
}

/// Which migration failed, and what the server said.
fn why(error: &refinery::Error) -> String {
    let mut behind = std::error::Error::source(error);
    while let Some(source) = behind {
        if let Some(said) = source.downcast_ref::<Error>() {
            return format!("{error}: {}", explain(said));
        }
        behind = source.source();
    }
    error.to_string()
}

/// Names and statements of all migrations, oldest first.
#[cfg(test)]
pub(super) fn migrations() -> Vec<(String, String)> {
    let mut all = migrations::migrations::runner().get_migrations().clone();
    all.sort_by_key(refinery::Migration::version);
    let told =
        |migration: &refinery::Migration| (migration.name().to_owned(), migration.sql().unwrap_or_default().to_owned());
    all.iter().map(told).collect()
}

pub(super) async fn schema_version(connection: &Connection) -> Result<u64, Error> {
    let is_new = connection
        .query_one("SELECT to_regclass('refinery_schema_history') IS NULL", &[])
        .await?
        .try_get::<_, bool>(0)?;
    if is_new {
        return Ok(0);
    }
    let row = connection.query_one("SELECT max(version)::bigint FROM refinery_schema_history", &[]).await?;
    Ok(u64::try_from(row.try_get::<_, Option<i64>>(0)?.unwrap_or(0)).unwrap_or(0))
}
