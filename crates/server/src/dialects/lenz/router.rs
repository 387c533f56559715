//! The paths, what they do, and what the document says of them.

use std::sync::Arc;

use axum::Router;
use axum::routing::any;
use domain::tenant::Scope::{ChannelsRead, ChannelsWrite, DeliveriesRead, DeliveriesWrite};
use engine::Engine;
use engine::ops::{DEAD_LETTERS_MAX, LOG_ROWS_MAX};
use serde_json::{Value, json};

use super::channel_in::ChannelIn;
use super::error::{Error, ErrorOut};
use super::query::{LIMIT_MAX, RESULTS};
use super::wire::{CatalogueOut, ChannelOut, DeadLetterOut, Done, LogOut, QueueOut};
use super::{App, Lenz, PROVIDERS, channels, logs, queue, variables};
use crate::config::Config;
use crate::openapi::{Declared, Operation, Routes, reference};

const TAG: &str = "lenz";

/// Paths that lead nowhere, and are answered in the envelope of this API all the same.
const NOWHERE: [&str; 10] = [
    "/api/notification-channels/",
    "/api/notification-channels/{id}/",
    "/api/notification-channels/{id}/{*rest}",
    "/api/notification-queue",
    "/api/notification-queue/",
    "/api/notification-queue/{id}",
    "/api/notification-queue/{id}/",
    "/api/notification-queue/{id}/{*rest}",
    "/api/notification-logs/",
    "/api/notification-logs/{*rest}",
];

/// The routes of this API, and what the document says of them.
pub(crate) fn router(engine: Arc<Engine>, config: &Config) -> (Router, Declared) {
    let app = Arc::new(Lenz { engine, time_zone: config.lenz.time_zone.clone() });
    let about = "Nodeflux Lenz: notification channels, their queue and their log, for clients of that product.";
    let routes = declare_channels(Routes::new().tag(TAG, about));
    let routes = declare_queue(routes);
    let nowhere = || any(async || Error::nowhere());
    let routes = NOWHERE.iter().fold(routes, |routes, path| routes.unlisted(path, nowhere()));
    let (router, declared) = routes.finish();
    (router.method_not_allowed_fallback(async || Error::method_not_allowed()).with_state(app), declared)
}

fn operation(id: &str, about: &str) -> Operation {
    Operation::of_dialect::<ErrorOut>(id, TAG, about)
}

fn declare_channels(routes: Routes<App>) -> Routes<App> {
    let one = |operation: Operation, about: &str| {
        operation.with::<ChannelOut>().answer(200, about, enveloped("result", reference("LenzChannel")), example())
    };
    routes
        .get("/api/notification-channels", channels::list, list_channels())
        .post(
            "/api/notification-channels",
            channels::create,
            one(operation("lenzCreateChannel", "Makes a channel."), "The channel.")
                .scope(ChannelsWrite)
                .body::<ChannelIn>(new_channel())
                .refuses(400, "Something is required or wrong."),
        )
        .get(
            "/api/notification-channels/template-variables",
            variables::list,
            operation("lenzTemplateVariables", "Lists what templates may ask for, by type of event.")
                .scope(ChannelsRead)
                .parameter("event_type", "Only this type.", json!({"type": "string"}), json!("alert_history"))
                .with::<CatalogueOut>()
                .answer(200, "The catalogue.", enveloped("data", reference("LenzCatalogue")), catalogue()),
        )
        .get(
            "/api/notification-channels/{id}",
            channels::show,
            one(operation("lenzGetChannel", "Shows a channel."), "The channel.")
                .scope(ChannelsRead)
                .refuses(400, "The id is no number.")
                .refuses(404, "There is no such channel, or none that this API has."),
        )
        .put(
            "/api/notification-channels/{id}",
            channels::update,
            one(operation("lenzUpdateChannel", "Changes a channel; what is left out stays."), "The channel.")
                .scope(ChannelsWrite)
                .body::<ChannelIn>(json!({
                    "name": "Alert Tim Security - Telegram (Updated)",
                    "body_template": "{{severity}} di {{stream_name}} — {{timestamp}}",
                }))
                .refuses(400, "Something is wrong.")
                .refuses(404, "There is no such channel, or none that this API has."),
        )
        .delete(
            "/api/notification-channels/{id}",
            channels::remove,
            operation("lenzDeleteChannel", "Deletes a channel; what waits for it is cancelled.")
                .scope(ChannelsWrite)
                .answers::<Done>(200, "It is deleted.", json!({"ok": true, "message": "success"}))
                .refuses(404, "There is no such channel, or none that this API has."),
        )
        .post(
            "/api/notification-channels/{id}/test",
            channels::test,
            operation("lenzTestChannel", "Sends a notification with the examples of alert_history.")
                .detail("At once, past the queue and its limits. Waits up to 15 s for what comes of it.")
                .scope(ChannelsWrite)
                .answers::<Done>(
                    200,
                    "It was taken.",
                    json!({"ok": true, "message": "test notification sent successfully"}),
                )
                .refuses(400, "The channel is not active.")
                .refuses(404, "There is no such channel, or none that this API has.")
                .refuses(502, "It was not taken, and why."),
        )
}

