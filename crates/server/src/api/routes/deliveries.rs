//! `/v1/deliveries`, `/v1/attempts`, `/v1/stats`, `/v1/quotas`.

use domain::tenant::Scope::{DeliveriesRead, DeliveriesWrite};
use serde_json::{Value, json};

use super::super::attempts::{self, AttemptOut};
use super::super::deliveries::{self, DeliveryOut};
use super::super::quotas::{self, QuotasOut};
use super::super::stats::{self, StatsIn, StatsOut};
use super::Routes;
use crate::openapi::Operation;

pub(super) fn declare(routes: Routes) -> Routes {
    let operation = |id, about| Operation::new(id, "deliveries", about);
    routes
        .get(
            "/v1/deliveries",
            deliveries::list,
            operation("listDeliveries", "Lists deliveries, newest first.")
                .scope(DeliveriesRead)
                .query::<deliveries::ListIn>()
                .page::<DeliveryOut>(example()),
        )
        .get(
            "/v1/deliveries/{id}",
            deliveries::show,
            operation("getDelivery", "Shows a delivery.").scope(DeliveriesRead).answers::<DeliveryOut>(
                200,
                "The delivery.",
                example(),
            ),
        )
        .post(
            "/v1/deliveries/{id}/retry",
            deliveries::retry,
            operation("retryDelivery", "Tries a delivery again.")
                .detail(
                    "A dead one gets a fresh budget of attempts and a new time-to-live; a waiting one is due at once.",
                )
                .scope(DeliveriesWrite)
                .answers::<DeliveryOut>(202, "It will be tried.", example())
                .refuses(409, "It is over or being tried, or its channel takes nothing."),
        )
        .get(
            "/v1/attempts",
            attempts::list,
            Operation::new("listAttempts", "attempts", "Lists every try, newest first.")
                .scope(DeliveriesRead)
                .query::<attempts::ListIn>()
                .page::<AttemptOut>(attempt()),
        )
        .get("/v1/stats", stats::show, sums())
        .get(
            "/v1/quotas",
            quotas::show,
            Operation::new("getQuotas", "stats", "What the tenant may bring and have, and how much of it is used.")
                .scope(DeliveriesRead)
                .answers::<QuotasOut>(200, "The quotas.", quotas_example()),
        )
}

pub(super) fn quotas_example() -> Value {
    json!({"data": [
        {"name": "events_per_minute", "limit": null, "used": null, "is_own": false},
        {"name": "events_per_day", "limit": 100_000, "used": 7, "is_own": true},
        {"name": "deliveries_waiting", "limit": null, "used": 2, "is_own": false},
        {"name": "channels", "limit": 50, "used": 3, "is_own": false},
    ]})
}

fn sums() -> Operation {
    Operation::new("getStats", "stats", "Sums since some time, and what waits now.")
        .detail("Since 24 hours ago by default. What cannot be told is null.")
        .scope(DeliveriesRead)
        .query::<StatsIn>()
        .answers::<StatsOut>(
            200,
            "The sums.",
            json!({
                "since": "2026-11-22T08:45:00.000Z", "events": 3, "sent": 4, "failed_attempts": 1, "cancelled": 0,
                "expired": 0, "pending": 0, "retrying": 1, "held": 0, "dead": 0,
            }),
        )
}

/// A delivery, as answers show it.
pub(super) fn example() -> Value {
    json!({
        "id": 4, "event_id": "evt_3", "event_type": "invoice.paid", "channel_id": 2, "status": "retrying", "attempts": 1,
        "next_attempt_at": "2026-11-22T08:46:26.550Z", "created_at": "2026-11-22T08:46:21.550Z",
        "expires_at": "2026-11-26T08:46:21.550Z", "settled_at": null, "digest_id": null,
        "reason_code": "waits_for_retry", "reason": "HTTP 503 Service Unavailable",
    })
}

/// An attempt, as answers show it.
pub(super) fn attempt() -> Value {
    json!({
        "id": 4, "delivery_id": 4, "event_id": "evt_3", "event_type": "invoice.paid", "channel_id": 2,
        "digest_id": null, "provider": "webhook", "number": 1, "step": 0, "status": "failed", "code": 503, "body": "come back later",
        "reason_code": "answered_with_failure", "reason": "HTTP 503 Service Unavailable", "reference": null, "started_at": "2026-11-22T08:46:21.557Z",
        "duration_ms": 12,
    })
}
