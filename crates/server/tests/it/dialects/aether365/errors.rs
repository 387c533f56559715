//! Every error: its status, its code, its envelope.

use http::Method;
use serde_json::{Value, json};

use super::{Aether, PATH, refusal};
use crate::harness::{Setup, eventually, now_seconds};

#[tokio::test]
async fn tokens_that_are_no_good_are_told_apart() {
    let aether = Aether::start(Setup::new()).await;
    let server = &aether.server;
    let get = async |header: Option<&str>| {
        let headers: Vec<_> = header.iter().map(|value| ("authorization", *value)).collect();
        server.client_with("").send(Method::GET, PATH, &headers, "").await
    };
    let check = async |header: Option<&str>, status: u16, code: &str| {
        assert_eq!(refusal(&get(header).await, status).0, code, "{header:?}");
    };
    check(None, 401, "AUTH_MISSING_TOKEN").await;
    check(Some("Bearer"), 401, "AUTH_MISSING_TOKEN").await;
    check(Some("Basic YTpi"), 401, "AUTH_MISSING_TOKEN").await;
    check(Some("Bearer ae_live_nobodys"), 401, "AUTH_INVALID_TOKEN").await;
    // Keys of the vendor's form can be imported, so that a client keeps its own.
    let imported = json!({"name": "i", "scopes": ["channels:read"], "key": "ae_live_0123456789abcdef"});
    server.client.post("/v1/tenants/acme/keys", &imported).await.read::<Value>(201);
    get(Some("Bearer ae_live_0123456789abcdef")).await.read::<Value>(200);

    let soon_over = jiff::Timestamp::from_second(now_seconds() + 2).unwrap().to_string();
    let expiring =
        json!({"name": "e", "scopes": ["channels:read"], "key": "ae_live_expiring-soon", "expires_at": soon_over});
    server.client.post("/v1/tenants/acme/keys", &expiring).await.read::<Value>(201);
    let expired = eventually("the key expires", async || {
        let answer = get(Some("Bearer ae_live_expiring-soon")).await;
        (answer.status.as_u16() == 401).then_some(answer)
    })
    .await;
    assert_eq!(refusal(&expired, 401).0, "AUTH_EXPIRED_TOKEN");

    let reader = server.client_with("ae_live_0123456789abcdef");
    let (code, _) = refusal(&reader.patch(PATH, &json!({"emailOnFail": false})).await, 403);
    assert_eq!(code, "AUTH_INSUFFICIENT_SCOPE");
    server.client.post("/v1/tenants/acme/suspend", &json!({})).await.read::<Value>(200);
    assert_eq!(refusal(&aether.client.get(PATH).await, 403).0, "TENANT_ACCESS_DENIED");
    let platform = server.client.clone().for_tenant("nobody");
    assert_eq!(refusal(&platform.get(PATH).await, 404).0, "TENANT_NOT_FOUND");
}

#[tokio::test]
async fn what_is_wrong_is_told_by_field() {
    let aether = Aether::start(Setup::new().set("POSTRIDER_LIMITS__BODY_BYTES_MAX", "4096")).await;
    let check = async |body: &str, fields: &[&str]| {
        let answer = aether.client.send(Method::PATCH, PATH, &[], body.to_owned()).await;
        let (code, details) = refusal(&answer, 400);
        assert_eq!(code, "VALIDATION_ERROR", "{body}");
        assert_eq!(details.as_object().unwrap().keys().collect::<Vec<_>>(), fields, "{body}");
        assert!(details.as_object().unwrap().values().all(Value::is_string), "{details}");
    };
    for body in ["", "{", "[]", "7", "null", "\"x\""] {
        check(body, &[]).await;
    }
    for value in ["null", "1", "\"true\"", "[]"] {
        check(&format!("{{\"emailOnComplete\": {value}}}"), &["emailOnComplete"]).await;
    }
    check(
        r#"{"emailOnFail": null, "teamsOnFail": 0, "teamsWebhookUrl": 7}"#,
        &["emailOnFail", "teamsOnFail", "teamsWebhookUrl"],
    )
    .await;
    for url in
        ["http://teams.test/x", "ftp://teams.test/", "teams.test", "https://", "https://a b/", "https://u:p@x.test/"]
    {
        check(&json!({"teamsWebhookUrl": url}).to_string(), &["teamsWebhookUrl"]).await;
    }
    let large = json!({"teamsWebhookUrl": "x".repeat(5000)});
    assert_eq!(refusal(&aether.client.patch(PATH, &large).await, 413).0, "PAYLOAD_TOO_LARGE");
    assert_eq!(aether.get().await, super::defaults());
}

#[tokio::test]
async fn what_is_not_there_is_told_in_the_same_form() {
    let aether = Aether::start(Setup::new()).await;
    for path in [
        "/tenants",
        "/tenants/",
        "/tenants/me",
        "/tenants/me/notifications/",
        "/tenants/me/notifications/x",
        "/tenants/7/notifications",
        "/tenants/me/api-keys",
    ] {
        for method in [Method::GET, Method::PATCH, Method::DELETE] {
            let answer = aether.client.send(method, path, &[], "").await;
            assert_eq!(refusal(&answer, 404).0, "NOT_FOUND", "{path}");
        }
    }
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let answer = aether.client.send(method, PATH, &[], "{}").await;
        assert_eq!(refusal(&answer, 405).0, "METHOD_NOT_ALLOWED");
        assert!(answer.header("allow").unwrap().contains("PATCH"));
    }
}
