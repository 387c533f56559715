//! A private PostgreSQL: a cluster of its own in a temporary directory, for tests and measurements.
//!
//! It listens on a Unix socket, and on a port of loopback only when it is told so. It ends with the process that started
//! it, however that ends: a shell stands between, waits for its input to close, and takes the server with it. `postgres` refuses to run as
//! root; then it runs as the user `postgres`, which the Debian package makes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use tempfile::TempDir;

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error(
        "PostgreSQL is not installed: there is no initdb in /usr/lib/postgresql/*/bin and none on the PATH. On Debian: \
         apt-get install postgresql"
    )]
    NotInstalled,
    #[error("the private PostgreSQL cannot be started: {0}")]
    Failed(String),
}

impl From<std::io::Error> for ClusterError {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Whether what was committed outlives a crash of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// As a server should be set up; measurements need it.
    Durable,
    /// Faster: what was committed outlives a crash of the server, and not of the machine.
    Volatile,
}

/// The shell between: `$0` is the directory, the rest is the server. When nobody says goodbye, nobody will remove the
/// directory either.
const SHELL: &str = "\"$@\" & server=$!; echo $server; read -r goodbye; kill -INT $server 2> /dev/null; wait $server; \
                     [ \"$goodbye\" ] || rm -rf \"$0\"";

/// The port, also in the name of the socket, of a cluster that does not listen on one.
const PORT: u16 = 5432;

/// A running cluster.
pub struct Cluster {
    programs: Programs,
    durability: Durability,
    directory: TempDir,
    port: u16,
    /// Beyond those that every cluster has, as `name=value`.
    settings: Vec<String>,
    server: Option<Server>,
}

struct Server {
    shell: Child,
    /// Closing it ends the server.
    input: Option<ChildStdin>,
    /// The first process of the server.
    pid: u32,
}

impl Cluster {
    /// Makes a cluster in the directory for temporary files and starts it.
    pub fn start(durability: Durability) -> Result<Self, ClusterError> {
        Self::start_in(&std::env::temp_dir(), durability)
    }

    /// The same below a directory, whose disk it is then on.
    pub fn start_in(parent: &Path, durability: Durability) -> Result<Self, ClusterError> {
        let mut cluster = Self::empty(parent, durability)?;
        let mut initdb = cluster.programs.command("initdb");
        initdb.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale", "--no-sync", "--pgdata"]);
        finish(initdb.arg(cluster.data()))?;
        cluster.run()?;
        Ok(cluster)
    }

    /// Starts a standby of a cluster, which follows it and takes nothing itself until it is promoted.
    pub fn start_standby(primary: &Self) -> Result<Self, ClusterError> {
        let mut standby = Self::empty(&std::env::temp_dir(), primary.durability)?;
        let mut copy = standby.programs.command("pg_basebackup");
        copy.args(["--checkpoint=fast", "--no-sync", "--write-recovery-conf", "--username=postgres"]);
        copy.arg(format!("--host={}", primary.directory.path().display())).arg(format!("--port={}", primary.port));
        finish(copy.arg("--pgdata").arg(standby.data()))?;
        standby.run()?;
        Ok(standby)
    }

