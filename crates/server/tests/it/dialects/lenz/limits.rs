//! `rate_limit` and `batch_*`: a channel that is made here keeps to them, and loses nothing.

use serde_json::{Value, json};

use super::{BOT_PATH, BOT_TOKEN, CHANNELS, LOGS, Lenz, STATS, column};
use crate::harness::{Received, eventually, ms};

/// Posts so many alerts at once; their deliveries.
async fn alerts(lenz: &Lenz, numbers: std::ops::Range<usize>) -> Vec<i64> {
    let events: Vec<Value> = numbers.map(|n| json!({"type": "alert_history", "data": {"n": n}})).collect();
    let accepted: Value = lenz.server.client.post("/v1/events", &json!(events)).await.read(202);
    let of_one = |event: &Value| event["deliveries"][0]["id"].as_i64().expect("one delivery");
    accepted["data"].as_array().expect("events").iter().map(of_one).collect()
}

async fn webhook(lenz: &Lenz, more: Value) -> Value {
    let config = json!({"url": lenz.receiver.url("/hook")});
    let mut channel = json!({"name": "Limited", "provider": "webhook", "config": config});
    channel.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    lenz.create(&channel).await["id"].clone()
}

/// The numbers of the alerts that arrived, each as a message of its own.
fn numbers(received: &[Received]) -> Vec<u64> {
    let mut numbers: Vec<u64> =
        received.iter().map(|one| one.json()["data"]["n"].as_u64().expect("a number")).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn a_burst_gets_what_a_minute_may_have_and_the_rest_waits() {
    let lenz = Lenz::start().await;
    let id = webhook(&lenz, json!({"rate_limit": 3})).await;
    let made = alerts(&lenz, 0..8).await;
    lenz.receiver.wait_for("/hook", 3).await;
    // The next one may go after twenty seconds.
    eventually("what arrived is settled", async || {
        let figures = lenz.get(STATS).await["result"].take();
        (figures["sent_today"] == 3 && figures["processing"] == 0).then(|| assert_eq!(figures["pending"], 5))
    })
    .await;
    assert_eq!(lenz.receiver.count("/hook"), 3);
    assert_eq!(column(&lenz.get(LOGS).await, "status"), ["sent", "sent", "sent"]);
    // A test does not wait for it.
    lenz.post(&format!("{CHANNELS}/{id}/test"), &json!({})).await;
    assert_eq!(lenz.receiver.wait_for("/hook", 4).await[3].json()["data"]["severity"], "CRITICAL");

    // Without the limit the rest goes: it was waiting, not lost.
    assert_eq!(lenz.put(&id, &json!({"rate_limit": 0})).await["rate_limit"], 0);
    for delivery in made {
        lenz.server.client.delivery_once(delivery, "sent").await;
    }
    let mut received = lenz.receiver.wait_for("/hook", 9).await;
    received.remove(3);
    assert_eq!(numbers(&received), (0..8).collect::<Vec<_>>());
    let log = lenz.get(&format!("{LOGS}?filter[channel_id]={id}&filter[status]=sent")).await;
    assert_eq!(log["total"], 9);
}

#[tokio::test]
async fn after_a_burst_messages_go_at_the_pace_of_the_limit() {
    let lenz = Lenz::start().await;
    // Two a second, after as many as a minute may have.
    let id = webhook(&lenz, json!({"rate_limit": 120})).await;
    alerts(&lenz, 0..124).await;
    let received = lenz.receiver.wait_for("/hook", 124).await;
    assert_eq!(numbers(&received), (0..124).collect::<Vec<_>>());
    let path = format!("/v1/attempts?channel_id={id}&limit=200");
    let mut starts: Vec<i64> = eventually("every attempt is written down", async || {
        let attempts: Value = lenz.server.client.get(&path).await.read(200);
        let rows = attempts["data"].as_array().unwrap();
        (rows.len() == 124).then(|| rows.iter().map(|one| ms(one["started_at"].as_str().unwrap())).collect())
    })
    .await;
    starts.sort_unstable();
    for (position, start) in starts.iter().enumerate().skip(120) {
        let waited_ms = i64::try_from(position - 119).unwrap() * 500;
        // A millisecond for what a time does not show.
        assert!(start - starts[0] >= waited_ms - 1, "{position}: {} ms", start - starts[0]);
    }
}

#[tokio::test]
async fn a_batch_is_one_message_and_each_of_its_deliveries_is_in_the_log() {
    let lenz = Lenz::start().await;
    let batch = json!({"batch_enabled": true, "batch_window_seconds": 600, "batch_max_size": 3});
    let id = webhook(&lenz, batch).await;
    let mut made = alerts(&lenz, 0..2).await;
    let figures = lenz.get(STATS).await["result"].take();
    assert_eq!((&figures["pending"], &figures["sent_today"]), (&json!(2), &json!(0)), "they are collected");
    made.extend(alerts(&lenz, 2..3).await);
    let [message] = lenz.receiver.wait_for("/hook", 1).await.try_into().expect("one message");
    let events = message.json();
    let told: Vec<&Value> = events.as_array().expect("an array").iter().map(|event| &event["data"]["n"]).collect();
    assert_eq!(told, [0, 1, 2]);
    assert!(message.id().starts_with("dgs_"), "{}", message.id());

    for delivery in &made {
        lenz.server.client.delivery_once(*delivery, "sent").await;
    }
    // A row for each, with what was answered to the one message.
    let log = lenz.get(&format!("{LOGS}?filter[channel_id]={id}")).await;
    let mut logged: Vec<i64> = column(&log, "outbox_id").iter().filter_map(Value::as_i64).collect();
    logged.sort_unstable();
    assert_eq!((logged, &log["total"]), (made, &json!(3)));
    for row in log["result"].as_array().unwrap() {
        assert_eq!((&row["status"], &row["response_code"], &row["channel_id"]), (&json!("sent"), &json!(200), &id));
        let keys: Vec<&String> = row.as_object().unwrap().keys().collect();
        assert_eq!(keys, LOG_KEYS, "no key more than the documentation has");
    }
    let figures = lenz.get(STATS).await["result"].take();
    assert_eq!((&figures["pending"], &figures["sent_today"]), (&json!(0), &json!(3)));
    assert_eq!(lenz.receiver.count("/hook"), 1);
}

/// Those of the documentation, in order of name.
const LOG_KEYS: [&str; 10] = [
    "channel_id",
    "created_at",
    "duration_ms",
    "event_type",
    "id",
    "outbox_id",
    "provider",
    "response_body",
    "response_code",
    "status",
];

#[tokio::test]
async fn a_batch_of_a_chat_joins_its_templates() {
    let lenz = Lenz::start().await;
    let channel = json!({"name": "Tim Security", "provider": "telegram", "body_template": "*{{ severity }}* {{ n }}",
        "config": {"bot_token": BOT_TOKEN, "chat_id": "-100123456789"},
        "batch_enabled": true, "batch_window_seconds": 600, "batch_max_size": 2});
    let id = lenz.create(&channel).await["id"].clone();
    let events: Vec<Value> =
        (0..2).map(|n| json!({"type": "alert_history", "data": {"severity": "HIGH", "n": n}})).collect();
    lenz.server.client.post("/v1/events", &json!(events)).await.read::<Value>(202);
    let received = lenz.receiver.wait_for_one(BOT_PATH).await.json();
    assert_eq!(received["text"], "HIGH 0\n\nHIGH 1", "with a blank line between");
    assert_eq!(
        received["entities"],
        json!([{"type": "bold", "offset": 0, "length": 4}, {"type": "bold", "offset": 8, "length": 4}])
    );
    let log = eventually("both are in the log", async || {
        Some(lenz.get(&format!("{LOGS}?filter[channel_id]={id}")).await).filter(|log| log["total"] == 2)
    })
    .await;
    assert_eq!(column(&log, "response_body"), [r#"{"ok":true,"result":{"message_id":42}}"#; 2]);
}

#[tokio::test]
async fn a_batch_ends_with_its_window() {
    let lenz = Lenz::start().await;
    let batch = json!({"batch_enabled": true, "batch_window_seconds": 1, "batch_max_size": 0});
    let id = webhook(&lenz, batch).await;
    let made = alerts(&lenz, 0..4).await;
    let [message] = lenz.receiver.wait_for("/hook", 1).await.try_into().expect("one message");
    assert_eq!(message.json().as_array().map(Vec::len), Some(4));
    for delivery in &made {
        lenz.server.client.delivery_once(*delivery, "sent").await;
    }

    // What is switched off merges nothing.
    lenz.put(&id, &json!({"batch_enabled": false})).await;
    alerts(&lenz, 4..6).await;
    assert_eq!(numbers(&lenz.receiver.wait_for("/hook", 3).await[1..]), [4, 5]);
}
