//! One try of a delivery: planned by its provider, carried out step by step, judged.
//!
//! An [`AttemptRun`] is a state machine without I/O: whoever drives it asks for the next step, carries it out and
//! hands back the reply. The shell drives it with the transport, the simulator with its world.

use std::io;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use std::vec;

use domain::delivery::{ATTEMPT_BODY_BYTES_MAX, AttemptRecord};
use domain::event::Event;
use domain::lane::Answer;
use domain::outcome::{Class, ConfigPatch, Outcome, Remedy, Scope};
use domain::secret::MASK;
use domain::steps::STEPS_MAX;
use domain::{ChannelId, DeliveryId, ReasonCode, StepsDone, Timestamp, TraceContext};
use http::header::LOCATION;
use http::{HeaderName, HeaderValue};
use providers::step::{InboxStep, Reply, SmtpReply, Step};
use providers::{Config, Message, PlanContext};
use sha2::{Digest as _, Sha256};
use store::digest::SealedDigest;
use store::inbox::InboxEntry;
use store::queue::Waiting;

use super::announce::is_own;
use super::due_since;
use super::in_flight::Note;

use crate::registry::{LiveChannel, Registry};
use crate::render::digest::DigestRow;

/// A delivery that is under way.
#[derive(Clone, Debug)]
pub struct Flight {
    pub delivery: DeliveryId,
    pub channel: ChannelId,
    /// As it was when the flight started.
    pub live: Arc<LiveChannel>,
    pub content: Content,
    /// Where its sends are noted.
    pub slot: u32,
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
    pub steps_done: StepsDone,
    /// What it stands for, when it is the first delivery of a digest.
    pub digest: Option<Arc<SealedDigest>>,
}

impl Content {
    /// What the queue table says of a row that comes with its event.
    pub(crate) fn of_row(row: Waiting, now: Timestamp) -> Option<Self> {
        let due_since = due_since(&row, now);
        let Waiting { created_at, expires_at, attempts, tries, attempts_max, steps_done, event, sealed, .. } = row;
        let (event, digest) = (event?, sealed);
        Some(Self { event, created_at, due_since, expires_at, attempts, tries, attempts_max, steps_done, digest })
    }
}

/// A try that is over.
#[derive(Debug)]
pub struct Answered {
    pub flight: Flight,
    /// One for each step that was tried; empty when nothing was left to do.
    pub records: Vec<AttemptRecord>,
    pub steps_done: StepsDone,
    /// What decides what follows, for the delivery as a whole.
    pub outcome: Outcome,
    /// Parts are left that nothing stands in the way of: each takes its own turn, because a rate counts them.
    pub has_more: bool,
    /// What the provider says of the channel's config from now on.
    pub patch: Option<ConfigPatch>,
    /// Written down with the result.
    pub inbox: Vec<InboxEntry>,
    /// The try's own place in the trace of its event.
    pub trace: Option<TraceContext>,
}

impl Answered {
    /// What it came to, for programs.
    pub fn code(&self) -> ReasonCode {
        let decides = |record: &&AttemptRecord| record.outcome.class == self.outcome.class;
        let status = self.records.iter().rev().find(decides).and_then(|record| record.code);
        ReasonCode::of_attempt(&self.outcome, status)
    }

    /// Whether it is a delivery of an operational event.
    pub(super) fn is_own(&self) -> bool {
        is_own(&self.flight.content.event.content.event_type)
    }

    /// What the lanes are told of it.
    pub(super) fn answer(&self) -> Answer {
        let took_ms = self.records.iter().map(|record| u64::from(record.duration_ms)).sum();
        Answer { requests: u32::try_from(self.records.len()).unwrap_or(u32::MAX), took: Duration::from_millis(took_ms) }
    }
}

/// A try in progress.
#[derive(Debug)]
pub struct AttemptRun {
    flight: Flight,
    /// Those that are still to be looked at.
    steps: vec::IntoIter<Step>,
    steps_count: u32,
    /// Which step is next.
    position: u32,
    /// The step that was handed out, when it can do without those before it.
    is_independent: bool,
    /// Of the list of steps; see [`StepsDone`].
    mark: u16,
    done: StepsDone,
    records: Vec<AttemptRecord>,
    inbox: Vec<InboxEntry>,
    trace: Option<TraceContext>,
    patch: Option<ConfigPatch>,
    is_plain: bool,
}

