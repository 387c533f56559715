//! How often a key may ask.

use serde_json::Value;

use super::{HANDLERS, Site, errors, path, setup};

#[tokio::test]
async fn every_call_with_a_key_says_how_many_are_left() {
    let site = Site::start().await;
    let check = async |target: &str, status: u16, left: &str| {
        let answer = site.client.get(target).await;
        assert_eq!(answer.status.as_u16(), status, "{target}");
        assert_eq!(answer.header("x-ratelimit-limit"), Some("600"));
        assert_eq!(answer.header("x-ratelimit-remaining"), Some(left), "{target}");
        assert_eq!((answer.header("x-ratelimit-reset"), answer.header("retry-after")), (None, None));
    };
    check(HANDLERS, 200, "599").await;
    check(&path(99), 404, "598").await;
    check(&format!("{HANDLERS}/1/x"), 404, "597").await;
    // Other APIs are not counted.
    site.client.get("/v1/channels").await.read::<Value>(200);
    check(HANDLERS, 200, "596").await;
}

#[tokio::test]
async fn a_key_that_has_used_up_its_calls_waits() {
    let site = Site::with(&setup().set("POSTRIDER_ALTUM__REQUESTS_PER_MINUTE", "3")).await;
    for left in ["2", "1", "0"] {
        let answer = site.client.get(HANDLERS).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-ratelimit-remaining")), (200, Some(left)));
    }
    let answer = site.client.post(HANDLERS, &serde_json::json!({})).await;
    errors(&answer, 429);
    assert_eq!((answer.header("x-ratelimit-limit"), answer.header("x-ratelimit-remaining")), (Some("3"), None));
    let seconds: u64 = answer.header("x-ratelimit-reset").expect("a duration").parse().expect("seconds");
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(answer.header("retry-after"), answer.header("x-ratelimit-reset"));
    // Another key of the same tenant has calls of its own, and this one works elsewhere.
    site.client_for(&["channels:read"]).await.get(HANDLERS).await.read::<Value>(200);
    site.client.get("/v1/channels").await.read::<Value>(200);
}
