//! `/v1/inbox`: what an application shows to its users, read and marked.

use axum::Json as Answer;
use axum::extract::State;
use domain::DeliveryId;
use engine::ops::{InboxQuery, InboxRow};
use providers::message::rfc3339;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::extract::{Caller, Id, Inbox, Json, Params};
use super::page::{PageIn, PageOut};
use super::problem::Problem;

/// The longest name of a recipient, in characters, as channels have it.
const RECIPIENT_CHARS_MAX: usize = 128;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InboxEntry)]
pub(crate) struct EntryOut {
    /// That of the delivery that brought it.
    id: i64,
    event_id: String,
    channel_id: i64,
    /// Empty: the inbox that all of the tenant share.
    recipient: String,
    /// `type`, `title`, `text`, `severity`, `url` and `fields`.
    #[schema(value_type = Object)]
    content: Box<RawValue>,
    created_at: String,
    /// Null while it is unread.
    read_at: Option<String>,
}

impl TryFrom<InboxRow> for EntryOut {
    type Error = Problem;

    fn try_from(row: InboxRow) -> Result<Self, Problem> {
        let content = RawValue::from_string(row.entry.content)
            .map_err(|_| engine::ops::OpsError::Internal(format!("inbox entry {} is not JSON", row.id)))?;
        Ok(Self {
            id: row.id.0,
            event_id: row.event.public(),
            channel_id: row.channel.0,
            recipient: row.entry.recipient,
            content,
            created_at: rfc3339(row.created_at),
            read_at: row.read_at.map(rfc3339),
        })
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListIn {
    recipient: Option<String>,
    unread: Option<bool>,
    limit: Option<String>,
    cursor: Option<String>,
}

pub(crate) async fn list(
    State(engine): State<App>,
    caller: Caller<Inbox>,
    Params(query): Params<ListIn>,
) -> Result<Answer<PageOut<EntryOut>>, Problem> {
    let page = PageIn::new(query.limit, query.cursor);
    let limit = page.limit()?;
    let query = InboxQuery {
        recipient: checked(query.recipient)?,
        is_unread_only: query.unread.unwrap_or(false),
        before: page.after()?.map(DeliveryId),
        rows_max: limit,
    };
    let rows = engine.inbox(caller.tenant, query).await?;
    let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.id.to_string());
    let entries = rows.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
    Ok(Answer(PageOut::named(entries, next)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct CountIn {
    recipient: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UnreadCount)]
pub(crate) struct CountOut {
    unread: u64,
    /// There may be more: nobody counts beyond a thousand.
    more: bool,
}

pub(crate) async fn count(
    State(engine): State<App>,
    caller: Caller<Inbox>,
    Params(query): Params<CountIn>,
) -> Result<Answer<CountOut>, Problem> {
    let unread = engine.unread(caller.tenant, checked(query.recipient)?).await?;
    Ok(Answer(CountOut { unread: unread.count, more: unread.is_more }))
}

pub(crate) async fn mark_read(
    State(engine): State<App>,
    caller: Caller<Inbox>,
    Id(entry): Id<DeliveryId>,
) -> Result<Answer<EntryOut>, Problem> {
    Ok(Answer(engine.mark_read(caller.tenant, entry).await?.try_into()?))
}

pub(crate) async fn mark_unread(
    State(engine): State<App>,
    caller: Caller<Inbox>,
    Id(entry): Id<DeliveryId>,
) -> Result<Answer<EntryOut>, Problem> {
    Ok(Answer(engine.mark_unread(caller.tenant, entry).await?.try_into()?))
}

/// Whose entries to mark; without recipient, everybody's.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MarkAll)]
pub(crate) struct MarkAllIn {
    recipient: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Marked)]
pub(crate) struct MarkedOut {
    marked: usize,
}

pub(crate) async fn mark_all_read(
    State(engine): State<App>,
    caller: Caller<Inbox>,
    Json(mark): Json<MarkAllIn>,
) -> Result<Answer<MarkedOut>, Problem> {
    let marked = engine.mark_all_read(caller.tenant, checked(mark.recipient)?).await?;
    Ok(Answer(MarkedOut { marked }))
}

fn checked(recipient: Option<String>) -> Result<Option<String>, Problem> {
    match recipient {
        Some(text) if text.chars().count() > RECIPIENT_CHARS_MAX => {
            Err(Problem::invalid_field("recipient", format!("must be at most {RECIPIENT_CHARS_MAX} characters long")))
        }
        recipient => Ok(recipient),
    }
}
