//! `GET /v1/channels` and `GET /v1/channels/{id}`.

use serde_json::json;

use crate::harness::{Channel, Page, Setup};

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
    for list in ["/v1/channels", "/v1/deliveries", "/v1/attempts", "/v1/tenants", "/v1/tenants/default/keys"] {
        for limit in ["0", "201", "-1", "many", ""] {
            let problem = server.client.get(&format!("{list}?limit={limit}")).await.problem(422);
            assert_eq!(problem.fields(), ["limit"], "{list} {limit}");
        }
        for cursor in ["x", "-1", "9999999999999999999"] {
            let problem = server.client.get(&format!("{list}?cursor={cursor}")).await.problem(422);
            assert_eq!(problem.fields(), ["cursor"], "{list} {cursor}");
        }
    }
    for list in ["/v1/deliveries", "/v1/attempts"] {
        assert_eq!(server.client.get(&format!("{list}?status=lost")).await.problem(422).fields(), ["status"]);
        server.client.get(&format!("{list}?channel_id=x")).await.problem(400);
    }
    assert_eq!(server.client.get("/v1/stats?since=yesterday").await.problem(422).fields(), ["since"]);
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
