//! The paths, what they do, and what the document says of them.

use std::sync::Arc;

use axum::Json as Answer;
use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};
use domain::tenant::Scope::{ChannelsRead, ChannelsWrite};
use engine::Engine;
use http::header::CONTENT_TYPE;
use http::{StatusCode, Uri};
use serde_json::{Value, json};

use super::caller::{self, Fields, Id, Reader, Writer};
use super::error::{ErrorsOut, Failure};
use super::query::{ListIn, Wanted};
use super::wire::{IdOut, LinksOut, ListOut, MetaOut, SavedOut, ShownOut};
use super::{Altum, App, map};
use crate::config::Config;
use crate::http::client::Client;
use crate::openapi::{Declared, Operation, Routes};

const TAG: &str = "altum";

const ALL: &str = "/api/notification-handlers";
const ONE: &str = "/api/notification-handlers/{id}";

/// What siblings of the original call the same, for reading.
const ALIAS: &str = "/api/notification-handler";

/// The routes of this API, and what the document says of them.
pub(crate) fn router(engine: Arc<Engine>, config: &Config) -> (Router, Declared) {
    let altum = Arc::new(Altum::new(engine, config.altum));
    let (router, declared) = declare(Routes::new()).finish();
    let guard = from_fn_with_state(Arc::clone(&altum), caller::guard);
    let router = router.method_not_allowed_fallback(nothing).layer(guard).with_state(altum);
    (router, declared)
}

async fn nothing() -> Failure {
    Failure::not_found()
}

async fn list(
    State(altum): State<App>,
    caller: Reader,
    uri: Uri,
    client: Option<axum::Extension<Client>>,
) -> Answer<ListOut> {
    let wanted = Wanted::read(uri.query().unwrap_or_default());
    let page = altum.engine.channel_page(caller.tenant, &wanted.page_query());
    let meta = MetaOut::new(wanted.page, wanted.page_size, page.total as u64);
    let base = base(client.as_deref(), uri.path());
    let links = LinksOut::new(&base, &wanted.others, &meta);
    let data = page.rows.iter().filter_map(|shown| map::handler(shown, caller.sees_secrets)).collect();
    Answer(ListOut { data, meta, links })
}

/// The URL of a list as the client knows it, without query.
fn base(client: Option<&Client>, path: &str) -> String {
    let path = path.trim_end_matches('/');
    client.and_then(Client::base).unwrap_or_default() + path
}

async fn show(State(altum): State<App>, caller: Reader, Id(id): Id) -> Result<Answer<ShownOut>, Failure> {
    let shown = altum.channel(caller.tenant, id).map_err(|error| altum.failure(error, None))?;
    let data = map::handler(&shown, caller.sees_secrets).ok_or_else(Failure::not_found)?;
    Ok(Answer(ShownOut { data }))
}

async fn create(State(altum): State<App>, caller: Writer, Fields(form): Fields) -> Result<Response, Failure> {
    let new = map::new_channel(&form).map_err(|errors| Failure::invalid(altum.validation_status, errors))?;
    let made = altum.engine.create_channel(caller.tenant, new).await;
    let made = made.map_err(|error| altum.failure(error, map::kind_of(&form, None)))?;
    let saved = SavedOut { data: IdOut { id: made.live.channel.id.0 } };
    Ok((StatusCode::CREATED, Answer(saved)).into_response())
}

async fn update(
    State(altum): State<App>,
    caller: Writer,
    Id(id): Id,
    Fields(form): Fields,
) -> Result<Answer<SavedOut>, Failure> {
    let before = altum.channel(caller.tenant, id).map_err(|error| altum.failure(error, None))?;
    let edit = map::edit(&before, &form).map_err(|errors| Failure::invalid(altum.validation_status, errors))?;
    let changed = altum.engine.update_channel(caller.tenant, id, edit).await;
    changed.map_err(|error| altum.failure(error, map::kind_of(&form, Some(&before))))?;
    Ok(Answer(SavedOut { data: IdOut { id: id.0 } }))
}

/// Answers with nothing, and calls it JSON as the original does.
async fn remove(State(altum): State<App>, caller: Writer, Id(id): Id) -> Result<Response, Failure> {
    altum.channel(caller.tenant, id).map_err(|error| altum.failure(error, None))?;
    let deleted = altum.engine.delete_channel(caller.tenant, id).await;
    deleted.map_err(|error| altum.failure(error, None))?;
    Ok(([(CONTENT_TYPE, "application/json")], "").into_response())
}

