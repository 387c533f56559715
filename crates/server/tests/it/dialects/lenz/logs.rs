//! The log: every attempt, its filters and its pages.

use serde_json::{Value, json};

use super::{BOT_TOKEN, LOGS, Lenz, alert, column, refused};
use crate::harness::Reply;

#[tokio::test]
async fn attempts_are_filtered_and_paged() {
    let lenz = Lenz::start().await;
    lenz.receiver.always("/broken", Reply::status(503).body("no"));
    let broken = lenz.webhook("/broken").await["id"].clone();
    let config = json!({"bot_token": BOT_TOKEN, "chat_id": "7"});
    let chat = lenz.create(&json!({"name": "C", "provider": "telegram", "config": config})).await["id"].clone();
    let dead = lenz.alert(&broken, "dead").await;
    lenz.alert(&chat, "sent").await;
    let other = json!({"type": "other.type", "data": alert(), "channels": [chat]});
    let other = lenz.server.client.accept(&other).await.deliveries[0].id;
    lenz.server.client.delivery_once(other, "sent").await;

    let all = lenz.get(&format!("{LOGS}?limit=100")).await;
    assert_eq!(all["total"], 7);
    let ids = column(&all, "id");
    assert!(ids.is_sorted_by_key(|id| -id.as_i64().unwrap()), "newest first: {ids:?}");
    let check = async |query: &str, passes: &dyn Fn(&Value) -> bool, count: usize| {
        let expected: Vec<Value> =
            all["result"].as_array().unwrap().iter().filter(|row| passes(row)).cloned().collect();
        assert_eq!(expected.len(), count, "{query}");
        let found = lenz.get(&format!("{LOGS}?{query}")).await;
        assert_eq!((&found["result"], &found["total"]), (&json!(expected), &json!(count)), "{query}");
    };
    check("filter[status]=sent", &|row| row["status"] == "sent", 2).await;
    check("filter%5Bstatus%5D=failed", &|row| row["status"] == "failed", 4).await;
    check("filter%5bstatus%5d=dead", &|row| row["status"] == "dead" && row["outbox_id"] == dead, 1).await;
    check("filter[provider]=telegram", &|row| row["provider"] == "telegram", 2).await;
    check("filter[provider]=email", &|row| row["provider"] == "email", 0).await;
    check("filter[event_type]=other.type", &|row| row["outbox_id"] == other, 1).await;
    check(&format!("filter[channel_id]={broken}"), &|row| row["channel_id"] == broken, 5).await;
    check("filter[channel_id]=999", &|_| false, 0).await;
    let both = format!("filter[channel_id]={broken}&filter[status]=dead&filter[event_type]=alert_history");
    check(&both, &|row| row["status"] == "dead", 1).await;
    check("filter[status]=&filter[channel_id]=&filter[provider]=&filter[event_type]=", &|_| true, 7).await;

    for (query, expected) in
        [("limit=3", &ids[..3]), ("limit=3&page=2", &ids[3..6]), ("limit=3&page=3", &ids[6..]), ("limit=3&page=4", &[])]
    {
        let page = lenz.get(&format!("{LOGS}?{query}")).await;
        assert_eq!((column(&page, "id").as_slice(), &page["total"]), (expected, &json!(7)), "{query}");
    }
    for wrong in ["filter[status]=pending", "filter[provider]=slack", "filter[channel_id]=x", "page=x", "limit=x"] {
        refused(&lenz.client.get(&format!("{LOGS}?{wrong}")).await, 400, "invalid request");
    }
}

#[tokio::test]
async fn an_attempt_without_an_answer_says_why_there_is_none() {
    let lenz = Lenz::start().await;
    lenz.receiver.always("/closes", Reply::close());
    let id = lenz.webhook("/closes").await["id"].clone();
    lenz.alert(&id, "dead").await;
    let log = lenz.get(&format!("{LOGS}?filter[status]=dead")).await;
    let row = &log["result"][0];
    assert_eq!(row["response_code"], Value::Null);
    assert!(row["response_body"].as_str().is_some_and(|reason| reason.contains("no answer")), "{row}");
}
