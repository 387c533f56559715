//! `POST /v1/events`: which channels hear of an event, and the verdicts on those that do not.

use serde_json::{Value, json};

use crate::harness::{Setup, start};

/// Nothing listens there; these tests look at what is accepted.
const NOWHERE: &str = "http://127.0.0.1:9/";

#[tokio::test]
async fn patterns_choose_the_channels() {
    let server = Setup::new().start().await;
    let mut channels = Vec::new();
    for event_types in [json!(["*"]), json!(["invoice.*"]), json!(["invoice.paid"]), json!(["a", "b.*"]), json!([])] {
        channels.push(server.client.webhook(NOWHERE, json!({"event_types": event_types})).await.id);
    }
    let check = async |event_type: &str, expected: &[usize]| {
        let accepted = server.client.accept(&json!({"type": event_type, "data": {}})).await;
        let expected: Vec<i64> = expected.iter().map(|number| channels[*number]).collect();
        assert_eq!(accepted.channels(), expected, "{event_type}");
        assert!(accepted.skipped.is_empty(), "{event_type}");
    };
    check("invoice.paid", &[0, 1, 2]).await;
    check("invoice.paid.late", &[0, 1]).await;
    check("invoice", &[0]).await;
    check("invoices.paid", &[0]).await;
    check("a", &[0, 3]).await;
    check("b.c.d", &[0, 3]).await;
}

#[tokio::test]
async fn verdicts_tell_why_a_channel_was_left_out() {
    let server = Setup::new().start().await;
    let filtered = async |filter: &str| server.client.webhook(NOWHERE, json!({"filter": filter})).await.id;
    let passes = filtered("amount > 10 and customer.country == 'DE'").await;
    let rejects = filtered("amount > 100").await;
    let fails = filtered("{} - 3 > amount").await;
    let inactive = server.client.webhook(NOWHERE, json!({"is_active": false})).await.id;

    let event = json!({"type": "a", "data": {"amount": 12.5, "customer": {"country": "DE"}}});
    let accepted = server.client.accept(&event).await;

    assert_eq!(accepted.channels(), [passes]);
    let expected = [(rejects, "filter_false"), (fails, "filter_failed"), (inactive, "channel_inactive")];
    assert_eq!(accepted.reasons(), expected);
    assert_eq!(server.client.event(&accepted.id).await.verdicts, accepted.skipped);
}

#[tokio::test]
async fn named_channels_get_it_whatever_they_subscribe_to() {
    let (server, receiver) = start().await;
    let hears_all = server.client.webhook(&receiver.url("/all"), json!({})).await.id;
    let hears_nothing = server.client.webhook(&receiver.url("/none"), json!({"event_types": []})).await.id;
    let filtered = server.client.webhook(&receiver.url("/filtered"), json!({"filter": "false"})).await.id;
    let inactive = server.client.webhook(&receiver.url("/inactive"), json!({"is_active": false})).await.id;
    let named = |channels: Value| json!({"type": "a", "data": {}, "channels": channels});

    let accepted = server.client.accept(&named(json!([filtered, hears_nothing, inactive, filtered]))).await;

    assert_eq!(accepted.channels(), [hears_nothing, filtered]);
    assert_eq!(accepted.reasons(), [(inactive, "channel_inactive")]);
    receiver.wait_for_one("/none").await;
    receiver.wait_for_one("/filtered").await;
    let none = server.client.accept(&named(json!([]))).await;
    assert!(none.deliveries.is_empty() && none.note.is_some());
    assert_eq!(receiver.count("/all"), 0);
    let event = server.client.event(&accepted.id).await;
    let mut named = event.channels.unwrap();
    named.sort_unstable();
    assert_eq!(named, [hears_nothing, filtered, inactive]);
    assert!(!accepted.channels().contains(&hears_all));
}

#[tokio::test]
async fn filters_that_are_no_expressions_are_refused() {
    let server = Setup::new().start().await;
    let channel = json!({"name": "x", "provider": "webhook", "config": {"url": NOWHERE}});
    for filter in [json!("amount >"), json!("x".repeat(2001)), json!("([1] * 100000000) | length > 0"), json!(1)] {
        let mut channel = channel.clone();
        channel["filter"] = filter;
        assert_eq!(server.client.post("/v1/channels", &channel).await.problem(422).fields(), ["filter"]);
    }
}