fn declare(routes: Routes<App>) -> Routes<App> {
    let about = "Notification handlers as prouvia.com, bitpeak.ru and their siblings have them. Every path also takes a \
                 slash at its end, and reading also goes under /api/notification-handler.";
    let of_all = || -> MethodRouter<App> { get(list).post(create) };
    let of_one = || -> MethodRouter<App> { get(show).merge(post(update)).delete(remove) };
    let routes = routes
        .tag(TAG, about)
        .get(ALL, list, list_operation())
        .post(ALL, create, create_operation())
        .get(ONE, show, show_operation())
        .post(ONE, update, update_operation())
        .delete(ONE, remove, remove_operation())
        .unlisted(&format!("{ALL}/"), of_all())
        .unlisted(&format!("{ONE}/"), of_one())
        .unlisted(ALIAS, get(list))
        .unlisted(&format!("{ALIAS}/"), get(list))
        .unlisted(&format!("{ALIAS}/{{id}}"), get(show))
        .unlisted(&format!("{ALIAS}/{{id}}/"), get(show));
    // Whatever else there might be below, it is refused in this API's own form.
    let deeper = ["{id}/{*rest}", "/", "/{*rest}"];
    let deeper = [ALL, ALIAS].into_iter().flat_map(|path| deeper.map(|end| format!("{path}/{end}")));
    deeper.fold(routes, |routes, path| routes.otherwise(&path, nothing))
}

fn operation(id: &str, about: &str) -> Operation {
    Operation::of_dialect::<ErrorsOut>(id, TAG, about)
        .refuses(429, "The key has used up its calls; X-RateLimit-Reset says for how many seconds.")
        .refuses(500, "A fault of the server; its log says more.")
}

fn list_operation() -> Operation {
    operation("listNotificationHandlers", "Lists notification handlers, the newest first.")
        .detail("A parameter that makes no sense is passed over.")
        .scope(ChannelsRead)
        .query::<ListIn>()
        .answers::<ListOut>(200, "A page.", list_example())
        .refuses(400, "A platform key named no tenant.")
        .refuses(404, "A platform key named an unknown tenant.")
}

fn show_operation() -> Operation {
    operation("getNotificationHandler", "Shows a notification handler.")
        .detail("Secrets are in clear for keys that may write channels, and masked for others.")
        .scope(ChannelsRead)
        .answers::<ShownOut>(200, "The notification handler.", json!({"data": handler_example()}))
        .refuses(404, "There is no such notification handler.")
}

fn create_operation() -> Operation {
    let example = json!({"name": "Example", "type": "email", "email": "hello@example.com"});
    let operation = operation("createNotificationHandler", "Makes a notification handler.")
        .scope(ChannelsWrite)
        .answers::<SavedOut>(201, "It is there.", json!({"data": {"id": 1}}));
    written(operation, &json!(["name", "type"]), &example)
}

fn update_operation() -> Operation {
    let example = json!({"name": "Example new name", "is_enabled": "1"});
    let operation = operation("updateNotificationHandler", "Changes a notification handler.")
        .detail("What is absent stays as it is. Another type needs all of its fields.")
        .scope(ChannelsWrite)
        .answers::<SavedOut>(200, "It is changed.", json!({"data": {"id": 1}}))
        .refuses(404, "There is no such notification handler.");
    written(operation, &json!([]), &example)
}

fn remove_operation() -> Operation {
    operation("deleteNotificationHandler", "Deletes a notification handler.")
        .scope(ChannelsWrite)
        .empty(200, "It is gone.")
        .refuses(404, "There is no such notification handler.")
}

/// What takes fields: in any of three media types, with the same refusals.
fn written(operation: Operation, required: &Value, example: &Value) -> Operation {
    let schema = json!({"type": "object", "required": required, "properties": map::form_properties()});
    let media = ["multipart/form-data", "application/x-www-form-urlencoded", "application/json"];
    media
        .into_iter()
        .fold(operation, |operation, media| {
            operation.media(media, schema.clone(), vec![("example".to_owned(), example.clone())])
        })
        .refuses(400, "A field is missing or wrong, or the body cannot be read.")
        .refuses(408, "The body took too long to arrive.")
        .refuses(413, "The body, or a field of it, is too large.")
        .refuses(503, "The database cannot be used now; nothing was kept.")
}

fn handler_example() -> Value {
    json!({
        "id": 1, "type": "email", "name": "Work email", "settings": {"email": "hey@example.com"}, "is_enabled": true,
        "last_datetime": null, "datetime": "2025-11-18 03:43:38",
    })
}

fn list_example() -> Value {
    let link = "https://notify.example.com/api/notification-handlers?page=1";
    json!({
        "data": [handler_example()],
        "meta": {"page": 1, "results_per_page": 25, "total": 1, "total_pages": 1},
        "links": {"first": link, "last": link, "next": null, "prev": null, "self": link},
    })
}
