//! Names to addresses: the seam where tests put their own answers, and the system's resolver behind it.
//!
//! Answers are not cached and not judged here. A pooled connection saves the look-up on the hot path, and the guard sees
//! every answer before anybody connects.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

/// Looks names up. An answer that takes too long is an error of [`io::ErrorKind::TimedOut`].
pub trait Resolve: Send + Sync + 'static {
    /// All addresses of `name`, each with `port`. The error's text must not hold the name.
    fn resolve(&self, name: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;
}

/// Asks the operating system, hosts file and search domains included.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

/// As long as the C library waits for one server by default; the thread that it holds up meanwhile is not ours to stop.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        #[expect(clippy::disallowed_methods, reason = "this is the guarded transport's own resolver")]
        let lookup = tokio::net::lookup_host((name, port));
        match timeout(RESOLVE_TIMEOUT, lookup).await {
            Ok(found) => found.map(Iterator::collect),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer from the name servers")),
        }
    }
}
