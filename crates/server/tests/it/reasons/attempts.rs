//! What an attempt came to; those that share a code with the delivery are in `ends.rs` and `waits.rs`.

use serde_json::json;

use super::{Story, provoked};

provoked! {
    answered_with_failure => async |story: Story| {
        let delivery = story.delivery("/broken", json!({"retry": {"delays_seconds": [3600]}})).await;
        story.attempt(delivery).await
    },
    not_reached => async |story: Story| {
        // Nobody listens at port 1.
        let channel = story.client().webhook("http://127.0.0.1:1/", json!({"retry": {"delays_seconds": [3600]}})).await;
        let delivery = story.post_to(channel.id).await;
        story.attempt(delivery).await
    },
    no_answer => async |story: Story| {
        let delivery = story.delivery("/silent", json!({"retry": {"delays_seconds": [3600]}})).await;
        story.attempt(delivery).await
    },
    asked_to_wait => async |story: Story| {
        let delivery = story.delivery("/busy", json!({})).await;
        story.attempt(delivery).await
    },
}
