//! `/v1/attempts`: every try, newest first.

use axum::Json;
use axum::extract::State;
use domain::delivery::Attempt;
use domain::outcome::Class;
use domain::{AttemptId, ChannelId, DeliveryId};
use engine::ops::AttemptQuery;
use providers::message::rfc3339;
use serde::{Deserialize, Serialize};

use super::App;
use super::extract::{Caller, DeliveriesRead, Params};
use super::page::{PageIn, PageOut};
use super::problem::Problem;

#[derive(Debug, Serialize)]
pub(crate) struct AttemptOut {
    id: i64,
    delivery_id: i64,
    event_id: String,
    event_type: String,
    channel_id: i64,
    provider: String,
    /// Counts every try of the delivery from 1.
    number: u32,
    step: u32,
    status: &'static str,
    /// The provider's status; null when no answer came.
    code: Option<u16>,
    /// The beginning of the provider's answer.
    body: String,
    /// What went wrong; null when delivered.
    reason: Option<String>,
    /// The provider's own id of the message.
    reference: Option<String>,
    started_at: String,
    duration_ms: u32,
}

impl From<Attempt> for AttemptOut {
    fn from(attempt: Attempt) -> Self {
        let record = attempt.record;
        Self {
            id: attempt.id.0,
            delivery_id: attempt.delivery.0,
            event_id: attempt.event.public(),
            event_type: attempt.event_type,
            channel_id: attempt.channel.0,
            provider: attempt.provider,
            number: record.number,
            step: record.step,
            status: record.outcome.class.name(),
            code: record.code,
            body: record.body,
            reason: Some(record.outcome.note).filter(|note| !note.is_empty()),
            reference: record.outcome.reference,
            started_at: rfc3339(record.started_at),
            duration_ms: record.duration_ms,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct ListIn {
    delivery_id: Option<i64>,
    channel_id: Option<i64>,
    status: Option<String>,
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
        class: query.status.as_deref().map(read_status).transpose()?,
        before: page.after()?.map(AttemptId),
        rows_max: page.limit()?,
    };
    let limit = query.rows_max;
    let attempts = engine.attempts(caller.tenant, query).await?;
    Ok(Json(PageOut::new(attempts, limit, |attempt| attempt.id.0, Into::into)))
}

fn read_status(text: &str) -> Result<Class, Problem> {
    Class::parse(text).ok_or_else(|| {
        let known: Vec<_> = Class::ALL.iter().map(|class| class.name()).collect();
        Problem::invalid_field("status", format!("must be one of {}", known.join(", ")))
    })
}
