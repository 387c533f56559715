//! `/v1/stats`: sums since some time, and what waits now.

use axum::Json;
use axum::extract::State;
use engine::ops::StatsShown;
use providers::message::{parse_rfc3339, rfc3339};
use serde::{Deserialize, Serialize};

use super::App;
use super::extract::{Caller, DeliveriesRead, Params};
use super::problem::Problem;

/// Without `since`: the last 24 hours.
const SINCE_DEFAULT_MS: i64 = 24 * 60 * 60 * 1000;

#[derive(Debug, Deserialize)]
pub(crate) struct StatsIn {
    since: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct StatsOut {
    since: String,
    events: u64,
    sent: u64,
    failed_attempts: u64,
    cancelled: u64,
    expired: u64,
    /// Now, as are the following.
    pending: u64,
    retrying: u64,
    held: u64,
    dead: u64,
}

impl From<StatsShown> for StatsOut {
    fn from(stats: StatsShown) -> Self {
        Self {
            since: rfc3339(stats.since),
            events: stats.events,
            sent: stats.sent,
            failed_attempts: stats.failed_attempts,
            cancelled: stats.cancelled,
            expired: stats.expired,
            pending: stats.pending,
            retrying: stats.retrying,
            held: stats.held,
            dead: stats.dead,
        }
    }
}

pub(crate) async fn show(
    State(engine): State<App>,
    caller: Caller<DeliveriesRead>,
    Params(query): Params<StatsIn>,
) -> Result<Json<StatsOut>, Problem> {
    let since = match query.since {
        Some(text) => parse_rfc3339(&text)
            .ok_or_else(|| Problem::invalid_field("since", "must be a time like 2026-11-22T07:00:00Z (RFC 3339)"))?,
        None => domain::Timestamp::from_ms(engine.clock().now().as_ms() - SINCE_DEFAULT_MS),
    };
    Ok(Json(engine.stats(caller.tenant, since).await?.into()))
}
