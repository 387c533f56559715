//! A real mail server: `server.py` in the Python environment that `scripts/test` makes, with a certificate of its own.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::harness::{Setup, soon};

/// What `server.py` takes.
pub(super) const USER: &str = "postrider";
pub(super) const PASSWORD: &str = "correct-horse-battery";

pub(crate) struct MailServer {
    process: Child,
    pub(crate) port: u16,
    folder: TempDir,
    told: watch::Receiver<Vec<Value>>,
}

impl MailServer {
    /// With STARTTLS and a certificate for `localhost` that nobody has signed but itself.
    pub(super) fn start() -> Self {
        let folder = TempDir::new().expect("a temporary directory");
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name").self_signed(&key);
        let paths = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
        std::fs::write(&paths[0], certificate.expect("a certificate").pem()).expect("a file");
        std::fs::write(&paths[1], key.serialize_pem()).expect("a file");

        Self::run(folder, &paths)
    }

    /// Without TLS, as on a developer's machine.
    pub(crate) fn start_plain() -> Self {
        Self::run(TempDir::new().expect("a temporary directory"), &[])
    }

    fn run(folder: TempDir, certificate: &[PathBuf]) -> Self {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/mail/server.py");
        let mut command = Command::new(python());
        command.arg(script).args(certificate).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the mail server's Python starts");
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let first = lines.next().and_then(Result::ok).expect("the mail server starts: run scripts/test");
        let (sender, told) = watch::channel(Vec::new());
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event = serde_json::from_str(&line).expect("a line of JSON");
                sender.send_modify(|told: &mut Vec<Value>| told.push(event));
            }
        });
        Self { process, port: first.trim().parse().expect("a port"), folder, told }
    }

    /// The operator's settings for it, its certificate trusted.
    pub(super) fn settings(&self, setup: Setup) -> Setup {
        let url = format!("smtp+starttls://{USER}:{PASSWORD}@localhost:{}", self.port);
        self.trusted(setup).set("POSTRIDER_SMTP__URL", &url)
    }

    /// Its certificate is one of the system's, and there is a sender.
    pub(super) fn trusted(&self, setup: Setup) -> Setup {
        let certificate = self.folder.path().join("cert.pem");
        sender(setup).set("SSL_CERT_FILE", &certificate.to_string_lossy())
    }

    /// What happened so far, of one kind.
    pub(super) fn all(&self, event: &str) -> Vec<Value> {
        self.told.borrow().iter().filter(|one| one["event"] == event).cloned().collect()
    }

    /// The mails, once there are so many.
    pub(crate) async fn mails(&mut self, count: usize) -> Vec<Value> {
        let are_there = |told: &Vec<Value>| told.iter().filter(|one| one["event"] == json!("mail")).count() >= count;
        drop(soon("mails", self.told.wait_for(are_there)).await.expect("the mail server runs"));
        self.all("mail")
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        // Errors mean that it has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An operator with a sender.
pub(super) fn sender(setup: Setup) -> Setup {
    setup.set("POSTRIDER_SMTP__FROM", "Ops <ops@operator.test>")
}

/// A header of a mail, on one line.
pub(crate) fn header(mail: &Value, name: &str) -> String {
    let content = mail["content"].as_str().expect("a mail");
    let start = format!("{name}: ");
    let line = content.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("no {name} in {content}")).trim().to_owned()
}

/// The interpreter with the mail server in it, in the target directory that this binary was built into.
fn python() -> PathBuf {
    let binary = std::env::current_exe().expect("a path");
    let found = binary.ancestors().map(|folder| folder.join("test-tools/venv/bin/python")).find(|path| path.exists());
    found.expect("there is no mail server to test with: run scripts/test, which installs it into target/test-tools")
}
