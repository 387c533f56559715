//! `/api/notification-channels`: made, listed, shown, changed, deleted, tested.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use domain::ChannelId;
use domain::delivery::State as DeliveryState;
use engine::ops::{ChannelFilter, ChannelOrder, ChannelPageQuery, ChannelTest, OrderBy, TestEvent, TestResult};

use super::channel_in::ChannelIn;
use super::error::{Error, INVALID, NO_CHANNEL};
use super::extract::{Body, Caller, ChannelsRead, ChannelsWrite, Id};
use super::query::Query;
use super::variables::FIRST_TYPE;
use super::wire::{Answer, ChannelOut, Counted, Done};
use super::{App, PROVIDERS, SIGHT, map};

/// How long a test waits for its answer.
const TEST_PATIENCE: Duration = Duration::from_secs(15);

pub(super) async fn list(
    State(app): State<App>,
    caller: Caller<ChannelsRead>,
    query: Query,
) -> Result<Json<Counted<ChannelOut>>, Error> {
    let page = query.page()?;
    let filter = ChannelFilter {
        provider: query.provider("provider")?,
        among: Some(PROVIDERS),
        is_active: query.flag("is_active")?,
        text: query.search("search")?,
        hides_managed: true,
        ..ChannelFilter::default()
    };
    let order = ChannelOrder { by: OrderBy::Id, is_descending: false };
    let wanted = ChannelPageQuery { filter, order, skip: page.skip, rows_max: page.rows_max };
    let found = app.engine.channel_page(caller.tenant, &wanted);
    let rows = found.rows.iter().map(|shown| map::channel(shown, caller.may_write)).collect();
    Ok(Json(Counted::new(rows, found.total)))
}

pub(super) async fn create(
    State(app): State<App>,
    caller: Caller<ChannelsWrite>,
    Body(body): Body,
) -> Result<Json<Answer<ChannelOut>>, Error> {
    let new = map::new_channel(&app.engine, ChannelIn::read(&body)?)?;
    let made = app.engine.create_channel(caller.tenant, new).await.map_err(|error| Error::of(error, INVALID))?;
    Ok(Json(Answer::new(map::channel(&made, caller.may_write))))
}

pub(super) async fn show(
    State(app): State<App>,
    caller: Caller<ChannelsRead>,
    Id(channel): Id<ChannelId>,
) -> Result<Json<Answer<ChannelOut>>, Error> {
    let shown = app.engine.channel_in_sight(caller.tenant, SIGHT, channel);
    let shown = shown.map_err(|error| Error::of(error, NO_CHANNEL))?;
    Ok(Json(Answer::new(map::channel(&shown, caller.may_write))))
}

pub(super) async fn update(
    State(app): State<App>,
    caller: Caller<ChannelsWrite>,
    Id(channel): Id<ChannelId>,
    Body(body): Body,
) -> Result<Json<Answer<ChannelOut>>, Error> {
    let refuse = |error| Error::of(error, INVALID);
    let given = ChannelIn::read(&body)?;
    let current = app.engine.channel_in_sight(caller.tenant, SIGHT, channel).map_err(refuse)?;
    let changed = app.engine.update_channel(caller.tenant, channel, map::edit(&current, given)?).await;
    Ok(Json(Answer::new(map::channel(&changed.map_err(refuse)?, caller.may_write))))
}

pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller<ChannelsWrite>,
    Id(channel): Id<ChannelId>,
) -> Result<Json<Done>, Error> {
    let refuse = |error| Error::of(error, INVALID);
    app.engine.channel_in_sight(caller.tenant, SIGHT, channel).map_err(refuse)?;
    app.engine.delete_channel(caller.tenant, channel).await.map_err(refuse)?;
    Ok(Json(Done::new("success")))
}

pub(super) async fn test(
    State(app): State<App>,
    caller: Caller<ChannelsWrite>,
    Id(channel): Id<ChannelId>,
) -> Result<Json<Done>, Error> {
    let refuse = |error| Error::of(error, INVALID);
    let shown = app.engine.channel_in_sight(caller.tenant, SIGHT, channel).map_err(refuse)?;
    if !shown.live.channel.settings.is_active {
        return Err(Error::not_active());
    }
    let test = ChannelTest { event: TestEvent::Sample(FIRST_TYPE.to_owned()), patience: TEST_PATIENCE };
    let result = app.engine.test_channel(caller.tenant, channel, test).await.map_err(refuse)?;
    match result {
        TestResult { delivery, .. } if delivery.state == DeliveryState::Sent => {
            Ok(Json(Done::new("test notification sent successfully")))
        }
        TestResult { attempt: Some(attempt), delivery } => {
            // Of a mail to several people the last may have been taken.
            let note = attempt.record.outcome.note;
            Err(Error::not_sent(if note.is_empty() { delivery.reason } else { note }))
        }
        TestResult { attempt: None, .. } => {
            Err(Error::not_sent(format!("no answer within {} seconds", TEST_PATIENCE.as_secs())))
        }
    }
}