impl AttemptRun {
    /// Plans the try. A provider that panics makes an attempt that says so, and takes no other delivery with it.
    pub fn plan(flight: Flight, registry: &Registry, now: Timestamp) -> Self {
        let (mut steps, steps_count, failed) = match plan_safely(&flight, &flight.live.config, false, registry, now) {
            Ok((steps, count)) => (steps, count, None),
            Err(note) => (Vec::new(), 0, Some(Outcome::permanent(Scope::Message, note))),
        };
        let trace = own_trace(&flight, &registry.instance);
        pass_trace(&mut steps, &flight, trace);
        let mark = mark(&steps);
        // What was done is not forgotten by a try that could not be planned.
        let done = flight.content.steps_done;
        let done = if failed.is_some() { done } else { done.of_list(mark) };
        let steps = steps.into_iter();
        let mut run = Self {
            flight,
            steps,
            steps_count,
            position: 0,
            is_independent: false,
            mark,
            done,
            records: Vec::new(),
            inbox: Vec::new(),
            trace,
            patch: None,
            is_plain: false,
        };
        if let Some(outcome) = failed {
            run.record_step(0, outcome, None, String::new(), (now, Duration::ZERO));
        }
        run
    }

    /// Hands out the next step to carry out; `None` when the try is over. Each is to be answered before the next.
    pub fn next_step(&mut self) -> Option<Step> {
        let goes_on = |outcome: &Outcome| match outcome.class {
            _ if outcome.remedy.is_some() => true,
            Class::Delivered => self.is_independent || !self.takes_turns(),
            // What concerns the whole channel would meet the other steps as well.
            Class::Permanent | Class::Retry | Class::Unknown => self.is_independent && outcome.scope == Scope::Message,
            Class::Throttled => false,
        };
        if !self.records.last().is_none_or(|record| goes_on(&record.outcome)) {
            return None;
        }
        loop {
            let step = self.steps.next()?;
            self.position += 1;
            if !self.done.has(self.position - 1) {
                self.is_independent = step.is_independent();
                return Some(step);
            }
        }
    }

    /// Whether each part waits for its own turn: a rate counts it. A test goes out at once.
    fn takes_turns(&self) -> bool {
        self.flight.live.is_metered() && self.flight.content.attempts_max.is_none()
    }

    /// What is to be noted before the step that [`AttemptRun::next_step`] gave goes out.
    pub fn note(&self, started_at: Timestamp) -> Note {
        Note {
            delivery: self.flight.delivery,
            channel: self.flight.channel,
            number: self.flight.content.tries + 1,
            step: self.position - 1,
            steps_done: self.done,
            started_at,
            provider: Arc::clone(&self.flight.live.provider_name),
        }
    }

    /// The slot for that note.
    pub fn slot(&self) -> u32 {
        self.flight.slot
    }

    /// Takes it that the step could not be noted, and so was not carried out: after a crash nobody would know of it.
    pub fn not_noted(&mut self, error: &io::Error, now: Timestamp) {
        let note = format!("not sent, because that could not be noted in the data directory: {error}");
        self.record_step(self.position, Outcome::retry(note), None, String::new(), (now, Duration::ZERO));
    }

    /// Takes an inbox entry that [`AttemptRun::next_step`] gave; it goes with the result.
    pub fn keep(&mut self, step: InboxStep) -> Reply {
        let InboxStep { recipient, content } = step;
        self.inbox.push(InboxEntry { recipient, content });
        Reply::Kept
    }

    /// Takes the reply to the step that [`AttemptRun::next_step`] gave.
    pub fn answer(
        &mut self,
        reply: &Reply,
        (started_at, took): (Timestamp, Duration),
        registry: &Registry,
        now: Timestamp,
    ) {
        let provider = self.flight.live.provider.0;
        let struck = self.struck_reply(reply);
        let judged = struck.as_ref().unwrap_or(reply);
        let outcome = catch_unwind(AssertUnwindSafe(|| provider.judge(judged, now)))
            .unwrap_or_else(|_| Outcome::unknown(format!("the answer could not be judged: {FAULT}")));
        let (code, body) = match reply {
            Reply::Http(answer) => (Some(answer.status.as_u16()), self.readable(&answer.body)),
            Reply::Smtp(answer) => (Some(answer.code), self.readable(answer.text.as_bytes())),
            Reply::Kept | Reply::Failed(_) => (None, String::new()),
        };
        let position = self.position;
        let outcome = self.remedied(outcome, registry, now);
        match outcome.class {
            Class::Delivered => self.done = self.done.with(position - 1, self.mark),
            Class::Unknown => self.done = self.done.in_doubt(),
            Class::Retry | Class::Throttled | Class::Permanent => {}
        }
        self.record_step(position, outcome, code, body, (started_at, took));
    }

