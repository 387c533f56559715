//! `/v1/stats`: sums since some time, and what waits now.

use axum::Json;
use axum::extract::State;
use domain::ChannelId;
use engine::ops::{StatsQuery, StatsShown};
use providers::message::rfc3339;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Caller, DeliveriesRead, Params};
use super::problem::Problem;
use super::{App, filter};

/// Without `since`: the last 24 hours.
const SINCE_DEFAULT_MS: i64 = 24 * 60 * 60 * 1000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatsIn {
    since: Option<String>,
    channel_id: Option<i64>,
    event_type: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Stats)]
pub(crate) struct StatsOut {
    since: String,
    /// Null for one channel: an event belongs to none.
    events: Option<u64>,
    sent: u64,
    failed_attempts: u64,
    cancelled: u64,
    expired: u64,
    /// Now, as are the following; null for some event types, by which they are not counted.
    pending: Option<u64>,
    retrying: Option<u64>,
    held: Option<u64>,
    dead: Option<u64>,
}

impl From<StatsShown> for StatsOut {
    fn from(stats: StatsShown) -> Self {
        let waiting = stats.waiting.as_ref();
        Self {
            since: rfc3339(stats.since),
            events: stats.events,
            sent: stats.sent,
            failed_attempts: stats.failed_attempts,
            cancelled: stats.cancelled,
            expired: stats.expired,
            pending: waiting.map(|now| now.pending),
            retrying: waiting.map(|now| now.retrying),
            held: waiting.map(|now| now.held),
            dead: waiting.map(|now| now.dead),
        }
    }
}

pub(crate) async fn show(
    State(engine): State<App>,
    caller: Caller<DeliveriesRead>,
    Params(query): Params<StatsIn>,
) -> Result<Json<StatsOut>, Problem> {
    let day_ago = || domain::Timestamp::from_ms(engine.clock().now().as_ms() - SINCE_DEFAULT_MS);
    let query = StatsQuery {
        since: filter::time("since", query.since.as_deref())?.unwrap_or_else(day_ago),
        channel: query.channel_id.map(ChannelId),
        event_types: filter::event_types("event_type", query.event_type.as_deref())?,
    };
    Ok(Json(engine.stats(caller.tenant, query).await?.into()))
}
