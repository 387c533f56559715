//! Tries with several recipients, and providers that break down, without any I/O.

use domain::channel::{Channel, ChannelSettings};
use domain::event::NewEvent;
use domain::schedule::Schedule;
use domain::{EventId, Secret, TenantId};
use providers::step::{Failure, FailureKind, SmtpStep};
use providers::{Config, Markup, PlanError, Provider, Scopes, Spec};

use super::*;
use crate::registry::ProviderRef;
use crate::render::Templates;

const NOW: Timestamp = Timestamp::from_ms(1_700_000_000_000);

/// Plans a step for each of these recipients; an answer is an outcome's name.
struct Scripted(&'static [&'static str]);

static SPEC: Spec = Spec {
    name: "scripted",
    title: "",
    fields: &[],
    retry: Schedule::mail,
    time_to_live: Duration::from_secs(1),
    body_markup: Markup::Plain,
    sizes: &[],
    rates: &[],
    base_url: None,
};

impl Provider for Scripted {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, _: &Config, _: &Message<'_>, _: &PlanContext<'_>) -> Result<Vec<Step>, PlanError> {
        assert!(!self.0.is_empty(), "as planned");
        let step = |to: &&str| {
            Step::Smtp(SmtpStep {
                server: None,
                from: String::new(),
                to: (*to).to_owned(),
                message_id: String::new(),
                message: "".into(),
            })
        };
        Ok(self.0.iter().map(step).collect())
    }

    fn judge(&self, reply: &Reply, _: Timestamp) -> Outcome {
        let Reply::Failed(failure) = reply else { panic!("{reply:?}") };
        match failure.detail.as_str() {
            "ok" => Outcome::delivered(),
            "later" => Outcome::retry("later"),
            "never" => Outcome::permanent(Scope::Message, "never"),
            "paused" => Outcome::permanent(Scope::Credential, "paused"),
            "slower" => Outcome::throttled(Scope::Channel, "slower"),
            other => panic!("as planned: {other}"),
        }
    }
}

fn flight(provider: &'static dyn Provider, steps_done: StepsDone) -> Flight {
    let settings = ChannelSettings {
        concurrency: 1,
        ..ChannelSettings::new(String::new(), SPEC.name.to_owned(), Secret::new("{}"))
    };
    let (id, tenant) = (ChannelId(1), TenantId(1));
    let channel = Channel { id, tenant, settings, pause: None, created_at: NOW, updated_at: None, deleted_at: None };
    let live = LiveChannel {
        provider: ProviderRef(provider),
        provider_name: SPEC.name.into(),
        config: Config::default(),
        templates: Templates::default(),
        digest: None,
        schedule: Schedule::mail(),
        time_to_live: SPEC.time_to_live,
        held_max: 100,
        held_for: None,
        channel,
        subscriptions: Vec::new(),
        scopes: Scopes::default(),
        trip: std::sync::Arc::default(),
        suspension: std::sync::Arc::default(),
        is_new: false,
    };
    let content = NewEvent {
        tenant,
        event_type: "a".into(),
        data: "{}".into(),
        occurred_at: NOW,
        severity: None,
        explicit_channels: None,
        trace: None,
    };
    let event = Arc::new(Event { id: EventId(1), accepted_at: NOW, content: Arc::new(content) });
    let content = Content {
        event,
        created_at: NOW,
        due_since: NOW,
        expires_at: NOW,
        attempts: 0,
        tries: 0,
        attempts_max: None,
        steps_done,
        digest: None,
    };
    Flight { delivery: DeliveryId(1), channel: id, live: Arc::new(live), content, slot: 0 }
}

/// Runs a try; who was tried, and what came of it.
fn run(provider: &'static Scripted, done: StepsDone, answers: &[&str]) -> (Vec<String>, Answered) {
    let mut run = AttemptRun::plan(flight(provider, done), &Registry::of_nothing(), NOW);
    let mut answers = answers.iter();
    let mut tried = Vec::new();
    while let Some(step) = run.next_step() {
        tried.push(step.recipient().to_owned());
        let detail = (*answers.next().expect("an answer")).to_owned();
        run.answer(
            &Reply::Failed(Failure { kind: FailureKind::Dns, detail }),
            (NOW, Duration::ZERO),
            &Registry::of_nothing(),
            NOW,
        );
    }
    assert!(answers.next().is_none(), "{tried:?}");
    (tried, run.finish())
}

#[test]
fn what_becomes_of_several_recipients() {
    static THREE: Scripted = Scripted(&["a", "b", "c"]);
    let check = |answers: &[&str], class: Class, note: &str| {
        let (_, answered) = run(&THREE, StepsDone::NONE, answers);
        assert_eq!((answered.outcome.class, answered.outcome.note.as_str()), (class, note), "{answers:?}");
        assert_eq!(answered.records.len(), answers.len());
        for (step, answer) in answers.iter().enumerate() {
            assert_eq!(answered.steps_done.has(u32::try_from(step).unwrap()), *answer == "ok", "{answers:?}");
        }
    };
    check(&["ok", "ok", "ok"], Class::Delivered, "");
    check(&["never", "ok", "ok"], Class::Permanent, "1 of 3 failed for good, the first: never");
    check(&["never", "later", "ok"], Class::Retry, "later");
    check(&["later", "never", "never"], Class::Retry, "later");
    check(&["never", "never", "never"], Class::Permanent, "3 of 3 failed for good, the first: never");
    check(&["ok", "paused"], Class::Permanent, "paused");
    check(&["never", "slower"], Class::Throttled, "slower");
}

#[test]
fn a_later_try_goes_on_with_those_who_went_without() {
    static THREE: Scripted = Scripted(&["a", "b", "c"]);
    static OTHERS: Scripted = Scripted(&["b", "c", "d"]);
    let (_, first) = run(&THREE, StepsDone::NONE, &["ok", "later", "ok"]);
    let (tried, second) = run(&THREE, first.steps_done, &["ok"]);
    assert_eq!((tried, second.outcome.class), (vec!["b".to_owned()], Class::Delivered));
    assert_eq!(second.records[0].step, 1);
    let (tried, _) = run(&OTHERS, first.steps_done, &["ok", "ok", "ok"]);
    assert_eq!(tried, ["b", "c", "d"], "the list is another one");
    let (tried, nothing) = run(&THREE, second.steps_done, &[]);
    assert_eq!((tried.len(), nothing.outcome.class), (0, Class::Delivered));
}

#[test]
fn a_provider_that_panics_makes_an_attempt() {
    static PLANLESS: Scripted = Scripted(&[]);
    static ONE: Scripted = Scripted(&["a"]);
    let kept = StepsDone::from_bits(5);
    let (tried, answered) = run(&PLANLESS, kept, &[]);
    assert!(tried.is_empty() && answered.outcome.class == Class::Permanent);
    assert!(answered.records[0].outcome.note.contains("report"));
    assert_eq!(answered.steps_done, kept);
    let (_, answered) = run(&ONE, StepsDone::NONE, &["boom"]);
    assert_eq!((answered.outcome.class, answered.outcome.scope), (Class::Unknown, Scope::Message));
}

mod parts;
