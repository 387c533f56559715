//! Signing in with a key, and out.

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use domain::Secret;
use http::header::SET_COOKIE;
use http::{HeaderMap, StatusCode};
use maud::{Markup, html};

use super::Console;
use super::page::{self, answer};
use super::session::{is_own, lacking};
use crate::auth::{self, Refusal};
use crate::http::body;
use crate::http::client::Client;

/// Where to sign in.
pub(super) const PATH: &str = "/console/sign-in";

pub(super) async fn form() -> Response {
    answer(StatusCode::OK, &page_with(None))
}

pub(super) async fn enter(
    State(console): State<Console>,
    Extension(client): Extension<Client>,
    request: Request,
) -> Response {
    let refuse = |status, why: &str| answer(status, &page_with(Some(why)));
    if !is_own(request.headers(), &client) {
        return refuse(StatusCode::FORBIDDEN, "The form was not sent from this server. Send it again from here.");
    }
    let Ok(body) = body::read(request).await else {
        return refuse(StatusCode::BAD_REQUEST, "The form could not be read. Send it again.");
    };
    let secret = url::form_urlencoded::parse(&body).find(|(name, _)| name == "key").map(|(_, key)| key);
    let secret = Secret::new(secret.as_deref().unwrap_or_default().trim());
    let key = match auth::key_with(&console.engine, secret.reveal()) {
        Ok(key) => key,
        Err(Refusal::Suspended) => return refuse(StatusCode::FORBIDDEN, "The tenant of this key is suspended."),
        Err(_) => return refuse(StatusCode::UNAUTHORIZED, "This key is unknown, revoked or expired."),
    };
    if let Some(scope) = lacking(&key) {
        return refuse(StatusCode::FORBIDDEN, &format!("This key lacks the scope {}.", scope.name()));
    }
    let cookie = console.sessions.begin(secret, &client, console.engine.clock().now());
    ([(SET_COOKIE, cookie)], Redirect::to("/console")).into_response()
}

pub(super) async fn leave(
    State(console): State<Console>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
) -> Response {
    if !is_own(&headers, &client) {
        return answer(StatusCode::FORBIDDEN, &page_with(Some("The form was not sent from this server.")));
    }
    let cookie = console.sessions.end(&headers, &client);
    ([(SET_COOKIE, cookie)], Redirect::to(PATH)).into_response()
}

fn page_with(error: Option<&str>) -> Markup {
    page::whole(
        "Sign in",
        &html! {
            header { h1 { "Postrider" } }
            main.narrow {
                h2 { "Sign in" }
                @if let Some(error) = error {
                    p.alert role="alert" { (error) }
                }
                form method="post" action=(PATH) {
                    label for="key" { "API key" }
                    input #key name="key" type="password" autocomplete="current-password" required autofocus
                        spellcheck="false";
                    button type="submit" { "Sign in" }
                }
                p.quiet {
                    "A key of a tenant that may read deliveries and channels, or a platform key. It stays on the server; the "
                    "session ends after 12 hours."
                }
            }
        },
    )
}
