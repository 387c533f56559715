//! Web pages of other origins: refused, unless the operator names them.

use http::Method;
use serde_json::Value;

use crate::harness::{Answer, Client, Setup};

const PAGE: &str = "https://app.example.com";

async fn preflight(client: &Client, origin: &str) -> Answer {
    let asks = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,idempotency-key"),
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
    assert!(answer.header("access-control-allow-headers").unwrap().contains("authorization"));
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
