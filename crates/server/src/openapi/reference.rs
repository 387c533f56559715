//! `GET /openapi.json`: the document. `GET /docs`: the same as a page for people, without scripts.

mod operations;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue};
use maud::{Markup, html};
use serde_json::{Value, json};

use crate::http::client::Client;
use crate::http::page;

pub(crate) const DOCUMENT: &str = "/openapi.json";
pub(crate) const PAGE: &str = "/docs";
pub(crate) const STYLE: &str = "/docs/style.css";

/// Serves this document, which lacks its `servers`: each client is told the address that it came by.
pub(crate) fn router(document: Value) -> Router {
    let routes = Router::new().route(DOCUMENT, get(for_programs)).route(PAGE, get(page)).route(STYLE, get(style));
    routes.with_state(Arc::new(document))
}

async fn for_programs(State(document): State<Arc<Value>>, request: Request) -> axum::Json<Value> {
    let mut document = Value::clone(&document);
    document["servers"] = json!([{"url": base(&request)}]);
    axum::Json(document)
}

async fn page(State(document): State<Arc<Value>>, request: Request) -> Response {
    let mut response = Html(whole(&document, &base(&request)).into_string()).into_response();
    for (name, value) in page::PROTECTION {
        response.headers_mut().insert::<HeaderName>(name, HeaderValue::from_static(value));
    }
    response
}

async fn style() -> Response {
    let sheet = concat!(include_str!("../http/style.css"), include_str!("reference/style.css"));
    ([(CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"))], sheet).into_response()
}

/// How the client reached this server.
fn base(request: &Request) -> String {
    request.extensions().get::<Client>().and_then(Client::base).unwrap_or_default()
}

fn whole(document: &Value, base: &str) -> Markup {
    let base = base.trim_end_matches('/');
    let tags = document["tags"].as_array().map(Vec::as_slice).unwrap_or_default();
    let body = html! {
        header { h1 { "Postrider" } p.quiet { "API, version " (text(&document["info"]["version"])) } }
        main {
            h2 { "API reference" }
            p { (text(&document["info"]["description"])) }
            p.quiet { "For programs: " a href=(DOCUMENT) { (DOCUMENT) } ", OpenAPI 3.1. This server: " code { (base) } }
            nav aria-label="Contents" {
                @for tag in tags {
                    h3 { (text(&tag["name"])) }
                    ul.contents {
                        @for (path, method, operation) in operations::of_tag(document, text(&tag["name"])) {
                            li {
                                a href={ "#" (text(&operation["operationId"])) } {
                                    code { (method.to_uppercase()) " " (path) }
                                }
                                " " (text(&operation["summary"]))
                            }
                        }
                    }
                }
            }
            @for tag in tags {
                h2 { (text(&tag["name"])) }
                p.quiet { (text(&tag["description"])) }
                @for (path, method, operation) in operations::of_tag(document, text(&tag["name"])) {
                    (operations::shown(document, base, path, method, operation))
                }
            }
        }
    };
    page::whole("API reference", STYLE, &body)
}

/// A text of the document.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
