//! The real binary: started, read, stopped and killed.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Seek as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;

use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::sync::watch;

use super::{Client, eventually, soon};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_postrider");

/// The platform key of every server that is not a first run.
pub(crate) const ADMIN_KEY: &str = "admin-key-of-the-integration-tests";

/// Settings and a data directory; starts a server as often as a test likes.
#[derive(Clone)]
pub(crate) struct Setup {
    data_dir: Arc<TempDir>,
    variables: BTreeMap<String, String>,
    /// A program that starts the binary, with its arguments; the binary and `serve` come after them.
    wrapper: Vec<String>,
}

impl Setup {
    /// An operator who drives Postrider by program and lets it talk to loopback. Waits between attempts are short: the
    /// first is a millisecond.
    pub(crate) fn new() -> Self {
        Self::first_run()
            .set("POSTRIDER_ADMIN_KEY", ADMIN_KEY)
            .set("POSTRIDER_EGRESS__ALLOW", "127.0.0.0/8")
            .set("POSTRIDER_DELIVERY__RETRY_BASE_MS", "1")
    }

    /// Nothing is set but what keeps tests apart.
    pub(crate) fn first_run() -> Self {
        let data_dir = TempDir::new().expect("a temporary directory");
        let path = data_dir.path().join("data").to_string_lossy().into_owned();
        Self { data_dir: Arc::new(data_dir), variables: BTreeMap::new(), wrapper: Vec::new() }
            .set("POSTRIDER_LISTEN", "127.0.0.1:0")
            .set("POSTRIDER_DATA_DIR", &path)
    }

    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Writes a file into the directory that the binary is started in.
    pub(crate) fn with_file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.data_dir.path().join(name), text).expect("a file can be written");
        self
    }

    /// What `config dump` prints with these arguments.
    pub(crate) async fn dump(&self, arguments: &[&str]) -> String {
        let mut process = self.launch(&[&["config", "dump"], arguments].concat());
        let status = process.ended().await;
        assert!(status.success(), "{}", process.stderr.text());
        process.stdout.text()
    }

    /// Starts the binary by another program.
    pub(crate) fn wrapped_in(mut self, program: &[&str]) -> Self {
        self.wrapper = program.iter().map(|&part| part.to_owned()).collect();
        self
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.data_dir.path().join("data")
    }

    /// Runs `serve` and waits until it is ready.
    pub(crate) async fn start(&self) -> Server {
        Server::of(self.launch(&["serve"])).await
    }

    /// Runs `serve`, which must end by itself; how it ended and what it said to stderr.
    pub(crate) async fn start_in_vain(&self) -> (ExitStatus, String) {
        let mut process = self.launch(&["serve"]);
        let status = process.ended().await;
        (status, process.stderr.text())
    }

    /// Runs a command to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Finished {
        Finished::of(arguments, self.launch(arguments)).await
    }

    /// The same, with this on its stdin.
    pub(crate) async fn run_with_stdin(&self, arguments: &[&str], stdin: &str) -> Finished {
        let mut file = tempfile::tempfile_in(self.data_dir.path()).expect("a file");
        file.write_all(stdin.as_bytes()).and_then(|()| file.rewind()).expect("a write");
        Finished::of(arguments, self.launch_reading(arguments, file.into())).await
    }

    /// Runs the binary with these arguments.
    pub(crate) fn launch(&self, arguments: &[&str]) -> Process {
        self.launch_reading(arguments, Stdio::null())
    }

    fn launch_reading(&self, arguments: &[&str], stdin: Stdio) -> Process {
        let mut words = self.wrapper.iter().map(String::as_str).chain([BINARY]).chain(arguments.iter().copied());
        let mut command = self.command(words.next().expect("a program"));
        command.args(words).stdin(stdin);
        Process::start(command).expect("the binary starts")
    }

    /// A program that is not the binary, with the same variables and in the same directory.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(&self.variables).current_dir(self.data_dir.path());
        for kept in ["PATH", "HOME"] {
            command.envs(std::env::var_os(kept).map(|value| (kept, value)));
        }
        command.stdin(Stdio::null());
        command
    }
}

/// How a command ended, and what it printed.
#[derive(Clone, Debug)]
pub(crate) struct Finished {
    command: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    async fn of(arguments: &[&str], mut process: Process) -> Self {
        let code = process.ended().await.code();
        Self { command: arguments.join(" "), code, stdout: process.stdout.text(), stderr: process.stderr.text() }
    }

