//! `POST /v1/events`: what is accepted, and what is refused with the field that is wrong.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Accepted, Client, Page, Setup, start};

#[tokio::test]
async fn an_object_is_kept_and_delivered_as_it_came() {
    let (server, receiver) = start().await;
    let channel = server.client.webhook(&receiver.url("/"), json!({})).await;
    let body = r#"{"type": "invoice.paid", "data": {"b": 1.50, "a": "ü"}, "occurred_at": "2026-11-22T07:00:00.5Z",
                   "severity": "warning"}"#;

    let accepted: Accepted = server.client.send(Method::POST, "/v1/events", &[], body).await.read(202);

    assert_eq!(accepted.channels(), [channel.id]);
    assert_eq!((accepted.expanding, accepted.repeated, accepted.note), (0, false, None));
    assert!(accepted.skipped.is_empty() && accepted.id.starts_with("evt_"), "{}", accepted.id);
    let received = receiver.wait_for_one("/").await;
    let expected = r#"{"type":"invoice.paid","timestamp":"2026-11-22T07:00:00.500Z","data":{"b": 1.50, "a": "ü"}}"#;
    assert_eq!(received.text(), expected);
    assert_eq!(received.header("content-type"), Some("application/json"));
    assert!(received.header("user-agent").unwrap().starts_with("Postrider/"));
}

