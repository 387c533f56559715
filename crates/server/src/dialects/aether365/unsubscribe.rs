//! `/u/{token}`: where a mail's link leads. A page that asks, and the POST that does it: the page's, or that of a mail
//! program with one click (RFC 8058).
//!
//! Following a link changes nothing, because programs follow links to look at what is there.

use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use maud::{Markup, html};
use serde_json::{Map, Value};

use super::notices::{COMPLETED, FAILED};
use super::{App, DIALECT, wire};
use crate::http::page::{PROTECTION, whole};

/// A setting, and what its mails are about.
type Flag = (&'static str, &'static str);

pub(super) async fn ask(State(app): State<App>, Path(token): Path<String>) -> Response {
    let Some((_, (_, about))) = read(&app, &token) else { return not_valid() };
    answer(
        StatusCode::OK,
        &html! {
            h2 { "Unsubscribe" }
            p { "No more mails about " (about) "?" }
            form method="post" {
                button type="submit" { "Unsubscribe" }
            }
        },
    )
}

pub(super) async fn confirm(State(app): State<App>, Path(token): Path<String>) -> Response {
    let Some((tenant, (flag, about))) = read(&app, &token) else { return not_valid() };
    let patch = Map::from_iter([(flag.to_owned(), Value::from(false))]);
    match app.engine.change_dialect_settings(tenant, DIALECT, patch).await {
        Ok(_) => answer(
            StatusCode::OK,
            &html! {
                h2 { "Unsubscribed" }
                p { "There will be no more mails about " (about) "." }
            },
        ),
        Err(engine::ops::OpsError::NotFound(_)) => not_valid(),
        Err(error) => {
            tracing::warn!(%error, "an unsubscribe link could not be followed");
            let again = html! { h2 { "Not now" } p { "That could not be done now. Please try again later." } };
            answer(StatusCode::SERVICE_UNAVAILABLE, &again)
        }
    }
}

/// Whose link it is, and which flag it clears.
fn read(app: &App, token: &str) -> Option<(domain::TenantId, Flag)> {
    let (tenant, event_type) = app.links.read(token)?;
    let flag = match event_type {
        COMPLETED => (wire::EMAIL_ON_COMPLETE, "scans that complete"),
        FAILED => (wire::EMAIL_ON_FAIL, "scans that fail"),
        _ => return None,
    };
    Some((tenant, flag))
}

fn not_valid() -> Response {
    let page = html! {
        h2 { "This link is not valid" }
        p { "It was cut short on the way, or what it belongs to is gone." }
    };
    answer(StatusCode::NOT_FOUND, &page)
}

fn answer(status: StatusCode, content: &Markup) -> Response {
    let body = html! { header { h1 { "Postrider" } } main.narrow { (content) } };
    let page = whole("Unsubscribe", "/console/style.css", &body);
    (status, PROTECTION, Html(page.0)).into_response()
}
