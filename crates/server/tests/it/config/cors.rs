//! Web pages of other origins: refused, unless the operator names them.

use http::Method;
use serde_json::Value;

use crate::harness::{Answer, Client, Setup};

const PAGE: &str = "https://app.example.com";

async fn preflight(client: &Client, origin: &str) -> Answer {
    let asks = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,idempotency-key,postrider-tenant,traceparent"),
    ];
    client.send(Method::OPTIONS, "/v1/events", &asks, "").await
}

#[tokio::test]
async fn pages_of_the_named_origins_may_call_the_api() {
    let server = Setup::new()
        .set("POSTRIDER_SERVER__CORS_ORIGINS", "https://app.example.com,http://localhost:3000")
        .start()
        .await;
    let stranger = server.client_with("");
    let answer = preflight(&stranger, PAGE).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some(PAGE));
    assert!(answer.header("access-control-allow-methods").unwrap().contains("POST"));
    let taken = answer.header("access-control-allow-headers").unwrap();
    for name in ["authorization", "idempotency-key", "postrider-tenant", "traceparent", "x-request-id"] {
        assert!(taken.contains(name), "{name}: {taken}");
    }
    assert_eq!(answer.header("access-control-allow-credentials"), None);

    let got = server.client.send(Method::GET, "/v1/channels", &[("origin", PAGE)], "").await;
    assert_eq!(got.header("access-control-allow-origin"), Some(PAGE));
    got.read::<Value>(200);
    // A refusal must be readable by the page, too.
    let refused = stranger.send(Method::GET, "/v1/channels", &[("origin", PAGE)], "").await;
    assert_eq!((refused.status.as_u16(), refused.header("access-control-allow-origin")), (401, Some(PAGE)));

    let other = preflight(&stranger, "https://evil.example.com").await;
    assert_eq!(other.header("access-control-allow-origin"), None);
}

/// A client in a browser reads what any other reads: a header that is not named does not exist for it.
#[tokio::test]
async fn pages_may_read_what_answers_tell_in_headers() {
    let server = Setup::new()
        .set("POSTRIDER_SERVER__CORS_ORIGINS", PAGE)
        .set("POSTRIDER_ALTUM__REQUESTS_PER_MINUTE", "2")
        .start()
        .await;
    let key = server.client.create_key("default", &["channels:read"]).await.key.unwrap();
    let (client, stranger) = (server.client_with(&key), server.client_with(""));
    let check = async |client: &Client, method: Method, path: &str, status: u16, told: &[&str]| {
        let answer = client.send(method, path, &[("origin", PAGE)], "").await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        let shown = answer.header("access-control-expose-headers").expect("headers are shown");
        let shown: Vec<&str> = shown.split(',').map(str::trim).collect();
        for name in told {
            assert!(answer.header(name).is_some(), "{path}: no {name}");
            assert!(shown.contains(name), "{path}: {name} is not in {shown:?}");
        }
    };
    let handlers = "/api/notification-handlers";
    let counted = ["x-ratelimit-limit", "x-ratelimit-remaining", "x-request-id"];
    for _ in 0..2 {
        check(&client, Method::GET, handlers, 200, &counted).await;
    }
    let exhausted = ["x-ratelimit-limit", "x-ratelimit-reset", "retry-after"];
    check(&client, Method::GET, handlers, 429, &exhausted).await;
    check(&client, Method::GET, "/api/webhooks", 200, &["x-request-id"]).await;
    for path in ["/api/webhooks", "/api/notification-channels", "/tenants/me/notifications", "/v1/channels"] {
        check(&stranger, Method::GET, path, 401, &["www-authenticate", "x-request-id"]).await;
        check(&client, Method::TRACE, path, 405, &["allow"]).await;
    }
}

#[tokio::test]
async fn without_the_setting_no_page_may() {
    let server = Setup::new().start().await;
    let answer = preflight(&server.client_with(""), PAGE).await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (405, None));
}

/// Of every face: a page that may call one may call all. The figures are for programs and belong to no face.
#[tokio::test]
async fn every_route_takes_preflights() {
    let server = Setup::new().set("POSTRIDER_SERVER__CORS_ORIGINS", PAGE).start().await;
    let document: Value = server.client_with("").get("/openapi.json").await.read(200);
    for (path, methods) in document["paths"].as_object().unwrap().iter().filter(|(path, _)| *path != "/metrics") {
        let concrete = path.split('{').next().unwrap().to_owned() + if path.contains('{') { "1" } else { "" };
        for method in methods.as_object().unwrap().keys() {
            let method = method.to_ascii_uppercase();
            let asks = [
                ("origin", PAGE),
                ("access-control-request-method", method.as_str()),
                ("access-control-request-headers", "authorization,content-type"),
            ];
            let answer = server.client_with("").send(Method::OPTIONS, &concrete, &asks, "").await;
            assert_eq!(
                (answer.status.as_u16(), answer.header("access-control-allow-origin")),
                (200, Some(PAGE)),
                "{path}"
            );
            assert!(answer.header("access-control-allow-methods").unwrap().contains(&method), "{method} {path}");
        }
    }
}