    /// A directory for a cluster: its name short, because the path of a socket has little room, and open to the user
    /// that the server runs as.
    fn empty(parent: &Path, durability: Durability) -> Result<Self, ClusterError> {
        let programs = Programs::find()?;
        let directory = tempfile::Builder::new().prefix("pg-").tempdir_in(parent)?;
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777))?;
        Ok(Self { programs, durability, directory, port: PORT, settings: Vec::new(), server: None })
    }

    /// Sets something, as `name=value`, from the next [`Cluster::run`] on.
    pub fn set(&mut self, setting: &str) {
        self.settings.push(setting.to_owned());
    }

    /// Listens on a free port of loopback as well, from the next [`Cluster::run`] on. Returns the port.
    pub fn listen(&mut self) -> Result<u16, ClusterError> {
        // Another process could take it first; then the start fails and says so.
        self.port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        self.set("listen_addresses=127.0.0.1");
        Ok(self.port)
    }

    /// Keeps a file that only the server may read, such as a key. Returns where it is.
    pub fn keep_secret(&self, name: &str, content: &str) -> Result<PathBuf, ClusterError> {
        let path = self.data().join(name);
        std::fs::write(&path, content)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let owner = std::fs::metadata(self.data())?;
        std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid()))?;
        Ok(path)
    }

    /// Makes a primary of a standby, and waits until it is.
    pub fn promote(&self) -> Result<(), ClusterError> {
        self.ask("postgres", "SELECT pg_promote()").map(drop)
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        let socket = self.directory.path().display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{socket}:{}/{database}", self.port)
    }

    /// The socket that it listens on.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join(format!(".s.PGSQL.{}", self.port))
    }

    /// Where its files are.
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// What the server has to say since its last start.
    pub fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// Makes a database.
    pub fn create_database(&self, name: &str) -> Result<(), ClusterError> {
        self.ask("postgres", &format!("CREATE DATABASE \"{name}\"")).map(drop)
    }

    /// Runs statements as the owner of everything. Returns the rows, columns parted by `|`.
    pub fn ask(&self, database: &str, sql: &str) -> Result<String, ClusterError> {
        let mut psql = self.psql(database, sql);
        finish(psql.args(["--tuples-only", "--no-align"]))
    }

    fn psql(&self, database: &str, sql: &str) -> Command {
        let mut psql = self.programs.command("psql");
        psql.args(["--no-psqlrc", "--quiet", "--username=postgres"])
            .arg(format!("--host={}", self.directory.path().display()))
            .arg(format!("--port={}", self.port))
            .arg(format!("--dbname={database}"))
            .arg(format!("--command={sql}"));
        psql
    }

    /// Starts the server; again after it was stopped or killed. Returns when it takes connections.
    pub fn run(&mut self) -> Result<(), ClusterError> {
        let data = self.data();
        let durable = if self.durability == Durability::Durable { "on" } else { "off" };
        let mut shell = Command::new("sh");
        shell.args(["-c", SHELL]).arg(self.directory.path()).args(self.programs.words("postgres"));
        shell.arg("-D").arg(&data).arg("-k").arg(self.directory.path());
        for setting in [
            "listen_addresses=",
            "unix_socket_permissions=0777",
            "max_connections=300",
            "logging_collector=off",
            "log_min_messages=fatal",
            &format!("fsync={durable}"),
            &format!("full_page_writes={durable}"),
            &format!("port={}", self.port),
        ] {
            shell.args(["-c", setting]);
        }
        // The last of a name holds.
        for setting in &self.settings {
            shell.args(["-c", setting]);
        }
        // Ctrl-C is for the process that started it, which then ends it in good order.
        shell.process_group(0);
        shell.current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
        shell.stderr(std::fs::File::create(self.log())?);
        let mut shell = shell.spawn()?;
        let input = shell.stdin.take();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().ok_or_else(|| ClusterError::Failed("no output".to_owned()))?)
            .read_line(&mut line)?;
        let pid = line.trim().parse().map_err(|_| ClusterError::Failed(format!("no process: {line}")))?;
        self.server = Some(Server { shell, input, pid });
        self.wait_until_ready()
    }

    /// `pg_isready` waits by itself only for a connection, so it is asked until the server takes one or ends.
    fn wait_until_ready(&mut self) -> Result<(), ClusterError> {
        let log = self.log();
        let mut asking = self.psql("postgres", "SELECT");
        let Some(server) = &mut self.server else { return Ok(()) };
        loop {
            if asking.output()?.status.success() {
                return Ok(());
            }
            if server.shell.try_wait()?.is_some() || !is_running(server.pid) {
                return Err(ClusterError::Failed(std::fs::read_to_string(&log).unwrap_or_default()));
            }
        }
    }

    /// The first process of the server.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(|server| server.pid)
    }

    /// Kills the server and what it has started with SIGKILL.
    pub fn kill(&mut self) -> Result<(), ClusterError> {
        if let Some(server) = self.server.take() {
            // All at once: its children notice by themselves that it has gone, and may end a commit before that.
            let pid = server.pid.to_string();
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
            Command::new("kill")
                .args(["-KILL", &pid])
                .args(children.split_whitespace())
                .stderr(Stdio::null())
                .status()?;
            server.end()?;
        }
        Ok(())
    }

    /// Stops the server as its operator does.
    pub fn stop(&mut self) -> Result<(), ClusterError> {
        self.server.take().map_or(Ok(()), Server::end)
    }
}

impl Server {
    fn end(mut self) -> Result<(), ClusterError> {
        if let Some(mut input) = self.input.take() {
            // The shell may have ended by itself.
            let _ = input.write_all(b"goodbye\n");
        }
        self.shell.wait()?;
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The directory is removed next; a server that is still there would write into it.
        let _ = self.stop();
    }
}

/// Runs a program to its end. Returns what it printed.
fn finish(program: &mut Command) -> Result<String, ClusterError> {
    let ended = program.output()?;
    if ended.status.success() {
        Ok(String::from_utf8_lossy(&ended.stdout).trim_end().to_owned())
    } else {
        Err(ClusterError::Failed(String::from_utf8_lossy(&ended.stderr).into_owned()))
    }
}

fn is_running(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

/// Where PostgreSQL's programs are, and as whom they run.
struct Programs {
    bin: PathBuf,
    /// `setpriv` and its words when this process is root.
    prefix: Vec<String>,
}

impl Programs {
    fn find() -> Result<Self, ClusterError> {
        let mut bins: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
            .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
            .unwrap_or_default();
        // The newest first.
        bins.sort_unstable_by_key(|bin| std::cmp::Reverse(version_of(bin)));
        let path = std::env::var_os("PATH").unwrap_or_default();
        bins.extend(std::env::split_paths(&path));
        let bin = bins.into_iter().find(|bin| bin.join("initdb").is_file()).ok_or(ClusterError::NotInstalled)?;
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        let words = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"];
        let prefix = if is_root { words.map(str::to_owned).to_vec() } else { Vec::new() };
        Ok(Self { bin, prefix })
    }

    /// What to type to run a program.
    fn words(&self, program: &str) -> Vec<String> {
        let program = self.bin.join(program).display().to_string();
        self.prefix.iter().cloned().chain([program]).collect()
    }

    fn command(&self, program: &str) -> Command {
        let words = self.words(program);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir("/");
        command
    }
}

fn version_of(bin: &Path) -> u32 {
    let name = bin.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    name.and_then(|name| name.parse().ok()).unwrap_or(0)
}