    /// What it printed, when it ended with this code.
    pub(crate) fn ended_with(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "postrider {}\n{}\n{}", self.command, self.stdout, self.stderr);
        self
    }

    /// What it printed as JSON, when it went well.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        let text = &self.ended_with(0).stdout;
        serde_json::from_str(text).unwrap_or_else(|error| panic!("postrider {}: {error}: {text}", self.command))
    }

    /// Checks that it printed all of these to stdout.
    pub(crate) fn says(&self, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(self.stdout.contains(part), "postrider {}: no {part:?} in: {}", self.command, self.stdout);
        }
        self
    }

    /// Checks that it told the person all of these on stderr.
    pub(crate) fn remarks(&self, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(self.stderr.contains(part), "postrider {}: no {part:?} in: {}", self.command, self.stderr);
        }
        self
    }
}

/// A running process and what it prints. Killed when the test ends before it.
pub(crate) struct Process {
    child: Child,
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
}

impl Process {
    /// Starts a command and reads what it prints.
    pub(crate) fn start(mut command: Command) -> std::io::Result<Self> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let stdout = Output::read(child.stdout.take().expect("a pipe"));
        let stderr = Output::read(child.stderr.take().expect("a pipe"));
        Ok(Self { child, stdout, stderr })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop, as the system does.
    pub(crate) fn ask_to_stop(&self) {
        self.signal("TERM");
    }

    /// Asks it to stop, as a person does with Ctrl-C.
    pub(crate) fn interrupt(&self) {
        self.signal("INT");
    }

    fn signal(&self, name: &str) {
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.id())]).status();
        assert!(status.expect("a shell").success());
    }

    /// Kills it, as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
    }

    /// Waits for its end, which closes its outputs.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        soon("the end of stdout", self.stdout.ended()).await;
        soon("the end of stderr", self.stderr.ended()).await;
        self.child.wait().expect("a status")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Errors mean that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- stderr of the process:\n{}", self.stderr.text());
        }
    }
}

/// A server that is ready.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// With the platform key, for the tenant `default`.
    pub(crate) client: Client,
    pub(crate) process: Process,
}

impl Server {
    /// Waits until a process that runs `serve` is ready.
    pub(crate) async fn of(mut process: Process) -> Self {
        let line = soon("the welcome line", process.stdout.line_with("is ready at http")).await;
        let Some(line) = line else {
            panic!("the server ended before it was ready: {}", process.stderr.text());
        };
        let address = line.rsplit("://").next().expect("an address").trim().parse().expect("an address");
        Self { client: Client::new(address, ADMIN_KEY).for_tenant("default"), address, process }
    }

    /// A client with another key.
    pub(crate) fn client_with(&self, key: &str) -> Client {
        Client::new(self.address, key)
    }

    /// Waits until the port is closed.
    pub(crate) async fn refuses_connections(&self) {
        eventually("the port is closed", async || {
            self.client_with("").try_send(http::Method::GET, "/healthz", &[], "").await.is_err().then_some(())
        })
        .await;
    }

    /// Kills it, as a power cut would, and waits until it is gone.
    pub(crate) async fn kill(mut self) {
        self.process.kill();
        self.process.ended().await;
    }

    /// Asks it to stop and waits for its end.
    pub(crate) async fn stop(mut self) -> ExitStatus {
        self.process.ask_to_stop();
        self.process.ended().await
    }
}

/// What a process has printed to one of its outputs, read by a thread of its own.
pub(crate) struct Output(watch::Receiver<Printed>);

#[derive(Default)]
struct Printed {
    lines: Vec<String>,
    is_over: bool,
}

impl Output {
    fn read(pipe: impl Read + Send + 'static) -> Self {
        let (sender, printed) = watch::channel(Printed::default());
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                sender.send_modify(|printed| printed.lines.push(line));
            }
            sender.send_modify(|printed| printed.is_over = true);
        });
        Self(printed)
    }

    /// The first line that holds `part`, once it is printed; `None` when the output ended without it.
    pub(crate) async fn line_with(&mut self, part: &str) -> Option<String> {
        let find = |lines: &[String]| lines.iter().find(|line| line.contains(part)).cloned();
        let printed = self.0.wait_for(|printed| printed.is_over || find(&printed.lines).is_some()).await.ok()?;
        find(&printed.lines)
    }

    /// Waits until nothing more can come.
    pub(crate) async fn ended(&mut self) {
        // An error is a reader that is gone, which is an end as well.
        let _ = self.0.wait_for(|printed| printed.is_over).await;
    }

    /// Everything so far.
    pub(crate) fn text(&self) -> String {
        self.0.borrow().lines.join("\n")
    }
}
