//! Connections that wait for the next mail: few, and not for long.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use providers::step::SmtpServer;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::Key;
use super::dialogue::Dialogue;

/// Servers commonly close after a minute or five; whoever closes first does not write into a closed connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How often idle connections are looked at.
const CLOSE_INTERVAL: Duration = Duration::from_secs(5);

/// For one server and user. Providers commonly allow ten or twenty connections at a time.
const IDLE_PER_KEY_MAX: usize = 8;

/// Over all; beyond it the mail is handed in and the connection closed.
const IDLE_MAX: usize = 128;

/// Idle connections, and the task that closes them.
#[derive(Default)]
pub(super) struct Pool {
    idle: Arc<Mutex<ByKey>>,
    /// Empty before the first mail, then one, which goes with the pool.
    closing: Mutex<JoinSet<()>>,
}

/// By what they may be used for, those used last at the back.
type ByKey = BTreeMap<Key, VecDeque<Idle>>;

struct Idle {
    dialogue: Dialogue,
    since: Instant,
}

impl Pool {
    /// A connection to one of these addresses with these rights.
    pub(super) fn take(&self, addresses: &[SocketAddr], server: &SmtpServer) -> Option<(Key, Dialogue)> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        drop_stale(&mut idle);
        addresses.iter().find_map(|address| {
            let key = Key::new(*address, server);
            let dialogue = idle.get_mut(&key)?.pop_back()?.dialogue;
            Some((key, dialogue))
        })
    }

    /// Keeps a connection, or closes it when there are enough.
    pub(super) fn put(&self, key: Key, dialogue: Dialogue) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        drop_stale(&mut idle);
        let count: usize = idle.values().map(VecDeque::len).sum();
        let same = idle.entry(key).or_default();
        if same.len() < IDLE_PER_KEY_MAX && count < IDLE_MAX {
            same.push_back(Idle { dialogue, since: Instant::now() });
        }
        drop(idle);
        self.close_later();
    }

    fn close_later(&self) {
        let mut closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        if closing.is_empty() {
            closing.spawn(close_stale(Arc::clone(&self.idle)));
        }
    }
}

/// Looks every few seconds, from the first mail on.
async fn close_stale(idle: Arc<Mutex<ByKey>>) {
    loop {
        sleep(CLOSE_INTERVAL).await;
        let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
        drop_stale(&mut idle);
    }
}

fn drop_stale(idle: &mut ByKey) {
    let now = Instant::now();
    idle.retain(|_, same| {
        same.retain(|one| now.duration_since(one.since) < IDLE_TIMEOUT);
        !same.is_empty()
    });
}
