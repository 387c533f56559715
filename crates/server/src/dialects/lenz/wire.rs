//! What Lenz answers: the rows with exactly the fields of its documentation, in their order, and the envelopes around
//! them, which differ from one endpoint to the next.

use domain::Timestamp;
use domain::delivery::Attempt;
use domain::event_type::{EventType, Variable, VariableGroup};
use engine::ops::{DeadLetter, EventTypeShown, QueueFigures};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::query::RESULTS;

const SUCCESS: &str = "success";

/// It was done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LenzDone)]
pub(super) struct Done {
    ok: bool,
    message: &'static str,
}

/// What was asked for.
#[derive(Debug, Serialize)]
pub(super) struct Answer<T> {
    ok: bool,
    message: &'static str,
    result: T,
}

/// A page, and how many rows there are over all pages.
#[derive(Debug, Serialize)]
pub(super) struct Counted<T> {
    ok: bool,
    message: &'static str,
    result: Vec<T>,
    total: usize,
}

/// What was asked for, where its key is another.
#[derive(Debug, Serialize)]
pub(super) struct Told<T> {
    ok: bool,
    message: &'static str,
    data: T,
}

impl Done {
    pub(super) fn new(message: &'static str) -> Self {
        Self { ok: true, message }
    }
}

impl<T> Answer<T> {
    pub(super) fn new(result: T) -> Self {
        Self { ok: true, message: SUCCESS, result }
    }
}

impl<T> Counted<T> {
    pub(super) fn new(result: Vec<T>, total: usize) -> Self {
        Self { ok: true, message: SUCCESS, result, total }
    }
}

impl<T> Told<T> {
    pub(super) fn new(data: T) -> Self {
        Self { ok: true, message: SUCCESS, data }
    }
}

/// A channel.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LenzChannel)]
pub(super) struct ChannelOut {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) provider: String,
    /// As it was given; secrets are masked for keys that may not change channels.
    #[schema(value_type = Object)]
    pub(super) config: Map<String, Value>,
    pub(super) is_active: bool,
    pub(super) subject_template: Option<String>,
    pub(super) body_template: Option<String>,
    /// Messages per minute; 0 is as many as there are.
    pub(super) rate_limit: u64,
    pub(super) batch_enabled: bool,
    pub(super) batch_window_seconds: u64,
    pub(super) batch_max_size: u32,
    pub(super) created_at: String,
    pub(super) updated_at: Option<String>,
    /// Always null: a deleted channel is not shown.
    pub(super) deleted_at: Option<String>,
}

/// How the queue is doing.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LenzQueue)]
pub(super) struct QueueOut {
    /// Waiting, also for another attempt and for channels that are held.
    pending: u64,
    /// Under way.
    processing: u64,
    /// Since midnight in the operator's zone.
    sent_today: u64,
    /// Attempts that failed since then.
    failed_today: u64,
    /// Gave up and wait for a person.
    dead_letter: u64,
}

impl From<QueueFigures> for QueueOut {
    fn from(figures: QueueFigures) -> Self {
        Self {
            pending: figures.pending,
            processing: figures.processing,
            sent_today: figures.sent,
            failed_today: figures.failed_attempts,
            dead_letter: figures.dead,
        }
    }
}

/// A delivery that gave up.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LenzDeadLetter)]
pub(super) struct DeadLetterOut {
    id: i64,
    channel_id: i64,
    event_type: String,
    #[schema(value_type = Object)]
    payload: Box<RawValue>,
    status: &'static str,
    attempts: u32,
    max_attempts: u32,
    next_retry_at: Option<String>,
    error_message: String,
    created_at: String,
    processed_at: Option<String>,
}

impl From<DeadLetter> for DeadLetterOut {
    fn from(letter: DeadLetter) -> Self {
        let delivery = letter.delivery;
        Self {
            id: delivery.id.0,
            channel_id: delivery.channel.0,
            event_type: delivery.event_type,
            payload: RawValue::from_string(letter.data.to_string()).unwrap_or_default(),
            status: "dead",
            attempts: delivery.attempts,
            max_attempts: letter.attempts_max,
            next_retry_at: None,
            error_message: delivery.reason,
            created_at: time(delivery.created_at),
            processed_at: None,
        }
    }
}

/// An attempt.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LenzLog)]
pub(super) struct LogOut {
    id: i64,
    /// The delivery.
    outbox_id: i64,
    channel_id: i64,
    provider: String,
    event_type: String,
    /// `sent`, `failed`, or `dead` when the delivery was given up with it.
    status: &'static str,
    /// Null when no answer came.
    response_code: Option<u16>,
    /// The beginning of the answer, or why there is none.
    response_body: String,
    duration_ms: u32,
    created_at: String,
}

impl From<Attempt> for LogOut {
    fn from(attempt: Attempt) -> Self {
        let result = attempt.result();
        let status = RESULTS.iter().find(|(_, known)| *known == result).map_or("failed", |(name, _)| *name);
        let record = attempt.record;
        Self {
            id: attempt.id.0,
            outbox_id: attempt.delivery.0,
            channel_id: attempt.channel.0,
            provider: attempt.provider,
            event_type: attempt.event_type,
            status,
            response_code: record.code,
            response_body: if record.body.is_empty() { record.outcome.note } else { record.body },
            duration_ms: record.duration_ms,
            created_at: time(record.started_at),
        }
    }
}

/// What templates may ask for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LenzCatalogue)]
pub(super) struct CatalogueOut {
    event_types: Vec<EventTypeOut>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LenzEventType)]
struct EventTypeOut {
    r#type: String,
    label: String,
    description: String,
    groups: Vec<GroupOut>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LenzVariableGroup)]
struct GroupOut {
    name: String,
    variables: Vec<VariableOut>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LenzVariable)]
struct VariableOut {
    key: String,
    description: String,
    r#type: &'static str,
    example: String,
}

impl From<Vec<EventTypeShown>> for CatalogueOut {
    fn from(shown: Vec<EventTypeShown>) -> Self {
        Self { event_types: shown.into_iter().map(|one| one.event_type.into()).collect() }
    }
}

impl From<EventType> for EventTypeOut {
    fn from(event_type: EventType) -> Self {
        let EventType { name, label, description, groups } = event_type;
        Self { r#type: name, label, description, groups: groups.into_iter().map(Into::into).collect() }
    }
}

impl From<VariableGroup> for GroupOut {
    fn from(group: VariableGroup) -> Self {
        Self { name: group.name, variables: group.variables.into_iter().map(Into::into).collect() }
    }
}

impl From<Variable> for VariableOut {
    fn from(variable: Variable) -> Self {
        let Variable { key, description, kind, example } = variable;
        Self { key, description, r#type: kind.name(), example }
    }
}

/// A time as Lenz writes it: to the second.
pub(super) fn time(at: Timestamp) -> String {
    let nearest = if at.as_ms() < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    jiff::Timestamp::from_second(at.as_seconds()).unwrap_or(nearest).to_string()
}
