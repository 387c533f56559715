//! Types the shell of each page into one shell, from the first line to the last.
//!
//! A page begins on a clean machine: a first run, whose key and address are `KEY` and `API`. Where it starts the server
//! itself, that is done as it says. The addresses that the guide takes for its examples are replaced by free ones.

use std::path::Path;

use crate::harness::{BINARY, Process, Receiver, Server, Setup, soon};
use crate::mail::harness::MailServer;

use super::samples::{self, Page};

/// The machine that a page is read at.
struct Desk {
    setup: Setup,
    receiver: Receiver,
    mail: MailServer,
    /// What the guide calls `127.0.0.1:8080`, once there is one.
    server: Option<Server>,
}

impl Desk {
    async fn new() -> Self {
        let mail = MailServer::start_plain();
        let setup = Setup::first_run()
            .set("POSTRIDER_EGRESS__ALLOW", "127.0.0.0/8")
            .set("POSTRIDER_SMTP__URL", &format!("smtp://127.0.0.1:{}", mail.port))
            .set("POSTRIDER_SMTP__FROM", "Postrider <postrider@example.com>");
        Self { setup, receiver: Receiver::start().await, mail, server: None }
    }

    /// Starts a shell with these lines in it.
    fn shell(&self, lines: &str, variables: &[(&str, &str)]) -> Process {
        let mut lines = lines
            .replace("127.0.0.1:9000", &format!("127.0.0.1:{}", self.receiver.port()))
            .replace("127.0.0.1:2525", &format!("127.0.0.1:{}", self.mail.port));
        if let Some(server) = &self.server {
            lines = lines.replace("127.0.0.1:8080", &server.address.to_string());
        }
        let folder = Path::new(BINARY).parent().expect("a folder").to_string_lossy().into_owned();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = self.setup.command("bash");
        command.args(["-euo", "pipefail", "-c", &lines]).envs(variables.iter().copied());
        command.env("PATH", format!("{folder}:{path}"));
        Process::start(command).expect("bash: the shell that the guide is written for")
    }

    /// Starts the server as the page says, or as a first run does.
    async fn start_server(&mut self, page: &Page) -> String {
        let lines = page.shell("server");
        // `exec`, so that the shell's end is the server's.
        let lines = lines.first().map_or_else(
            || "exec postrider".to_owned(),
            |lines| lines.replace("postrider serve", "exec postrider serve"),
        );
        let mut server = Server::of(self.shell(&lines, &[])).await;
        let line = soon("the first key", server.process.stdout.line_with("First key")).await;
        self.server = Some(server);
        let line = line.unwrap_or_else(|| panic!("{}: no key", page.name));
        line.trim().trim_start_matches("First key").trim().to_owned()
    }

    /// Types the whole page.
    async fn read(&mut self, name: &str) -> String {
        let page = samples::page_named(name);
        let key = self.start_server(&page).await;
        let api = format!("http://{}/v1", self.server.as_ref().expect("a server").address);
        let lines = page.shell("").join("\n");
        let mut process = self.shell(&lines, &[("API", &api), ("KEY", &key)]);
        let status = soon(name, process.ended()).await;
        let (stdout, stderr) = (process.stdout.text(), process.stderr.text());
        assert!(status.success(), "{name} ended with {status}\n{lines}\n--- stdout\n{stdout}\n--- stderr\n{stderr}");
        stdout
    }
}

/// Checks that a page can be typed, and that these are among what is printed.
async fn check(name: &str, printed: &[&str]) -> Desk {
    let mut desk = Desk::new().await;
    let stdout = desk.read(name).await;
    for part in printed {
        assert!(stdout.contains(part), "{name}: no {part:?} in:\n{stdout}");
    }
    desk
}

#[test]
fn every_page_with_shell_in_it_is_typed() {
    let typed = [
        "concepts.md",
        "failing-channels.md",
        "first-notification.md",
        "install.md",
        "operations.md",
        "receive-webhooks.md",
        "send-from-your-app.md",
        "templates.md",
        "troubleshooting.md",
    ];
    for page in samples::pages() {
        let is_typed = typed.contains(&page.name.as_str());
        assert_eq!(!page.shell("").is_empty(), is_typed, "{}: name it here, and test it below", page.name);
    }
}

#[tokio::test]
async fn first_notification() {
    let mut desk = check("first-notification.md", &["evt_1", "\"deliveries\"", "sent"]).await;
    let server = desk.server.as_mut().expect("a server");
    let line = soon("the first one", server.process.stdout.line_with("signature ok")).await;
    assert!(line.is_some(), "{}", server.process.stdout.text());
    desk.receiver.wait_for("/", 1).await;
    assert_eq!(desk.mail.mails(1).await[0]["to"][0], "you@example.com");
}

#[tokio::test]
async fn receive_webhooks() {
    let desk = check("receive-webhooks.md", &["whsec_", "sent"]).await;
    desk.receiver.wait_for("/", 1).await;
}

#[tokio::test]
async fn send_from_your_app() {
    check("send-from-your-app.md", &["pk_", "evt_1", "evt_2"]).await;
}

#[tokio::test]
async fn install() {
    check("install.md", &["ok"]).await;
}

#[tokio::test]
async fn templates() {
    check("templates.md", &["12.50"]).await;
}

#[tokio::test]
async fn failing_channels() {
    check("failing-channels.md", &["whsec_"]).await;
}

#[tokio::test]
async fn concepts() {
    check("concepts.md", &["evt_1"]).await;
}

#[tokio::test]
async fn troubleshooting() {
    check("troubleshooting.md", &["evt_1"]).await;
}

#[tokio::test]
async fn operations() {
    check("operations.md", &["every page checked", "checked and opened"]).await;
}
