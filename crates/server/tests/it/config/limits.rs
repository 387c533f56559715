//! What clients may ask of the listener.

use serde_json::json;

use crate::harness::Setup;

#[tokio::test]
async fn a_body_has_the_size_that_the_operator_allows() {
    let server = Setup::new().set("POSTRIDER_LIMITS__BODY_BYTES_MAX", "2048").start().await;
    let event = |bytes: usize| json!({"type": "a", "data": {"text": "x".repeat(bytes)}});
    server.client.accept(&event(1900)).await;
    let problem = server.client.post("/v1/events", &event(2048)).await.problem(413);
    assert!(problem.detail.contains("2,048 bytes"), "{problem:?}");
}
