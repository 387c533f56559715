//! `postrider doctor`: a sound machine, and what it says of one that is not.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::harness::{Finished, Server, Setup, soon};

/// The level and the detail of a check.
fn found(report: &Finished, check: &str) -> (String, String) {
    let report: Value = serde_json::from_str(&report.stdout).expect("JSON");
    let checks = report["checks"].as_array().expect("a list");
    let one = checks.iter().find(|one| one["check"] == check).unwrap_or_else(|| panic!("no {check}: {report}"));
    let text = |field: &str| one[field].as_str().expect("a text").to_owned();
    (text("level"), text("detail"))
}

fn is(report: &Finished, check: &str, level: &str, part: &str) {
    let (found, detail) = found(report, check);
    assert!(found == level && detail.contains(part), "{check}: {found}: {detail}");
}

async fn examine(setup: &Setup) -> Finished {
    setup.run(&["doctor", "--json", "--resolve", "localhost"]).await
}

fn allow(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// The setup with the port of the server, as a service has it.
fn at_port(setup: &Setup, server: &Server) -> Setup {
    setup.clone().set("POSTRIDER_LISTEN", &server.address.to_string())
}

#[tokio::test]
async fn a_sound_machine_is_told_so_with_and_without_a_server() {
    let setup = Setup::new();
    let server = setup.start().await;
    let running = at_port(&setup, &server);
    let report = examine(&running).await;
    report.ended_with(0);
    is(&report, "data directory", "ok", "owner's alone");
    is(&report, "key file", "ok", "owner's alone");
    is(&report, "durable writes", "ok", "fdatasync");
    is(&report, "lock", "ok", "held by");
    is(&report, "socket", "ok", "owner's alone");
    is(&report, "database", "ok", "whole");
    is(&report, "port", "ok", "is ready");
    is(&report, "names (DNS)", "ok", "localhost");
    is(&report, "egress", "ok", "127.0.0.0/8");
    running.run(&["doctor"]).await.ended_with(0).says(&["ok    data directory: ", "ok    port: "]);

    server.client.accept(&serde_json::json!({"type": "a", "data": {}})).await;
    assert!(server.stop().await.success());
    let report = examine(&running).await;
    report.ended_with(0);
    is(&report, "lock", "ok", "no server runs");
    is(&report, "port", "ok", "is free");
    is(&report, "clock", "ok", "in the past");
    setup.start().await;
}

#[tokio::test]
async fn what_is_wrong_is_told_with_what_to_do() {
    let setup = Setup::new();
    let server = setup.start().await;
    let data_dir = setup.data_dir();
    allow(&data_dir.join("secret.key"), 0o644);
    allow(&data_dir.join("postrider.sock"), 0o666);
    allow(&data_dir, 0o755);
    let report = examine(&setup).await;
    report.ended_with(1);
    is(&report, "data directory", "warn", "other users");
    is(&report, "key file", "fail", "other users");
    is(&report, "socket", "fail", "other users");
    setup.run(&["doctor"]).await.ended_with(1).says(&["fail  key file", "-> chmod 600 "]);
    allow(&data_dir.join("secret.key"), 0o600);
    allow(&data_dir, 0o700);

    // Another program's port, on another data directory.
    let other = at_port(&Setup::new(), &server);
    std::fs::create_dir(other.data_dir()).unwrap();
    is(&examine(&other).await, "port", "fail", "taken by another program");
    assert!(server.stop().await.success());

    let database = data_dir.join("postrider.db");
    let mut bytes = std::fs::read(&database).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0xa5);
    std::fs::write(&database, bytes).unwrap();
    let report = examine(&setup).await;
    report.ended_with(1);
    assert_eq!(found(&report, "database").0, "fail");

    let nowhere = Setup::new();
    nowhere.run(&["doctor"]).await.ended_with(1).says(&["fail  data directory", "is not there", "postrider serve"]);
}

#[tokio::test]
async fn the_mail_server_is_greeted_and_nothing_more() {
    let setup = Setup::new();
    setup.start().await.stop().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let with = |url: &str| setup.clone().set("POSTRIDER_SMTP__URL", url);
    let greeted = with(&format!("smtp+starttls://user:hidden@{address}"));
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"220 mail.test ready\r\n").await.unwrap();
        let mut said = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut said).await.unwrap();
        assert!(said.is_empty(), "{said:?}");
    };
    let (report, ()) = soon("a greeting", async { tokio::join!(examine(&greeted), serve) }).await;
    is(&report, "mail server", "ok", "greets");
    assert!(!report.stdout.contains("hidden"));
    drop(listener);
    is(&examine(&greeted).await, "mail server", "fail", &address.to_string());
    let refused = with("mail.test").run(&["doctor"]).await;
    assert!(refused.stderr.contains("POSTRIDER_SMTP__URL") && refused.code == Some(2), "{}", refused.stderr);
}
