//! `/v1/channels`, `/v1/subscriptions`, `/v1/event-types`.

use domain::tenant::Scope::{ChannelsRead, ChannelsWrite};
use serde_json::{Value, json};

use super::super::channel_schemas::examples;
use super::super::channels::{self, ChannelIn, ChannelOut, TestOut};
use super::super::event_types::{self, EventTypeIn, EventTypeOut};
use super::super::preview::{self, PreviewIn, PreviewOut};
use super::super::subscriptions::{self, SubscriptionIn, SubscriptionOut};
use super::Routes;
use crate::openapi::Operation;

pub(super) fn declare(routes: Routes) -> Routes {
    event_types(subscriptions(of_channels(routes)))
}

fn of_channels(routes: Routes) -> Routes {
    let operation = |id, about| Operation::new(id, "channels", about);
    routes
        .get(
            "/v1/channels",
            channels::list,
            operation("listChannels", "Lists channels, oldest first.")
                .scope(ChannelsRead)
                .query::<channels::ListIn>()
                .page::<ChannelOut>(channel()),
        )
        .post("/v1/channels", channels::create, create())
        .post("/v1/channels/preview", preview::create, preview())
        .get(
            "/v1/channels/{id}",
            channels::show,
            operation("getChannel", "Shows a channel, its secrets masked.").scope(ChannelsRead).answers::<ChannelOut>(
                200,
                "The channel.",
                channel(),
            ),
        )
        .patch("/v1/channels/{id}", channels::update, update())
        .delete(
            "/v1/channels/{id}",
            channels::remove,
            operation("deleteChannel", "Deletes a channel.")
                .detail("What waits is cancelled; history stays.")
                .scope(ChannelsWrite)
                .empty(204, "It is gone."),
        )
        .post("/v1/channels/{id}/test", channels::test, test())
}

fn create() -> Operation {
    let schema = json!({"$ref": "#/components/schemas/NewChannel"});
    Operation::new("createChannel", "channels", "Makes a channel.")
        .detail("A signing secret that was generated is in this answer and masked in every other one.")
        .scope(ChannelsWrite)
        .with::<ChannelIn>()
        .media("application/json", schema, examples())
        .answers::<ChannelOut>(201, "The channel.", channel())
}

fn update() -> Operation {
    let example = ("headers".to_owned(), json!({"config": {"headers": {"x-team": "billing"}}}));
    let slow = json!({"rate_limit": {"count": 20, "per": "minute"}, "digest": {"window_seconds": 60, "max_items": 50}});
    let merged = ("digest".to_owned(), slow);
    let active = ("mended".to_owned(), json!({"is_active": true}));
    Operation::new("updateChannel", "channels", "Changes a channel.")
        .detail(
            "`config` is merged: null removes a field, and a masked value means unchanged. `is_active` true, or any \
             `config`, ends a pause.",
        )
        .scope(ChannelsWrite)
        .media("application/json", json!({"$ref": "#/components/schemas/ChannelPatch"}), vec![example, merged, active])
        .answers::<ChannelOut>(200, "The channel.", channel())
}

fn test() -> Operation {
    let (delivery, attempt) = (super::deliveries::example(), super::deliveries::attempt());
    Operation::new("testChannel", "channels", "Sends a test event to a channel at once.")
        .detail("Past its queue and a pause. Waits up to 20 s for what comes of it.")
        .scope(ChannelsWrite)
        .answers::<TestOut>(200, "What came of it.", json!({"ok": false, "delivery": delivery, "attempt": attempt}))
        .refuses(409, "The channel is switched off.")
}

fn preview() -> Operation {
    Operation::new("previewChannel", "channels", "Shows what a channel would send.")
        .detail("Nothing is saved and nothing is sent. Names a channel, or the provider of one that is not made yet.")
        .scope(ChannelsRead)
        .body::<PreviewIn>(json!({
            "provider": "webhook", "config": {"url": "https://example.com/hook", "format": "template"},
            "body_template": "{\"text\": \"{{ customer.name }} paid\"}",
            "event": {"type": "invoice.paid", "data": {"customer": {"name": "Ada"}}},
        }))
        .answers::<PreviewOut>(
            200,
            "What would go out.",
            json!({
                "event": {"type": "invoice.paid", "data": {"customer": {"name": "Ada"}}}, "subject": null,
                "body": "{\"text\": \"Ada paid\"}", "parts": ["{\"text\": \"Ada paid\"}"], "warnings": [], "error": null,
            }),
        )
        .refuses(404, "There is no such channel.")
}

