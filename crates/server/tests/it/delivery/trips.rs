//! A channel that fails: it holds what it has, is probed, and goes on by itself.

use serde_json::json;

use crate::harness::{Reply, eventually, start};

#[tokio::test]
async fn a_channel_that_fails_holds_probes_and_recovers() {
    let (server, receiver) = start().await;
    receiver.always("/", Reply::status(503));
    let more = json!({"concurrency": 4, "retry": {"delays_seconds": [0.01]},
        "breaker": {"failures": 3, "lasting_seconds": 0, "probe_seconds": 0.2, "probe_max_seconds": 0.4}});
    let id = server.client.webhook(&receiver.url("/"), more).await.id;
    let mut deliveries = Vec::new();
    for n in 0..12 {
        deliveries.push(server.client.accept_one("a", json!({"n": n})).await);
    }
    let trip = eventually("a trip", async || server.client.channel(id).await.tripped).await;
    assert_eq!(trip.reason, "HTTP 503 Service Unavailable");
    assert!(!trip.since.is_empty() && !trip.next_probe_at.is_empty());
    let last = server.client.delivery(deliveries[11]).await;
    assert_eq!(last.status, "held");
    assert!(last.reason.as_deref().unwrap().contains("tripped"), "{last:?}");
    let page = server.client.get("/metrics").await.text();
    assert!(
        page.contains("postrider_channels_tripped 1") && page.contains("postrider_channel_trips_total 1"),
        "{page}"
    );
    // Probes fail, and cost nobody an attempt.
    let probes = receiver.count("/") + 2;
    receiver.wait_for("/", probes).await;
    assert!(server.client.channel(id).await.tripped.is_some());

    receiver.always("/", Reply::status(200));

    let mut sent = 0;
    for delivery in deliveries {
        let over = eventually("an end", async || {
            let now = server.client.delivery(delivery).await;
            matches!(now.status.as_str(), "sent" | "dead").then_some(now)
        })
        .await;
        sent += usize::from(over.status == "sent");
    }
    // Before it tripped, some may have used up their two attempts.
    assert!(sent >= 9, "{sent} of 12");
    assert_eq!(server.client.channel(id).await.tripped, None);
}

#[tokio::test]
async fn a_change_by_its_owner_closes_a_breaker() {
    let (server, receiver) = start().await;
    receiver.always("/down", Reply::status(503));
    let breaker = json!({"failures": 1, "lasting_seconds": 0, "probe_seconds": 3600, "probe_max_seconds": 3600});
    let id = server.client.webhook(&receiver.url("/down"), json!({"breaker": breaker})).await.id;
    let delivery = server.client.accept_one("a", json!({})).await;
    eventually("a trip", async || server.client.channel(id).await.tripped).await;
    assert_eq!(server.client.delivery_once(delivery, "held").await.attempts, 0, "held, uncounted");
    server.client.patch_channel(id, &json!({"config": {"url": receiver.url("/up")}})).await;
    eventually("it is closed", async || server.client.channel(id).await.tripped.is_none().then_some(())).await;
    let sent = server.client.delivery_once(delivery, "sent").await;
    assert_eq!(sent.attempts, 1);
}

#[tokio::test]
async fn a_rule_for_trips_is_checked_and_shown() {
    let (server, receiver) = start().await;
    let usual = server.client.webhook(&receiver.url("/"), json!({})).await;
    let expected = json!({"failures": 10, "lasting_seconds": 60.0, "probe_seconds": 30.0, "probe_max_seconds": 600.0,
        "held_max": 100_000, "held_seconds": null, "drain": "oldest_first"});
    assert_eq!(usual.breaker, expected);
    let off = server.client.patch_channel(usual.id, &json!({"breaker": {"failures": 0}})).await;
    assert_eq!(off.breaker["failures"], 0);
    for (wrong, field) in [
        (json!({"failures": 1001}), "breaker.failures"),
        (json!({"probe_seconds": 0}), "breaker.probe_seconds"),
        (json!({"lasting_seconds": -1}), "breaker.lasting_seconds"),
        (json!({"probe_max_seconds": 86_401}), "breaker.probe_max_seconds"),
        (json!({"held_max": 0}), "breaker.held_max"),
        (json!({"held_seconds": 0}), "breaker.held_seconds"),
        (json!({"drain": "sideways"}), "breaker.drain"),
    ] {
        let path = format!("/v1/channels/{}", usual.id);
        let answer = server.client.patch(&path, &json!({"breaker": wrong})).await;
        assert_eq!(answer.status, 422, "{}", answer.text());
        assert!(answer.text().contains(field), "{}", answer.text());
    }
    let both = json!({"fifo": true, "breaker": {"drain": "newest_first"}});
    let answer = server.client.patch(&format!("/v1/channels/{}", usual.id), &both).await;
    assert!(answer.problem(422).errors.iter().any(|error| error.field == "breaker.drain"), "{}", answer.text());
}

#[tokio::test]
async fn what_was_held_goes_out_newest_first_when_its_owner_says_so() {
    let (server, receiver) = start().await;
    receiver.always("/", Reply::status(503));
    let breaker = json!({"failures": 1, "lasting_seconds": 0, "probe_seconds": 0.5, "probe_max_seconds": 0.5,
        "drain": "newest_first"});
    let id = server.client.webhook(&receiver.url("/"), json!({"concurrency": 1, "breaker": breaker})).await.id;
    server.client.accept_one("a", json!({"n": 0})).await;
    eventually("a trip", async || server.client.channel(id).await.tripped).await;
    for n in 1..6 {
        server.client.accept_one("a", json!({"n": n})).await;
    }
    receiver.always("/", Reply::status(200));
    let seen = receiver.count("/");
    eventually("all are sent", async || (server.client.deliveries("status=sent").await.len() == 6).then_some(())).await;
    let all: Vec<_> = receiver.received("/").iter().map(|one| one.json()["data"]["n"].as_i64().unwrap()).collect();
    // A probe may have failed just before the receiver came back.
    assert_eq!(all[all.len() - 6..], [5, 4, 3, 2, 1, 0], "{all:?} {seen}");
}
