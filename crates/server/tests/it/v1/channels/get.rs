//! `GET /v1/channels` and `GET /v1/channels/{id}`.

use serde_json::json;

use crate::harness::{Channel, Page, Reply, Setup, start};

#[tokio::test]
async fn channels_are_listed_by_cursor() {
    let server = Setup::new().start().await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(server.client.webhook("https://example.com/", json!({})).await.id);
    }
    let mut listed = Vec::new();
    let mut cursor = String::new();
    let mut sizes = Vec::new();
    loop {
        let page: Page<Channel> = server.client.get(&format!("/v1/channels?limit=2{cursor}")).await.read(200);
        sizes.push(page.data.len());
        listed.extend(page.data.iter().map(|channel| channel.id));
        let Some(next) = page.next_cursor else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!((listed, sizes), (ids, vec![2, 2, 1]));
}

#[tokio::test]
async fn a_query_that_is_wrong_is_refused() {
    let server = Setup::new().start().await;
    let lists =
        ["/v1/channels", "/v1/deliveries", "/v1/attempts", "/v1/events", "/v1/tenants", "/v1/tenants/default/keys"];
    for list in lists {
        for limit in ["0", "201", "-1", "many", ""] {
            let problem = server.client.get(&format!("{list}?limit={limit}")).await.problem(422);
            assert_eq!(problem.fields(), ["limit"], "{list} {limit}");
        }
        for cursor in ["x", "-1", "9999999999999999999"] {
            let problem = server.client.get(&format!("{list}?cursor={cursor}")).await.problem(422);
            assert_eq!(problem.fields(), ["cursor"], "{list} {cursor}");
        }
    }
    let check = async |path: &str, query: &str, field: &str| {
        let problem = server.client.get(&format!("{path}?{query}")).await.problem(422);
        assert_eq!(problem.fields(), [field], "{path}?{query}");
        problem
    };
    for list in ["/v1/deliveries", "/v1/attempts"] {
        check(list, "status=lost", "status").await;
        check(list, "channel_id=x", "channel_id").await;
        for event in ["3", "evt_", "evt_0"] {
            check(list, &format!("event_id={event}"), "event_id").await;
        }
        for event_type in ["*", "a.**", "a..b", ""] {
            check(list, &format!("event_type={event_type}"), "event_type").await;
        }
    }
    check("/v1/events", "type=*", "type").await;
    check("/v1/events", "severity=loud", "severity").await;
    check("/v1/attempts", "code=many", "code").await;
    check("/v1/channels", "paused=maybe", "paused").await;
    check("/v1/stats", "event_type=*", "event_type").await;
    let long = format!("q={}", "x".repeat(201));
    for list in &lists[..5] {
        check(list, "q=", "q").await;
        check(list, &long, "q").await;
    }
    for list in ["/v1/deliveries", "/v1/attempts", "/v1/events"] {
        check(list, "since=yesterday", "since").await;
        check(list, "until=2026-01-01", "until").await;
    }
    check("/v1/stats", "since=yesterday", "since").await;
    for list in lists.into_iter().chain(["/v1/stats"]) {
        let problem = check(list, "colour=red", "colour").await;
        assert!(problem.errors[0].message.contains("did you mean"), "{problem:?}");
    }
    let problem = check("/v1/deliveries", "stauts=dead", "stauts").await;
    assert!(problem.detail.contains("did you mean status?"), "{problem:?}");
    check("/v1/events/evt_1/explain", "", "channel_id").await;
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let server = Setup::new().start().await;
    for id in ["999", "0", "-1", "x", "9007199254740993", "%ff"] {
        let answer = server.client.get(&format!("/v1/channels/{id}")).await;
        answer.problem(404);
    }
    server.client.patch("/v1/channels/999", &json!({})).await.problem(404);
    server.client.delete("/v1/channels/999").await.problem(404);
    server.client.post("/v1/channels/999/test", &json!({})).await.problem(404);
}

#[tokio::test]
async fn channels_are_filtered() {
    let (server, receiver) = start().await;
    receiver.always("/gone", Reply::status(410));
    let fields = json!({"name": "Billing 100%", "event_types": []});
    let billing = server.client.webhook(&receiver.url("/"), fields).await.id;
    let off = server.client.webhook(&receiver.url("/"), json!({"name": "Off", "event_types": []})).await.id;
    server.client.patch_channel(off, &json!({"is_active": false})).await;
    let gone = server.client.webhook(&receiver.url("/gone"), json!({"name": "Gone"})).await.id;
    let delivery = server.client.accept_one("a", json!({})).await;
    server.client.delivery_once(delivery, "held").await;
    let check = async |query: &str, expected: &[i64]| {
        let page: Page<Channel> = server.client.get(&format!("/v1/channels?{query}")).await.read(200);
        assert_eq!(page.data.iter().map(|channel| channel.id).collect::<Vec<_>>(), expected, "{query}");
    };
    check("", &[billing, off, gone]).await;
    check("provider=webhook", &[billing, off, gone]).await;
    check("provider=email", &[]).await;
    check("is_active=true", &[billing, gone]).await;
    check("is_active=false", &[off]).await;
    check("paused=true", &[gone]).await;
    check("paused=false&is_active=true", &[billing]).await;
    check("q=bILL", &[billing]).await;
    check("q=%25", &[billing]).await;
    check("q=_", &[]).await;
    let first: Page<Channel> = server.client.get("/v1/channels?is_active=true&limit=1").await.read(200);
    check(&format!("is_active=true&limit=1&cursor={}", first.next_cursor.unwrap()), &[gone]).await;
}