#[tokio::test]
async fn an_array_is_answered_in_its_order() {
    let (server, receiver) = start().await;
    let channel = server.client.webhook(&receiver.url("/"), json!({})).await;
    let events: Vec<Value> = (0..1000).map(|n| json!({"type": "load.test", "data": {"n": n}})).collect();

    let accepted: Page<Accepted> = server.client.post("/v1/events", &json!(events)).await.read(202);

    assert_eq!(accepted.data.len(), 1000);
    for (n, event) in accepted.data.iter().enumerate().step_by(333) {
        assert_eq!(event.channels(), [channel.id]);
        assert_eq!(server.client.event(&event.id).await.data, json!({"n": n}));
    }
    let received = receiver.wait_for("/", 1000).await;
    let mut numbers: Vec<i64> = received.iter().map(|one| one.json()["data"]["n"].as_i64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_wrong_is_named_and_nothing_is_kept() {
    let server = Setup::new().start().await;
    let good = json!({"type": "a.b", "data": {}});
    let with = |key: &str, value: Value| {
        let mut event = good.clone();
        event[key] = value;
        event
    };
    let check = async |body: Value, fields: &[&str]| {
        let problem = server.client.post("/v1/events", &body).await.problem(422);
        assert_eq!(problem.fields(), fields, "{body}: {problem:?}");
        assert_eq!(problem.r#type, "urn:postrider:invalid");
        assert!(problem.errors.iter().all(|error| problem.detail.contains(&error.message)), "{problem:?}");
    };
    check(json!({"data": {}}), &["type"]).await;
    check(json!({"type": "a.b"}), &["data"]).await;
    for wrong in [json!(""), json!("a..b"), json!("a b"), json!("*"), json!("x".repeat(129)), json!(1), json!(null)] {
        check(with("type", wrong), &["type"]).await;
    }
    for own in ["postrider.test", "postrider.channel.tripped"] {
        check(with("type", json!(own)), &["type"]).await;
    }
    for wrong in [json!("text"), json!([]), json!(1), json!(null)] {
        check(with("data", wrong), &["data"]).await;
    }
    for wrong in [json!("fatal"), json!("CRITICAL"), json!(3)] {
        check(with("severity", wrong), &["severity"]).await;
    }
    for wrong in [json!("yesterday"), json!("2026-11-22"), json!(1), json!("9999-01-01T00:00:00Z")] {
        check(with("occurred_at", wrong), &["occurred_at"]).await;
    }
    check(with("channels", json!([1, 2])), &["channels[0]", "channels[1]"]).await;
    check(with("channels", json!([1, "x"])), &["channels[1]"]).await;
    check(with("channels", json!("all")), &["channels"]).await;
    check(with("channels", json!((1..=1001).collect::<Vec<_>>())), &["channels"]).await;
    check(with("idempotency_key", json!("")), &["idempotency_key"]).await;
    check(with("idempotency_key", json!("x".repeat(256))), &["idempotency_key"]).await;
    check(with("colour", json!("red")), &["colour"]).await;
    check(json!([good, good, {"data": {}}]), &["[2].type"]).await;
    check(json!([good, with("severity", json!("x"))]), &["[1].severity"]).await;
    check(json!([good, with("colour", json!(1))]), &["[1].colour"]).await;
    check(json!([with("type", json!("")), with("data", json!(1))]), &["[0].type", "[1].data"]).await;
    check(json!([good, with("channels", json!([7]))]), &["[1].channels[0]"]).await;
    check(json!([]), &[""]).await;
    check(json!(vec![good.clone(); 1001]), &[""]).await;
    check(json!("text"), &[""]).await;
    assert_eq!(stats_events(&server.client).await, 0);
}

async fn stats_events(client: &Client) -> u64 {
    client.get("/v1/stats").await.read::<crate::harness::Stats>(200).events
}

#[tokio::test]
async fn what_is_not_json_is_malformed() {
    let server = Setup::new().start().await;
    for body in ["", "{", "[", "nonsense", r#"{"type": "a", "data": {}"#, r#"{"type": "a", "data": {}} x"#, "\u{0}"] {
        let problem = server.client.send(Method::POST, "/v1/events", &[], body).await.problem(400);
        assert_eq!(problem.r#type, "urn:postrider:malformed", "{body}");
        assert!(problem.errors.is_empty(), "{body}");
    }
}

#[tokio::test]
async fn a_body_may_be_a_mebibyte() {
    let server = Setup::new().start().await;
    let with_size = |bytes: usize| {
        let frame = r#"{"type":"a","data":{"x":""}}"#.len();
        json!({"type": "a", "data": {"x": "x".repeat(bytes - frame)}}).to_string()
    };
    let largest = with_size(1 << 20);
    assert_eq!(largest.len(), 1 << 20);
    let accepted: Accepted = server.client.send(Method::POST, "/v1/events", &[], largest).await.read(202);
    assert!(accepted.deliveries.is_empty());
    let too_large = server.client.send(Method::POST, "/v1/events", &[], with_size((1 << 20) + 1)).await;
    let problem = too_large.problem(413);
    assert!(problem.detail.contains("1,048,576 bytes"), "{problem:?}");
}

#[tokio::test]
async fn an_event_that_nobody_hears_of_is_kept_and_says_so() {
    let server = Setup::new().start().await;
    let accepted = server.client.accept(&json!({"type": "a.b", "data": {"n": 1}})).await;
    assert!(accepted.deliveries.is_empty());
    assert!(accepted.note.unwrap().contains("no channel takes this event"));
    let event = server.client.event(&accepted.id).await;
    assert_eq!((event.data, event.deliveries_total), (json!({"n": 1}), 0));
    assert!(event.note.is_some());
}

#[tokio::test]
async fn a_request_that_would_make_too_many_deliveries_is_refused_whole() {
    let server = Setup::new().start().await;
    for _ in 0..26 {
        server.client.webhook("http://127.0.0.1:9/", json!({})).await;
    }
    let events = vec![json!({"type": "a", "data": {}}); 400];
    let problem = server.client.post("/v1/events", &json!(events)).await.problem(413);
    assert!(problem.detail.contains("10400") && problem.detail.contains("10000"), "{problem:?}");
    assert_eq!(stats_events(&server.client).await, 0);
}

#[tokio::test]
async fn a_large_fan_out_reaches_everyone() {
    const CHANNELS: usize = 2500;
    let (server, receiver) = start().await;
    for n in 0..CHANNELS {
        server.client.webhook(&receiver.url(&format!("/{n}")), json!({})).await;
    }

    let accepted = server.client.accept(&json!({"type": "a", "data": {}})).await;

    assert_eq!((accepted.deliveries.len(), accepted.expanding), (1000, 1500));
    receiver.wait_for_total(CHANNELS).await;
    assert!((0..CHANNELS).all(|n| receiver.count(&format!("/{n}")) == 1));
    let event = server.client.event(&accepted.id).await;
    assert_eq!((event.deliveries_total, event.expanding, event.deliveries.len()), (CHANNELS, 0, 1000));
    let last = event.deliveries.last().unwrap().channel_id;
    assert_eq!(last, accepted.deliveries.last().unwrap().channel_id);
}
