//! The server under measurement: this very executable with `serve`, as a process of its own on a temporary directory,
//! with a private PostgreSQL beside it when that is the store.
//!
//! It is ended with SIGKILL: that is how it is meant to be able to end, and it takes no time. Only where another program
//! watches it, that one is asked to end. Dropping a [`Server`] ends the process first, then its database, and then removes
//! its directory.

use super::connection::Connection;
use super::database::{Database, Store};
use super::figures::Figures;
use super::process::{self, Usage};
use super::stopwatch::Stopwatch;
use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long a start may take before the bench gives up.
const START_MAX: Duration = Duration::from_secs(60);
/// How often it is asked whether it is ready; also the precision of start-to-ready.
const LOOK: Duration = Duration::from_millis(2);
/// How long one such question may take.
const LOOK_MAX: Duration = Duration::from_secs(1);
/// Lines of the server's log shown when it fails.
const LOG_LINES: usize = 20;

pub(super) struct Server {
    process: Process,
    /// None with SQLite, which is in the directory.
    database: Option<Database>,
    through: Vec<String>,
    directory: TempDir,
    address: SocketAddr,
    admin_key: String,
    /// Settings beyond those of every server of the bench, by the names of their variables.
    settings: Vec<(String, String)>,
    start_to_ready: Duration,
    watch: Stopwatch,
}

