//! `POST /v1/channels/preview`: what a channel would send, with nothing saved and nothing sent.

use axum::Json as Answer;
use axum::extract::State;
use domain::ChannelId;
use engine::ops::{Preview, PreviewChannel, PreviewEvent, PreviewOf};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::App;
use super::channels::given;
use super::extract::{Caller, ChannelsRead, Json};
use super::incoming::{read_severity, read_time};
use super::problem::Problem;

/// A channel that is there, or the provider of one that is not, with templates and an event to try.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::option_option, reason = "absent, null and a value are three things")]
#[schema(as = NewPreview)]
pub(crate) struct PreviewIn {
    channel_id: Option<i64>,
    provider: Option<String>,
    /// Without it, the examples of the provider's fields.
    #[schema(value_type = Option<Object>)]
    config: Option<Map<String, Value>>,
    /// Left out, those of the channel.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    subject_template: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    body_template: Option<Option<String>>,
    event: Option<EventWire>,
    /// How many such events are one message, 1 to 100: more than one shows a digest, whatever the channel's rule says.
    #[serde(default = "one")]
    items: u32,
}

const fn one() -> u32 {
    1
}

/// What is left out is taken from the examples of described event types.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PreviewEvent)]
struct EventWire {
    r#type: Option<String>,
    #[schema(value_type = Option<Object>)]
    data: Option<Box<RawValue>>,
    occurred_at: Option<String>,
    severity: Option<String>,
}

impl PreviewIn {
    fn read(self) -> Result<PreviewOf, Problem> {
        let channel = match (self.channel_id, self.provider) {
            (Some(_), Some(_)) => {
                return Err(Problem::invalid_field("provider", "cannot go with channel_id: the channel has one"));
            }
            (Some(_), None) if self.config.is_some() => {
                return Err(Problem::invalid_field("config", "cannot go with channel_id: the channel has one"));
            }
            (Some(id), None) => PreviewChannel::Saved(ChannelId(id)),
            (None, Some(provider)) => PreviewChannel::New { provider, config: self.config },
            (None, None) => {
                return Err(Problem::invalid_field("channel_id", "is required, or a provider like \"webhook\""));
            }
        };
        let event = match self.event {
            Some(event) => PreviewEvent {
                event_type: event.r#type,
                data: event.data,
                occurred_at: read_time(event.occurred_at, "event.", "occurred_at")?,
                severity: read_severity(event.severity, "event.")?,
            },
            None => PreviewEvent::default(),
        };
        let (subject_template, body_template) = (self.subject_template, self.body_template);
        Ok(PreviewOf { channel, subject_template, body_template, event, items: self.items as usize })
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Preview)]
pub(crate) struct PreviewOut {
    /// The event that was rendered.
    event: PreviewedEvent,
    /// The subject template, rendered; null without one.
    subject: Option<String>,
    body: Option<String>,
    /// What each request or mail would carry, in order.
    parts: Vec<String>,
    warnings: Vec<String>,
    /// Why nothing can be sent; null when it can.
    error: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PreviewedEvent)]
struct PreviewedEvent {
    r#type: String,
    #[schema(value_type = Object)]
    data: Box<RawValue>,
}

impl TryFrom<Preview> for PreviewOut {
    type Error = Problem;

    fn try_from(preview: Preview) -> Result<Self, Problem> {
        let data = RawValue::from_string(preview.data)
            .map_err(|error| Problem::invalid_field("event.data", format!("is not JSON: {error}")))?;
        Ok(Self {
            event: PreviewedEvent { r#type: preview.event_type, data },
            subject: preview.subject,
            body: preview.body,
            parts: preview.parts,
            warnings: preview.warnings,
            error: preview.error,
        })
    }
}

pub(crate) async fn create(
    State(engine): State<App>,
    caller: Caller<ChannelsRead>,
    Json(preview): Json<PreviewIn>,
) -> Result<Answer<PreviewOut>, Problem> {
    Ok(Answer(engine.preview(caller.tenant, preview.read()?)?.try_into()?))
}
