//! One try of a delivery: planned by its provider, carried out step by step, judged.
//!
//! An [`AttemptRun`] is a state machine without I/O: whoever drives it asks for the next step, carries it out and
//! hands back the reply. The shell drives it with the transport, the simulator with its world.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;
use std::vec;

use domain::delivery::{ATTEMPT_BODY_BYTES_MAX, AttemptRecord};
use domain::event::Event;
use domain::outcome::{Class, Outcome, Scope};
use domain::secret::MASK;
use domain::{ChannelId, DeliveryId, Timestamp, TraceContext};
use http::{HeaderName, HeaderValue};
use providers::step::{Reply, Step};
use providers::{Message, PlanContext};
use sha2::{Digest as _, Sha256};

use crate::registry::LiveChannel;

/// A delivery that is under way.
#[derive(Clone, Debug)]
pub struct Flight {
    pub delivery: DeliveryId,
    pub channel: ChannelId,
    /// As it was when the flight started.
    pub live: Arc<LiveChannel>,
    pub content: Content,
}

/// What is known of a waiting delivery.
#[derive(Clone, Debug)]
pub struct Content {
    pub event: Arc<Event>,
    pub created_at: Timestamp,
    /// Since when it may start.
    pub due_since: Timestamp,
    pub expires_at: Timestamp,
    pub attempts: u32,
    pub tries: u32,
    pub attempts_max: Option<u32>,
    pub steps_done: u32,
}

/// A try that is over.
#[derive(Debug)]
pub struct Answered {
    pub flight: Flight,
    /// One for each step that was tried; never empty.
    pub records: Vec<AttemptRecord>,
    pub steps_done: u32,
    /// The try's own place in the trace of its event.
    pub trace: Option<TraceContext>,
}

impl Answered {
    /// What decides what follows: the outcome of the last step that was tried.
    pub fn outcome(&self) -> &Outcome {
        &self.records.last().expect("a try has at least one record").outcome
    }
}

/// A try in progress.
#[derive(Debug)]
pub struct AttemptRun {
    flight: Flight,
    /// Those that are still to be done.
    steps: vec::IntoIter<Step>,
    position: usize,
    records: Vec<AttemptRecord>,
    trace: Option<TraceContext>,
}

impl AttemptRun {
    /// Plans the try. `instance` is this database's own name, so that wire ids of two databases differ.
    pub fn plan(flight: Flight, instance: &str, now: Timestamp) -> Self {
        let position = flight.content.steps_done as usize;
        let trace = own_trace(&flight, instance);
        match plan_steps(&flight, instance, now) {
            Ok(mut steps) => {
                steps.drain(..position.min(steps.len()));
                pass_trace(&mut steps, &flight, trace);
                Self { flight, steps: steps.into_iter(), position, records: Vec::new(), trace }
            }
            Err(note) => {
                let outcome = Outcome::permanent(Scope::Message, note);
                let mut run = Self { flight, steps: Vec::new().into_iter(), position, records: Vec::new(), trace };
                run.record(outcome, None, String::new(), now, Duration::ZERO);
                run
            }
        }
    }

    /// Hands out the next step to carry out; `None` when the try is over. Each is to be answered before the next.
    pub fn next_step(&mut self) -> Option<Step> {
        let last_went_well = self.records.last().is_none_or(|record| record.outcome.class == Class::Delivered);
        if last_went_well { self.steps.next() } else { None }
    }

    /// Takes the reply to the step that [`AttemptRun::next_step`] gave.
    pub fn answer(&mut self, reply: &Reply, started_at: Timestamp, took: Duration, now: Timestamp) {
        let outcome = self.flight.live.provider.0.judge(reply, now);
        let (code, body) = match reply {
            Reply::Http(answer) => (Some(answer.status.as_u16()), self.readable(&answer.body)),
            Reply::Failed(_) => (None, String::new()),
        };
        let is_delivered = outcome.class == Class::Delivered;
        self.record(outcome, code, body, started_at, took);
        self.position += usize::from(is_delivered);
    }

    /// The result, once there is no next step.
    pub fn finish(self) -> Answered {
        let steps_done = u32::try_from(self.position).unwrap_or(u32::MAX);
        Answered { flight: self.flight, records: self.records, steps_done, trace: self.trace }
    }

    fn record(&mut self, outcome: Outcome, code: Option<u16>, body: String, started_at: Timestamp, took: Duration) {
        self.records.push(AttemptRecord {
            number: self.flight.content.tries + 1,
            step: u32::try_from(self.position).unwrap_or(u32::MAX),
            outcome,
            code,
            body,
            started_at,
            duration_ms: u32::try_from(took.as_millis()).unwrap_or(u32::MAX),
        });
    }

    /// The beginning of an answer as text.
    fn readable(&self, body: &[u8]) -> String {
        let mut text = without_secrets(&self.flight.live, String::from_utf8_lossy(body).into_owned());
        text.truncate(text.floor_char_boundary(ATTEMPT_BODY_BYTES_MAX));
        text
    }
}

/// A text with the channel's secrets struck out: a receiver may echo what it got.
pub(crate) fn without_secrets(live: &LiveChannel, mut text: String) -> String {
    if text.is_empty() {
        return text;
    }
    for secret in providers::config::secrets(live.provider.0, &live.config) {
        if secret.reveal().len() >= SECRET_BYTES_MIN && text.contains(secret.reveal()) {
            text = text.replace(secret.reveal(), MASK);
        }
    }
    text
}

/// Shorter texts occur by chance, and striking them out would garble the answer.
const SECRET_BYTES_MIN: usize = 4;

/// The place of a try in its event's trace. Derived and not drawn, so that nobody has to pass randomness here: no two tries
/// of any database have the same delivery, number and instance.
fn own_trace(flight: &Flight, instance: &str) -> Option<TraceContext> {
    let parent = flight.content.event.content.trace?;
    let name = format!("{instance}\n{}\n{}", flight.delivery, flight.content.tries + 1);
    let hash = Sha256::digest(name);
    let span = hash.first_chunk().map_or(1, |bytes| u64::from_be_bytes(*bytes));
    Some(parent.at(NonZeroU64::new(span).unwrap_or(NonZeroU64::MIN)))
}

/// Tells the receiver which trace this is, where its provider passes that on. A header of the owner's own wins.
fn pass_trace(steps: &mut [Step], flight: &Flight, trace: Option<TraceContext>) {
    let Some(trace) = trace.filter(|_| flight.live.provider.0.passes_trace()) else { return };
    let value = HeaderValue::try_from(trace.to_string()).expect("a traceparent is a header value");
    for step in steps.iter_mut().filter_map(Step::as_http_mut) {
        step.headers.entry(TRACEPARENT).or_insert(value.clone());
    }
}

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Renders the channel's templates and lets its provider plan; the error says what is wrong with which.
pub(crate) fn plan_steps(flight: &Flight, instance: &str, now: Timestamp) -> Result<Vec<Step>, String> {
    let Flight { live, content, .. } = flight;
    let event = &content.event;
    let rendered = live.templates.render(live, event)?;
    let message = Message {
        event_id: event.id,
        event_type: &event.content.event_type,
        data: &event.content.data,
        occurred_at: event.content.occurred_at,
        severity: event.content.severity,
        subject: rendered.subject.as_deref(),
        body: rendered.body.as_deref(),
    };
    let wire_id = format!("dlv_{instance}_{}", flight.delivery);
    let context = PlanContext { wire_id: &wire_id, attempt: content.tries + 1, now };
    live.provider.0.plan(&live.config, &message, &context).map_err(|error| error.to_string())
}
