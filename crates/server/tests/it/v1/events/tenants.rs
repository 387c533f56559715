//! `POST /v1/events` with a platform key, for the tenants that the events name.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, Accepted, Page, Setup, Stats};

#[tokio::test]
async fn an_array_may_be_for_several_tenants() {
    let server = Setup::new().start().await;
    let platform = server.client_with(ADMIN_KEY);
    platform.send(Method::PUT, "/v1/tenants/acme", &[], "{}").await.read::<Value>(200);
    let channel = platform.clone().for_tenant("acme").webhook("http://127.0.0.1:9/", json!({})).await.id;

    let events = json!([
        {"type": "a", "data": {}, "tenant": "acme", "idempotency_key": "k"},
        {"type": "a", "data": {"n": 1}, "tenant": "default", "idempotency_key": "k"},
    ]);
    let page: Page<Accepted> = platform.post("/v1/events", &events).await.read(202);
    assert_eq!(page.data[0].deliveries[0].channel_id, channel);
    assert!(page.data[1].deliveries.is_empty());
    let of = |slug: &str| platform.clone().for_tenant(slug);
    for (slug, own, other) in [("acme", 0, 1), ("default", 1, 0)] {
        of(slug).get(&format!("/v1/events/{}", page.data[own].id)).await.read::<Value>(200);
        of(slug).get(&format!("/v1/events/{}", page.data[other].id)).await.problem(404);
        assert_eq!(of(slug).get("/v1/stats").await.read::<Stats>(200).events, 1);
    }
    // The header is for those that name none.
    let mixed = json!([{"type": "a", "data": {}}, {"type": "a", "data": {}, "tenant": "acme"}]);
    let page: Page<Accepted> = of("default").post("/v1/events", &mixed).await.read(202);
    assert_eq!((page.data[0].deliveries.len(), page.data[1].deliveries.len()), (0, 1));
}

#[tokio::test]
async fn nobody_is_posted_for_by_mistake() {
    let server = Setup::new().start().await;
    let platform = server.client_with(ADMIN_KEY);
    let event = |tenant: Option<&str>| json!({"type": "a", "data": {}, "tenant": tenant});
    assert_eq!(platform.post("/v1/events", &event(None)).await.problem(422).fields(), ["tenant"]);
    assert_eq!(platform.post("/v1/events", &event(Some("nobody"))).await.problem(422).fields(), ["tenant"]);
    let list = json!([event(Some("default")), event(Some("nobody"))]);
    assert_eq!(platform.post("/v1/events", &list).await.problem(422).fields(), ["[1].tenant"]);

    platform.send(Method::PUT, "/v1/tenants/acme", &[], "{}").await.read::<Value>(200);
    let key = server.client.create_key("acme", &["events:write"]).await.key.unwrap();
    let acme = server.client_with(&key);
    acme.post("/v1/events", &event(Some("acme"))).await.read::<Accepted>(202);
    // Whether another tenant exists is not told.
    for other in ["default", "nobody"] {
        let problem = acme.post("/v1/events", &event(Some(other))).await.problem(422);
        assert_eq!(problem.detail, "tenant: must be the key's own tenant, or left out");
    }
    assert_eq!(server.client.get("/v1/stats").await.read::<Stats>(200).events, 0);
}
