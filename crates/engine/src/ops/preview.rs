//! Previews: what a channel would send, with nothing saved and nothing sent.

use std::sync::Arc;

use domain::channel::{Channel, ChannelSettings};
use domain::event::{Event, NewEvent, Severity, check_event_type};
use domain::{ChannelId, DeliveryId, DigestId, EventId, Secret, StepsDone, TenantId, Timestamp};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use store::digest::SealedDigest;

use super::channel_edit::{ChannelEdit, apply, find_provider};
use super::event_types::sample;
use super::{Engine, OpsError};
use crate::dispatch::attempt::{Content, Flight, plan_steps, struck_out};
use crate::registry::LiveChannel;
use crate::render::digest::DigestRow;

/// What to preview.
#[derive(Debug)]
pub struct PreviewOf {
    pub channel: PreviewChannel,
    /// `None` leaves the channel's own; an inner `None` is none at all.
    pub subject_template: Option<Option<String>>,
    pub body_template: Option<Option<String>>,
    pub event: PreviewEvent,
    /// How many such events are one message: more than one is a digest, whatever the channel's rule says.
    pub items: usize,
}

/// Whose settings a preview begins with.
#[derive(Debug)]
pub enum PreviewChannel {
    Saved(ChannelId),
    /// One that is not made yet; without config, of the provider's examples.
    New {
        provider: String,
        config: Option<Map<String, Value>>,
    },
}

/// The event of a preview. What is missing is taken from descriptions of event types.
#[derive(Debug, Default)]
pub struct PreviewEvent {
    pub event_type: Option<String>,
    pub data: Option<Box<RawValue>>,
    pub occurred_at: Option<Timestamp>,
    pub severity: Option<Severity>,
}

/// What would be sent.
#[derive(Debug)]
pub struct Preview {
    pub event_type: String,
    /// JSON.
    pub data: String,
    pub subject: Option<String>,
    pub body: Option<String>,
    /// What goes out for each step, without addresses, headers and secrets.
    pub parts: Vec<String>,
    pub warnings: Vec<String>,
    /// Why nothing can be sent, as the attempt would say it.
    pub error: Option<String>,
}

/// The most events of one preview.
pub const PREVIEW_ITEMS_MAX: usize = 100;

/// How many parts a preview shows: a mail is one for each recipient.
const PARTS_MAX: usize = 10;

/// The event of a preview of a channel whose event types nobody has described.
const BARE_EVENT_TYPE: &str = "example.event";

