//! What is SQLite's own: the conformance suite over it, the data directory, failing batches and query plans.

mod backups;
mod batches;
mod lookups;
mod opening;
mod plans;
mod purge;

use std::future::Future;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use tempfile::TempDir;

use super::writer::Fault;
use super::{Options, SqliteStore};
use crate::conformance::{Factory, SEGMENT_ROWS};
use crate::queue::{Arrival, Feed};
use crate::{StoreError, Vault};

mod conformance {
    store_conformance!(crate::sqlite::tests::OneDirectory::new());
}

/// A data directory, opened with its threads as production does.
struct OneDirectory(TempDir);

impl OneDirectory {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Factory for OneDirectory {
    type Store = SqliteStore;

    async fn open(&self, feed: Feed) -> SqliteStore {
        SqliteStore::open(&options(self.0.path()), vault(), feed).unwrap()
    }

    fn block_on<T>(&self, case: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(case)
    }
}

fn options(data_dir: &Path) -> Options {
    Options { segment_rows_max: SEGMENT_ROWS, ..Options::new(data_dir) }
}

fn vault() -> Arc<Vault> {
    Arc::new(Vault::new([7; 32], |bytes| bytes.fill(9)))
}

/// A store without threads, and what it announced.
struct Stepped {
    store: SqliteStore,
    heard: Arc<Mutex<Vec<Arrival>>>,
}

impl Stepped {
    fn open(data_dir: &Path) -> Self {
        let heard: Arc<Mutex<Vec<Arrival>>> = Arc::default();
        let hear = Arc::clone(&heard);
        let feed: Feed = Box::new(move |arrivals| hear.lock().unwrap().extend(arrivals));
        Self { store: SqliteStore::open_stepped(&options(data_dir), vault(), feed).unwrap(), heard }
    }

    fn heard(&self) -> Vec<Arrival> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }

    /// Runs calls that write as one batch.
    fn batch<'s, T>(&'s self, calls: Vec<Call<'s, T>>, fault: Option<Fault>) -> Vec<Result<T, StoreError>> {
        let mut calls = calls;
        let mut context = Context::from_waker(Waker::noop());
        for call in &mut calls {
            assert!(call.as_mut().poll(&mut context).is_pending());
        }
        assert_eq!(self.store.run_writes(fault), calls.len());
        calls.iter_mut().map(|call| ready(call.as_mut())).collect()
    }

    /// Runs many calls, one after the other.
    fn work<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            if let Poll::Ready(result) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return result;
            }
            assert_ne!(self.store.run_writes(None), 0, "it waits for something else than the writer");
        }
    }

    /// Runs one call, of either kind.
    fn run<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let mut call = pin!(call);
        if let Poll::Ready(result) = call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
        self.store.run_writes(None);
        ready(call)
    }
}

type Call<'s, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 's>>;

fn ready<T>(call: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> T {
    match call.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the batch is over and the call still waits"),
    }
}
