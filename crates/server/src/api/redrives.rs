//! `/v1/redrives`: many deliveries tried again, or made anew, by one order.

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use domain::redrive::{Progress, Redrive, Source, Wanted};
use domain::{ChannelId, RedriveId};
use engine::ops::{RedrivePreview, RedriveRequest};
use http::StatusCode;
use providers::message::rfc3339;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::deliveries::{DeliveryOut, read_status};
use super::events::ListedOut;
use super::extract::{Caller, DeliveriesRead, DeliveriesWrite, Id, Json, Params};
use super::page::{PageIn, PageOut};
use super::problem::Problem;
use super::{App, filter};

/// Which deliveries are tried again, and how fast.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRedrive)]
pub(crate) struct RedriveIn {
    /// `dead`: dead letters wait again. `history`: events come anew to `channel_id`.
    from: Option<String>,
    #[serde(default)]
    filter: FilterIn,
    /// With `history`: the channel that gets the events.
    channel_id: Option<i64>,
    /// Only count, and show some.
    #[serde(default)]
    dry_run: bool,
    pace_per_second: Option<u32>,
}

/// All that is given must hold.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RedriveFilter)]
pub(crate) struct FilterIn {
    status: Option<String>,
    code: Option<u16>,
    /// Of dead letters: only those of this channel.
    channel_id: Option<i64>,
    provider: Option<String>,
    event_type: Option<String>,
    since: Option<String>,
    until: Option<String>,
    /// In the reason of a dead letter, or the data of an event.
    text: Option<String>,
}

impl RedriveIn {
    fn request(self) -> Result<RedriveRequest, Problem> {
        let Self { from, filter: given, channel_id, pace_per_second, .. } = self;
        let source = from.as_deref().map(read_source).transpose()?.unwrap_or(Source::Dead);
        let channel = match (source, given.channel_id, channel_id) {
            (Source::Dead, _, Some(_)) => {
                let message = "is for from 'history'; filter.channel_id narrows dead letters to a channel";
                return Err(Problem::invalid_field("channel_id", message));
            }
            (Source::History, Some(_), _) => {
                let message = "is for dead letters; channel_id says which channel gets the events";
                return Err(Problem::invalid_field("filter.channel_id", message));
            }
            (Source::Dead, of, None) => of,
            (Source::History, None, to) => to,
        };
        let within = |field: &'static str| move |problem: Problem| problem.within(field);
        let span = filter::span(given.since.as_deref(), given.until.as_deref()).map_err(within("filter"))?;
        let wanted = Wanted {
            channel: channel.map(ChannelId),
            state: given.status.as_deref().map(read_status).transpose().map_err(within("filter"))?,
            code: given.code,
            provider: given.provider,
            event_types: filter::event_types("filter.event_type", given.event_type.as_deref())?,
            since: span.since,
            until: span.until,
            text: filter::named_text("filter.text", given.text.as_deref())?.and(given.text),
        };
        Ok(RedriveRequest { source, wanted, pace: pace_per_second })
    }
}

fn read_source(text: &str) -> Result<Source, Problem> {
    let message = "must be dead or history";
    Source::parse(text).ok_or_else(|| Problem::invalid_field("from", message))
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Redrive)]
pub(crate) struct RedriveOut {
    id: i64,
    from: &'static str,
    /// With `history`: the channel that gets the events.
    channel_id: Option<i64>,
    filter: FilterOut,
    pace_per_second: u32,
    status: &'static str,
    /// Why it was cancelled; null when there is nothing to say.
    reason: Option<String>,
    /// Rows that were looked at.
    examined: u64,
    redriven: u64,
    /// Wanted, and not possible: the channel is gone or off, or the delivery has moved on by itself.
    skipped: u64,
    created_at: String,
    ended_at: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RedriveFilterShown)]
