//! The first minute: started with no settings, the printed line is run, and the notification is seen.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::harness::{Server, Setup, soon};

/// The printed `curl` line, with its continuations.
fn printed_curl(server: &Server) -> String {
    let printed = server.process.stdout.text();
    let from = printed.find("curl -X POST").unwrap_or_else(|| panic!("no curl line: {printed}"));
    let lines: Vec<&str> = printed[from..].lines().collect();
    let count = lines.iter().take_while(|line| line.ends_with('\\')).count();
    lines[..=count].join("\n")
}

/// Runs a line as a person does who pastes it.
fn run_in_shell(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).stderr(Stdio::inherit()).output().expect("a shell");
    assert!(output.status.success(), "{line}");
    String::from_utf8(output.stdout).expect("text")
}

async fn shows(server: &mut Server, part: &str) {
    let line = soon(part, server.process.stdout.line_with(part)).await;
    assert!(line.is_some(), "{part}: {}", server.process.stdout.text());
}

#[tokio::test]
async fn the_printed_line_delivers_and_the_signature_is_seen_to_hold() {
    let setup = Setup::first_run();
    let mut server = setup.start().await;
    shows(&mut server, r#"{"message": "It works"}"#).await;
    let curl = printed_curl(&server);
    let console = format!("http://{}/console", server.address);
    shows(&mut server, &console).await;

    let answer = run_in_shell(&curl);

    assert!(answer.contains("evt_1") && answer.contains("deliveries"), "{answer}");
    shows(&mut server, "signature ok").await;
    shows(&mut server, "event type: hello.world").await;
    shows(&mut server, "\"message\": \"It works\"").await;

    // The key and the receiver are there the next time; nothing secret is printed again.
    assert!(server.stop().await.success());
    let mut server = setup.start().await;
    let printed = server.process.stdout.text();
    assert!(!printed.contains("key") && !printed.contains("curl"), "{printed}");
    let host = |line: &str| line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
    run_in_shell(&curl.replace(&host(&curl), &server.address.to_string()));
    shows(&mut server, "signature ok").await;
}

#[tokio::test]
async fn only_the_receiver_of_the_first_run_is_let_through() {
    let server = Setup::first_run().start().await;
    let printed = server.process.stdout.text();
    let key = printed.lines().find_map(|line| line.trim().strip_prefix("First key")).unwrap().trim();
    let client = server.client_with(key);
    let other = crate::harness::Receiver::start().await;
    let id = client.webhook(&other.url("/"), json!({"event_types": []})).await.id;
    let delivery = client.accept(&json!({"type": "a", "data": {}, "channels": [id]})).await.deliveries[0].id;
    let held = client.delivery_once(delivery, "held").await;
    assert!(held.reason.unwrap().contains("127.0.0.1 is loopback"));
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn a_receiver_of_its_own_checks_signatures() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let check = async |arguments: &[&str], part: &str| {
        let setup = Setup::new();
        let mut receiver = setup.launch(&[&["receive", "--listen", "127.0.0.1:0"], arguments].concat());
        let line = soon("the receiver's address", receiver.stderr.line_with("Receiving on ")).await.unwrap();
        let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
        let server = setup.start().await;
        server.client.webhook(url, json!({"config": {"secret": secret}})).await;
        server.client.accept_one("a.b", json!({"n": 1})).await;
        let line = soon(part, receiver.stdout.line_with(part)).await;
        assert!(line.is_some(), "{part}: {}", receiver.stdout.text());
        receiver.ask_to_stop();
        assert!(receiver.ended().await.success());
    };
    check(&["--secret", secret], "signature ok").await;
    check(&["--secret", secret, "--json"], r#""signature":"ok""#).await;
    check(&["--secret", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"], "signature WRONG").await;
    check(&[], "signed, not checked").await;
    check(&["--secret", secret, "--status", "500"], "signature ok").await;
}

#[tokio::test]
async fn settings_that_are_wrong_are_named() {
    let (status, message) = Setup::new().set("POSTRIDER_LISTEN", "nowhere").start_in_vain().await;
    assert!(!status.success());
    assert!(message.contains("listen") && message.contains("settings"), "{message}");
}
