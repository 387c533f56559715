//! From a channel that Lenz made to the receiver, and back into its log.

use serde_json::{Value, json};

use super::{BOT_PATH, BOT_TOKEN, CHANNELS, LOGS, Lenz, alert, column, good, refused};
use crate::harness::{Gate, Reply, Setup, is_signed_with};
use crate::mail::harness::{MailServer, header};

const TEMPLATE: &str = "*{{severity}}* Alert\n\nLocation: {{stream_name}}\nRule: {{alert_rule}}";

#[tokio::test]
async fn an_alert_arrives_in_telegram_in_bold() {
    let lenz = Lenz::start().await;
    let id = lenz
        .create(&json!({"name": "Tim Security", "provider": "telegram", "body_template": TEMPLATE,
        "config": {"bot_token": BOT_TOKEN, "chat_id": "-100123456789"}}))
        .await["id"]
        .clone();
    let posted = lenz.server.client.accept_one("alert_history", alert()).await;
    let received = lenz.receiver.wait_for_one(BOT_PATH).await.json();
    assert_eq!(received["text"], "HIGH Alert\n\nLocation: Gate B\nRule:", "an unknown name is nothing");
    assert_eq!(received["entities"], json!([{"type": "bold", "offset": 0, "length": 4}]));
    assert_eq!(received["chat_id"], -100_123_456_789_i64);
    lenz.server.client.delivery_once(posted, "sent").await;
    let log = lenz.get(&format!("{LOGS}?filter[channel_id]={id}")).await;
    assert_eq!((column(&log, "outbox_id"), column(&log, "status")), (vec![json!(posted)], vec![json!("sent")]));
    assert_eq!(column(&log, "response_body"), [r#"{"ok":true,"result":{"message_id":42}}"#]);
}

#[tokio::test]
async fn a_webhook_gets_its_template_or_the_event() {
    let lenz = Lenz::start().await;
    let config = json!({"url": lenz.receiver.url("/hook"), "headers": {"x-team": "security"}, "secret": "s3cret"});
    let body = r#"{"text": "{{ severity }} at {{ stream_name }}"}"#;
    let channel = json!({"name": "Hook", "provider": "webhook", "config": config, "body_template": body});
    let id = lenz.create(&channel).await["id"].clone();
    lenz.alert(&id, "sent").await;
    let received = lenz.receiver.wait_for_one("/hook").await;
    assert_eq!(received.json(), json!({"text": "HIGH at Gate B"}));
    assert_eq!(received.header("x-team"), Some("security"));
    // The key is the SHA-256 of a secret that is none of Standard Webhooks.
    assert!(is_signed_with(&received, "whsec_HsHCa1DV08WNlYMYGvgHZlX+AHVr9yhZQLo2cPmfy6A="));

    lenz.put(&id, &json!({"body_template": null})).await;
    lenz.alert(&id, "sent").await;
    let received = lenz.receiver.wait_for("/hook", 2).await.remove(1).json();
    assert_eq!((&received["type"], &received["data"]), (&json!("alert_history"), &alert()));
    lenz.put(&id, &json!({"body_template": "{{ label }}"})).await;
    lenz.alert(&id, "sent").await;
    assert_eq!(lenz.receiver.wait_for("/hook", 3).await[2].text(), "Unauthorized Person");
    assert_eq!(lenz.show(&id).await["config"], config);
}

#[tokio::test]
async fn a_mail_goes_by_the_channels_own_server_with_both_templates() {
    let mut mail = MailServer::start_plain();
    let lenz = Lenz::start().await;
    let config = json!({"host": "127.0.0.1", "port": mail.port, "use_tls": false, "from_email": "lenz@a.test",
        "recipients": ["ann@a.test", "bob@b.test"]});
    let channel = json!({"name": "Mail", "provider": "email", "config": config, "subject_template": "{{ label }}",
        "body_template": "<p>{{ stream_name }}</p>"});
    let id = lenz.create(&channel).await["id"].clone();
    lenz.alert(&id, "sent").await;
    let mails = mail.mails(2).await;
    for one in &mails {
        assert_eq!((&one["sender"], header(one, "Subject").as_str()), (&json!("lenz@a.test"), "Unauthorized Person"));
        assert!(one["content"].as_str().unwrap().contains("<p>Gate B</p>"), "{one}");
    }
    let log = lenz.get(&format!("{LOGS}?filter[provider]=email")).await;
    assert_eq!((column(&log, "response_code"), &log["total"]), (vec![json!(250), json!(250)], &json!(2)));
    assert_eq!(lenz.get(super::STATS).await["result"]["sent_today"], 1, "it is one delivery");
    // A test fails when one of its recipients does.
    let recipients = ["fail-550@a.test", "bob@b.test"];
    let mut config = config;
    config["recipients"] = json!(recipients);
    lenz.put(&id, &json!({"config": config})).await;
    let answer = lenz.client.post(&format!("{CHANNELS}/{id}/test"), &json!({})).await;
    let told: Value = answer.read(502);
    assert!(told["message"].as_str().unwrap().contains("no such user"), "{told}");
}

#[tokio::test]
async fn a_test_sends_the_examples() {
    let lenz = Lenz::start().await;
    let channel = json!({"name": "A", "provider": "telegram", "body_template": TEMPLATE, "rate_limit": 1,
        "config": {"bot_token": BOT_TOKEN, "chat_id": "7"}});
    let id = lenz.create(&channel).await["id"].clone();
    for _ in 0..2 {
        lenz.post(&format!("{CHANNELS}/{id}/test"), &json!({})).await;
    }
    let received = lenz.receiver.wait_for(BOT_PATH, 2).await.remove(0).json();
    assert_eq!(received["text"], "CRITICAL Alert\n\nLocation: Gate A - Main Entrance\nRule: VIP Detection");
    let log = lenz.get(LOGS).await;
    assert_eq!(column(&log, "event_type"), ["alert_history", "alert_history"]);
    assert_eq!(lenz.get(super::STATS).await["result"]["sent_today"], 2);
}

#[tokio::test]
async fn a_test_that_fails_says_why_and_is_in_the_log() {
    let lenz = Lenz::start().await;
    let id = lenz.webhook("/broken").await["id"].clone();
    lenz.receiver.always("/broken", Reply::status(500).body("it is broken"));
    let path = format!("{CHANNELS}/{id}/test");
    refused(&lenz.client.post(&path, &json!({})).await, 502, "HTTP 500 Internal Server Error");
    let log = lenz.get(LOGS).await;
    assert_eq!((column(&log, "status"), column(&log, "response_code")), (vec![json!("dead")], vec![json!(500)]));
    assert_eq!(column(&log, "response_body"), ["it is broken"]);
    // Nobody listens there, and nothing of the config is told.
    let nowhere = json!({"name": "N", "provider": "telegram", "config": {"bot_token": "1:s3cret", "chat_id": "7"}});
    lenz.receiver.always("/bot1:s3cret/sendMessage", Reply::close());
    let id = lenz.create(&nowhere).await["id"].clone();
    let answer = lenz.client.post(&format!("{CHANNELS}/{id}/test"), &json!({})).await;
    let body: Value = answer.read(502);
    assert!(body["message"].as_str().is_some_and(|reason| !reason.is_empty()) && !answer.text().contains("s3cret"));
}

#[tokio::test]
async fn five_tries_are_made_of_whatever_is_made_here() {
    let lenz = Lenz::start().await;
    lenz.receiver.always("/broken", Reply::status(503));
    let id = lenz.webhook("/broken").await["id"].clone();
    lenz.alert(&id, "dead").await;
    assert_eq!(lenz.receiver.count("/broken"), 5);
    let log = lenz.get(&format!("{LOGS}?filter%5Bchannel_id%5D={id}")).await;
    assert_eq!(column(&log, "status"), ["dead", "failed", "failed", "failed", "failed"]);
    // As the operator has it, else from half a minute on.
    let waits = |channel: crate::harness::Channel| channel.retry["delays_seconds"].clone();
    let number = id.as_i64().unwrap();
    assert_eq!(waits(lenz.server.client.channel(number).await), json!([0.001, 0.002, 0.004, 0.008]));
    let lenz = Lenz::start_with(Setup::new().set("POSTRIDER_DELIVERY__RETRY_BASE_MS", "0")).await;
    let number = lenz.webhook("/a").await["id"].as_i64().unwrap();
    assert_eq!(waits(lenz.server.client.channel(number).await), json!([30.0, 60.0, 120.0, 240.0]));
}

#[tokio::test]
async fn what_is_under_way_is_processing() {
    let lenz = Lenz::start().await;
    let gate = Gate::closed();
    lenz.receiver.always("/slow", Reply::status(200).behind(&gate));
    let id = lenz.webhook("/slow").await["id"].clone();
    lenz.server.client.patch_channel(id.as_i64().unwrap(), &json!({"concurrency": 1})).await;
    for _ in 0..3 {
        lenz.server.client.accept_one("alert_history", alert()).await;
    }
    lenz.receiver.wait_for("/slow", 1).await;
    let stats = good(&lenz.client.get(super::STATS).await)["result"].take();
    assert_eq!((&stats["processing"], &stats["pending"]), (&json!(1), &json!(2)));
    gate.open();
    lenz.receiver.wait_for("/slow", 3).await;
}
