//! `GET /healthz` and `GET /readyz`, and what no path answers.

use http::Method;
use serde_json::{Value, json};

use crate::harness::Setup;

#[tokio::test]
async fn health_and_readiness_need_no_key() {
    let server = Setup::new().start().await;
    let stranger = server.client_with("");
    assert_eq!(stranger.get("/healthz").await.read::<Value>(200), json!({"status": "ok"}));
    assert_eq!(stranger.get("/readyz").await.read::<Value>(200), json!({"status": "ready"}));
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let server = Setup::new().start().await;
    server.client.get("/").await.problem(404);
    server.client.get("/v2/events").await.problem(404);
    let answer = server.client.delete("/v1/events").await;
    answer.problem(405);
    assert_eq!(answer.header("allow"), Some("GET,HEAD,POST"));
    server.client.send(Method::PUT, "/healthz", &[], "").await.problem(405);
}
