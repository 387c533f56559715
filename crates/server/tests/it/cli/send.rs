//! `postrider send`: where its data comes from, and what its exit code says of what became of the event.

use serde_json::{Value, json};

use crate::harness::{Accepted, Event, Gate, Reply, Setup, soon, start};

#[tokio::test]
async fn data_comes_from_the_line_a_file_or_stdin() {
    let setup = Setup::new();
    let server = setup.start().await;
    let file = setup.data_dir().join("data.json");
    std::fs::write(&file, "{\"from\": \"file\"}\n").unwrap();
    let check = async |data: &str, expected: Value| {
        let made: Accepted =
            setup.run_with_stdin(&["send", "a", "--data", data, "--json"], r#"{"from": "stdin"}"#).await.json();
        assert_eq!(server.client.event(&made.id).await.data, expected);
    };
    check(r#"{"from": "line"}"#, json!({"from": "line"})).await;
    check(&format!("@{}", file.display()), json!({"from": "file"})).await;
    check("-", json!({"from": "stdin"})).await;
    let bare = setup.run(&["send", "a", "--severity", "error", "--occurred-at", "2026-01-02T03:04:05Z"]).await;
    bare.ended_with(0).says(&["no channel takes it"]);
    let event = server.client.event("evt_4").await;
    assert_eq!((event.data, event.severity.as_deref()), (json!({}), Some("error")));
    assert_eq!(event.occurred_at, "2026-01-02T03:04:05.000Z");
}

#[tokio::test]
async fn a_key_makes_a_repeat_harmless() {
    let (server, receiver) = start().await;
    server.client.webhook(&receiver.url("/"), json!({})).await;
    let cli = over(&server);
    let first = cli.run(&["send", "a", "--idempotency-key", "k"]).await;
    first.ended_with(0).says(&["evt_1 accepted: delivery 1"]);
    let again = cli.run(&["send", "a", "--idempotency-key", "k"]).await;
    again.ended_with(0).says(&["evt_1 accepted before", "delivery 1"]);
    let other = cli.run(&["send", "b", "--idempotency-key", "k"]).await;
    other.ended_with(1).remarks(&["another body"]);
    receiver.wait_for("/", 1).await;
    assert_eq!(receiver.count("/"), 1);
}

/// Commands that ask this server with the platform key.
fn over(server: &crate::harness::Server) -> Setup {
    Setup::new()
        .set("POSTRIDER_URL", &format!("http://{}", server.address))
        .set("POSTRIDER_KEY", crate::harness::ADMIN_KEY)
        .set("POSTRIDER_TENANT", "default")
}

#[tokio::test]
async fn waiting_tells_what_became_of_it() {
    let (server, receiver) = start().await;
    let cli = over(&server);
    let channel = async |path: &str, more: Value| server.client.webhook(&receiver.url(path), more).await.id;
    let good = channel("/good", json!({"event_types": ["good"]})).await;
    channel("/bad", json!({"event_types": ["bad"], "retry": {"delays_seconds": []}})).await;
    channel("/slow", json!({"event_types": ["slow"]})).await;
    channel("/filtered", json!({"event_types": ["good"], "filter": "false"})).await;
    receiver.always("/bad", Reply::status(500));
    let gate = Gate::closed();
    receiver.always("/slow", Reply::status(200).behind(&gate));

    let sent = cli.run(&["send", "good", "--wait"]).await;
    sent.ended_with(0).says(&[&format!("channel {good} \"Test\": sent"), "not for channel 4: its filter said no"]);
    let dead = cli.run(&["send", "bad", "--wait"]).await;
    dead.ended_with(1).says(&["dead", "HTTP 500", "postrider deliveries retry"]);
    let slow = cli.run(&["send", "slow", "--wait", "--timeout", "1"]).await;
    slow.ended_with(5).says(&["processing"]).remarks(&["not everything is settled"]);
    cli.run(&["send", "unheard", "--wait"]).await.ended_with(1).says(&["no channel takes it"]);
    gate.open();

    let named = cli.run(&["send", "unheard", "--channel", &good.to_string(), "--wait", "--json"]).await;
    assert_eq!(named.json::<Event>().deliveries[0].channel_id, good);
}

#[tokio::test]
async fn an_interrupt_finishes_what_is_under_way_and_a_second_one_does_not() {
    let setup = Setup::new();
    let receiver = crate::harness::Receiver::start().await;
    let gate = Gate::closed();
    receiver.always("/", Reply::status(200).behind(&gate));
    let server = setup.start().await;
    server.client.webhook(&receiver.url("/"), json!({})).await;
    assert!(server.stop().await.success());

    let mut sending = setup.launch(&["send", "a"]);
    receiver.wait_for("/", 1).await;
    sending.ask_to_stop();
    assert!(soon("the remark", sending.stderr.line_with("Finishing what is under way")).await.is_some());
    sending.ask_to_stop();
    assert_eq!(sending.ended().await.code(), Some(1));
    assert!(sending.stderr.text().contains("interrupted"));

    let mut sending = setup.launch(&["send", "a"]);
    receiver.wait_for("/", 3).await;
    sending.ask_to_stop();
    assert!(soon("the remark", sending.stderr.line_with("Finishing what is under way")).await.is_some());
    gate.open();
    assert_eq!(sending.ended().await.code(), Some(1));
    setup.run(&["why", "evt_2"]).await.ended_with(0).says(&["sent"]);
}

#[tokio::test]
async fn without_a_server_it_delivers_before_it_ends() {
    let setup = Setup::new().set("POSTRIDER_DELIVERY__STOP_PATIENCE_SECONDS", "1");
    let receiver = crate::harness::Receiver::start().await;
    let server = setup.start().await;
    server.client.webhook(&receiver.url("/"), json!({})).await;
    assert!(server.stop().await.success());
    setup.run(&["send", "a", "-v"]).await.ended_with(0).says(&["sent"]).remarks(&["No server runs"]);
    assert_eq!(receiver.count("/"), 1);

    // A receiver that does not answer holds it up no longer than a stop.
    let gate = Gate::closed();
    receiver.script("/", [Reply::status(200).behind(&gate)]);
    let late = setup.run(&["send", "a"]).await;
    late.ended_with(0).says(&["processing"]).remarks(&["sent again when a server runs"]);
    let server = setup.start().await;
    let received = receiver.wait_for("/", 3).await;
    assert_eq!(received[1].id(), received[2].id());
    assert!(server.stop().await.success());
}
