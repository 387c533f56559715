//! `/api/notification-channels/template-variables`: what templates may ask for, by type of event.

use axum::Json;
use axum::extract::State;
use domain::TenantId;
use engine::Engine;
use engine::ops::EventTypeShown;

use super::App;
use super::error::Error;
use super::extract::{Caller, ChannelsRead};
use super::query::Query;
use super::wire::{CatalogueOut, Told};

/// The type that clients of Lenz know: it comes first, and tests send it.
pub(super) const FIRST_TYPE: &str = "alert_history";

/// The most types of one answer, which has no pages: a filter finds any.
const TYPES_MAX: usize = 200;

pub(super) async fn list(
    State(app): State<App>,
    caller: Caller<ChannelsRead>,
    query: Query,
) -> Result<Json<Told<CatalogueOut>>, Error> {
    let event_types = match query.text("event_type") {
        Some(name) => app.engine.event_type(caller.tenant, name).into_iter().collect(),
        None => catalogue(&app.engine, caller.tenant),
    };
    Ok(Json(Told::new(event_types.into())))
}

/// The tenant's types in order of name, after the one that is known. What else is built in is of another API, and shown to
/// those who ask for it by name.
fn catalogue(engine: &Engine, tenant: TenantId) -> Vec<EventTypeShown> {
    let mut all = engine.event_types(tenant, "", usize::MAX);
    all.retain(|shown| !shown.is_built_in || shown.event_type.name == FIRST_TYPE);
    all.sort_by_key(|shown| shown.event_type.name != FIRST_TYPE);
    all.truncate(TYPES_MAX);
    all
}
