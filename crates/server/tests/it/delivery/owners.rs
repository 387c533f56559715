//! Operational events: owners are told when a channel fails, once, and never by the channel itself.

use serde_json::{Value, json};

use crate::harness::{Client, Page, Receiver, Reply, Server, Setup, eventually, on_both_stores, start};

/// Trips with the second delivery that fails, and probes soon.
fn trips_soon() -> Value {
    json!({"event_types": ["a"], "concurrency": 1, "retry": {"delays_seconds": [0]},
        "breaker": {"failures": 2, "lasting_seconds": 0, "probe_seconds": 0.05, "probe_max_seconds": 0.05}})
}

/// Gives up at once.
fn dies_at_once(event_types: &[&str]) -> Value {
    json!({"event_types": event_types, "retry": {"delays_seconds": []}, "breaker": {"failures": 0}})
}

async fn alerts(client: &Client, receiver: &Receiver) -> i64 {
    client.webhook(&receiver.url("/alerts"), json!({"name": "Alerts", "event_types": ["postrider.*"]})).await.id
}

/// The operational events that there are, oldest first.
async fn told(client: &Client) -> Vec<Value> {
    let page: Page<Value> = client.get("/v1/events?type=postrider.*&limit=200").await.read(200);
    page.data.into_iter().rev().collect()
}

async fn told_types(client: &Client) -> Vec<String> {
    told(client).await.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

async fn post(client: &Client) -> String {
    client.accept(&json!({"type": "a", "data": {}})).await.id
}

/// What was told is settled: an orderly stop keeps everything that is left to tell.
async fn after_a_stop(setup: &Setup, server: Server) -> Server {
    assert!(server.stop().await.success());
    setup.start().await
}

on_both_stores! {
    a_trip_outlives_the_process_and_is_told_once,
}

#[tokio::test]
async fn a_trip_and_its_end_are_told_to_those_who_asked() {
    let (server, receiver) = start().await;
    let client = &server.client;
    receiver.always("/a", Reply::status(503));
    let failing = client.webhook(&receiver.url("/a"), trips_soon()).await;
    alerts(client, &receiver).await;
    client.webhook(&receiver.url("/everything"), json!({"event_types": ["*"]})).await;
    let first = post(client).await;
    post(client).await;

    let tripped = receiver.wait_for_one("/alerts").await.json();
    assert_eq!(tripped["type"], "postrider.channel.tripped");
    let data = &tripped["data"];
    let expected = json!({"channel_id": failing.id, "channel_name": "Test", "provider": "webhook",
        "reason_code": "answered_with_failure", "reason": "HTTP 503 Service Unavailable"});
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&data[key], value, "{key}: {tripped}");
    }
    assert!(data["title"].as_str().unwrap().contains("Test") && data["held"].as_u64().unwrap() >= 1, "{tripped}");
    assert!(data["since"].is_string() && data["next_probe_at"].is_string(), "{tripped}");

    receiver.always("/a", Reply::status(200));
    let recovered = receiver.wait_for("/alerts", 2).await.remove(1).json();
    assert_eq!(recovered["type"], "postrider.channel.recovered");
    assert_eq!(recovered["data"]["since"], data["since"]);
    client.delivery_once(client.event(&first).await.deliveries[0].id, "sent").await;
    assert_eq!(told_types(client).await, ["postrider.channel.tripped", "postrider.channel.recovered"]);
    let everything = receiver.wait_for("/everything", 2).await;
    assert!(everything.iter().all(|request| request.json()["type"] == "a"), "'*' does not cover them");
}

async fn a_trip_outlives_the_process_and_is_told_once(setup: Setup) {
    let receiver = Receiver::start().await;
    let server = setup.start().await;
    receiver.always("/a", Reply::status(503));
    let mut channel = trips_soon();
    channel["breaker"]["probe_seconds"] = json!(1);
    channel["breaker"]["probe_max_seconds"] = json!(1);
    let failing = server.client.webhook(&receiver.url("/a"), channel).await.id;
    alerts(&server.client, &receiver).await;
    post(&server.client).await;
    post(&server.client).await;
    receiver.wait_for_one("/alerts").await;
    let trip = server.client.channel(failing).await.tripped.expect("it is tripped");
    let server = after_a_stop(&setup, server).await;
    let again = server.client.channel(failing).await.tripped.expect("it goes on with the trip");
    assert_eq!((again.since, again.reason_code.as_str()), (trip.since, "answered_with_failure"));
    receiver.always("/a", Reply::status(200));
    eventually("the channel has recovered", async || {
        server.client.channel(failing).await.tripped.is_none().then_some(())
    })
    .await;
    receiver.wait_for("/alerts", 2).await;
    let types = told_types(&server.client).await;
    assert_eq!(types, ["postrider.channel.tripped", "postrider.channel.recovered"]);
    let server = after_a_stop(&setup, server).await;
    assert_eq!(server.client.channel(failing).await.tripped, None);
}

