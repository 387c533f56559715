//! Whatever goes wrong under the paths of Lenz is told in its envelope.

use http::Method;
use serde_json::{Value, json};

use super::{CHANNELS, DEAD_LETTERS, LOGS, Lenz, STATS, refused};
use crate::harness::{ADMIN_KEY, Setup};

/// Every route, with a scope that it asks for.
const ROUTES: [(&str, &str, &str); 11] = [
    ("GET", CHANNELS, "channels:read"),
    ("POST", CHANNELS, "channels:write"),
    ("GET", "/api/notification-channels/template-variables", "channels:read"),
    ("GET", "/api/notification-channels/1", "channels:read"),
    ("PUT", "/api/notification-channels/1", "channels:write"),
    ("DELETE", "/api/notification-channels/1", "channels:write"),
    ("POST", "/api/notification-channels/1/test", "channels:write"),
    ("GET", STATS, "deliveries:read"),
    ("GET", DEAD_LETTERS, "deliveries:read"),
    ("POST", "/api/notification-queue/1/retry", "deliveries:write"),
    ("GET", LOGS, "deliveries:read"),
];

const SCOPES: [&str; 7] =
    ["events:write", "events:read", "channels:read", "channels:write", "deliveries:read", "deliveries:write", "inbox"];

fn method(name: &str) -> Method {
    name.parse().expect("a method")
}

#[tokio::test]
async fn paths_that_lead_nowhere() {
    let lenz = Lenz::start().await;
    for path in [
        "/api/notification-channels/",
        "/api/notification-channels/1/",
        "/api/notification-channels/1/tests",
        "/api/notification-channels/1/test/again",
        "/api/notification-channels/template-variables/x",
        "/api/notification-queue",
        "/api/notification-queue/",
        "/api/notification-queue/1",
        "/api/notification-queue/1/",
        "/api/notification-queue/1/retry/x",
        "/api/notification-queue/statistics",
        "/api/notification-logs/",
        "/api/notification-logs/1",
        "/api/notification-logs/1/2",
    ] {
        for name in ["GET", "POST", "PATCH"] {
            refused(&lenz.client.send(method(name), path, &[], "").await, 404, "not found");
        }
    }
    // What only begins alike is none of these.
    lenz.client.get("/api/notification-logsx").await.problem(404);
}

#[tokio::test]
async fn methods_that_a_path_does_not_know() {
    let lenz = Lenz::start().await;
    for (path, known) in [
        (CHANNELS, vec!["GET", "POST"]),
        ("/api/notification-channels/1", vec!["GET", "PUT", "DELETE"]),
        ("/api/notification-channels/1/test", vec!["POST"]),
        ("/api/notification-channels/template-variables", vec!["GET"]),
        (STATS, vec!["GET"]),
        (DEAD_LETTERS, vec!["GET"]),
        ("/api/notification-queue/1/retry", vec!["POST"]),
        (LOGS, vec!["GET"]),
    ] {
        for name in ["GET", "POST", "PUT", "PATCH", "DELETE"].iter().filter(|name| !known.contains(name)) {
            let answer = lenz.client.send(method(name), path, &[], "{}").await;
            refused(&answer, 405, "method not allowed");
            let allowed = answer.header("allow").expect("it says which there are");
            assert!(known.iter().all(|name| allowed.contains(name)), "{path}: {allowed}");
        }
    }
}

#[tokio::test]
async fn without_a_good_key() {
    let lenz = Lenz::start().await;
    for (name, path, _) in ROUTES {
        for key in ["", "wrong"] {
            let answer = lenz.server.client_with(key).send(method(name), path, &[], "{").await;
            refused(&answer, 401, "unauthorized");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
        let basic = [("authorization", "Basic YWRtaW46YWRtaW4=")];
        refused(&lenz.server.client_with("").send(method(name), path, &basic, "").await, 401, "unauthorized");
    }
}

#[tokio::test]
async fn every_route_asks_for_its_scope() {
    let lenz = Lenz::start().await;
    for scope in SCOPES {
        let others: Vec<&str> = SCOPES.into_iter().filter(|other| *other != scope).collect();
        let key = async |scopes: &[&str]| lenz.server.client.create_key("default", scopes).await.key.unwrap();
        let (without, only) =
            (lenz.server.client_with(&key(&others).await), lenz.server.client_with(&key(&[scope]).await));
        for (name, path, needed) in ROUTES {
            let refuses = if scope == needed { &without } else { &only };
            let lacks = format!("the key lacks the scope {needed}");
            refused(&refuses.send(method(name), path, &[], "{}").await, 403, &lacks);
            if scope == needed {
                let status = only.send(method(name), path, &[], "{}").await.status.as_u16();
                assert!(matches!(status, 200 | 400 | 404), "{name} {path}: {status}");
            }
        }
    }
}

#[tokio::test]
async fn the_key_of_a_tenant_that_is_suspended() {
    let lenz = Lenz::start().await;
    assert!(lenz.server.client.post("/v1/tenants/default/suspend", &json!({})).await.status.is_success());
    let told: Value = lenz.client.get(CHANNELS).await.read(403);
    assert!(told["ok"] == false && told["message"].as_str().unwrap().contains("suspended"), "{told}");
}

#[tokio::test]
async fn a_platform_key_that_names_no_tenant() {
    let lenz = Lenz::start().await;
    let platform = lenz.server.client_with(ADMIN_KEY);
    let answer = platform.get(CHANNELS).await;
    let body: Value = answer.read(400);
    assert!(body["ok"] == false && body["message"].as_str().unwrap().contains("Postrider-Tenant"), "{body}");
    assert_eq!(platform.for_tenant("nobody").get(CHANNELS).await.status, 404);
}

#[tokio::test]
async fn what_is_too_large() {
    let lenz = Lenz::start_with(Setup::new().set("POSTRIDER_LIMITS__BODY_BYTES_MAX", "2000")).await;
    let body = json!({"name": "x".repeat(3000)});
    refused(&lenz.client.post(CHANNELS, &body).await, 413, "request too large");
    refused(
        &lenz.client.send(Method::PUT, "/api/notification-channels/1", &[], body.to_string()).await,
        413,
        "request too large",
    );
}

#[tokio::test]
async fn ids_that_are_no_numbers() {
    let lenz = Lenz::start().await;
    for id in ["x", "1.5", "9223372036854775808", "%FF", "%20"] {
        let path = format!("{CHANNELS}/{id}");
        refused(&lenz.client.get(&path).await, 400, "invalid request");
        refused(&lenz.client.delete(&path).await, 400, "invalid request");
        refused(&lenz.client.post(&format!("{path}/test"), &json!({})).await, 400, "invalid request");
    }
    for id in ["-1", "9223372036854775807", "007"] {
        refused(&lenz.client.get(&format!("{CHANNELS}/{id}")).await, 404, "channel not found");
    }
}
