//! The log: ids to follow a request and a delivery by, in either form, and never a secret.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, Receiver, Server, Setup, soon};

async fn logged(server: &mut Server, part: &str) -> String {
    let line = soon(part, server.process.stderr.line_with(part)).await;
    line.unwrap_or_else(|| panic!("{part}: {}", server.process.stderr.text()))
}

#[tokio::test]
async fn every_line_of_json_is_an_object_with_its_ids() {
    let setup = Setup::new().set("POSTRIDER_LOG", "debug").set("POSTRIDER_LOG_FORMAT", "json");
    let mut server = setup.start().await;
    let receiver = Receiver::start().await;
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let channel =
        server.client.webhook(&receiver.url("/token-of-the-url"), json!({"config": {"secret": secret}})).await.id;
    let delivery = server.client.accept_one("a.b", json!({"canary": "of-the-payload"})).await;
    let attempt: Value = serde_json::from_str(&logged(&mut server, "attempt over").await).unwrap();
    assert_eq!(attempt["delivery"], json!(delivery.to_string()));
    assert_eq!(attempt["channel"], json!(channel.to_string()));
    assert_eq!((attempt["event"].as_str(), attempt["tenant"].as_str()), (Some("evt_1"), Some("1")));
    assert_eq!((attempt["outcome"].as_str(), attempt["level"].as_str()), (Some("delivered"), Some("DEBUG")));
    let started: Value = serde_json::from_str(&logged(&mut server, "\"started\"").await).unwrap();
    assert_eq!(started["address"], json!(server.address.to_string()));
    assert!(started["version"].is_string() && started["data_dir"].is_string(), "{started}");
    logged(&mut server, "request answered").await;
    let log = server.process.stderr.text();
    for line in log.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    for hidden in [ADMIN_KEY, secret, "token-of-the-url", "of-the-payload"] {
        assert!(!log.contains(hidden), "{hidden}: {log}");
    }
}

#[tokio::test]
async fn requests_have_ids() {
    let mut server = Setup::new().set("POSTRIDER_LOG", "server=debug").start().await;
    let own = server.client.send(Method::GET, "/healthz", &[("x-request-id", "my-request/7")], "").await;
    assert_eq!(own.header("x-request-id"), Some("my-request/7"));
    let line = logged(&mut server, "my-request/7").await;
    assert!(line.contains("/healthz") && line.contains("200"), "{line}");
    let mut made = Vec::new();
    let long = "x".repeat(129);
    for given in ["", "two words", "<script>", "line\tbreak", &long] {
        let answer = server.client.send(Method::GET, "/healthz", &[("x-request-id", given)], "").await;
        let id = answer.header("x-request-id").unwrap().to_owned();
        assert!(id.len() == 16 && !made.contains(&id), "{given}: {id}");
        made.push(id);
    }
    // At the level that is the default, what goes wrong can be found by its id.
    let quiet = Setup::new().set("POSTRIDER_LOG", "warn");
    assert!(quiet.start().await.client.get("/healthz").await.header("x-request-id").is_some());
    // Errors have one, too, also where nothing is.
    assert!(server.client.get("/nowhere").await.header("x-request-id").is_some());
}

#[tokio::test]
async fn the_client_behind_a_trusted_proxy_is_known() {
    let check = async |trusted: &str, expected: &str| {
        let setup = Setup::new().set("POSTRIDER_LOG", "server=debug").set("POSTRIDER_SERVER__TRUSTED_PROXIES", trusted);
        let mut server = setup.start().await;
        let headers = [("x-forwarded-for", "1.1.1.1, 203.0.113.9"), ("x-request-id", "behind-a-proxy")];
        server.client.send(Method::GET, "/healthz", &headers, "").await;
        let line = logged(&mut server, "behind-a-proxy").await;
        assert!(line.contains(&format!("client={expected}")), "{line}");
    };
    check("127.0.0.0/8", "203.0.113.9").await;
    check("10.0.0.0/8", "127.0.0.1").await;
    check("", "127.0.0.1").await;
}
