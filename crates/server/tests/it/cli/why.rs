//! `postrider why`: the story of an event, for every kind of end.

use serde_json::json;

use crate::harness::{Reply, Setup};

#[tokio::test]
async fn the_story_tells_what_happened_and_what_comes_next() {
    let setup = Setup::new();
    let receiver = crate::harness::Receiver::start().await;
    let server = setup.start().await;
    let webhook = async |name: &str, more: serde_json::Value| {
        let channel = server.client.webhook(&receiver.url(&format!("/{name}")), json!({"name": name})).await;
        server.client.patch_channel(channel.id, &more).await.id
    };
    let good = webhook("good", json!({})).await;
    let dead = webhook("dead", json!({"retry": {"delays_seconds": []}})).await;
    let gone = webhook("gone", json!({})).await;
    let retrying = webhook("retrying", json!({"retry": {"delays_seconds": [3600]}})).await;
    let filtered = webhook("filtered", json!({"filter": "amount > 100"})).await;
    let off = webhook("off", json!({"is_active": false})).await;
    let deaf = webhook("deaf", json!({"event_types": ["other"]})).await;
    receiver.always("/dead", Reply::status(500).body("\u{1b}[31mred"));
    receiver.always("/gone", Reply::status(410));
    receiver.always("/retrying", Reply::status(503));
    let event = server.client.accept(&json!({"type": "a", "data": {"amount": 5}, "severity": "error"})).await;
    let of = |channel| event.deliveries.iter().find(|made| made.channel_id == channel).expect("a delivery").id;
    for (channel, status) in [(good, "sent"), (dead, "dead"), (gone, "held"), (retrying, "retrying")] {
        server.client.delivery_once(of(channel), status).await;
    }

    let story = setup.run(&["why", "evt_1"]).await;
    story.ended_with(0).says(&[
        "evt_1 a, severity error",
        &format!("For channel {good} \"good\": sent"),
        &format!("For channel {dead} \"dead\": dead"),
        &format!("'postrider deliveries retry {}'", of(dead)),
        "failed 500 in ",
        &format!("For channel {gone} \"gone\": held"),
        &format!("'postrider channel on {gone}'"),
        &format!("For channel {retrying} \"retrying\": retrying"),
        "Next: it is tried again at ",
        &format!("Not for channel {filtered} \"filtered\": its filter said no (filter_false)"),
        &format!("Not for channel {off} \"off\": it was switched off (channel_inactive)"),
        "postrider why evt_1 --channel ID",
    ]);
    assert!(
        !story.stdout.contains('\u{1b}'),
        "nothing of a receiver reaches a terminal raw, and a pipe gets no colours"
    );

    let one = setup.run(&["why", "evt_1", "--channel", &deaf.to_string()]).await;
    one.ended_with(0).says(&["none of its event types matched (no_subscription)"]);
    let one = setup.run(&["why", "evt_1", "--channel", &dead.to_string()]).await;
    one.ended_with(0).says(&["\"dead\": dead"]);
    assert!(!one.stdout.contains("\"good\""));
    setup.run(&["why", "evt_1", "--channel", "99"]).await.ended_with(1).remarks(&["channel 99"]);
    let limited = setup.run(&["why", "evt_1", "--limit", "1"]).await;
    limited.ended_with(0).says(&["And 3 more deliveries", "Not for 1 more channels"]);
}

#[tokio::test]
async fn lists_are_read_over_pages() {
    let setup = Setup::new();
    let server = setup.start().await;
    let receiver = crate::harness::Receiver::start().await;
    server.client.webhook(&receiver.url("/"), json!({})).await;
    let events: Vec<_> = (0..450).map(|_| json!({"type": "a", "data": {}})).collect();
    server.client.post("/v1/events", &json!(events)).await.read::<serde_json::Value>(202);
    let check = async |arguments: &[&str], count: usize, goes_on: bool| {
        let page: crate::harness::Page<serde_json::Value> = setup.run(arguments).await.json();
        assert_eq!((page.data.len(), page.next_cursor.is_some()), (count, goes_on), "{arguments:?}");
        page.next_cursor
    };
    check(&["deliveries", "--json"], 50, true).await;
    check(&["deliveries", "--json", "--limit", "1000"], 450, false).await;
    let cursor = check(&["deliveries", "--json", "--limit", "430"], 430, true).await.unwrap();
    check(&["deliveries", "--json", "--cursor", &cursor], 20, false).await;
}
