//! Reading connections: each on a thread of its own, taking the next question that waits.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::from_sqlite;
use crate::StoreError;

type Question = Box<dyn FnOnce(&Connection) + Send>;

/// Questions that may wait for a reader; beyond it callers are told to come back.
const WAITING_QUESTIONS_MAX: usize = 16_384;

pub(super) enum Readers {
    Threads(Threads),
    /// The simulator's: questions are answered where they are asked.
    Inline(Mutex<Connection>),
}

/// The way to the reader threads. Dropping it stops them after what waits.
pub(super) struct Threads {
    questions: Option<SyncSender<Question>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    /// Starts a thread for each connection.
    pub(super) fn start(connections: Vec<Connection>) -> Self {
        let (questions, waiting) = sync_channel(WAITING_QUESTIONS_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        let start = |connection: Connection| {
            let waiting = Arc::clone(&waiting);
            std::thread::Builder::new()
                .name("store-reader".to_owned())
                .spawn(move || answer_all(&connection, &waiting))
                .expect("a thread can be started")
        };
        let threads = connections.into_iter().map(start).collect();
        Self::Threads(Threads { questions: Some(questions), threads })
    }

    pub(super) fn inline(connection: Connection) -> Self {
        Self::Inline(Mutex::new(connection))
    }

    /// Answers from one consistent view of the database.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match self {
            Self::Threads(threads) => {
                let (reply, answer) = oneshot::channel();
                let question: Question = Box::new(move |connection| {
                    // Whoever asked may have gone.
                    let _ = reply.send(in_one_view(connection, work));
                });
                threads.submit(question)?;
                answer.await.map_err(|_| stopped())?
            }
            Self::Inline(connection) => in_one_view(&connection.lock().unwrap_or_else(PoisonError::into_inner), work),
        }
    }
}

impl Threads {
    fn submit(&self, question: Question) -> Result<(), StoreError> {
        let questions = self.questions.as_ref().expect("there until dropped");
        questions.try_send(question).map_err(|error| match error {
            TrySendError::Full(_) => {
                StoreError::Unavailable(format!("{WAITING_QUESTIONS_MAX} reads wait already; the disk is too slow"))
            }
            TrySendError::Disconnected(_) => stopped(),
        })
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.questions = None;
        for thread in self.threads.drain(..) {
            // A reader that panicked has said so on stderr.
            let _ = thread.join();
        }
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the readers have stopped".to_owned())
}

fn in_one_view<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let view = connection.unchecked_transaction().map_err(from_sqlite)?;
    let result = work(&view);
    view.finish().map_err(from_sqlite)?;
    result
}

fn answer_all(connection: &Connection, waiting: &Mutex<Receiver<Question>>) {
    loop {
        let question = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match question {
            Ok(question) => question(connection),
            Err(_) => return,
        }
    }
}
