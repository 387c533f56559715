//! What a delivery waits for.

use serde_json::json;

use super::{NEVER, Story, provoked};

/// Trips with the first failure, and does not come back.
fn trips() -> serde_json::Value {
    json!({"breaker": {"failures": 1, "lasting_seconds": 0, "probe_seconds": NEVER, "probe_max_seconds": NEVER}})
}

provoked! {
    waits_for_turn => async |story: Story| {
        let channel = story.channel("/gate", json!({"concurrency": 1})).await;
        story.post_to(channel).await;
        let second = story.post_to(channel).await;
        story.receiver.wait_for("/gate", 1).await;
        story.once(second, "pending").await
    },
    under_way => async |story: Story| {
        let delivery = story.delivery("/gate", json!({})).await;
        story.receiver.wait_for("/gate", 1).await;
        story.once(delivery, "processing").await
    },
    waits_for_digest => async |story: Story| {
        let digest = json!({"enabled": true, "window_seconds": 3600, "max_items": 10});
        let delivery = story.delivery("/", json!({"digest": digest})).await;
        story.once(delivery, "pending").await
    },
    waits_for_predecessor => async |story: Story| {
        let channel = story.channel("/gate", json!({"fifo": true})).await;
        story.post_to(channel).await;
        let second = story.post_to(channel).await;
        story.receiver.wait_for("/gate", 1).await;
        story.once(second, "pending").await
    },
    waits_for_rate_limit => async |story: Story| {
        let channel = story.channel("/", json!({"rate_limit": {"count": 1, "per": "hour"}})).await;
        story.post_to(channel).await;
        let second = story.post_to(channel).await;
        story.once(second, "pending").await
    },
    waits_for_provider => async |story: Story| {
        let delivery = story.delivery("/busy", json!({})).await;
        story.once(delivery, "retrying").await
    },
    waits_for_retry => async |story: Story| {
        let delivery = story.delivery("/broken", json!({"retry": {"delays_seconds": [3600]}})).await;
        story.once(delivery, "retrying").await
    },
    channel_tripped => async |story: Story| {
        let delivery = story.delivery("/broken", trips()).await;
        story.once(delivery, "held").await
    },
    channel_refused => async |story: Story| {
        let delivery = story.delivery("/gone", json!({})).await;
        story.once(delivery, "held").await
    },
    credentials_refused => async |story: Story| {
        let delivery = story.telegram(401).await;
        story.once(delivery, "held").await
    },
    tenant_suspended => async |story: Story| {
        let channel = story.channel("/gate", json!({"concurrency": 1})).await;
        story.post_to(channel).await;
        let second = story.post_to(channel).await;
        story.receiver.wait_for("/gate", 1).await;
        story.client().post("/v1/tenants/default/suspend", &json!({})).await;
        story.once(second, "held").await
    },
}