fn subscriptions(routes: Routes) -> Routes {
    let operation = |id, about| Operation::new(id, "subscriptions", about);
    let example = json!({"id": 5, "channel_id": 1, "event_type": "invoice.*", "filter": "amount > 10"});
    routes
        .get(
            "/v1/subscriptions",
            subscriptions::list,
            operation("listSubscriptions", "Lists subscriptions, oldest first.")
                .scope(ChannelsRead)
                .query::<subscriptions::ListIn>()
                .page::<SubscriptionOut>(example.clone()),
        )
        .post(
            "/v1/subscriptions",
            subscriptions::create,
            operation("createSubscription", "Makes a subscription.")
                .detail("It holds for events accepted from then on. A channel has at most 100.")
                .scope(ChannelsWrite)
                .body::<SubscriptionIn>(json!({"channel_id": 1, "event_type": "invoice.*", "filter": "amount > 10"}))
                .answers::<SubscriptionOut>(201, "The subscription.", example.clone())
                .refuses(404, "There is no such channel."),
        )
        .get(
            "/v1/subscriptions/{id}",
            subscriptions::show,
            operation("getSubscription", "Shows a subscription.").scope(ChannelsRead).answers::<SubscriptionOut>(
                200,
                "The subscription.",
                example,
            ),
        )
        .delete(
            "/v1/subscriptions/{id}",
            subscriptions::remove,
            operation("deleteSubscription", "Ends a subscription.")
                .detail("What was accepted before is delivered all the same.")
                .scope(ChannelsWrite)
                .empty(204, "It has ended."),
        )
}

fn event_types(routes: Routes) -> Routes {
    let operation = |id, about| Operation::new(id, "event types", about);
    let described = |operation: Operation, with_type: bool| {
        operation
            .scope(ChannelsWrite)
            .body::<EventTypeIn>(description(with_type))
            .answers::<EventTypeOut>(201, "A new description.", event_type())
            .answers::<EventTypeOut>(200, "A description that was replaced.", event_type())
    };
    routes
        .get(
            "/v1/event-types",
            event_types::list,
            operation("listEventTypes", "Lists described event types, in order of type.")
                .scope(ChannelsRead)
                .query::<event_types::ListIn>()
                .page::<EventTypeOut>(event_type()),
        )
        .post(
            "/v1/event-types",
            event_types::create,
            described(operation("describeEventType", "Describes an event type that the body names."), true),
        )
        .get(
            "/v1/event-types/{type}",
            event_types::show,
            operation("getEventType", "Shows a described event type.").scope(ChannelsRead).answers::<EventTypeOut>(
                200,
                "The description.",
                event_type(),
            ),
        )
        .put(
            "/v1/event-types/{type}",
            event_types::put,
            described(operation("putEventType", "Describes an event type."), false),
        )
        .delete(
            "/v1/event-types/{type}",
            event_types::remove,
            operation("deleteEventType", "Removes a description; a built-in one comes back.")
                .scope(ChannelsWrite)
                .empty(204, "It is gone."),
        )
}

fn description(with_type: bool) -> Value {
    let variable = json!({"key": "amount", "description": "In euro", "type": "number", "example": "12.50"});
    let mut value = json!({
        "label": "Invoice paid", "description": "An invoice was paid in full.",
        "groups": [{"name": "Money", "variables": [variable]}],
    });
    if with_type {
        value["type"] = "invoice.paid".into();
    }
    value
}

fn event_type() -> Value {
    let mut value = description(true);
    value["built_in"] = false.into();
    value["created_at"] = "2026-11-22T08:46:21.550Z".into();
    value["updated_at"] = Value::Null;
    value
}

fn channel() -> Value {
    json!({
        "id": 1, "name": "Billing", "provider": "webhook",
        "config": {"url": "https://example.com/hooks/postrider", "format": "standard", "secret": domain::secret::MASK},
        "is_active": true, "paused": null, "tripped": null, "event_types": ["invoice.*"], "filter": "amount > 10",
        "subject_template": null, "body_template": null, "retry": {"delays_seconds": [5.0, 300.0]},
        "time_to_live_seconds": 345_600, "concurrency": 8, "rate_limit": {"count": 20, "per": "minute", "burst": null},
        "breaker": {"failures": 10, "lasting_seconds": 60.0, "probe_seconds": 30.0, "probe_max_seconds": 600.0,
            "held_max": 100_000, "drain": "oldest_first"},
        "digest": null, "fifo": false, "on_unknown": "retry", "dialect": null, "managed": false, "created_at": "2026-11-22T08:46:21.550Z", "updated_at": null,
    })
}