#[tokio::test]
async fn refused_credentials_are_told_to_channels_without_them() {
    let receiver = Receiver::start().await;
    let setup = Setup::new().set("POSTRIDER_PROVIDERS__TELEGRAM__BASE_URL", &receiver.url("/telegram"));
    let server = setup.start().await;
    let answer = json!({"ok": false, "error_code": 401, "description": "Unauthorized"}).to_string();
    receiver.always("/telegram/bot123:abc/sendMessage", Reply::status(401).body(answer));
    let chat = async |chat_id: &str, event_types: Value| {
        let config = json!({"bot_token": "123:abc", "chat_id": chat_id});
        let channel = json!({"name": "Chat", "provider": "telegram", "config": config, "event_types": event_types});
        server.client.create_channel(&channel).await.id
    };
    let refused = chat("-1001", json!(["a"])).await;
    let same_bot = chat("-1002", json!(["postrider.*"])).await;
    alerts(&server.client, &receiver).await;
    post(&server.client).await;

    let both = receiver.wait_for("/alerts", 2).await;
    for (request, channel) in both.iter().zip([refused, same_bot]) {
        let told = request.json();
        assert_eq!(told["type"], "postrider.channel.disabled");
        assert_eq!(
            (&told["data"]["channel_id"], &told["data"]["reason_code"]),
            (&json!(channel), &json!("credentials_refused"))
        );
        assert!(!told.to_string().contains("123:abc"), "{told}");
    }
    let deliveries = server.client.deliveries(&format!("channel_id={same_bot}")).await;
    assert!(deliveries.is_empty(), "it fails for the same reason: {deliveries:?}");
}

#[tokio::test]
async fn a_storm_of_dead_deliveries_is_told_in_part_and_counted() {
    let (setup, receiver) = (Setup::new(), Receiver::start().await);
    let server = setup.start().await;
    receiver.always("/a", Reply::status(500));
    let dying = server.client.webhook(&receiver.url("/a"), dies_at_once(&["a"])).await.id;
    alerts(&server.client, &receiver).await;
    let storm: Vec<Value> = (0..30).map(|_| json!({"type": "a", "data": {}})).collect();
    server.client.post("/v1/events", &json!(storm)).await.read::<Value>(202);
    eventually("all are dead", async || {
        let dead = server.client.deliveries(&format!("status=dead&channel_id={dying}&limit=200")).await;
        (dead.len() == 30).then_some(())
    })
    .await;
    let first = receiver.wait_for("/alerts", 10).await.remove(0).json();
    assert_eq!(first["type"], "postrider.delivery.dead");
    for key in ["delivery_id", "event_id", "event_type", "attempts", "reason_code", "reason", "since"] {
        assert!(!first["data"][key].is_null(), "{key}: {first}");
    }
    assert_eq!(first["data"]["left_out"], 0);
    // What was counted is told when the minute is over, or the process.
    let server = after_a_stop(&setup, server).await;
    let all = told(&server.client).await;
    assert_eq!(all.len(), 11);
    let last = server.client.event(all[10]["id"].as_str().unwrap()).await;
    assert_eq!(last.data["left_out"], 19);
}

#[tokio::test]
async fn a_dead_channel_of_alerts_makes_no_further_ones() {
    let (setup, receiver) = (Setup::new(), Receiver::start().await);
    let server = setup.start().await;
    receiver.always("/a", Reply::status(500));
    receiver.always("/dead-alerts", Reply::status(500));
    receiver.always("/gone-alerts", Reply::status(410));
    server.client.webhook(&receiver.url("/a"), dies_at_once(&["a"])).await;
    let dead = server.client.webhook(&receiver.url("/dead-alerts"), dies_at_once(&["postrider.*"])).await.id;
    let gone = server.client.webhook(&receiver.url("/gone-alerts"), json!({"event_types": ["postrider.*"]})).await.id;
    let mut tripping = trips_soon();
    tripping["event_types"] = json!(["postrider.*"]);
    tripping["breaker"]["failures"] = json!(1);
    tripping["retry"] = json!({"delays_seconds": [3600]});
    receiver.always("/tripping-alerts", Reply::status(503));
    let tripping = server.client.webhook(&receiver.url("/tripping-alerts"), tripping).await.id;
    post(&server.client).await;

    let of = async |channel: i64, status: &str| {
        eventually(status, async || {
            let found = server.client.deliveries(&format!("channel_id={channel}")).await;
            found.first().filter(|one| one.status == status).map(|one| one.id)
        })
        .await
    };
    of(dead, "dead").await;
    of(gone, "held").await;
    of(tripping, "retrying").await;
    assert_eq!(server.client.channel(tripping).await.tripped, None, "what is told trips nothing");
    assert!(server.client.channel(gone).await.paused.is_some(), "but a channel that is gone is paused");
    let server = after_a_stop(&setup, server).await;
    assert_eq!(told_types(&server.client).await, ["postrider.delivery.dead"]);
}

