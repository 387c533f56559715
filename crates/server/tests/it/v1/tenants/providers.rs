//! The providers that the platform allows a tenant.

use http::Method;
use serde_json::{Value, json};

use super::Tenant;
use crate::harness::{Client, Server, Setup};

async fn put(server: &Server, body: &Value) -> Tenant {
    server.client.send(Method::PUT, "/v1/tenants/acme", &[], body.to_string()).await.read(200)
}

async fn client_of_acme(server: &Server) -> Client {
    let key = server.client.create_key("acme", &["channels:write", "channels:read"]).await;
    server.client_with(&key.key.expect("a new key is shown"))
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn absent_leaves_the_list_and_null_allows_every_one() {
    let server = Setup::new().start().await;
    assert_eq!(put(&server, &json!({})).await.providers, None);
    assert_eq!(put(&server, &json!({"providers": ["slack", "x"]})).await.providers, Some(names(&["slack", "x"])));
    assert_eq!(put(&server, &json!({"name": "Acme Ltd"})).await.providers, Some(names(&["slack", "x"])));
    let shown: Tenant = server.client.get("/v1/tenants/acme").await.read(200);
    assert_eq!(shown.providers, Some(names(&["slack", "x"])));
    assert_eq!(put(&server, &json!({"providers": null})).await.providers, None);
    for wrong in [json!([]), json!(["slack", "carrier_pigeon"]), json!(["x", "x"]), json!("x"), json!([1])] {
        let body = json!({"providers": wrong}).to_string();
        let problem = server.client.send(Method::PUT, "/v1/tenants/acme", &[], body).await.problem(422);
        assert!(problem.fields()[0].starts_with("providers"), "{wrong}: {problem:?}");
    }
}

#[tokio::test]
async fn a_channel_of_another_provider_is_refused() {
    let setup = Setup::new();
    let server = setup.start().await;
    put(&server, &json!({})).await;
    let acme = client_of_acme(&server).await;
    let inbox = json!({"name": "I", "provider": "internal_notification", "config": {}});
    let before = acme.create_channel(&inbox).await;
    put(&server, &json!({"providers": ["webhook"]})).await;
    let problem = acme.post("/v1/channels", &inbox).await.problem(422);
    assert_eq!(problem.fields(), ["provider"]);
    assert!(problem.detail.ends_with("which may have webhook"), "{problem:?}");
    acme.webhook("https://example.com/", json!({})).await;
    // What there is stays and can be changed.
    assert_eq!(acme.patch_channel(before.id, &json!({"name": "Inbox"})).await.name, "Inbox");
    // Another tenant has every provider.
    server.client.create_channel(&inbox).await;

    assert!(server.stop().await.success());
    let server = setup.start().await;
    let acme = client_of_acme(&server).await;
    acme.post("/v1/channels", &inbox).await.problem(422);
}
