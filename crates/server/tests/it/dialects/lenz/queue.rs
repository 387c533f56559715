//! The queue: its figures, its dead letters page by page, and trying them again.

use serde_json::json;

use super::{CHANNELS, DEAD_LETTERS, LOGS, Lenz, STATS, column, good, refused};
use crate::harness::{Reply, Setup};

#[tokio::test]
async fn dead_letters_are_listed_in_pages_and_tried_again() {
    let lenz = Lenz::start().await;
    lenz.receiver.always("/broken", Reply::status(503));
    let id = lenz.webhook("/broken").await["id"].clone();
    let mut dead = Vec::new();
    for _ in 0..3 {
        dead.insert(0, json!(lenz.alert(&id, "dead").await));
    }
    let page = async |query: &str| column(&lenz.get(&format!("{DEAD_LETTERS}{query}")).await, "id");
    assert_eq!(page("").await, dead, "newest first");
    assert_eq!(page("?limit=2").await, dead[..2]);
    assert_eq!(page("?limit=2&page=2").await, dead[2..]);
    assert_eq!(page("?limit=2&page=3").await, Vec::<serde_json::Value>::new());
    assert!(lenz.get(DEAD_LETTERS).await.get("total").is_none(), "there is no total here");
    refused(&lenz.client.get(&format!("{DEAD_LETTERS}?page=x")).await, 400, "invalid request");

    lenz.receiver.always("/broken", Reply::status(200));
    let delivery = dead[1].as_i64().unwrap();
    let retry = format!("/api/notification-queue/{delivery}/retry");
    assert_eq!(lenz.post(&retry, &json!({})).await, json!({"ok": true, "message": "success"}));
    lenz.server.client.delivery_once(delivery, "sent").await;
    assert_eq!(page("").await, [dead[0].clone(), dead[2].clone()]);
    // What happened stays as it happened.
    let log = lenz.get(&format!("{LOGS}?filter[status]=dead")).await;
    assert_eq!(column(&log, "outbox_id"), dead);
    refused(&lenz.client.post(&retry, &json!({})).await, 400, "invalid request");
    refused(&lenz.client.post("/api/notification-queue/x/retry", &json!({})).await, 400, "invalid request");

    // Nobody can try again what went to a channel that is gone.
    good(&lenz.client.delete(&format!("{CHANNELS}/{id}")).await);
    assert_eq!(page("").await, Vec::<serde_json::Value>::new());
    let retry = format!("/api/notification-queue/{}/retry", dead[0]);
    refused(&lenz.client.post(&retry, &json!({})).await, 400, "invalid request");
    let stats = lenz.get(STATS).await["result"].clone();
    assert_eq!(
        (&stats["dead_letter"], &stats["failed_today"], &stats["sent_today"]),
        (&json!(0), &json!(15), &json!(1))
    );
}

#[tokio::test]
async fn what_waits_for_another_try_or_is_held_is_pending() {
    let lenz = Lenz::start_with(Setup::new().set("POSTRIDER_DELIVERY__RETRY_BASE_MS", "3600000")).await;
    lenz.receiver.always("/later", Reply::status(503));
    lenz.receiver.always("/gone", Reply::status(410));
    let (later, gone) = (lenz.webhook("/later").await["id"].clone(), lenz.webhook("/gone").await["id"].clone());
    lenz.alert(&later, "retrying").await;
    let held = lenz.alert(&gone, "held").await;
    let figures = json!({"pending": 2, "processing": 0, "sent_today": 0, "failed_today": 2, "dead_letter": 0});
    assert_eq!(lenz.get(STATS).await["result"], figures);
    // A waiting one may be tried at once.
    let retry = format!("/api/notification-queue/{held}/retry");
    lenz.post(&retry, &json!({})).await;
    // And not when its channel is switched off.
    lenz.put(&later, &json!({"is_active": false})).await;
    lenz.put(&gone, &json!({"is_active": false})).await;
    refused(&lenz.client.post(&retry, &json!({})).await, 400, "invalid request");
}

#[tokio::test]
async fn a_day_begins_where_the_operator_says() {
    let lenz = Lenz::start_with(Setup::new().set("POSTRIDER_LENZ__TIME_ZONE", "Asia/Jakarta")).await;
    let id = lenz.webhook("/a").await["id"].clone();
    lenz.alert(&id, "sent").await;
    // Whatever the hour is there, this was today.
    assert_eq!(lenz.get(STATS).await["result"]["sent_today"], 1);
}
