//! Why there is no delivery.

use serde_json::json;

use super::{Story, provoked};
use crate::harness::{Page, eventually};

provoked! {
    filter_false => async |story: Story| {
        let channel = story.channel("/", json!({"filter": "false"})).await;
        story.explained(&story.post().await, channel).await
    },
    filter_failed => async |story: Story| {
        let channel = story.channel("/", json!({"filter": "{} - 3 > amount"})).await;
        story.explained(&story.post().await, channel).await
    },
    channel_inactive => async |story: Story| {
        let channel = story.channel("/", json!({"is_active": false})).await;
        story.explained(&story.post().await, channel).await
    },
    tells_of_channel => async |story: Story| {
        let more = json!({"event_types": ["a", "postrider.*"], "retry": {"delays_seconds": []}});
        let channel = story.channel("/broken", more).await;
        story.post().await;
        let told = eventually("the dead delivery is told of", async || {
            let path = "/v1/events?type=postrider.delivery.dead";
            story.client().get(path).await.read::<Page<serde_json::Value>>(200).data.pop()
        })
        .await;
        story.explained(told["id"].as_str().unwrap(), channel).await
    },
    not_named => async |story: Story| {
        let (channel, named) = (story.channel("/", json!({})).await, story.channel("/", json!({})).await);
        let event = story.client().accept(&json!({"type": "a", "data": {}, "channels": [named]})).await;
        story.explained(&event.id, channel).await
    },
    no_subscription => async |story: Story| {
        let channel = story.channel("/", json!({"event_types": ["other"]})).await;
        story.explained(&story.post().await, channel).await
    },
    channel_is_younger => async |story: Story| {
        let event = story.post().await;
        let channel = story.channel("/", json!({})).await;
        story.explained(&event, channel).await
    },
    channel_was_deleted => async |story: Story| {
        let channel = story.channel("/", json!({})).await;
        story.client().delete(&format!("/v1/channels/{channel}")).await;
        story.explained(&story.post().await, channel).await
    },
}
