//! `/v1/subscriptions`: what brings events to channels, one by one.

use axum::Json as Answer;
use axum::extract::State;
use domain::routing::Subscription;
use domain::{ChannelId, SubscriptionId};
use engine::ops::NewSubscription;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::extract::{Caller, ChannelsRead, ChannelsWrite, Id, Json, Params};
use super::page::{PageIn, PageOut};
use super::problem::Problem;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Subscription)]
pub(crate) struct SubscriptionOut {
    id: i64,
    channel_id: i64,
    /// An event type, `prefix.*` or `*`.
    event_type: String,
    /// Null lets everything through.
    filter: Option<String>,
}

impl From<Subscription> for SubscriptionOut {
    fn from(subscription: Subscription) -> Self {
        Self {
            id: subscription.id.0,
            channel_id: subscription.channel.0,
            event_type: subscription.pattern.to_string(),
            filter: subscription.filter.map(|filter| filter.to_string()),
        }
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSubscription)]
pub(crate) struct SubscriptionIn {
    channel_id: i64,
    event_type: String,
    filter: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListIn {
    channel_id: Option<i64>,
    limit: Option<String>,
    cursor: Option<String>,
}

pub(crate) async fn list(
    State(engine): State<App>,
    caller: Caller<ChannelsRead>,
    Params(query): Params<ListIn>,
) -> Result<Answer<PageOut<SubscriptionOut>>, Problem> {
    let page = PageIn::new(query.limit, query.cursor);
    let (limit, after) = (page.limit()?, SubscriptionId(page.after()?.unwrap_or(0)));
    let found = engine.subscriptions(caller.tenant, query.channel_id.map(ChannelId), after, limit)?;
    Ok(Answer(PageOut::new(found, limit, |one| one.id.0, Into::into)))
}

pub(crate) async fn show(
    State(engine): State<App>,
    caller: Caller<ChannelsRead>,
    Id(subscription): Id<SubscriptionId>,
) -> Result<Answer<SubscriptionOut>, Problem> {
    Ok(Answer(engine.subscription(caller.tenant, subscription)?.into()))
}

pub(crate) async fn create(
    State(engine): State<App>,
    caller: Caller<ChannelsWrite>,
    Json(new): Json<SubscriptionIn>,
) -> Result<(StatusCode, Answer<SubscriptionOut>), Problem> {
    let SubscriptionIn { channel_id, event_type, filter } = new;
    let new = NewSubscription { channel: ChannelId(channel_id), event_type, filter };
    let made = engine.create_subscription(caller.tenant, new).await?;
    Ok((StatusCode::CREATED, Answer(made.into())))
}

pub(crate) async fn remove(
    State(engine): State<App>,
    caller: Caller<ChannelsWrite>,
    Id(subscription): Id<SubscriptionId>,
) -> Result<StatusCode, Problem> {
    engine.delete_subscription(caller.tenant, subscription).await?;
    Ok(StatusCode::NO_CONTENT)
}
