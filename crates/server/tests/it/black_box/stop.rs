//! Stopped with SIGTERM, started twice, started on a database of the future.

use serde_json::{Value, json};

use crate::harness::{Gate, Receiver, Reply, Setup};

#[tokio::test]
async fn sigterm_finishes_what_is_under_way_and_sends_nothing_twice() {
    let setup = Setup::new();
    let receiver = Receiver::start().await;
    let gate = Gate::closed();
    receiver.always("/", Reply::status(200).behind(&gate));
    let mut server = setup.start().await;
    server.client.webhook(&receiver.url("/"), json!({"concurrency": 4})).await;
    let events: Vec<_> = (0..20).map(|n| json!({"type": "a", "data": {"n": n}})).collect();
    server.client.post("/v1/events", &json!(events)).await.read::<Value>(202);
    receiver.wait_for("/", 4).await;

    server.process.ask_to_stop();
    server.refuses_connections().await;
    gate.open();
    assert!(server.process.ended().await.success());
    assert_eq!(receiver.count("/"), 4, "nothing is started after the signal");

    // A command that only looks starts nothing.
    let sent = setup.run(&["deliveries", "--status", "sent", "--json"]).await;
    let sent: Value = serde_json::from_str(&sent.stdout).expect("JSON");
    assert_eq!(sent["data"].as_array().map(Vec::len), Some(4), "{sent}");
    let server = setup.start().await;
    let received = receiver.wait_for("/", 20).await;
    let mut ids: Vec<&str> = received.iter().map(crate::harness::Received::id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 20);
    assert!(server.stop().await.success());
    assert_eq!(receiver.count("/"), 20);
}

#[tokio::test]
async fn a_database_whose_key_is_gone_is_left_alone() {
    let setup = Setup::new();
    setup.start().await.stop().await;
    let key = setup.data_dir().join("secret.key");
    let kept = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let (status, told) = setup.start_in_vain().await;
    assert!(!status.success() && told.contains("secret.key is missing"), "{told}");
    // No new one stands in the way of the right one.
    assert!(!key.exists());
    std::fs::write(&key, kept).unwrap();
    assert!(setup.start().await.stop().await.success());
}

#[tokio::test]
async fn an_idle_server_stops_at_once() {
    let setup = Setup::new();
    let server = setup.start().await;
    // Its connection stays open: an idle connection holds nothing up.
    server.client.get("/healthz").await.read::<Value>(200);
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn a_receiver_that_never_answers_does_not_keep_it_from_stopping() {
    let setup = Setup::new().set("POSTRIDER_DELIVERY__STOP_PATIENCE_SECONDS", "1");
    let receiver = Receiver::start().await;
    let gate = Gate::closed();
    receiver.script("/", [Reply::status(200).behind(&gate)]);
    let mut server = setup.start().await;
    server.client.webhook(&receiver.url("/"), json!({})).await;
    server.client.accept_one("a", json!({})).await;
    receiver.wait_for("/", 1).await;
    server.process.ask_to_stop();
    assert!(server.process.ended().await.success());
    assert!(server.process.stderr.text().contains("sent again at the next start"));

    let _server = setup.start().await;
    let received = receiver.wait_for("/", 2).await;
    assert_eq!(received[0].id(), received[1].id());
}

#[tokio::test]
async fn a_data_directory_belongs_to_one_process() {
    let setup = Setup::new();
    let first = setup.start().await;
    let (status, message) = setup.start_in_vain().await;
    assert!(!status.success());
    assert!(message.contains("is in use by another Postrider process"), "{message}");
    assert!(message.contains(&*setup.data_dir().to_string_lossy()), "{message}");
    first.client.get("/readyz").await.read::<Value>(200);
    first.kill().await;
    setup.start().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let first = Setup::new().start().await;
    let address = first.address.to_string();
    let (status, message) = Setup::new().set("POSTRIDER_LISTEN", &address).start_in_vain().await;
    assert!(!status.success());
    assert!(message.contains(&format!("cannot listen on {address}")), "{message}");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_and_left_alone() {
    let setup = Setup::new();
    assert!(setup.start().await.stop().await.success());
    let database = setup.data_dir().join("postrider.db");
    let connection = rusqlite::Connection::open(&database).unwrap();
    let raised = connection.execute(
        "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
         SELECT version + 1, name, applied_on, checksum FROM refinery_schema_history ORDER BY version DESC LIMIT 1",
        [],
    );
    assert_eq!(raised, Ok(1));
    drop(connection);
    let before = std::fs::read(&database).unwrap();

    let (status, message) = setup.start_in_vain().await;

    assert!(!status.success());
    assert!(message.contains("written by a newer Postrider") && message.contains("schema version"), "{message}");
    assert_eq!(std::fs::read(&database).unwrap(), before);
}
