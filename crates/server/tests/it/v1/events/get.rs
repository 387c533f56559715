//! `GET /v1/events/{id}`: the event with its verdicts and deliveries.

use serde_json::json;

use crate::harness::{Setup, ms, start};

#[tokio::test]
async fn an_event_is_shown_with_what_became_of_it() {
    let (server, receiver) = start().await;
    let channel = server.client.webhook(&receiver.url("/"), json!({})).await.id;
    let sent =
        json!({"type": "a.b", "data": {"n": 1}, "occurred_at": "2026-11-22T08:00:00+01:00", "severity": "error"});
    let accepted = server.client.accept(&sent).await;
    let delivery = server.client.delivery_once(accepted.deliveries[0].id, "sent").await;

    let event = server.client.event(&accepted.id).await;

    assert_eq!((event.r#type.as_str(), &event.data), ("a.b", &json!({"n": 1})));
    assert_eq!((event.occurred_at.as_str(), event.severity.as_deref()), ("2026-11-22T07:00:00.000Z", Some("error")));
    assert_eq!((event.id, event.channels, event.note), (accepted.id, None, None));
    assert_eq!((event.deliveries_total, event.expanding, event.verdicts_more), (1, 0, 0));
    assert_eq!(event.deliveries, std::slice::from_ref(&delivery));
    assert_eq!((delivery.channel_id, delivery.event_type.as_str(), delivery.attempts), (channel, "a.b", 1));
    assert!(ms(&delivery.settled_at.unwrap()) >= ms(&event.accepted_at));
    // Four days, the time-to-live of a webhook.
    assert_eq!(ms(&delivery.expires_at) - ms(&delivery.created_at), 4 * 24 * 3_600_000);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let server = Setup::new().start().await;
    for id in ["evt_999", "evt_0", "evt_", "evt_x", "999", "evt_99999999999999999999", "%ff"] {
        let answer = server.client.get(&format!("/v1/events/{id}")).await;
        answer.problem(404);
    }
}
