//! `/v1/quotas`: what a tenant may bring and have, and how much of it is used.

use axum::Json;
use axum::extract::State;
use engine::ops::QuotaShown;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::extract::{Caller, DeliveriesRead};
use super::problem::Problem;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quotas)]
pub(crate) struct QuotasOut {
    data: Vec<QuotaOut>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quota)]
pub(crate) struct QuotaOut {
    /// `events_per_minute`, `events_per_day` (of UTC), `deliveries_waiting` or `channels`.
    name: &'static str,
    /// Null: no bound.
    limit: Option<u64>,
    /// Null: it is not counted while there is no bound.
    used: Option<u64>,
    /// Whether the bound is the tenant's own, and not the one of the server's settings.
    is_own: bool,
}

impl QuotasOut {
    pub(super) fn of(quotas: Vec<QuotaShown>) -> Self {
        let out = |shown: QuotaShown| QuotaOut {
            name: shown.quota.name(),
            limit: shown.bound,
            used: shown.used,
            is_own: shown.is_own,
        };
        Self { data: quotas.into_iter().map(out).collect() }
    }
}

pub(crate) async fn show(
    State(engine): State<App>,
    caller: Caller<DeliveriesRead>,
) -> Result<Json<QuotasOut>, Problem> {
    Ok(Json(QuotasOut::of(engine.quotas(caller.tenant).await?)))
}
