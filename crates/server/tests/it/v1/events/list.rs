//! `GET /v1/events`: what was accepted, newest first.

use serde::Deserialize;
use serde_json::json;

use crate::harness::{Page, Setup, start};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    id: String,
    r#type: String,
    occurred_at: String,
    accepted_at: String,
    severity: Option<String>,
    deliveries_total: usize,
}

#[tokio::test]
async fn events_are_filtered_and_listed_newest_first_by_cursor() {
    let (server, receiver) = start().await;
    server.client.webhook(&receiver.url("/"), json!({"event_types": ["invoice.*"]})).await;
    let mut ids = Vec::new();
    for (event_type, severity, text) in [
        ("invoice.paid", Some("info"), "Ordinary"),
        ("invoice.lost", Some("error"), "100%_off"),
        ("invoices", None, "ordinary"),
        ("user.made", None, "Ärger"),
    ] {
        let event = json!({"type": event_type, "severity": severity, "data": {"text": text},
                           "occurred_at": "2026-01-02T03:04:05Z"});
        ids.push(server.client.accept(&event).await.id);
    }
    let list =
        async |query: &str| -> Page<Listed> { server.client.get(&format!("/v1/events?{query}")).await.read(200) };
    let check = async |query: &str, expected: &[usize]| {
        let page = list(query).await;
        let expected: Vec<_> = expected.iter().map(|position| ids[*position].as_str()).collect();
        assert_eq!(page.data.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), expected, "{query}");
    };
    check("", &[3, 2, 1, 0]).await;
    check("type=invoice.paid", &[0]).await;
    check("type=invoice.*", &[1, 0]).await;
    check("type=invoice", &[]).await;
    check("severity=error", &[1]).await;
    check("q=oRDINARY", &[2, 0]).await;
    check("q=%C3%A4rger", &[3]).await;
    check("q=%25", &[1]).await;
    check("q=%25&severity=info", &[]).await;
    check("since=2020-01-01T00:00:00Z", &[3, 2, 1, 0]).await;
    check("until=2020-01-01T00:00:00Z", &[]).await;
    check("since=2999-01-01T00:00:00Z", &[]).await;
    let first = list("limit=3").await;
    check(&format!("limit=3&cursor={}", first.next_cursor.unwrap()), &[0]).await;
    let newest = &first.data[0];
    let shown = server.client.event(&newest.id).await;
    assert_eq!((newest.r#type.as_str(), newest.severity.as_deref(), newest.deliveries_total), ("user.made", None, 0));
    assert_eq!((&newest.accepted_at, newest.occurred_at.as_str()), (&shown.accepted_at, "2026-01-02T03:04:05.000Z"));
    assert_eq!(first.data[2].deliveries_total, 1);
}

/// More than one page examines. A selective filter is answered in parts, and none is lost.
#[tokio::test]
async fn a_page_may_be_short_and_have_a_next_one() {
    let server = Setup::new().start().await;
    let wanted = server.client.accept(&json!({"type": "a", "data": {"needle": true}})).await.id;
    let hay: Vec<_> = (0..1000).map(|_| json!({"type": "b", "data": {}})).collect();
    for _ in 0..11 {
        assert_eq!(server.client.post("/v1/events", &json!(hay)).await.status, 202);
    }
    let first: Page<Listed> = server.client.get("/v1/events?q=needle").await.read(200);
    assert!(first.data.is_empty());
    let path = format!("/v1/events?q=needle&cursor={}", first.next_cursor.unwrap());
    let second: Page<Listed> = server.client.get(&path).await.read(200);
    assert_eq!(second.data.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), [wanted]);
    assert_eq!(second.next_cursor, None);
}
