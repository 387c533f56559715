//! `/api/notification-queue`: how much waits, what gave up, and trying it again.

use axum::Json;
use axum::extract::State;
use domain::{DeliveryId, Timestamp};
use jiff::tz::TimeZone;

use super::error::{Error, INVALID};
use super::extract::{Caller, DeliveriesRead, DeliveriesWrite, Id};
use super::query::Query;
use super::wire::{Answer, DeadLetterOut, Done, QueueOut};
use super::{App, SIGHT};

pub(super) async fn stats(
    State(app): State<App>,
    caller: Caller<DeliveriesRead>,
) -> Result<Json<Answer<QueueOut>>, Error> {
    let midnight = midnight(app.engine.clock().now(), &app.time_zone);
    let figures = app.engine.queue_figures(caller.tenant, SIGHT, midnight).await;
    Ok(Json(Answer::new(figures.map_err(|error| Error::of(error, INVALID))?.into())))
}

pub(super) async fn dead_letters(
    State(app): State<App>,
    caller: Caller<DeliveriesRead>,
    query: Query,
) -> Result<Json<Answer<Vec<DeadLetterOut>>>, Error> {
    let page = query.page()?;
    let letters = app.engine.dead_letters(caller.tenant, SIGHT, page.skip, page.rows_max).await;
    let letters = letters.map_err(|error| Error::of(error, INVALID))?;
    Ok(Json(Answer::new(letters.into_iter().map(Into::into).collect())))
}

pub(super) async fn retry(
    State(app): State<App>,
    caller: Caller<DeliveriesWrite>,
    Id(delivery): Id<DeliveryId>,
) -> Result<Json<Done>, Error> {
    let retried = app.engine.retry_in_sight(caller.tenant, SIGHT, delivery).await;
    retried.map_err(|error| Error::of(error, INVALID))?;
    Ok(Json(Done::new("success")))
}

/// When this day began.
fn midnight(now: Timestamp, time_zone: &TimeZone) -> Timestamp {
    let day = jiff::Timestamp::from_millisecond(now.as_ms()).map(|now| now.to_zoned(time_zone.clone()));
    let start = day.and_then(|day| day.start_of_day());
    // Only at the ends of time there is none.
    start.map_or(now, |start| Timestamp::from_ms(start.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_where_the_operator_is() {
        let check = |now: &str, zone: &str, expected: &str| {
            let ms = |text: &str| Timestamp::from_ms(text.parse::<jiff::Timestamp>().unwrap().as_millisecond());
            assert_eq!(midnight(ms(now), &TimeZone::get(zone).unwrap()), ms(expected), "{now} {zone}");
        };
        check("2026-04-30T08:15:23Z", "UTC", "2026-04-30T00:00:00Z");
        check("2026-04-30T08:15:23Z", "Asia/Jakarta", "2026-04-29T17:00:00Z");
        check("2026-04-30T18:15:23Z", "Asia/Jakarta", "2026-04-30T17:00:00Z");
        check("2026-04-30T08:15:23Z", "Asia/Kathmandu", "2026-04-29T18:15:00Z");
        // The day on which the clocks went forward.
        check("2026-03-29T12:00:00Z", "Europe/Warsaw", "2026-03-28T23:00:00Z");
    }
}
