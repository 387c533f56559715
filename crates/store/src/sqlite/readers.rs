//! Reading connections: each on a thread of its own, taking the next question that waits.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::from_sqlite;
use crate::StoreError;

type Question = Box<dyn FnOnce(&Connection) + Send>;

pub(super) enum Readers {
    Threads(Sender<Question>),
    /// The simulator's: questions are answered where they are asked.
    Inline(Mutex<Connection>),
}

impl Readers {
    /// Starts a thread for each connection; they end when the `Readers` are dropped.
    pub(super) fn start(connections: Vec<Connection>) -> Self {
        let (questions, waiting) = channel();
        let waiting = Arc::new(Mutex::new(waiting));
        for connection in connections {
            let waiting = Arc::clone(&waiting);
            std::thread::Builder::new()
                .name("store-reader".to_owned())
                .spawn(move || answer_all(&connection, &waiting))
                .expect("a thread can be started");
        }
        Self::Threads(questions)
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
            Self::Threads(questions) => {
                let (reply, answer) = oneshot::channel();
                let question: Question = Box::new(move |connection| {
                    // Whoever asked may have gone.
                    let _ = reply.send(in_one_view(connection, work));
                });
                let stopped = || StoreError::Unavailable("the readers have stopped".to_owned());
                questions.send(question).map_err(|_| stopped())?;
                answer.await.map_err(|_| stopped())?
            }
            Self::Inline(connection) => in_one_view(&connection.lock().unwrap_or_else(PoisonError::into_inner), work),
        }
    }
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