fn list_channels() -> Operation {
    paged(operation("lenzListChannels", "Lists channels, oldest first."))
        .scope(ChannelsRead)
        .parameter("search", "To be found in the name, in whatever case.", json!({"type": "string"}), json!("alert"))
        .parameter("provider", "Only this kind.", json!({"type": "string", "enum": PROVIDERS}), json!("telegram"))
        .parameter("is_active", "Only those that are, or are not.", json!({"type": "boolean"}), json!(true))
        .with::<ChannelOut>()
        .answer(200, "A page, and how many there are.", counted("LenzChannel"), {
            let mut page = example();
            page["result"] = json!([page["result"]]);
            page["total"] = json!(1);
            page
        })
        .refuses(400, "A parameter is wrong.")
}

fn declare_queue(routes: Routes<App>) -> Routes<App> {
    routes
        .get(
            "/api/notification-queue/stats",
            queue::stats,
            operation("lenzQueueStats", "Tells how much waits, and what happened today.")
                .detail("A day begins at midnight in the zone of the setting `lenz.time_zone`.")
                .scope(DeliveriesRead)
                .with::<QueueOut>()
                .answer(
                    200,
                    "The figures.",
                    enveloped("result", reference("LenzQueue")),
                    json!({"ok": true, "message": "success", "result": {"pending": 3, "processing": 1,
                        "sent_today": 142, "failed_today": 2, "dead_letter": 0}}),
                ),
        )
        .get(
            "/api/notification-queue/dead-letter",
            queue::dead_letters,
            paged(operation("lenzDeadLetters", "Lists deliveries that gave up, newest first."))
                .detail(&format!("Covers the newest {DEAD_LETTERS_MAX}."))
                .scope(DeliveriesRead)
                .with::<DeadLetterOut>()
                .answer(200, "A page.", enveloped("result", list_of("LenzDeadLetter")), dead_letters())
                .refuses(400, "A parameter is wrong."),
        )
        .post(
            "/api/notification-queue/{id}/retry",
            queue::retry,
            operation("lenzRetry", "Tries a delivery again, with a fresh budget of attempts.")
                .scope(DeliveriesWrite)
                .answers::<Done>(200, "It will be tried.", json!({"ok": true, "message": "success"}))
                .refuses(400, "It is over or being tried, or its channel takes nothing.")
                .refuses(404, "There is no such delivery."),
        )
        .get("/api/notification-logs", logs::list, list_logs())
}

