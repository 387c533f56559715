//! A proxy between a store and its server that loses the answer to a COMMIT, or the COMMIT itself, or falls silent: then
//! it takes connections and what is sent, passes nothing on, and closes nothing.
//!
//! It looks at what the client sends, and knows no more of the protocol than what a query looks like that is a COMMIT.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use tempfile::TempDir;

/// What happens to the next COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// The server never hears of it.
    Commit,
    /// The server carries it out, and nobody hears of that.
    Answer,
}

/// A COMMIT that is a query of its own: the end of a batch.
pub(super) const OF_BATCH: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// A COMMIT at the end of other statements: that of a new partition.
pub(super) const OF_PARTITION: &[u8] = b"; COMMIT\0";

/// What is lost, and how the message ends that it happens to.
type Lost = Arc<Mutex<Option<(Loss, &'static [u8])>>>;

/// Whether nothing is passed on.
#[derive(Default)]
struct Silence {
    is_silent: Mutex<bool>,
    has_ended: Condvar,
}

impl Silence {
    fn set(&self, is_silent: bool) {
        *self.is_silent.lock().unwrap() = is_silent;
        self.has_ended.notify_all();
    }

    /// Returns when it is over.
    fn outlast(&self) {
        drop(self.has_ended.wait_while(self.is_silent.lock().unwrap(), |is_silent| *is_silent).unwrap());
    }
}

/// A socket that leads to a server.
pub(super) struct Proxy {
    directory: TempDir,
    next: Lost,
    silence: Arc<Silence>,
}

impl Proxy {
    pub(super) fn to(socket: PathBuf) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join(".s.PGSQL.5432")).unwrap();
        let next: Lost = Arc::default();
        let silence: Arc<Silence> = Arc::default();
        let (armed, kept) = (Arc::clone(&next), Arc::clone(&silence));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                carry(&client, &socket, &armed, &kept);
            }
        });
        Self { directory, next, silence }
    }

    pub(super) fn url(&self, database: &str) -> String {
        let socket = self.directory.path().display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{socket}/{database}")
    }

    /// Passes nothing on until it speaks again.
    pub(super) fn fall_silent(&self) {
        self.silence.set(true);
    }

    pub(super) fn speak_again(&self) {
        self.silence.set(false);
    }

    /// Loses something of the next COMMIT of a kind.
    pub(super) fn lose(&self, loss: Loss, commit: &'static [u8]) {
        *self.next.lock().unwrap() = Some((loss, commit));
    }

    /// Whether what was to be lost is.
    pub(super) fn has_lost(&self) -> bool {
        self.next.lock().unwrap().is_none()
    }
}

fn carry(client: &UnixStream, socket: &Path, next: &Lost, silence: &Arc<Silence>) {
    // A server that is away closes the connection.
    let Ok(server) = UnixStream::connect(socket) else { return };
    let is_cut = Arc::new(Mutex::new(false));
    let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (next, cuts) = (Arc::clone(next), Arc::clone(&is_cut));
    let (to_server, to_client) = (Arc::clone(silence), Arc::clone(silence));
    thread::spawn(move || {
        copy(&from, &to, |bytes| {
            to_server.outlast();
            let loss = next.lock().unwrap().take_if(|(_, commit)| bytes.ends_with(commit)).map(|(loss, _)| loss);
            *cuts.lock().unwrap() |= loss.is_some();
            loss != Some(Loss::Commit)
        });
    });
    let (from, to) = (server, client.try_clone().unwrap());
    thread::spawn(move || {
        copy(&from, &to, |_| {
            to_client.outlast();
            !*is_cut.lock().unwrap()
        });
    });
}

/// Copies until one of the two ends, or `may_pass` says no; then both are closed.
fn copy(mut from: &UnixStream, mut to: &UnixStream, may_pass: impl Fn(&[u8]) -> bool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 || !may_pass(&buffer[..count]) || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // Errors mean that it is closed.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
