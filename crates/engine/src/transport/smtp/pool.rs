//! Connections that wait for the next mail: few, and not for long.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use providers::step::SmtpServer;
use tokio::time::Instant;

use super::Key;
use super::dialogue::Dialogue;

/// Servers commonly close after a minute or five; whoever closes first does not write into a closed connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// For one server and user. Providers commonly allow ten or twenty connections at a time.
const IDLE_PER_KEY_MAX: usize = 8;

/// Over all; beyond it the mail is handed in and the connection closed.
const IDLE_MAX: usize = 128;

/// Idle connections by what they may be used for, those used last at the back.
#[derive(Default)]
pub(super) struct Pool(Mutex<BTreeMap<Key, VecDeque<Idle>>>);

struct Idle {
    dialogue: Dialogue,
    since: Instant,
}

impl Pool {
    /// A connection to one of these addresses with these rights.
    pub(super) fn take(&self, addresses: &[SocketAddr], server: &SmtpServer) -> Option<(Key, Dialogue)> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop_stale(&mut idle);
        addresses.iter().find_map(|address| {
            let key = Key::new(*address, server);
            let dialogue = idle.get_mut(&key)?.pop_back()?.dialogue;
            Some((key, dialogue))
        })
    }

    /// Keeps a connection, or closes it when there are enough.
    pub(super) fn put(&self, key: Key, dialogue: Dialogue) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop_stale(&mut idle);
        let count: usize = idle.values().map(VecDeque::len).sum();
        let same = idle.entry(key).or_default();
        if same.len() < IDLE_PER_KEY_MAX && count < IDLE_MAX {
            same.push_back(Idle { dialogue, since: Instant::now() });
        }
    }
}

/// Looked at whenever the pool is used. The last connections of a server that is used no more stay open until somebody
/// mails again, or until that server closes them: they are bounded and hold nothing up.
fn drop_stale(idle: &mut BTreeMap<Key, VecDeque<Idle>>) {
    let now = Instant::now();
    idle.retain(|_, same| {
        same.retain(|one| now.duration_since(one.since) < IDLE_TIMEOUT);
        !same.is_empty()
    });
}
