//! `/v1/events`: accepting events and telling what became of them.

use axum::extract::State;
use axum::{Extension, Json};
use domain::event::{NewEvent, Severity};
use domain::verdict::Reason;
use domain::{ChannelId, DeliveryId, EventId, TraceContext};
use engine::ops::{Accepted, EventQuery, EventShown, EventSummary, Explained};
use http::{HeaderMap, StatusCode};
use providers::message::rfc3339;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::deliveries::DeliveryOut;
use super::extract::{Caller, EventsRead, Params, PathParts, Poster, Raw};
use super::incoming::{self, Incoming};
use super::page::{PageIn, PageOut};
use super::problem::Problem;
use super::{App, filter};

/// How many deliveries an event shows at once; the others are listed by `/v1/deliveries`.
const DELIVERIES_SHOWN_MAX: usize = 1000;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Accepted)]
pub(crate) struct AcceptedOut {
    id: String,
    deliveries: Vec<MadeOut>,
    /// Deliveries that follow after this answer.
    #[serde(skip_serializing_if = "is_zero")]
    expanding: usize,
    /// Channels that were meant and did not get it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<SkippedOut>,
    /// Accepted before, under the same idempotency key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    repeated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde calls")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MadeDelivery)]
struct MadeOut {
    id: i64,
    channel_id: i64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Skipped)]
struct SkippedOut {
    channel_id: i64,
    /// The same as `reason_code`.
    reason: &'static str,
    reason_code: &'static str,
}

fn skipped_out((channel, reason): (ChannelId, Reason)) -> SkippedOut {
    SkippedOut { channel_id: channel.0, reason: reason.code(), reason_code: reason.code() }
}

/// Said of an event that nobody hears of.
const MATCHED_NOTHING: &str = "no channel takes this event; it is kept, and GET /v1/events/{id} tells why";

impl From<Accepted> for AcceptedOut {
    fn from(accepted: Accepted) -> Self {
        let Accepted { event, skipped } = accepted;
        let made = |(delivery, channel): (DeliveryId, ChannelId)| MadeOut { id: delivery.0, channel_id: channel.0 };
        Self {
            id: event.id.public(),
            note: event.deliveries.is_empty().then_some(MATCHED_NOTHING),
            deliveries: event.deliveries.into_iter().map(made).collect(),
            expanding: event.expanding,
            skipped: skipped.into_iter().map(skipped_out).collect(),
            repeated: event.is_repeat,
        }
    }
}

/// An object is answered with an object, an array with `data`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    One(AcceptedOut),
    Many { data: Vec<AcceptedOut> },
}

