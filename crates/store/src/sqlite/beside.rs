//! What is done beside the writer, on a thread and a connection of its own: copying the log into the database, and making
//! the look-ups of closed segments.
//!
//! The writer asks for it between two batches and goes on; so neither holds up a commit. The thread is nice: where there is
//! less of the processor than all of them want, those that somebody waits for go first.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::segments::{Made, make_lookups};
use super::{folding, from_sqlite};
use crate::StoreError;

/// How much nicer than the other threads, of 19: a ninth of their share when all of them want the processor.
const NICER: i32 = 10;

/// What the writer asks for.
enum Asked {
    Fold,
    MakeLookups {
        /// As the segments tell them when it is asked for.
        erasures: u64,
    },
    /// To be told that what was asked for before is done.
    Tell(SyncSender<()>),
}

/// How long the writer waits for what is done beside it.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Look-ups for the writer to write; nothing when no segment lacks any.
pub(super) struct MadeBeside {
    pub made: Option<Made>,
    pub erasures: u64,
}

/// The way to the thread. Dropping it waits for its end.
pub(super) struct Beside {
    asked: Option<SyncSender<Asked>>,
    made: Receiver<Result<MadeBeside, StoreError>>,
    is_making: bool,
    thread: Option<JoinHandle<()>>,
}

impl Beside {
    pub(super) fn start(connection: Connection) -> Self {
        // One of each kind at a time.
        let (asked, requests) = sync_channel(2);
        let (answers, made) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("store-beside".to_owned())
            .spawn(move || work(&connection, &requests, &answers))
            .expect("a thread can be started");
        Self { asked: Some(asked), made, is_making: false, thread: Some(thread) }
    }

    /// Asks for the log to be folded; when that is asked for already, it will do.
    pub(super) fn fold(&self) {
        if let Some(asked) = &self.asked {
            let _ = asked.try_send(Asked::Fold);
        }
    }

    /// Waits until what was asked for is done.
    pub(super) fn wait(&self) {
        let (done, told) = sync_channel(1);
        if let Some(asked) = &self.asked
            && asked.send(Asked::Tell(done)).is_ok()
        {
            // Whoever takes longer is waited for again after the next batches.
            let _ = told.recv_timeout(WAIT_MAX);
        }
    }

    /// Asks for the look-ups of the next segment that lacks them, unless they are being made.
    pub(super) fn make_lookups(&mut self, erasures: u64) {
        if let Some(asked) = &self.asked
            && !self.is_making
        {
            // When the other is busy with folding, the next slice of upkeep asks again.
            self.is_making = asked.try_send(Asked::MakeLookups { erasures }).is_ok();
        }
    }

    /// Whether the thread has ended, as it does when it panics.
    pub(super) fn is_gone(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// The look-ups that were asked for, once they are made.
    pub(super) fn made(&mut self) -> Result<Option<MadeBeside>, StoreError> {
        let Ok(made) = self.made.try_recv() else { return Ok(None) };
        self.is_making = false;
        made.map(Some)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.asked = None;
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so on stderr.
            let _ = thread.join();
        }
    }
}

fn work(connection: &Connection, requests: &Receiver<Asked>, answers: &SyncSender<Result<MadeBeside, StoreError>>) {
    // Of this thread alone, on Linux; elsewhere it would be the whole process. Refused, it is as busy as the others.
    if cfg!(target_os = "linux") {
        let _ = rustix::process::nice(NICER);
    }
    while let Ok(asked) = requests.recv() {
        match asked {
            // What fails is asked for again: the log is as long as it was.
            Asked::Fold => drop(folding::fold(connection)),
            // The writer may have waited long enough.
            Asked::Tell(done) => drop(done.send(())),
            Asked::MakeLookups { erasures } => {
                let made = make_lookups(connection).map(|made| MadeBeside { made, erasures }).map_err(from_sqlite);
                if answers.send(made).is_err() {
                    return;
                }
            }
        }
    }
}
