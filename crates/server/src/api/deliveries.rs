//! `/v1/deliveries`: what waits, what went, what gave up, and trying again.

use axum::Json;
use axum::extract::State;
use domain::delivery::{Delivery, State as DeliveryState};
use domain::{ChannelId, DeliveryId};
use engine::ops::DeliveryFilter;
use http::StatusCode;
use providers::message::rfc3339;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Caller, DeliveriesRead, DeliveriesWrite, Id, Params};
use super::page::{PageIn, PageOut};
use super::problem::Problem;
use super::{App, filter};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(crate) struct DeliveryOut {
    id: i64,
    event_id: String,
    event_type: String,
    channel_id: i64,
    status: &'static str,
    attempts: u32,
    next_attempt_at: Option<String>,
    created_at: String,
    expires_at: String,
    settled_at: Option<String>,
    /// The digest that it was merged in; null when it is a message of its own.
    digest_id: Option<i64>,
    /// Why it stands where it stands, as a code that keeps its meaning.
    reason_code: &'static str,
    /// The same in words; null when there is nothing to say.
    reason: Option<String>,
}

impl From<Delivery> for DeliveryOut {
    fn from(delivery: Delivery) -> Self {
        Self {
            id: delivery.id.0,
            event_id: delivery.event.public(),
            event_type: delivery.event_type,
            channel_id: delivery.channel.0,
            status: delivery.state.name(),
            attempts: delivery.attempts,
            next_attempt_at: delivery.next_attempt_at.map(rfc3339),
            created_at: rfc3339(delivery.created_at),
            expires_at: rfc3339(delivery.expires_at),
            settled_at: delivery.settled_at.map(rfc3339),
            digest_id: delivery.digest.map(|digest| digest.0),
            reason_code: delivery.code.name(),
            reason: Some(delivery.reason).filter(|reason| !reason.is_empty()),
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListIn {
    channel_id: Option<i64>,
    event_id: Option<String>,
    event_type: Option<String>,
    status: Option<String>,
    since: Option<String>,
    until: Option<String>,
    q: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

pub(crate) async fn list(
    State(engine): State<App>,
    caller: Caller<DeliveriesRead>,
    Params(query): Params<ListIn>,
) -> Result<Json<PageOut<DeliveryOut>>, Problem> {
    let page = PageIn::new(query.limit, query.cursor);
    let wanted = DeliveryFilter {
        channel: query.channel_id.map(ChannelId),
        state: query.status.as_deref().map(read_status).transpose()?,
        event: filter::event("event_id", query.event_id.as_deref())?,
        event_types: filter::event_types("event_type", query.event_type.as_deref())?,
        created: filter::span(query.since.as_deref(), query.until.as_deref())?,
        text: filter::text(query.q.as_deref())?,
        before: page.after()?.map(DeliveryId),
        rows_max: page.limit()?,
    };
    Ok(Json(PageOut::of(engine.deliveries(caller.tenant, wanted).await?)))
}

pub(super) fn read_status(text: &str) -> Result<DeliveryState, Problem> {
    DeliveryState::parse(text).ok_or_else(|| {
        let known: Vec<_> = DeliveryState::ALL.iter().map(|state| state.name()).collect();
        Problem::invalid_field("status", format!("must be one of {}", known.join(", ")))
    })
}

pub(crate) async fn show(
    State(engine): State<App>,
    caller: Caller<DeliveriesRead>,
    Id(delivery): Id<DeliveryId>,
) -> Result<Json<DeliveryOut>, Problem> {
    Ok(Json(engine.delivery(caller.tenant, delivery).await?.into()))
}

pub(crate) async fn retry(
    State(engine): State<App>,
    caller: Caller<DeliveriesWrite>,
    Id(delivery): Id<DeliveryId>,
) -> Result<(StatusCode, Json<DeliveryOut>), Problem> {
    let delivery = engine.retry_delivery(caller.tenant, delivery).await?;
    Ok((StatusCode::ACCEPTED, Json(delivery.into())))
}
