//! `postrider tail`: what it shows, and that it outlives a restart of the server.

use serde_json::{Value, json};

use crate::harness::{Receiver, Setup, soon};

#[tokio::test]
async fn it_follows_what_happens_and_outlives_a_restart() {
    let setup = Setup::new();
    let receiver = Receiver::start().await;
    let server = setup.start().await;
    server.client.webhook(&receiver.url("/"), json!({})).await;
    server.client.accept_one("before.tail", json!({})).await;

    let mut tail = setup.launch(&["tail"]);
    let mut shows = async |part: &str| {
        let line = soon(part, tail.stdout.line_with(part)).await;
        line.unwrap_or_else(|| panic!("the tail ended without {part}: {}", tail.stderr.text()))
    };
    assert!(shows("before.tail").await.contains("evt_1"));
    server.client.accept_one("while.tail", json!({})).await;
    assert!(shows("delivery 2, attempt 1: delivered 200").await.contains("while.tail"));

    assert!(server.stop().await.success());
    let lost = soon("the loss", tail.stderr.line_with("does not answer")).await;
    assert!(lost.is_some());
    let server = setup.start().await;
    assert!(soon("the return", tail.stderr.line_with("is back")).await.is_some());
    server.client.accept_one("after.tail", json!({})).await;
    let line = soon("after.tail", tail.stdout.line_with("delivery 3, attempt 1: delivered")).await;
    assert!(line.is_some_and(|line| line.contains("after.tail")));

    tail.ask_to_stop();
    assert!(tail.ended().await.success());
    let shown = tail.stdout.text();
    assert_eq!(shown.matches("attempt 1: delivered").count(), 3, "each once: {shown}");
}

#[tokio::test]
async fn as_json_each_line_is_one_thing() {
    let setup = Setup::new();
    let receiver = Receiver::start().await;
    let server = setup.start().await;
    let channel = server.client.webhook(&receiver.url("/"), json!({})).await.id;
    server.client.accept_one("old", json!({})).await;
    receiver.wait_for("/", 1).await;
    let mut tail = setup.launch(&["tail", "--json", "--last", "1", "--channel", &channel.to_string()]);
    assert!(soon("the old one", tail.stdout.line_with("\"old\"")).await.is_some());
    server.client.accept_one("new", json!({})).await;
    let line = soon("an attempt", tail.stdout.line_with("{\"attempt\":{\"id\":2,")).await.unwrap();
    let read: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(read["attempt"]["event_type"], "new");
    tail.ask_to_stop();
    assert!(tail.ended().await.success());
}

#[tokio::test]
async fn without_a_server_there_is_nothing_to_follow() {
    let setup = Setup::new();
    assert!(setup.start().await.stop().await.success());
    setup.run(&["tail"]).await.ended_with(3).remarks(&["no server runs"]);
}
