//! Tenants never see each other: every route of the document, called for another tenant's things.

use std::collections::BTreeMap;

use http::Method;
use serde_json::Value;

use super::examples::Furnished;
use super::operations;
use crate::harness::Client;

const TENANT_SCOPES: [&str; 7] =
    ["events:write", "events:read", "channels:read", "channels:write", "deliveries:read", "deliveries:write", "inbox"];

/// Whether a key of a tenant may call it, and it ends.
fn is_for_tenants(operation: &Value) -> bool {
    let is_platforms = operation["description"].as_str().unwrap_or_default().starts_with("Scope `platform`");
    let is_endless = operation["responses"]["200"]["content"].get("text/event-stream").is_some();
    operation.get("security").is_some() && !is_platforms && !is_endless
}

/// Everything that a tenant can look at, by path.
async fn view(furnished: &Furnished, client: &Client) -> BTreeMap<String, (u16, String)> {
    let mut seen = BTreeMap::new();
    for (path, method, operation) in operations(&furnished.document) {
        if method == "get" && is_for_tenants(&operation) {
            let concrete = furnished.path(&path, &operation);
            let answer = client.get(&concrete).await;
            let mut text = answer.text();
            if path == "/v1/stats" {
                // Sums of a day that ends now.
                let mut sums: Value = answer.read(200);
                sums["since"] = Value::Null;
                text = sums.to_string();
            }
            seen.insert(concrete, (answer.status.as_u16(), text));
        }
    }
    seen
}

#[tokio::test]
async fn no_route_reaches_what_is_another_tenants() {
    let furnished = Furnished::new().await;
    let owner = &furnished.server.client;
    let key = owner.create_key("acme", &TENANT_SCOPES).await.key.expect("a key");
    let stranger = furnished.server.client_with(&key);
    let before = view(&furnished, owner).await;
    assert!(before.values().all(|(status, _)| *status == 200), "{before:#?}");
    assert!(before.values().any(|(_, text)| text.contains(&furnished.canary())), "the owner sees it");

    for (path, method, operation) in operations(&furnished.document) {
        if !is_for_tenants(&operation) {
            continue;
        }
        let concrete = furnished.path(&path, &operation);
        let http = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).unwrap();
        for (media, body) in Furnished::bodies(&operation) {
            let answer = stranger.send(http.clone(), &concrete, &[("content-type", &media)], body).await;
            let told = format!("{method} {concrete}: {} {}", answer.status, answer.text());
            assert!(!answer.text().contains(&furnished.canary()), "{told}");
            // Names of event types are each tenant's own; numbers are of one thing of one tenant.
            if path.contains("{id}") {
                assert!(answer.status.is_client_error(), "{told}");
            }
        }
    }
    assert_eq!(view(&furnished, owner).await, before, "and nobody has changed it");
    for (path, (_, text)) in view(&furnished, &stranger).await {
        assert!(!text.contains(&furnished.canary()), "{path}: {text}");
    }
}
