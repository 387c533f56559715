//! Runs a receiver of the guide and sends it what is genuine, forged, stale and repeated.

use std::net::SocketAddr;

use http::Method;
use serde_json::json;

use crate::harness::{Client, Process, Received, Receiver, Setup, eventually, now_seconds, sign};

pub(super) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// A request as it goes to the receiver, to be changed.
#[derive(Clone)]
struct Forged {
    id: String,
    timestamp: String,
    signature: String,
    body: Vec<u8>,
}

impl Forged {
    fn of(received: &Received) -> Self {
        let header = |name| received.header(name).expect("a header").to_owned();
        let [id, timestamp, signature] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map(header);
        Self { id, timestamp, signature, body: received.body.to_vec() }
    }

    /// Signed anew with this secret.
    fn signed(mut self, secret: &str) -> Self {
        self.signature = sign(secret, &self.id, &self.timestamp, &self.body);
        self
    }

    async fn sent_to(&self, client: &Client) -> u16 {
        let headers = [
            ("webhook-id", self.id.as_str()),
            ("webhook-timestamp", &self.timestamp),
            ("webhook-signature", &self.signature),
        ];
        client.send(Method::POST, "/", &headers, self.body.clone()).await.status.as_u16()
    }
}

/// How many events it says to have taken.
fn taken(process: &Process) -> usize {
    (process.stdout.text() + "\n" + &process.stderr.text()).matches("took ").count()
}

/// Checks everything that the guide says of a receiver, which listens at `address` with [`SECRET`].
pub(super) async fn check(process: &Process, address: SocketAddr) {
    let server = Setup::new().start().await;
    let recorder = Receiver::start().await;
    let config = json!({"config": {"secret": SECRET}});
    server.client.webhook(&recorder.url("/"), config.clone()).await;
    server.client.accept_one("invoice.paid", json!({"number": "4711", "amount": 50})).await;
    let genuine = Forged::of(&recorder.wait_for_one("/").await);
    let at = |timestamp: i64| Forged { timestamp: timestamp.to_string(), ..genuine.clone() }.signed(SECRET);
    let client = Client::new(address, "");

    let forged = [
        Forged { body: b"{\"type\":\"invoice.paid\",\"data\":{\"amount\":5000}}".to_vec(), ..genuine.clone() },
        Forged { id: format!("{}0", genuine.id), ..genuine.clone() },
        Forged { timestamp: (now_seconds() + 1).to_string(), ..genuine.clone() },
        Forged { timestamp: String::new(), ..genuine.clone() },
        Forged { timestamp: "soon".to_owned(), ..genuine.clone() },
        Forged { signature: String::new(), ..genuine.clone() },
        Forged { signature: "v1,".to_owned(), ..genuine.clone() },
        genuine.clone().signed(OTHER_SECRET),
        at(now_seconds() - 330),
        at(now_seconds() + 330),
    ];
    for (number, one) in forged.iter().enumerate() {
        assert_eq!(one.sent_to(&client).await, 401, "{number}: {} {}", one.timestamp, one.signature);
    }
    assert_eq!(client.send(Method::POST, "/", &[], "{}").await.status.as_u16(), 401, "no signature at all");
    assert_eq!(taken(process), 0);

    // Genuine, and the same again.
    assert_eq!(genuine.sent_to(&client).await, 204);
    assert_eq!(genuine.sent_to(&client).await, 204);
    // While the secret is being changed, there are two signatures; either may be the one.
    let other = Forged { id: format!("{}1", genuine.id), ..genuine.clone() };
    let [old, new] = [OTHER_SECRET, SECRET].map(|secret| other.clone().signed(secret).signature);
    assert_eq!(Forged { signature: format!("{old} {new}"), ..other }.sent_to(&client).await, 204);
    // From the server itself.
    let id = server.client.webhook(&format!("http://{address}/"), config).await.id;
    let event = json!({"type": "invoice.paid", "data": {"number": "4712"}, "channels": [id]});
    let delivery = server.client.accept(&event).await.deliveries[0].id;
    server.client.delivery_once(delivery, "sent").await;

    eventually("three events were taken", async || (taken(process) >= 3).then_some(())).await;
    assert_eq!(taken(process), 3, "{}", process.stdout.text());
}
