//! The paths and their handlers.

use std::sync::Arc;

use axum::extract::State;
use axum::{Json, Router};
use domain::tenant::Scope::{ChannelsRead, ChannelsWrite};
use engine::Engine;
use serde_json::{Value, json};

use super::error::{ErrorOut, Fault};
use super::extract::{Raw, Reader, Writer};
use super::links::Links;
use super::wire::{self, AnswerOut, SettingsPatch};
use super::{App, DIALECT, unsubscribe};
use crate::openapi::{Declared, Operation, Routes};

const PATH: &str = "/tenants/me/notifications";

/// The routes, and what the document says of them.
pub(in super::super) fn router(engine: Arc<Engine>, links: Arc<Links>) -> (Router, Declared) {
    let (router, declared) = declared().finish();
    let router =
        router.method_not_allowed_fallback(async || Fault::method_not_allowed()).with_state(App { engine, links });
    (router, declared)
}

fn declared() -> Routes<App> {
    let operation = |id, about| Operation::of_dialect::<ErrorOut>(id, DIALECT, about);
    let link = |id, about| {
        let token = json!({"type": "string"});
        operation(id, about).part("token", token, "1.scan.failed.Zt3Yc0Ue5y4nT1mR8S2Q1w")
    };
    Routes::new()
        .tag(DIALECT, "Notification settings as Aether365 has them: docs/dialects/aether365.md.")
        .get(
            PATH,
            show,
            operation("aetherGetNotifications", "Shows what the tenant is told of its scans, and how.")
                .scope(ChannelsRead)
                .answers::<AnswerOut>(200, "The settings.", example()),
        )
        .patch(
            PATH,
            change,
            operation("aetherUpdateNotifications", "Changes those settings that the body names, all or none.")
                .scope(ChannelsWrite)
                .body::<SettingsPatch>(example()["data"].clone())
                .answers::<AnswerOut>(200, "All settings after the change.", example())
                .refuses(400, "The body is no JSON object, or a field is wrong: see `details`.")
                .refuses(404, "A platform key named an unknown tenant.")
                .refuses(408, "The body took too long to arrive.")
                .refuses(413, "The body is too large."),
        )
        .get(
            "/u/{token}",
            unsubscribe::ask,
            link("aetherAskToUnsubscribe", "The page that a mail's link leads to.").text(
                200,
                "A page with a button.",
                "text/html",
            ),
        )
        .post(
            "/u/{token}",
            unsubscribe::confirm,
            link("aetherUnsubscribe", "Ends mails of one kind, with one click (RFC 8058).").text(
                200,
                "They are over.",
                "text/html",
            ),
        )
        .otherwise("/tenants", nothing)
        .otherwise("/tenants/", nothing)
        .otherwise("/tenants/{*rest}", nothing)
}

fn example() -> Value {
    json!({"success": true, "data": {
        "emailOnComplete": true,
        "emailOnFail": true,
        "teamsWebhookUrl": "https://outlook.office.com/webhook/...",
        "teamsOnComplete": true,
        "teamsOnFail": true,
    }})
}

async fn nothing() -> Fault {
    Fault::not_found()
}

async fn show(State(app): State<App>, reader: Reader) -> Result<Json<AnswerOut>, Fault> {
    let settings = app.engine.dialect_settings(reader.tenant, DIALECT)?;
    Ok(Json(wire::shown(&settings, reader.may_write)))
}

async fn change(State(app): State<App>, writer: Writer, Raw(body): Raw) -> Result<Json<AnswerOut>, Fault> {
    let before = app.engine.dialect_settings(writer.tenant, DIALECT)?;
    let patch = wire::read(&body, &before)?;
    let settings = app.engine.change_dialect_settings(writer.tenant, DIALECT, patch).await?;
    Ok(Json(wire::shown(&settings, true)))
}