impl Engine {
    pub fn preview(&self, tenant: TenantId, of: PreviewOf) -> Result<Preview, OpsError> {
        let (mut channel, subscriptions) = match &of.channel {
            PreviewChannel::Saved(channel) => {
                let live = self.live_channel(tenant, *channel)?;
                (live.channel.clone(), live.subscriptions.clone())
            }
            PreviewChannel::New { provider, config } => {
                (self.unsaved_channel(tenant, provider, config.as_ref())?, Vec::new())
            }
        };
        let templates = ChannelEdit {
            subject_template: of.subject_template,
            body_template: of.body_template,
            ..ChannelEdit::default()
        };
        apply(&mut channel.settings, &templates)?;
        let live = Arc::new(LiveChannel { subscriptions, ..self.registry.unsaved(channel)? });
        if !(1..=PREVIEW_ITEMS_MAX).contains(&of.items) {
            return Err(OpsError::invalid("items", format!("must be 1 to {PREVIEW_ITEMS_MAX}")));
        }
        let event = Arc::new(self.preview_event(tenant, &live, of.event)?);
        let digest = (of.items > 1).then(|| digest_of(&live, &event, of.items)).transpose()?;
        let warnings = self.warnings(tenant, &live);
        // A template that fails is told by the parts, in the words of an attempt.
        let rendered = match &digest {
            Some((content, _)) => content.rendered(),
            None => live.templates.render(&live, &event).unwrap_or_default(),
        };
        let (parts, error) = match self.preview_parts(&live, &event, digest.map(|(_, sealed)| sealed)) {
            Ok(parts) => (parts, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        Ok(Preview {
            event_type: event.content.event_type.to_string(),
            data: event.content.data.to_string(),
            subject: rendered.subject,
            body: rendered.body,
            parts,
            warnings,
            error,
        })
    }

    fn unsaved_channel(
        &self,
        tenant: TenantId,
        provider: &str,
        config: Option<&Map<String, Value>>,
    ) -> Result<Channel, OpsError> {
        let provider = find_provider(provider)?;
        let examples = provider.spec().sample();
        let mut config = providers::create(provider, config.unwrap_or(&examples)).map_err(OpsError::Invalid)?;
        let mut entropy = [0; 32];
        self.entropy.fill(&mut entropy);
        provider.complete(&mut config, entropy);
        let provider = provider.spec().name.to_owned();
        let settings = ChannelSettings::new("Preview".to_owned(), provider, Secret::new(config.to_json()));
        let created_at = self.clock.now();
        Ok(Channel { id: ChannelId(0), tenant, settings, pause: None, created_at, updated_at: None, deleted_at: None })
    }

    fn preview_event(&self, tenant: TenantId, live: &LiveChannel, event: PreviewEvent) -> Result<Event, OpsError> {
        if let Some(text) = &event.event_type {
            check_event_type(text).map_err(|error| OpsError::invalid("event.type", error.to_string()))?;
        }
        if event.data.as_ref().is_some_and(|data| !data.get().starts_with('{')) {
            return Err(OpsError::invalid("event.data", "must be a JSON object, like {\"amount\": 12}"));
        }
        let described = self.event_types(tenant, "", usize::MAX);
        let is_heard = |name: &str| live.subscriptions.iter().any(|one| one.pattern.matches(name));
        let chosen = match &event.event_type {
            Some(name) => described.iter().find(|shown| shown.event_type.name == *name),
            // One of the tenant's own, if there is any that the channel hears.
            None => described
                .iter()
                .filter(|shown| live.subscriptions.is_empty() || is_heard(&shown.event_type.name))
                .min_by_key(|shown| shown.is_built_in),
        };
        let examples = chosen.map(|shown| sample(&shown.event_type)).unwrap_or_default();
        let data = event.data.map_or_else(|| Value::Object(examples).to_string(), |data| data.get().to_owned());
        let event_type = event.event_type.or_else(|| chosen.map(|shown| shown.event_type.name.clone()));
        let now = self.clock.now();
        let content = NewEvent {
            tenant,
            event_type: event_type.unwrap_or_else(|| BARE_EVENT_TYPE.to_owned()).into(),
            data: data.into(),
            occurred_at: event.occurred_at.unwrap_or(now),
            severity: event.severity,
            explicit_channels: None,
            trace: None,
        };
        Ok(Event { id: EventId(0), accepted_at: now, content: Arc::new(content) })
    }

    /// Plans a first attempt and reads what its steps would carry.
    fn preview_parts(
        &self,
        live: &Arc<LiveChannel>,
        event: &Arc<Event>,
        digest: Option<Arc<SealedDigest>>,
    ) -> Result<Vec<String>, String> {
        let now = self.clock.now();
        let content = Content {
            event: Arc::clone(event),
            created_at: now,
            due_since: now,
            expires_at: now.after(live.time_to_live),
            attempts: 0,
            tries: 0,
            attempts_max: None,
            steps_done: StepsDone::NONE,
            digest,
        };
        let (delivery, channel) = (DeliveryId(0), live.channel.id);
        let flight = Flight { delivery, channel, live: Arc::clone(live), content, slot: 0 };
        let steps = plan_steps(&flight, &self.registry, now)?;
        Ok(steps.iter().take(PARTS_MAX).map(|step| struck_out(live, step.content())).collect())
    }
}

/// A digest of so many of this event, as it would be sealed.
fn digest_of(live: &LiveChannel, event: &Event, items: usize) -> Result<(DigestRow, Arc<SealedDigest>), OpsError> {
    if !live.provider.0.merges(&live.config) {
        let message = "must be 1: what this channel sends has no place for a second event";
        return Err(OpsError::invalid("items", message));
    }
    let (content, _) = DigestRow::render(live, &vec![event; items]);
    let body = content.to_text();
    Ok((content, Arc::new(SealedDigest { id: DigestId(0), members: Vec::new(), sealed_at: event.accepted_at, body })))
}
