//! What every test starts with: a [`Setup`] runs the real binary, a [`Client`] asks it, a [`Receiver`] gets what it
//! sends.
//!
//! Nothing here sleeps. A test waits for the receiver's record, for a line that the process printed or for its end;
//! only [`eventually`] asks again and again, for what the server tells nobody.

mod bodies;
mod client;
mod process;
mod receiver;
mod signature;
mod wire;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, interval, timeout};

pub(crate) use bodies::{places, writes};
pub(crate) use client::{Answer, Client};
pub(crate) use process::{ADMIN_KEY, BINARY, Finished, Process, Server, Setup};
pub(crate) use receiver::{Gate, Received, Receiver, Reply};
pub(crate) use signature::{is_signed_with, sign, signatures};
pub(crate) use wire::{Accepted, Attempt, Channel, Delivery, Event, IssuedKey, Page, Problem, Stats, Tested};

/// Makes two tests of each function that takes a [`Setup`]: one with SQLite, one with PostgreSQL. For what a store can do
/// wrong; that the two are alike is what their conformance suite shows.
macro_rules! on_both_stores {
    ($($test:ident),+ $(,)?) => {
        mod with_sqlite {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test($crate::harness::Setup::new()).await;
                }
            )+
        }

        mod with_postgres {
            $(
                #[tokio::test]
                async fn $test() {
                    super::$test($crate::postgres::setup_in_shared_cluster()).await;
                }
            )+
        }
    };
}
pub(crate) use on_both_stores;

/// How long a test waits for anything before it fails. Far more than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How often [`eventually`] asks.
const ASK_INTERVAL: Duration = Duration::from_millis(15);

/// The usual server and a receiver.
pub(crate) async fn start() -> (Server, Receiver) {
    (Setup::new().start().await, Receiver::start().await)
}

/// Asks until there is an answer, for at most [`PATIENCE`]: the one place that polls. For states that the server tells
/// nobody, like a delivery that has settled or expired.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let mut turns = interval(ASK_INTERVAL);
    let deadline = Instant::now() + PATIENCE;
    loop {
        turns.tick().await;
        if let Some(found) = ask().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
    }
}

/// What `future` gives, which must be soon.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}

/// The time in seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "a test of the real binary shares its clock")]
pub(crate) fn now_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is right");
    i64::try_from(since.as_secs()).expect("a time")
}

/// A time as the API writes it, in milliseconds since 1970.
pub(crate) fn ms(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().expect("a time of RFC 3339").as_millisecond()
}
