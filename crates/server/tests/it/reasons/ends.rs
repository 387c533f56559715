//! Why a delivery is over.

use serde_json::json;

use super::{NEVER, Story, provoked};
use crate::harness::{eventually, ms, now_seconds};

/// Waits until a delivery's time is over.
async fn outlive(story: &Story, delivery: i64) {
    let expires_at = ms(&story.client().delivery(delivery).await.expires_at);
    eventually("its time is over", async || (now_seconds() * 1000 > expires_at).then_some(())).await;
}

/// A channel that fails with the first delivery, does not come back, and holds this much.
fn holds(bounds: &serde_json::Value) -> serde_json::Value {
    let mut breaker = json!({"failures": 1, "lasting_seconds": 0, "probe_seconds": NEVER, "probe_max_seconds": NEVER});
    breaker.as_object_mut().unwrap().extend(bounds.as_object().unwrap().clone());
    json!({"breaker": breaker})
}

provoked! {
    delivered => async |story: Story| {
        let delivery = story.delivery("/", json!({})).await;
        story.once(delivery, "sent").await
    },
    attempts_used_up => async |story: Story| {
        let delivery = story.delivery("/broken", json!({"retry": {"delays_seconds": [0]}})).await;
        story.once(delivery, "dead").await
    },
    no_time_for_retry => async |story: Story| {
        let more = json!({"retry": {"delays_seconds": [3600]}, "time_to_live_seconds": 60});
        let delivery = story.delivery("/broken", more).await;
        story.once(delivery, "dead").await
    },
    may_have_been_taken => async |story: Story| {
        let delivery = story.delivery("/silent", json!({"on_unknown": "give_up"})).await;
        story.once(delivery, "dead").await
    },
    message_refused => async |story: Story| {
        let delivery = story.telegram(400).await;
        story.once(delivery, "dead").await
    },
    message_too_large => async |story: Story| {
        let delivery = story.telegram(413).await;
        story.once(delivery, "dead").await
    },
    message_not_sent => async |story: Story| {
        let endless = "{% for a in range(10000) %}{% for b in range(10000) %}{{ b }}{% endfor %}{% endfor %}";
        let more = json!({"config": {"format": "template"}, "body_template": endless});
        let delivery = story.delivery("/", more).await;
        story.once(delivery, "dead").await
    },
    channel_switched_off => async |story: Story| {
        let channel = story.channel("/gate", json!({"concurrency": 1})).await;
        story.post_to(channel).await;
        let second = story.post_to(channel).await;
        story.client().patch_channel(channel, &json!({"is_active": false})).await;
        story.once(second, "cancelled").await
    },
    channel_deleted => async |story: Story| {
        let channel = story.channel("/gate", json!({"concurrency": 1})).await;
        story.post_to(channel).await;
        let second = story.post_to(channel).await;
        story.client().delete(&format!("/v1/channels/{channel}")).await;
        story.once(second, "cancelled").await
    },
    expired_in_queue => async |story: Story| {
        let channel = story.channel("/gate", json!({"concurrency": 1, "time_to_live_seconds": 1})).await;
        story.post_to(channel).await;
        let second = story.post_to(channel).await;
        outlive(&story, second).await;
        story.gate.open();
        story.once(second, "expired").await
    },
    expired_held => async |story: Story| {
        let delivery = story.delivery("/gone", json!({"time_to_live_seconds": 1})).await;
        story.once(delivery, "held").await;
        outlive(&story, delivery).await;
        // A start looks at once for what has expired.
        let story = story.restarted().await;
        story.once(delivery, "expired").await
    },
    held_too_many => async |story: Story| {
        let channel = story.channel("/broken", holds(&json!({"held_max": 1}))).await;
        let first = story.post_to(channel).await;
        story.once(first, "held").await;
        let second = story.post_to(channel).await;
        let code = story.once(first, "expired").await;
        assert_eq!(story.once(second, "held").await, "channel_tripped");
        code
    },
    held_too_long => async |story: Story| {
        let delivery = story.delivery("/broken", holds(&json!({"held_seconds": 0.01}))).await;
        story.once(delivery, "held").await;
        // A start goes on with the trip, and looks at once for what was held for too long.
        let story = story.restarted().await;
        story.once(delivery, "expired").await
    },
}