    /// What the outcome comes to after what can be done about it at once. A remedy that is left in it was of use: the step
    /// is handed out again.
    fn remedied(&mut self, outcome: Outcome, registry: &Registry, now: Timestamp) -> Outcome {
        let is_of_use = match &outcome.remedy {
            None => return outcome,
            Some(Remedy::HasAlready) if self.done.is_in_doubt() => {
                let note = format!("an earlier try, which was not answered, had sent it: {}", outcome.note);
                return Outcome { note, ..Outcome::delivered() };
            }
            Some(Remedy::Move(patch)) if self.patch.is_none() => {
                let patch = patch.clone();
                let config = self.flight.live.config.patched(&patch);
                let is_of_use = self.plan_again(&config, self.is_plain, registry, now);
                self.patch = Some(patch);
                is_of_use
            }
            Some(Remedy::Plain) if !self.is_plain => {
                self.is_plain = true;
                let live = Arc::clone(&self.flight.live);
                let moved = self.patch.as_ref().map(|patch| live.config.patched(patch));
                self.plan_again(moved.as_ref().unwrap_or(&live.config), true, registry, now)
            }
            Some(_) => false,
        };
        Outcome { remedy: outcome.remedy.filter(|_| is_of_use), ..outcome }
    }

    /// Plans the step that was handed out and those after it anew. Returns whether that could be done.
    fn plan_again(&mut self, config: &Config, is_plain: bool, registry: &Registry, now: Timestamp) -> bool {
        let Ok((mut steps, count)) = plan_safely(&self.flight, config, is_plain, registry, now) else { return false };
        // Positions must mean the same.
        if count != self.steps_count {
            return false;
        }
        pass_trace(&mut steps, &self.flight, self.trace);
        if !is_plain {
            // The next try begins with this list. One that is plain is this try's alone.
            self.mark = mark(&steps);
            self.done = self.done.moved_to(self.mark);
        }
        self.position -= 1;
        self.steps = steps.into_iter();
        (0..self.position).for_each(|_| drop(self.steps.next()));
        true
    }

    /// The result, once there is no next step.
    pub fn finish(self) -> Answered {
        let mut outcome = overall(&self.records, self.steps_count);
        let is_left = |position: u32| !self.done.has(position);
        let has_more = outcome.class == Class::Delivered && (self.position..self.steps_count).any(is_left);
        if has_more {
            let left = (self.position..self.steps_count).filter(|position| is_left(*position)).count();
            outcome.note = format!("{left} of {} parts wait for their turn", self.steps_count);
        }
        let Self { flight, records, inbox, done, trace, patch, .. } = self;
        Answered { flight, records, steps_done: done, outcome, has_more, patch, inbox, trace }
    }

    fn record_step(
        &mut self,
        position: u32,
        outcome: Outcome,
        code: Option<u16>,
        body: String,
        (started_at, took): (Timestamp, Duration),
    ) {
        let outcome = self.without_secrets(outcome);
        self.records.push(AttemptRecord {
            number: self.flight.content.tries + 1,
            step: position.saturating_sub(1),
            outcome,
            code,
            body,
            started_at,
            duration_ms: u32::try_from(took.as_millis()).unwrap_or(u32::MAX),
        });
    }

    /// A reply whose quotable parts repeat a secret, without it; `None` when there is none. A note quotes the beginning of
    /// such a part, and at its end would stand the beginning of a secret, which nobody finds there any more.
    fn struck_reply(&self, reply: &Reply) -> Option<Reply> {
        let live = &self.flight.live;
        match reply {
            Reply::Smtp(answer) => {
                let text = struck_out(live, answer.text.clone());
                (text != answer.text).then(|| Reply::Smtp(SmtpReply { text, ..answer.clone() }))
            }
            Reply::Http(answer) => {
                let given = String::from_utf8_lossy(answer.headers.get(LOCATION)?.as_bytes()).into_owned();
                let location = struck_out(live, given.clone());
                if location == given {
                    return None;
                }
                let mut answer = answer.clone();
                answer.headers.insert(LOCATION, HeaderValue::try_from(location).ok()?);
                Some(Reply::Http(answer))
            }
            Reply::Kept | Reply::Failed(_) => None,
        }
    }

    /// A note may repeat an answer as well.
    fn without_secrets(&self, outcome: Outcome) -> Outcome {
        let note = struck_out(&self.flight.live, outcome.note);
        let reference = outcome.reference.map(|text| struck_out(&self.flight.live, text));
        Outcome { note, reference, ..outcome }
    }

    /// The beginning of an answer as text.
    fn readable(&self, body: &[u8]) -> String {
        let mut text = struck_out(&self.flight.live, String::from_utf8_lossy(body).into_owned());
        text.truncate(text.floor_char_boundary(ATTEMPT_BODY_BYTES_MAX));
        text
    }
}

