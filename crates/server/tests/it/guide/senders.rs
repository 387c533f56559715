//! Runs a sender of the guide: against the real server, and against one that refuses, is unavailable and cuts off.

use serde_json::json;
use tokio::time::{Duration, Instant};

use super::workshop::Workshop;
use crate::harness::{Accepted, Process, Receiver, Reply, Setup};

/// Asked for by `Retry-After`; longer than the first wait of every sender's own.
const WAIT: Duration = Duration::from_secs(2);

/// What a sender does about a connection that ends without an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CutOff {
    Repeats,
    GivesUp,
}

struct Sender<'a> {
    workshop: &'a Workshop,
    words: &'a [&'a str],
}

impl Sender<'_> {
    /// Runs it to its end.
    async fn run(&self, api: &str, key: &str) -> (bool, Process) {
        let mut process = self.workshop.start(self.words, &[("API", api), ("KEY", key)]);
        let status = process.ended().await;
        (status.success(), process)
    }
}

/// Checks everything that the guide says of a sender.
pub(super) async fn check(workshop: &Workshop, words: &[&str], cut_off: CutOff) {
    let sender = Sender { workshop, words };
    is_taken_once(&sender).await;
    is_told_that_it_is_refused(&sender).await;
    repeats_what_passes(&sender, cut_off).await;
}

async fn is_taken_once(sender: &Sender<'_>) {
    let server = Setup::new().start().await;
    let receiver = Receiver::start().await;
    server.client.webhook(&receiver.url("/"), json!({})).await;
    let key = server.client.create_key("default", &["events:write"]).await.key.expect("a secret");
    let api = format!("http://{}/v1", server.address);

    for is_repeated in [false, true] {
        let (is_good, process) = sender.run(&api, &key).await;
        assert!(is_good, "{:?}: {}", sender.words, process.stderr.text());
        let accepted: Accepted = serde_json::from_str(&process.stdout.text()).expect("what the server answered");
        assert_eq!((accepted.repeated, accepted.deliveries.len()), (is_repeated, 1), "{accepted:?}");
    }
    let received = receiver.wait_for_one("/").await.json();
    assert_eq!(received["type"], json!("invoice.paid"));
    assert_eq!(received["data"], json!({"number": "4711", "amount": 50}));
    assert_eq!(server.client.deliveries("limit=200").await.len(), 1);

    let (is_good, process) = sender.run(&api, "pk_wrong").await;
    let told = process.stdout.text() + &process.stderr.text();
    assert!(!is_good && told.contains("401") && told.contains("urn:postrider:unauthorized"), "{told}");
}

async fn is_told_that_it_is_refused(sender: &Sender<'_>) {
    let receiver = Receiver::start().await;
    receiver.always("/v1/events", Reply::status(422).body(r#"{"detail": "data: must be a JSON object"}"#));
    let (is_good, process) = sender.run(&receiver.url("/v1"), "pk_any").await;
    let told = process.stdout.text() + &process.stderr.text();
    assert!(!is_good && told.contains("422") && told.contains("must be a JSON object"), "{told}");
    assert_eq!(receiver.total(), 1, "what is refused is not repeated");
}

async fn repeats_what_passes(sender: &Sender<'_>, cut_off: CutOff) {
    let receiver = Receiver::start().await;
    let mut replies = vec![Reply::status(503).header("Retry-After", WAIT.as_secs().to_string())];
    if cut_off == CutOff::Repeats {
        replies.push(Reply::close());
    }
    replies.push(Reply::status(202).body(r#"{"id":"evt_9","deliveries":[]}"#));
    let tries = replies.len();
    receiver.script("/v1/events", replies);
    let started = Instant::now();

    let (is_good, process) = sender.run(&receiver.url("/v1"), "pk_any").await;

    assert!(is_good && process.stdout.text().contains("evt_9"), "{}", process.stderr.text());
    assert!(started.elapsed() >= WAIT, "Retry-After is waited for");
    let received = receiver.received("/v1/events");
    assert_eq!(received.len(), tries);
    for one in &received {
        assert_eq!(one.header("idempotency-key"), Some("invoice-4711-paid"));
        assert_eq!(one.header("authorization"), Some("Bearer pk_any"));
        assert_eq!(one.body, received[0].body);
    }
}
