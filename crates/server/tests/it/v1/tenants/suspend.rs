//! `POST /v1/tenants/{slug}/suspend` and `/resume`: a tenant stands still, and goes on.

use http::Method;
use serde_json::{Value, json};

use super::Tenant;
use crate::harness::{Client, Gate, Page, Receiver, Reply, Server, Setup, Stats, on_both_stores};

const SCOPES: [&str; 7] =
    ["events:write", "events:read", "channels:read", "channels:write", "deliveries:read", "deliveries:write", "inbox"];

async fn suspend(server: &Server, slug: &str) -> Tenant {
    server.client.post(&format!("/v1/tenants/{slug}/suspend"), &json!({})).await.read(200)
}

async fn resume(server: &Server, slug: &str) -> Tenant {
    server.client.post(&format!("/v1/tenants/{slug}/resume"), &json!({})).await.read(200)
}

/// A tenant: what the platform may do for it, and what its own key may.
async fn acme(server: &Server) -> (Client, Client) {
    server.client.send(Method::PUT, "/v1/tenants/acme", &[], "{}").await.read::<Tenant>(200);
    let key = server.client.create_key("acme", &SCOPES).await.key.unwrap();
    (server.client.clone().for_tenant("acme"), server.client_with(&key))
}

on_both_stores! {
    nothing_is_sent_for_a_suspended_tenant_until_it_is_resumed,
}

async fn nothing_is_sent_for_a_suspended_tenant_until_it_is_resumed(setup: Setup) {
    let receiver = Receiver::start().await;
    let server = setup.start().await;
    let (platform, own) = acme(&server).await;
    let gate = Gate::closed();
    receiver.always("/slow", Reply::status(200).behind(&gate));
    let channel = own.webhook(&receiver.url("/slow"), json!({"concurrency": 1})).await.id;
    let mut deliveries = Vec::new();
    for number in 0..4 {
        deliveries.push(own.accept_one("a", json!({"n": number})).await);
    }
    receiver.wait_for("/slow", 1).await;
    let suspended = suspend(&server, "acme").await;
    assert!(suspended.suspended_at.is_some());
    assert_eq!(suspend(&server, "acme").await, suspended);

    // What was under way is finished, and nothing follows.
    gate.open();
    platform.delivery_once(deliveries[0], "sent").await;
    for delivery in &deliveries[1..] {
        let held = platform.delivery(*delivery).await;
        assert_eq!((held.status.as_str(), held.reason.as_deref()), ("held", Some("the tenant is suspended")));
    }
    assert_eq!(platform.deliveries("status=held").await.len(), 3);
    let paused = platform.channel(channel).await.paused.unwrap();
    assert_eq!((paused.reason.as_str(), Some(paused.since)), ("the tenant is suspended", suspended.suspended_at));
    let stats: Stats = platform.get("/v1/stats").await.read(200);
    assert_eq!((stats.held, stats.pending), (3, 0));
    let refused = platform.post("/v1/events", &json!({"type": "a", "data": {}})).await.problem(409);
    assert!(refused.detail.contains("suspended"), "{refused:?}");
    platform.post(&format!("/v1/channels/{channel}/test"), &json!({})).await.problem(409);
    // Other tenants are not concerned.
    server.client.webhook(&receiver.url("/other"), json!({})).await;
    server.client.accept_one("a", json!({})).await;
    receiver.wait_for("/other", 1).await;

    assert!(server.stop().await.success());
    let server = setup.start().await;
    let platform = server.client.clone().for_tenant("acme");
    for delivery in &deliveries[1..] {
        assert_eq!(platform.delivery(*delivery).await.status, "held");
    }
    assert_eq!(receiver.count("/slow"), 1);

    for _ in 0..2 {
        assert_eq!(resume(&server, "acme").await.suspended_at, None);
    }
    for delivery in &deliveries[1..] {
        platform.delivery_once(*delivery, "sent").await;
    }
    let numbers: Vec<Value> = receiver.received("/slow").iter().map(|one| one.json()["data"]["n"].clone()).collect();
    assert_eq!(numbers, [0, 1, 2, 3].map(|number| json!(number)));
    assert_eq!(platform.channel(channel).await.paused, None);
}

#[tokio::test]
async fn the_keys_of_a_suspended_tenant_are_refused_everywhere() {
    let server = Setup::new().start().await;
    let (platform, own) = acme(&server).await;
    let channel = own.webhook("https://example.com/", json!({})).await.id;
    suspend(&server, "acme").await;
    for (method, path) in crate::auth::every_route() {
        let path = path.replace("{channel}", &channel.to_string());
        let refused = own.send(method.parse().unwrap(), &path, &[], "{}").await.problem(403);
        assert_eq!(refused.r#type, "urn:postrider:suspended", "{method} {path}");
    }
    // The platform may look, and mend.
    platform.get("/v1/channels").await.read::<Page<Value>>(200);
    platform.patch_channel(channel, &json!({"name": "Mended"})).await;
    resume(&server, "acme").await;
    assert_eq!(own.channel(channel).await.name, "Mended");
}

#[tokio::test]
async fn a_suspension_hides_a_pause_and_ends_none() {
    let server = Setup::new().start().await;
    let receiver = Receiver::start().await;
    let (platform, own) = acme(&server).await;
    receiver.always("/gone", Reply::status(410));
    let channel = own.webhook(&receiver.url("/gone"), json!({})).await.id;
    let delivery = own.accept_one("a", json!({})).await;
    own.delivery_once(delivery, "held").await;
    suspend(&server, "acme").await;
    assert_eq!(platform.delivery(delivery).await.reason.as_deref(), Some("the tenant is suspended"));
    resume(&server, "acme").await;
    let held = platform.delivery(delivery).await;
    assert_eq!((held.status.as_str(), held.reason.as_deref()), ("held", Some("the channel is paused: HTTP 410 Gone")));
    assert_eq!(receiver.count("/gone"), 1);
    // Mended while it is suspended, it goes on with the tenant.
    suspend(&server, "acme").await;
    platform.patch_channel(channel, &json!({"config": {"url": receiver.url("/here")}})).await;
    assert_eq!(platform.delivery(delivery).await.status, "held");
    assert_eq!(receiver.count("/here"), 0);
    resume(&server, "acme").await;
    platform.delivery_once(delivery, "sent").await;
}

#[tokio::test]
async fn there_must_be_such_a_tenant() {
    let server = Setup::new().start().await;
    for action in ["suspend", "resume"] {
        server.client.post(&format!("/v1/tenants/nobody/{action}"), &json!({})).await.problem(404);
    }
    server.client.delete("/v1/tenants/nobody").await.problem(404);
}