fn list_logs() -> Operation {
    let results = RESULTS.map(|(name, _)| name);
    paged(operation("lenzListLogs", "Lists every attempt, newest first."))
        .detail(&format!(
            "Covers the newest {LOG_ROWS_MAX} of the tenant, or of the channel that is asked for; `total` counts among \
             these."
        ))
        .scope(DeliveriesRead)
        .parameter("filter[channel_id]", "Only to this channel.", json!({"type": "integer"}), json!(1))
        .parameter("filter[status]", "Only these.", json!({"type": "string", "enum": results}), json!("sent"))
        .parameter("filter[provider]", "Only by this.", json!({"type": "string", "enum": PROVIDERS}), json!("webhook"))
        .parameter("filter[event_type]", "Only this type.", json!({"type": "string"}), json!("alert_history"))
        .with::<LogOut>()
        .answer(
            200,
            "A page, and how many there are.",
            counted("LenzLog"),
            json!({"ok": true, "message": "success", "result": [{"id": 1001, "outbox_id": 500, "channel_id": 1,
                "provider": "telegram", "event_type": "alert_history", "status": "sent", "response_code": 200,
                "response_body": "{\"ok\":true,\"result\":{\"message_id\":42}}", "duration_ms": 312,
                "created_at": "2026-04-30T08:15:23Z"}], "total": 1}),
        )
        .refuses(400, "A parameter is wrong.")
}

fn paged(operation: Operation) -> Operation {
    operation.parameter("page", "From 1.", json!({"type": "integer", "default": 1}), json!(1)).parameter(
        "limit",
        "Rows of a page.",
        json!({"type": "integer", "default": 20, "maximum": LIMIT_MAX}),
        json!(20),
    )
}

/// The envelope around what is under `key`.
#[expect(clippy::needless_pass_by_value, reason = "schemas are made where they are given away")]
fn enveloped(key: &str, schema: Value) -> Value {
    json!({"type": "object", "required": ["ok", "message", key], "properties": {
        "ok": {"const": true}, "message": {"type": "string"}, key: schema,
    }})
}

fn list_of(name: &str) -> Value {
    json!({"type": "array", "items": reference(name)})
}

fn counted(name: &str) -> Value {
    let mut schema = enveloped("result", list_of(name));
    schema["required"] = json!(["ok", "message", "result", "total"]);
    schema["properties"]["total"] = json!({"type": "integer", "minimum": 0});
    schema
}

fn new_channel() -> Value {
    json!({
        "name": "Alert Tim Security - Telegram",
        "provider": "telegram",
        "config": {"bot_token": "123456789:ABCdefGHI...", "chat_id": "-100123456789"},
        "body_template": "*{{severity}}* Alert\n\nLocation: {{stream_name}}\nLabel: {{label}}\nTime: {{timestamp}}",
        "is_active": true,
    })
}

fn example() -> Value {
    let mut channel = new_channel();
    let more = json!({"id": 1, "subject_template": null, "rate_limit": 0, "batch_enabled": false,
        "batch_window_seconds": 0, "batch_max_size": 0, "created_at": "2026-04-30T10:00:00Z", "updated_at": null,
        "deleted_at": null});
    if let (Value::Object(channel), Value::Object(more)) = (&mut channel, more) {
        channel.extend(more);
    }
    json!({"ok": true, "message": "success", "result": channel})
}

fn catalogue() -> Value {
    let variable = json!({"key": "severity", "description": "Tingkat keparahan alert", "type": "string",
        "example": "CRITICAL"});
    let event_type = json!({"type": "alert_history", "label": "Alert History",
        "description": "Dipicu saat sebuah alert rule menghasilkan event baru.",
        "groups": [{"name": "Alert Info", "variables": [variable]}]});
    json!({"ok": true, "message": "success", "data": {"event_types": [event_type]}})
}

fn dead_letters() -> Value {
    json!({"ok": true, "message": "success", "result": [{"id": 500, "channel_id": 2, "event_type": "alert_history",
        "payload": {"severity": "HIGH", "stream_name": "Gate B"}, "status": "dead", "attempts": 5, "max_attempts": 5,
        "next_retry_at": null, "error_message": "gave up after 5 attempts: the target refused the connection",
        "created_at": "2026-04-30T07:00:01Z", "processed_at": null}]})
}
