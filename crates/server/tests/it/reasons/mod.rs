//! Reason codes: each is brought about on the real binary and read where people and programs read it, and the list of
//! those that were is the list of the docs and that of the code.
//!
//! `provoked!` makes a test of each code. What a black box cannot hold still is provoked in `engine/tests/it/reasons.rs`.

mod attempts;
mod ends;
mod verdicts;
mod waits;

use std::collections::BTreeSet;

use domain::ReasonCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::harness::{Client, Delivery, Gate, Receiver, Reply, Server, Setup, eventually};

/// A test for each code: it is what the story comes to.
macro_rules! provoked {
    ($($code:ident => $story:expr,)+) => {
        $(
            #[tokio::test]
            async fn $code() {
                let told = ($story)(crate::reasons::Story::begin().await).await;
                assert_eq!(told, stringify!($code));
            }
        )+

        pub(super) const PROVOKED: &[&str] = &[$(stringify!($code)),+];
    };
}
use provoked;

/// Retries that nobody lives to see.
const NEVER: u64 = 86_400;

/// A server with a receiver, and what happens to them.
struct Story {
    setup: Setup,
    server: Server,
    receiver: Receiver,
    gate: Gate,
}

#[derive(Debug, Deserialize)]
struct Explained {
    reason_code: String,
}

impl Story {
    async fn begin() -> Self {
        let receiver = Receiver::start().await;
        let setup = Setup::new().set("POSTRIDER_PROVIDERS__TELEGRAM__BASE_URL", &receiver.url("/telegram"));
        let server = setup.start().await;
        let gate = Gate::closed();
        receiver.always("/broken", Reply::status(500));
        receiver.always("/gone", Reply::status(410));
        receiver.always("/silent", Reply::close());
        receiver.always("/gate", Reply::status(200).behind(&gate));
        receiver.always("/busy", Reply::status(429).header("retry-after", "3600"));
        Self { setup, server, receiver, gate }
    }

    fn client(&self) -> &Client {
        &self.server.client
    }

    /// A webhook to a path of the receiver, with these fields more.
    async fn channel(&self, path: &str, more: Value) -> i64 {
        self.client().webhook(&self.receiver.url(path), more).await.id
    }

    /// The same; a single delivery to it.
    async fn delivery(&self, path: &str, more: Value) -> i64 {
        let channel = self.channel(path, more).await;
        self.post_to(channel).await
    }

    /// A delivery to a Telegram chat that answers with this status.
    async fn telegram(&self, status: u16) -> i64 {
        let answer = json!({"ok": false, "error_code": status, "description": "as the test says"}).to_string();
        self.receiver.always("/telegram/bot123:abc/sendMessage", Reply::status(status).body(answer));
        let config = json!({"bot_token": "123:abc", "chat_id": "-1001"});
        let channel = json!({"name": "Chat", "provider": "telegram", "config": config});
        let channel = self.client().create_channel(&channel).await.id;
        self.post_to(channel).await
    }

    async fn post(&self) -> String {
        self.client().accept(&json!({"type": "a", "data": {"amount": 1}})).await.id
    }

    async fn post_to(&self, channel: i64) -> i64 {
        let event = json!({"type": "a", "data": {}, "channels": [channel]});
        self.client().accept(&event).await.deliveries[0].id
    }

    /// The code of a delivery, once it stands like that.
    async fn once(&self, delivery: i64, status: &str) -> String {
        self.client().delivery_once(delivery, status).await.reason_code
    }

    /// The code of a delivery's only attempt, once it is tried.
    async fn attempt(&self, delivery: i64) -> String {
        let tried = eventually("an attempt", async || self.client().attempts(delivery).await.pop()).await;
        tried.reason_code
    }

    /// What explains an event to a channel.
    async fn explained(&self, event: &str, channel: i64) -> String {
        let path = format!("/v1/events/{event}/explain?channel_id={channel}");
        self.client().get(&path).await.read::<Explained>(200).reason_code
    }

    /// The server again, after a stop.
    async fn restarted(self) -> Self {
        let Self { setup, server, receiver, gate } = self;
        assert!(server.stop().await.success());
        let server = setup.start().await;
        Self { setup, server, receiver, gate }
    }
}

/// Codes that a test of the engine provokes.
const IN_THE_ENGINE: [&str; 2] = ["expanding", "reason_not_kept"];

#[test]
fn every_code_is_documented_and_provoked() {
    let rows = include_str!("../../../../../docs/verdicts.md").lines().filter_map(|line| line.strip_prefix("| `"));
    let documented: Vec<&str> = rows.filter_map(|row| row.split('`').next()).collect();
    let codes: Vec<&str> = ReasonCode::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(documented, codes, "docs/verdicts.md has the codes in the order of the code");
    let engine = include_str!("../../../../engine/tests/it/reasons.rs");
    for code in IN_THE_ENGINE {
        assert!(engine.contains(&format!("fn {code}()")), "no test of the engine provokes {code}");
    }
    let lists = [verdicts::PROVOKED, waits::PROVOKED, ends::PROVOKED, attempts::PROVOKED, &IN_THE_ENGINE];
    let provoked: BTreeSet<&str> = lists.into_iter().flatten().copied().collect();
    assert_eq!(provoked, codes.into_iter().collect());
}

/// Every place that tells of a delivery gives the same code.
#[tokio::test]
async fn a_code_is_the_same_everywhere() {
    let story = Story::begin().await;
    let channel = story.channel("/broken", json!({"retry": {"delays_seconds": []}})).await;
    let event = story.post().await;
    let shown = story.client().event(&event).await;
    let delivery: Delivery = story.client().delivery_once(shown.deliveries[0].id, "dead").await;
    assert_eq!(delivery.reason_code, "attempts_used_up");
    assert_eq!(story.explained(&event, channel).await, "attempts_used_up");
    assert_eq!(story.client().event(&event).await.deliveries[0].reason_code, "attempts_used_up");
    assert_eq!(story.client().deliveries("status=dead").await[0].reason_code, "attempts_used_up");
    let why = story.setup.clone().set("POSTRIDER_URL", &format!("http://{}", story.server.address));
    let why = why.set("POSTRIDER_KEY", crate::harness::ADMIN_KEY);
    let told = why.run(&["why", &event, "--tenant", "default"]).await;
    told.ended_with(0).says(&["[attempts_used_up, delivery", "[answered_with_failure]"]);
}