#[tokio::test]
async fn two_channels_that_tell_of_each_other_come_to_an_end() {
    let (setup, receiver) = (Setup::new(), Receiver::start().await);
    let server = setup.start().await;
    let mut channels = Vec::new();
    for path in ["/left", "/right"] {
        receiver.always(path, Reply::status(500));
        channels.push(server.client.webhook(&receiver.url(path), dies_at_once(&["a", "postrider.*"])).await.id);
    }
    post(&server.client).await;
    eventually("all are dead", async || {
        let dead = server.client.deliveries("status=dead").await;
        // The event itself to each, and what is told of the other.
        (dead.len() == 4).then_some(())
    })
    .await;
    let server = after_a_stop(&setup, server).await;
    let all = told(&server.client).await;
    assert_eq!(all.len(), 2, "{all:?}");
    for event in all {
        let event = server.client.event(event["id"].as_str().unwrap()).await;
        let told_of = event.data["channel_id"].as_i64().unwrap();
        assert_eq!(event.deliveries.len(), 1);
        assert_ne!(event.deliveries[0].channel_id, told_of);
        let left_out: Vec<_> = event.verdicts.iter().map(|one| (one.channel_id, one.reason_code.as_str())).collect();
        assert_eq!(left_out, [(told_of, "tells_of_channel")]);
    }
    assert_eq!(server.client.deliveries("status=dead").await.len(), 4);
}

#[tokio::test]
async fn a_redrive_from_history_does_not_tell_a_channel_of_itself() {
    let (server, receiver) = start().await;
    receiver.always("/a", Reply::status(500));
    let dying = server.client.webhook(&receiver.url("/a"), dies_at_once(&["a"])).await.id;
    let other = server.client.webhook(&receiver.url("/other"), json!({"event_types": ["b"]})).await.id;
    post(&server.client).await;
    eventually("it is told", async || told(&server.client).await.pop()).await;
    receiver.always("/a", Reply::status(200));
    for (channel, count) in [(dying, 0), (other, 1)] {
        server.client.patch_channel(channel, &json!({"event_types": ["postrider.*"]})).await;
        let order = json!({"from": "history", "channel_id": channel, "dry_run": true});
        let preview: Value = server.client.post("/v1/redrives", &order).await.read(200);
        assert_eq!(preview["count"], count, "channel {channel}: {preview}");
    }
}

#[tokio::test]
async fn clients_cannot_tell_what_is_ours() {
    let (server, _receiver) = start().await;
    let problem =
        server.client.post("/v1/events", &json!({"type": "postrider.channel.tripped", "data": {}})).await.problem(422);
    assert!(problem.detail.contains("postrider") || !problem.errors.is_empty(), "{problem:?}");
}

#[tokio::test]
async fn what_is_told_is_in_the_catalogue() {
    let (server, receiver) = start().await;
    for name in [
        "postrider.channel.tripped",
        "postrider.channel.recovered",
        "postrider.channel.disabled",
        "postrider.delivery.dead",
    ] {
        let described: Value = server.client.get(&format!("/v1/event-types/{name}")).await.read(200);
        assert_eq!(described["built_in"], true, "{described}");
    }
    // Its variables are those that are told.
    receiver.always("/a", Reply::status(500));
    server.client.webhook(&receiver.url("/a"), dies_at_once(&["a"])).await;
    post(&server.client).await;
    let event = eventually("it is told", async || told(&server.client).await.pop()).await;
    let told = server.client.event(event["id"].as_str().unwrap()).await.data;
    let described: Value = server.client.get("/v1/event-types/postrider.delivery.dead").await.read(200);
    let mut known: Vec<&str> = described["groups"][0]["variables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["key"].as_str().unwrap())
        .collect();
    known.sort_unstable();
    let mut keys: Vec<&str> = told.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, known);
}