/// A text with the channel's secrets struck out: a receiver may echo what it got.
pub(crate) fn struck_out(live: &LiveChannel, mut text: String) -> String {
    if text.len() < SECRET_BYTES_MIN {
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

/// After what went wrong, for the person on call.
const FAULT: &str = "this is a fault of Postrider, please report it";

/// Tells lists of steps apart whose positions mean different things: other recipients, or other parts of a message.
fn mark(steps: &[Step]) -> u16 {
    let mut hash = Sha256::new();
    let mut is_marked = false;
    for step in steps {
        match step {
            // Most deliveries are one request and have nothing to tell apart.
            Step::Http(_) if steps.len() == 1 => {}
            Step::Http(part) => {
                hash.update(&part.body);
                is_marked = true;
            }
            Step::Smtp(_) | Step::Inbox(_) if step.recipient().is_empty() => {}
            Step::Smtp(_) | Step::Inbox(_) => {
                hash.update(step.recipient());
                is_marked = true;
            }
        }
        hash.update([0]);
    }
    if !is_marked {
        return 0;
    }
    let digest = hash.finalize();
    // 13 bits, and another one than that of a list without mark.
    u16::from_be_bytes([digest[0], digest[1]]) % 8191 + 1
}

/// What follows from the steps together: whatever may still go better is tried again, and only then counts what was
/// refused for good.
fn overall(records: &[AttemptRecord], steps_count: u32) -> Outcome {
    // What was remedied was answered anew.
    let outcomes = || records.iter().map(|record| &record.outcome).filter(|outcome| outcome.remedy.is_none());
    let last = outcomes().next_back();
    if let Some(whole) = last.filter(|last| last.class == Class::Throttled || last.scope != Scope::Message) {
        return whole.clone();
    }
    let may_pass = outcomes().filter(|outcome| matches!(outcome.class, Class::Retry | Class::Unknown));
    if let Some(outcome) = may_pass.max_by_key(|outcome| outcome.hint) {
        return outcome.clone();
    }
    let refused: Vec<&Outcome> = outcomes().filter(|outcome| outcome.class == Class::Permanent).collect();
    match refused.as_slice() {
        [] => last.cloned().unwrap_or_else(Outcome::delivered),
        [only] if steps_count <= 1 => (*only).clone(),
        [first, ..] => {
            let note = format!("{} of {steps_count} failed for good, the first: {}", refused.len(), first.note);
            Outcome { note, ..(*first).clone() }
        }
    }
}

/// The steps and how many; a provider that panics is an error, too.
fn plan_safely(
    flight: &Flight,
    config: &Config,
    is_plain: bool,
    registry: &Registry,
    now: Timestamp,
) -> Result<(Vec<Step>, u32), String> {
    let planned = catch_unwind(AssertUnwindSafe(|| plan_with(flight, config, is_plain, registry, now)));
    let steps = planned.unwrap_or_else(|_| Err(format!("the message could not be made: {FAULT}")))?;
    match u32::try_from(steps.len()) {
        Ok(count) if count <= STEPS_MAX => Ok((steps, count)),
        _ => Err(format!("the message takes {} steps, and {STEPS_MAX} are possible", steps.len())),
    }
}

/// Renders the channel's templates and lets its provider plan; the error says what is wrong with which.
pub(crate) fn plan_steps(flight: &Flight, registry: &Registry, now: Timestamp) -> Result<Vec<Step>, String> {
    plan_with(flight, &flight.live.config, false, registry, now)
}

fn plan_with(
    flight: &Flight,
    config: &Config,
    is_plain: bool,
    registry: &Registry,
    now: Timestamp,
) -> Result<Vec<Step>, String> {
    let Flight { live, content, .. } = flight;
    // The database's own name, so that ids of two databases differ.
    let wire_id = match &content.digest {
        Some(digest) => format!("dgs_{}_{}", registry.instance, digest.id),
        None => format!("dlv_{}_{}", registry.instance, flight.delivery),
    };
    let attempt = content.tries + 1;
    let made_at = content.digest.as_ref().map_or(content.created_at, |digest| digest.sealed_at);
    let context = PlanContext { wire_id: &wire_id, attempt, is_plain, now, made_at, operator: &registry.operator };
    let plan =
        |message: &Message<'_>| live.provider.0.plan(config, message, &context).map_err(|error| error.to_string());
    if let Some(digest) = &content.digest {
        return DigestRow::read(&digest.body)?.with_message(plan);
    }
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
        items: &[],
    };
    plan(&message)
}

#[cfg(test)]
mod tests;
