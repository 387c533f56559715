//! `/v1/attempts`: every try, newest first.

use axum::Json;
use axum::extract::State;
use domain::delivery::Attempt;
use domain::outcome::Class;
use domain::{AttemptId, ChannelId, DeliveryId};
use engine::ops::AttemptQuery;
use providers::message::rfc3339;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Caller, DeliveriesRead, Params};
use super::page::{PageIn, PageOut};
use super::problem::Problem;
use super::{App, filter};

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
pub(crate) struct AttemptOut {
    id: i64,
    delivery_id: i64,
    event_id: String,
    event_type: String,
    channel_id: i64,
    /// The digest that was tried: its other deliveries have an attempt each, with the same answer.
    digest_id: Option<i64>,
    provider: String,
    /// Counts every try of the delivery from 1.
    number: u32,
    step: u32,
    status: &'static str,
    /// The provider's status; null when no answer came.
    code: Option<u16>,
    /// The beginning of the provider's answer.
    body: String,
    /// What it came to, as a code that keeps its meaning.
    reason_code: &'static str,
    /// What went wrong, in words; null when delivered.
    reason: Option<String>,
    /// The provider's own id of the message.
    reference: Option<String>,
    started_at: String,
    duration_ms: u32,
}

impl From<Attempt> for AttemptOut {
    fn from(attempt: Attempt) -> Self {
        let reason_code = attempt.code().name();
        let record = attempt.record;
        Self {
            id: attempt.id.0,
            delivery_id: attempt.delivery.0,
            event_id: attempt.event.public(),
            event_type: attempt.event_type,
            channel_id: attempt.channel.0,
            digest_id: attempt.digest.map(|digest| digest.0),
            provider: attempt.provider,
            number: record.number,
            step: record.step,
            status: record.outcome.class.name(),
            code: record.code,
            body: record.body,
            reason_code,
            reason: Some(record.outcome.note).filter(|note| !note.is_empty()),
            reference: record.outcome.reference,
            started_at: rfc3339(record.started_at),
            duration_ms: record.duration_ms,
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListIn {
    delivery_id: Option<i64>,
    channel_id: Option<i64>,
    event_id: Option<String>,
    event_type: Option<String>,
    provider: Option<String>,
    status: Option<String>,
    code: Option<u16>,
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
) -> Result<Json<PageOut<AttemptOut>>, Problem> {
    let page = PageIn::new(query.limit, query.cursor);
    let query = AttemptQuery {
        delivery: query.delivery_id.map(DeliveryId),
        channel: query.channel_id.map(ChannelId),
        event: filter::event("event_id", query.event_id.as_deref())?,
        event_types: filter::event_types("event_type", query.event_type.as_deref())?,
        class: query.status.as_deref().map(read_status).transpose()?,
        code: query.code,
        started: filter::span(query.since.as_deref(), query.until.as_deref())?,
        text: filter::text(query.q.as_deref())?,
        provider: query.provider,
        before: page.after()?.map(AttemptId),
        ..AttemptQuery::newest(page.limit()?)
    };
    Ok(Json(PageOut::of(engine.attempts(caller.tenant, query).await?)))
}

fn read_status(text: &str) -> Result<Class, Problem> {
    Class::parse(text).ok_or_else(|| {
        let known: Vec<_> = Class::ALL.iter().map(|class| class.name()).collect();
        Problem::invalid_field("status", format!("must be one of {}", known.join(", ")))
    })
}
