//! `/api/notification-logs`: every attempt, newest first.

use axum::Json;
use axum::extract::State;
use engine::ops::LogQuery;

use super::error::{Error, INVALID};
use super::extract::{Caller, DeliveriesRead};
use super::query::Query;
use super::wire::{Counted, LogOut};
use super::{App, SIGHT};

pub(super) async fn list(
    State(app): State<App>,
    caller: Caller<DeliveriesRead>,
    query: Query,
) -> Result<Json<Counted<LogOut>>, Error> {
    let page = query.page()?;
    let wanted = LogQuery {
        channel: query.channel("filter[channel_id]")?,
        provider: query.provider("filter[provider]")?,
        event_type: query.text("filter[event_type]").map(ToOwned::to_owned),
        result: query.result("filter[status]")?,
        skip: page.skip,
        rows_max: page.rows_max,
    };
    let found = app.engine.attempt_log(caller.tenant, SIGHT, wanted).await;
    let found = found.map_err(|error| Error::of(error, INVALID))?;
    Ok(Json(Counted::new(found.rows.into_iter().map(Into::into).collect(), found.total)))
}
