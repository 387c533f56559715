//! The paths and their handlers.

use std::sync::Arc;

use axum::extract::State;
use axum::middleware::from_fn;
use axum::{Json, Router};
use domain::tenant::Scope::{ChannelsRead, ChannelsWrite};
use engine::Engine;
use http::StatusCode;
use serde_json::{Value, json};

use super::App;
use super::error::{self, ErrorsOut, Fault};
use super::extract::{Id, Reader, Writer};
use super::list;
use super::map;
use super::wire::{WebhookIn, WebhookOut};
use crate::config::Config;
use crate::openapi::{Declared, Operation, Routes, reference};

const TAG: &str = "thulium";

/// The routes, and what the document says of them.
pub(in super::super) fn router(engine: Arc<Engine>, _: &Config) -> (Router, Declared) {
    let (router, declared) = declared().finish();
    let router = router
        .method_not_allowed_fallback(async || Fault::method_not_allowed())
        .layer(from_fn(error::written))
        .with_state(engine);
    (router, declared)
}

fn declared() -> Routes<App> {
    let operation = |id, about| Operation::of_dialect::<ErrorsOut>(id, TAG, about).takes_basic();
    let whole = |operation: Operation| {
        operation.with::<WebhookIn>().media(
            "application/json",
            reference("ThuliumWebhookIn"),
            vec![(
                "seed".to_owned(),
                json!({"actions": ["CHAT_CONVERSATION_CREATED"], "subscription_url": "https://example.pl"}),
            )],
        )
    };
    let one = |operation: Operation| operation.answers::<WebhookOut>(200, "The webhook.", webhook());
    let array = json!({"type": "array", "items": reference("ThuliumWebhook")});
    Routes::new()
        .tag(TAG, "Webhooks as Thulium has them: docs/dialects/thulium.md.")
        .get(
            "/api/webhooks",
            index,
            operation("thuliumListWebhooks", "Lists all webhooks, in order of id.")
                .scope(ChannelsRead)
                .with::<WebhookOut>()
                .answer(200, "The webhooks.", array, json!([webhook()])),
        )
        .post(
            "/api/webhooks",
            create,
            refusing(one(whole(operation("thuliumCreateWebhook", "Makes a webhook.").scope(ChannelsWrite))))
                .refuses(409, "There are as many webhooks as a tenant may have here."),
        )
        .get(
            "/api/webhooks/{id}",
            show,
            one(operation("thuliumGetWebhook", "Shows a webhook.").scope(ChannelsRead))
                .refuses(404, "There is no such webhook."),
        )
        .put(
            "/api/webhooks/{id}",
            update,
            refusing(one(whole(operation("thuliumUpdateWebhook", "Changes a webhook.").scope(ChannelsWrite))))
                .refuses(404, "There is no such webhook."),
        )
        .delete(
            "/api/webhooks/{id}",
            remove,
            operation("thuliumDeleteWebhook", "Deletes a webhook.")
                .scope(ChannelsWrite)
                .empty(204, "It is gone.")
                .refuses(404, "There is no such webhook."),
        )
        .otherwise("/api/webhooks/", nothing)
        .otherwise("/api/webhooks//", nothing)
        .otherwise("/api/webhooks/{id}/", nothing)
        .otherwise("/api/webhooks/{id}/{*rest}", nothing)
}

fn refusing(operation: Operation) -> Operation {
    operation
        .refuses(400, "The body is not JSON, or fields are wrong.")
        .refuses(408, "The body took too long to arrive.")
        .refuses(413, "The body is too large.")
}

fn webhook() -> Value {
    json!({"id": 5, "actions": ["CHAT_CONVERSATION_CREATED"], "subscription_url": "https://example.pl",
        "http_auth_user": "", "http_auth_password": ""})
}

async fn nothing() -> Fault {
    Fault::not_found()
}

async fn index(State(engine): State<App>, reader: Reader) -> list::Webhooks {
    list::Webhooks::new(engine, reader)
}

/// Answers 200 and not 201: the vendor's own PHP sample takes nothing else.
async fn create(State(engine): State<App>, writer: Writer, webhook: WebhookIn) -> Result<Json<WebhookOut>, Fault> {
    let made = engine.create_channel_within(writer.tenant, map::new_channel(webhook)?, Some(&map::cap())).await?;
    Ok(Json(map::shown(&made, true)))
}

async fn show(State(engine): State<App>, reader: Reader, Id(id): Id) -> Result<Json<WebhookOut>, Fault> {
    let found = map::webhook(&engine, reader.tenant, id)?;
    Ok(Json(map::shown(&found, reader.may_write)))
}

async fn update(
    State(engine): State<App>,
    writer: Writer,
    Id(id): Id,
    webhook: WebhookIn,
) -> Result<Json<WebhookOut>, Fault> {
    let edit = map::edit(webhook, &map::webhook(&engine, writer.tenant, id)?)?;
    let changed = engine.update_channel(writer.tenant, id, edit).await?;
    Ok(Json(map::shown(&changed, true)))
}

async fn remove(State(engine): State<App>, writer: Writer, Id(id): Id) -> Result<StatusCode, Fault> {
    map::webhook(&engine, writer.tenant, id)?;
    engine.delete_channel(writer.tenant, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