struct FilterOut {
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

impl From<Redrive> for RedriveOut {
    fn from(redrive: Redrive) -> Self {
        let Wanted { channel, state, code, provider, event_types, since, until, text } = redrive.wanted;
        let channel = channel.map(|channel| channel.0);
        let is_history = redrive.source == Source::History;
        Self {
            id: redrive.id.0,
            from: redrive.source.name(),
            channel_id: channel.filter(|_| is_history),
            filter: FilterOut {
                status: state.map(domain::delivery::State::name),
                code,
                channel_id: channel.filter(|_| !is_history),
                provider,
                event_type: event_types.map(|pattern| pattern.to_string()),
                since: since.map(rfc3339),
                until: until.map(rfc3339),
                text,
            },
            pace_per_second: redrive.pace,
            status: redrive.progress.name(),
            reason: Some(redrive.note).filter(|note| !note.is_empty()),
            examined: redrive.examined,
            redriven: redrive.redriven,
            skipped: redrive.skipped,
            created_at: rfc3339(redrive.created_at),
            ended_at: redrive.ended_at.map(rfc3339),
        }
    }
}

/// What an order would take if it were given now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RedrivePreview)]
pub(crate) struct PreviewOut {
    count: u64,
    /// There was too much to look through: there are at least so many.
    is_lower_bound: bool,
    /// Some dead letters, the oldest first.
    deliveries: Vec<DeliveryOut>,
    /// From history: some events, the oldest first.
    events: Vec<ListedOut>,
}

impl From<RedrivePreview> for PreviewOut {
    fn from(preview: RedrivePreview) -> Self {
        Self {
            count: preview.count,
            is_lower_bound: preview.is_lower_bound,
            deliveries: preview.deliveries.into_iter().map(Into::into).collect(),
            events: preview.events.into_iter().map(Into::into).collect(),
        }
    }
}

pub(crate) async fn create(
    State(engine): State<App>,
    caller: Caller<DeliveriesWrite>,
    Json(order): Json<RedriveIn>,
) -> Result<Response, Problem> {
    let is_dry = order.dry_run;
    let request = order.request()?;
    if is_dry {
        let preview = engine.preview_redrive(caller.tenant, request).await?;
        return Ok(Answer(PreviewOut::from(preview)).into_response());
    }
    let begun = engine.begin_redrive(caller.tenant, request).await?;
    Ok((StatusCode::CREATED, Answer(RedriveOut::from(begun))).into_response())
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListIn {
    limit: Option<String>,
    cursor: Option<String>,
}

pub(crate) async fn list(
    State(engine): State<App>,
    caller: Caller<DeliveriesRead>,
    Params(query): Params<ListIn>,
) -> Result<Answer<PageOut<RedriveOut>>, Problem> {
    let page = PageIn::new(query.limit, query.cursor);
    let limit = page.limit()?;
    let found = engine.redrives(caller.tenant, page.after()?.map(RedriveId), limit).await?;
    Ok(Answer(PageOut::new(found, limit, |redrive| redrive.id.0, Into::into)))
}

pub(crate) async fn show(
    State(engine): State<App>,
    caller: Caller<DeliveriesRead>,
    Id(redrive): Id<RedriveId>,
) -> Result<Answer<RedriveOut>, Problem> {
    Ok(Answer(engine.redrive(caller.tenant, redrive).await?.into()))
}

pub(crate) async fn pause(
    State(engine): State<App>,
    caller: Caller<DeliveriesWrite>,
    Id(redrive): Id<RedriveId>,
) -> Result<Answer<RedriveOut>, Problem> {
    Ok(Answer(engine.steer_redrive(caller.tenant, redrive, Progress::Paused).await?.into()))
}

pub(crate) async fn resume(
    State(engine): State<App>,
    caller: Caller<DeliveriesWrite>,
    Id(redrive): Id<RedriveId>,
) -> Result<Answer<RedriveOut>, Problem> {
    Ok(Answer(engine.steer_redrive(caller.tenant, redrive, Progress::Running).await?.into()))
}

pub(crate) async fn cancel(
    State(engine): State<App>,
    caller: Caller<DeliveriesWrite>,
    Id(redrive): Id<RedriveId>,
) -> Result<Answer<RedriveOut>, Problem> {
    Ok(Answer(engine.steer_redrive(caller.tenant, redrive, Progress::Cancelled).await?.into()))
}
