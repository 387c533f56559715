//! Reading connections: a bounded pool, each question in a view of its own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use tokio_postgres::Error;

use super::Options;
use super::statements::{Connection, explain, from_postgres};
use crate::StoreError;

/// How long a question waits for a connection; beyond it callers are told to come back.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// A question that is being answered.
pub(super) type Answering<'c, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'c>>;

#[derive(Clone)]
pub(super) struct Readers {
    pool: Pool,
    /// How long an answer may take.
    patience: Duration,
    /// Counts the servers that there were; a connection to an earlier one is not used again.
    generation: Arc<AtomicU64>,
}

impl Readers {
    /// Connects nothing yet.
    pub(super) fn new(options: &Options) -> Result<Self, StoreError> {
        let manager = Manager::from_config(
            options.target.config.clone(),
            options.target.tls.clone(),
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let pool = Pool::builder(manager)
            .max_size(options.readers)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT_MAX))
            .create_timeout(Some(WAIT_MAX))
            .build()
            .map_err(|error| StoreError::Unusable(format!("the pool of reading connections: {error}")))?;
        Ok(Self { pool, patience: options.patience, generation: Arc::default() })
    }

    /// Has all later questions answered over new connections.
    pub(super) fn begin_again(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
        self.pool.retain(|_, _| false);
    }

    /// Answers from one consistent view of the database.
    pub(super) async fn run<T>(
        &self,
        work: impl for<'c> FnOnce(&'c Connection) -> Answering<'c, T>,
    ) -> Result<T, StoreError> {
        let generation = self.generation.load(Ordering::Relaxed);
        let connection = Some(self.pool.get().await.map_err(from_pool)?);
        let view = View { connection, is_current: || self.generation.load(Ordering::Relaxed) == generation };
        let answer = tokio::time::timeout(self.patience, view.answer(work)).await;
        let took_too_long =
            |_| Err(StoreError::Unavailable(format!("the database did not answer within {:?}", self.patience)));
        answer.map_or_else(took_too_long, |answer| answer.map_err(from_postgres))
    }
}

/// A connection with an open transaction. Whoever asked may go away in the middle of it: then the connection is not
/// given back, because nobody would end the transaction.
struct View<F> {
    connection: Option<Object>,
    /// Whether the connection is still to the server that writes go to.
    is_current: F,
}

impl<F: Fn() -> bool> View<F> {
    async fn answer<T>(mut self, work: impl for<'c> FnOnce(&'c Connection) -> Answering<'c, T>) -> Result<T, Error> {
        let connection: &Connection = self.connection.as_ref().expect("there until the end");
        connection.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let answer = work(connection).await?;
        connection.batch_execute("COMMIT").await?;
        if (self.is_current)() {
            // Dropping it gives it back.
            drop(self.connection.take());
        }
        Ok(answer)
    }
}

impl<F> Drop for View<F> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(Object::take(connection));
        }
    }
}

fn from_pool(error: PoolError) -> StoreError {
    match error {
        PoolError::Backend(error) => StoreError::Unavailable(explain(&error)),
        PoolError::Timeout(_) => StoreError::Unavailable(format!(
            "no connection for reading became free within {} s; the database is too slow or away",
            WAIT_MAX.as_secs()
        )),
        error => StoreError::Unavailable(error.to_string()),
    }
}