impl Server {
    /// Starts a server on a new directory in `parent`, with a new database, and waits until it is ready.
    ///
    /// `through` is a program that starts it, with its arguments; empty: none does.
    pub(super) async fn start(
        parent: &Path,
        store: Store,
        through: &[String],
        watch: Stopwatch,
    ) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("postrider-bench-").tempdir_in(parent);
        let directory = directory.with_context(|| format!("cannot make a directory in {}", parent.display()))?;
        let address = free_address()?;
        let admin_key = random_key()?;
        let database = match store {
            Store::Sqlite => None,
            Store::Postgres => Some(Database::start(parent).await?),
        };
        let through = through.to_vec();
        let process = Process::spawn(&through, directory.path(), address, &admin_key, database.as_ref(), &[])?;
        let (settings, start_to_ready) = (Vec::new(), Duration::ZERO);
        let mut server =
            Self { process, database, through, directory, address, admin_key, settings, start_to_ready, watch };
        server.wait_until_ready().await?;
        Ok(server)
    }

    /// Ends the process as a crash would and starts it again on the same directory.
    pub(super) async fn crash_and_restart(&mut self) -> anyhow::Result<()> {
        self.process.kill();
        self.start_again().await
    }

    /// Ends the process as an operator would, so that everything under way is written down, does something with its data
    /// directory, and starts it again.
    pub(super) async fn while_down(
        &mut self,
        work: impl AsyncFnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.process.stop();
        work(&data_dir(self.directory.path())).await?;
        self.start_again().await
    }

    async fn start_again(&mut self) -> anyhow::Result<()> {
        let (directory, database) = (self.directory.path(), self.database.as_ref());
        let Self { through, address, admin_key, settings, .. } = &*self;
        self.process = Process::spawn(through, directory, *address, admin_key, database, settings)?;
        self.wait_until_ready().await
    }

    /// Gives it another setting, from its next start on.
    pub(super) fn set(&mut self, variable: &str, value: &str) {
        self.settings.push((variable.to_owned(), value.to_owned()));
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn admin_key(&self) -> &str {
        &self.admin_key
    }

    /// From the start of the process to its first answer that it is ready.
    pub(super) fn start_to_ready(&self) -> Duration {
        self.start_to_ready
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        process::usage(self.process.child.id())
    }

    /// Its own figures, as they are at this moment.
    pub(super) async fn figures(&self) -> anyhow::Result<Figures> {
        Figures::of(self.address).await
    }

    /// Its database, when that is a server of its own.
    pub(super) fn database(&self) -> Option<&Database> {
        self.database.as_ref()
    }

    /// The last lines of the server's log, to explain a failure.
    pub(super) fn log_end(&self) -> String {
        let log = std::fs::read(log_path(self.directory.path())).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }

    async fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let start_ns = self.watch.ns();
        loop {
            if let Some(status) = self.process.child.try_wait().context("cannot ask for the state of the server")? {
                bail!("the server ended while starting: {status}\n{}", self.log_end());
            }
            if let Ok(Ok(true)) = tokio::time::timeout(LOOK_MAX, is_ready(self.address)).await {
                self.start_to_ready = self.watch.since(start_ns);
                return Ok(());
            }
            if self.watch.since(start_ns) > START_MAX {
                bail!("the server was not ready within {} s\n{}", START_MAX.as_secs(), self.log_end());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

async fn is_ready(address: SocketAddr) -> anyhow::Result<bool> {
    let request = Request::get("/readyz").header("host", address.to_string()).body(Full::new(Bytes::new()))?;
    let answer = Connection::open(address).await?.send(request).await?;
    Ok(answer.status.is_success())
}

/// A child process that does not outlive its owner.
struct Process {
    child: Child,
    /// Another program runs the server and wants to end by itself.
    is_watched: bool,
}

impl Process {
    fn spawn(
        through: &[String],
        directory: &Path,
        address: SocketAddr,
        admin_key: &str,
        database: Option<&Database>,
        settings: &[(String, String)],
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this executable")?;
        let log = File::options().create(true).append(true).open(log_path(directory));
        let log = log.context("cannot open the server's log")?;
        let mut command = match through {
            [] => Command::new(&program),
            [watcher, arguments @ ..] => {
                let mut command = Command::new(watcher);
                command.args(arguments).arg(&program);
                command
            }
        };
        // Settings of whoever runs the bench must not change what it measures.
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"POSTRIDER_") {
                command.env_remove(name);
            }
        }
        if let Some(database) = database {
            command.env("POSTRIDER_DATABASE_URL", database.url());
        }
        let child = command
            .arg("serve")
            .current_dir(directory)
            .env("POSTRIDER_LISTEN", address.to_string())
            .env("POSTRIDER_DATA_DIR", data_dir(directory))
            .env("POSTRIDER_ADMIN_KEY", admin_key)
            .env("POSTRIDER_EGRESS__ALLOW", "127.0.0.1/32")
            // A limit on calls would be all that is measured of the lists.
            .env("POSTRIDER_ALTUM__REQUESTS_PER_MINUTE", "1000000")
            .envs(settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("cannot open the server's log")?)
            .stderr(log)
            .spawn();
        let what = || format!("cannot start {}", command.get_program().display());
        Ok(Self { child: child.with_context(what)?, is_watched: !through.is_empty() })
    }

    /// Ends the process with SIGKILL, or what watches it with SIGTERM, and waits for its end. Failing means that it has
    /// ended already.
    fn kill(&mut self) {
        if self.is_watched {
            return self.stop();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends it with SIGTERM and waits for its end; the server gives what is under way 30 s.
    fn stop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn data_dir(directory: &Path) -> PathBuf {
    directory.join("data")
}

fn log_path(directory: &Path) -> PathBuf {
    directory.join("server.log")
}

/// A free port of loopback. Another process could take it before the server does; then the start fails and says so.
fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("cannot listen on loopback")?;
    Ok(listener.local_addr()?)
}

fn random_key() -> anyhow::Result<String> {
    use std::fmt::Write;
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).context("the system gives no random bytes")?;
    let mut key = String::with_capacity(64);
    bytes.iter().try_for_each(|byte| write!(key, "{byte:02x}"))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_long_and_not_the_same_twice() {
        let (one, other) = (random_key().unwrap(), random_key().unwrap());
        assert_eq!(one.len(), 64);
        assert_ne!(one, other);
    }
}