pub(crate) async fn create(
    State(engine): State<App>,
    Poster(acting): Poster,
    trace: Option<Extension<TraceContext>>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<(StatusCode, Json<Answer>), Problem> {
    let trace = trace.map(|Extension(trace)| trace);
    let Incoming { tenant, events, is_list } = incoming::read(&engine, acting, trace, &headers, &body)?;
    let key = headers.get("idempotency-key").map(|key| key.to_str().unwrap_or_default());
    let mut accepted = engine.accept_events(tenant, events, is_list, key).await?;
    let answer = match accepted.pop() {
        Some(only) if !is_list => Answer::One(only.into()),
        last => Answer::Many { data: accepted.into_iter().chain(last).map(Into::into).collect() },
    };
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct EventOut {
    id: String,
    r#type: String,
    #[schema(value_type = Object)]
    data: Box<RawValue>,
    occurred_at: String,
    accepted_at: String,
    severity: Option<&'static str>,
    /// The channels that the event named; null when subscriptions chose.
    channels: Option<Vec<i64>>,
    deliveries: Vec<DeliveryOut>,
    deliveries_total: usize,
    expanding: usize,
    verdicts: Vec<SkippedOut>,
    verdicts_more: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

impl TryFrom<EventShown> for EventOut {
    type Error = Problem;

    fn try_from(shown: EventShown) -> Result<Self, Problem> {
        let EventShown { record, deliveries } = shown;
        let NewEvent { event_type, data, occurred_at, severity, explicit_channels, .. } = &*record.event.content;
        let data = RawValue::from_string(data.to_string())
            .map_err(|_| engine::ops::OpsError::Internal(format!("the data of {} is not JSON", record.event.id)))?;
        let total = record.deliveries + record.expanding;
        Ok(Self {
            id: record.event.id.public(),
            r#type: event_type.to_string(),
            data,
            occurred_at: rfc3339(*occurred_at),
            accepted_at: rfc3339(record.event.accepted_at),
            severity: severity.map(Severity::name),
            channels: explicit_channels.as_ref().map(|ids| ids.iter().map(|id| id.0).collect()),
            deliveries: deliveries.into_iter().map(Into::into).collect(),
            deliveries_total: total,
            expanding: record.expanding,
            verdicts: record.verdicts.skipped.into_iter().map(skipped_out).collect(),
            verdicts_more: record.verdicts.skipped_more,
            note: (total == 0).then_some("no channel took this event when it was accepted"),
        })
    }
}

pub(crate) async fn show(
    State(engine): State<App>,
    caller: Caller<EventsRead>,
    PathParts(id): PathParts<String>,
) -> Result<Json<EventOut>, Problem> {
    let shown = engine.event(caller.tenant, event_id(&id)?, DELIVERIES_SHOWN_MAX).await?;
    Ok(Json(shown.try_into()?))
}

fn event_id(text: &str) -> Result<EventId, Problem> {
    EventId::parse(text).ok_or_else(|| Problem::not_found(format!("there is no event {text:?}; ids look like evt_17")))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExplainIn {
    channel_id: i64,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Explained)]
pub(crate) struct ExplainedOut {
    event_id: String,
    channel_id: i64,
    /// The status of the delivery; where there is none, the same as `reason_code`.
    reason: &'static str,
    reason_code: &'static str,
    delivery: Option<DeliveryOut>,
}

pub(crate) async fn explain(
    State(engine): State<App>,
    caller: Caller<EventsRead>,
    PathParts(id): PathParts<String>,
    Params(query): Params<ExplainIn>,
) -> Result<Json<ExplainedOut>, Problem> {
    let event = event_id(&id)?;
    let explained = engine.explain(caller.tenant, event, ChannelId(query.channel_id)).await?;
    let (reason, reason_code) = (explained.verdict(), explained.reason_code().name());
    let delivery = match explained {
        Explained::Delivery(delivery) => Some((*delivery).into()),
        _ => None,
    };
    Ok(Json(ExplainedOut { event_id: event.public(), channel_id: query.channel_id, reason, reason_code, delivery }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListIn {
    r#type: Option<String>,
    severity: Option<String>,
    since: Option<String>,
    until: Option<String>,
    q: Option<String>,
    limit: Option<String>,
    cursor: Option<String>,
}

/// An event of the list: without its data, which may be large.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListedEvent)]
pub(crate) struct ListedOut {
    id: String,
    r#type: String,
    occurred_at: String,
    accepted_at: String,
    severity: Option<&'static str>,
    deliveries_total: usize,
}

impl From<EventSummary> for ListedOut {
    fn from(event: EventSummary) -> Self {
        Self {
            id: event.id.public(),
            r#type: event.event_type,
            occurred_at: rfc3339(event.occurred_at),
            accepted_at: rfc3339(event.accepted_at),
            severity: event.severity.map(Severity::name),
            deliveries_total: event.deliveries,
        }
    }
}

pub(crate) async fn list(
    State(engine): State<App>,
    caller: Caller<EventsRead>,
    Params(query): Params<ListIn>,
) -> Result<Json<PageOut<ListedOut>>, Problem> {
    let page = PageIn::new(query.limit, query.cursor);
    let query = EventQuery {
        event_types: filter::event_types("type", query.r#type.as_deref())?,
        severity: filter::severity(query.severity.as_deref())?,
        accepted: filter::span(query.since.as_deref(), query.until.as_deref())?,
        text: filter::text(query.q.as_deref())?,
        before: page.after()?.map(EventId),
        ..EventQuery::newest(page.limit()?)
    };
    Ok(Json(PageOut::of(engine.events(caller.tenant, query).await?)))
}
