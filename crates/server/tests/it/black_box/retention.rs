//! Old history of a running server: it goes, and what something waits for stays.

use serde_json::{Value, json};

use crate::harness::{Accepted, Client, Event, Gate, Page, Receiver, Reply, Setup, eventually};

/// Enough for a whole segment of events; the newest segment stays.
const EVENTS: usize = 8_500;

const REQUEST_EVENTS: usize = 1_000;

/// Longer than this an event is not kept: some milliseconds, less than a start takes.
const DAYS: &str = "0.0000001";

async fn post_all(client: &Client) -> i64 {
    let event = json!({"type": "nobody.hears", "data": {"text": "old"}});
    for first in (0..EVENTS).step_by(REQUEST_EVENTS) {
        let count = REQUEST_EVENTS.min(EVENTS - first);
        let kept: Page<Value> = client.post("/v1/events", &json!(vec![event.clone(); count])).await.read(202);
        assert_eq!(kept.data.len(), count);
    }
    let stats: Value = client.get("/v1/stats").await.read(200);
    stats["events"].as_i64().expect("a sum")
}

#[tokio::test]
async fn old_events_go_and_what_waits_keeps_its_own() {
    let receiver = Receiver::start().await;
    let gate = Gate::closed();
    let setup = Setup::new();
    let server = setup.start().await;
    let channel = server.client.webhook(&receiver.url("/later"), json!({"event_types": ["a.waiting", "a.sent"]})).await;
    let sent: Accepted = server.client.accept(&json!({"type": "a.sent", "data": {"n": 1}})).await;
    let sent_delivery = sent.deliveries[0].id;
    server.client.delivery_once(sent_delivery, "sent").await;
    receiver.script("/later", vec![Reply::status(200).behind(&gate); 5]);
    let waiting: Accepted = server.client.accept(&json!({"type": "a.waiting", "data": {"n": 2}})).await;
    let posted = post_all(&server.client).await;

    server.kill().await;
    let server = setup.set("POSTRIDER_RETENTION__EVENTS_DAYS", DAYS).start().await;
    let client = &server.client;
    let gone = eventually("the event of what was sent is gone", async || {
        let answer = client.get(&format!("/v1/events/{}", sent.id)).await;
        (answer.status == 404).then_some(answer)
    })
    .await;
    let problem = gone.problem(404);
    assert!(problem.detail.contains("retention.events_days"), "{problem:?}");
    let why = client.get(&format!("/v1/events/{}/explain?channel_id={}", sent.id, channel.id)).await.problem(404);
    assert!(why.detail.contains("(retention.events_days)"), "{why:?}");

    // What is kept for longer is there: the delivery, its attempts, and the sums.
    assert_eq!(client.delivery(sent_delivery).await.status, "sent");
    assert_eq!(client.attempts(sent_delivery).await.len(), 1);
    let stats: Value = client.get("/v1/stats").await.read(200);
    assert_eq!((stats["events"].as_i64(), stats["sent"].as_i64()), (Some(posted), Some(1)));
    let listed: Page<Value> = client.get("/v1/events?limit=50").await.read(200);
    assert_eq!(listed.data.len(), 50, "the newest segment is open and stays");

    // What waits has kept its event and its data, and is sent with it.
    let kept: Event = client.event(&waiting.id).await;
    assert_eq!(kept.id, waiting.id);
    gate.open();
    client.delivery_once(waiting.deliveries[0].id, "sent").await;
    let got = receiver.received("/later");
    assert!(got.iter().skip(1).all(|one| one.json()["data"]["n"] == 2), "{} requests", got.len());
}
