//! Messages in parts, and what is done at once about an answer.

use std::collections::BTreeMap;

use bytes::Bytes;
use domain::budget::ScopedRate;
use domain::{ScopeId, Secret};
use http::Method;
use providers::step::{HttpStep, Trust};

use super::*;

/// Sends each character of the text `text` of its config to the place in `to`, as plain as it is asked for. An answer is
/// an outcome's name.
struct Letters;

impl Provider for Letters {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, config: &Config, _: &Message<'_>, context: &PlanContext<'_>) -> Result<Vec<Step>, PlanError> {
        let field = |key: &'static str| config.text(key).ok_or(PlanError::Config(key));
        let (text, to) = (field("text")?, field("to")?);
        let style = if context.is_plain { "plain" } else { "rich" };
        let step = |letter: char| {
            Step::Http(HttpStep {
                method: Method::POST,
                url: Secret::new("https://a.test/"),
                headers: http::HeaderMap::new(),
                body: Bytes::from(format!("{letter} {style} to {to}")),
                timeout: Duration::from_secs(1),
                trust: Trust::NONE,
            })
        };
        Ok(text.chars().map(step).collect())
    }

    fn judge(&self, reply: &Reply, _: Timestamp) -> Outcome {
        let Reply::Failed(failure) = reply else { panic!("{reply:?}") };
        match failure.detail.as_str() {
            "ok" => Outcome::delivered(),
            "later" => Outcome::retry("later"),
            "nothing" => Outcome::unknown("no answer"),
            "moved" => {
                let patch = ConfigPatch { key: "to", value: "elsewhere".to_owned() };
                Outcome::permanent(Scope::Channel, "moved").with_remedy(Remedy::Move(patch))
            }
            "garbled" => Outcome::permanent(Scope::Message, "garbled").with_remedy(Remedy::Plain),
            "twice" => Outcome::permanent(Scope::Message, "twice").with_remedy(Remedy::HasAlready),
            other => panic!("as planned: {other}"),
        }
    }
}

/// A try of this text: what was sent, and what came of it.
struct Trial {
    text: &'static str,
    to: &'static str,
    done: StepsDone,
    is_metered: bool,
}

impl Trial {
    fn run(&self, answers: &[&str]) -> (Vec<String>, Answered) {
        let mut flight = flight(&Letters, self.done);
        let live = Arc::get_mut(&mut flight.live).unwrap();
        let fields = BTreeMap::from([("text", self.text), ("to", self.to)]);
        live.config = Config::parse(&serde_json::to_string(&fields).unwrap()).unwrap();
        if self.is_metered {
            live.scopes.rates.push(ScopedRate { scope: ScopeId(1), count: 1, window: Duration::from_secs(1) });
        }
        let mut run = AttemptRun::plan(flight, &Registry::of_nothing(), NOW);
        let mut answers = answers.iter();
        let mut sent = Vec::new();
        while let Some(step) = run.next_step() {
            sent.push(step.content());
            let detail = (*answers.next().expect("an answer")).to_owned();
            let reply = Reply::Failed(Failure { kind: FailureKind::Dns, detail });
            run.answer(&reply, (NOW, Duration::ZERO), &Registry::of_nothing(), NOW);
        }
        assert!(answers.next().is_none(), "{sent:?}");
        (sent, run.finish())
    }
}

const ABC: Trial = Trial { text: "abc", to: "here", done: StepsDone::NONE, is_metered: false };

#[test]
fn a_later_try_goes_on_at_the_part_that_failed_unless_the_parts_are_others() {
    let (sent, first) = ABC.run(&["ok", "later"]);
    assert_eq!(sent, ["a rich to here", "b rich to here"]);
    let done = first.steps_done;
    let (sent, second) = Trial { done, ..ABC }.run(&["ok", "ok"]);
    assert_eq!((sent[0].as_str(), second.outcome.class), ("b rich to here", Class::Delivered));
    for text in ["axc", "ab", "a", "bca"] {
        let answers = vec!["ok"; text.len()];
        let (sent, _) = Trial { text, done, ..ABC }.run(&answers);
        assert_eq!(sent.len(), text.len(), "{text}: the message is another one, and goes out whole");
    }
}

#[test]
fn parts_that_a_rate_counts_take_turns() {
    let metered = Trial { is_metered: true, ..ABC };
    let (sent, first) = metered.run(&["ok"]);
    assert_eq!(sent, ["a rich to here"]);
    assert!(first.has_more && first.outcome.class == Class::Delivered);
    assert_eq!(first.outcome.note, "2 of 3 parts wait for their turn");
    let (sent, second) = Trial { done: first.steps_done, ..metered }.run(&["ok"]);
    assert_eq!((sent[0].as_str(), second.has_more), ("b rich to here", true));
    let (sent, third) = Trial { done: second.steps_done, ..metered }.run(&["ok"]);
    assert_eq!((sent[0].as_str(), third.has_more, third.outcome.note.as_str()), ("c rich to here", false, ""));
    let (_, failed) = Trial { done: first.steps_done, ..metered }.run(&["later"]);
    assert!(!failed.has_more && failed.outcome.class == Class::Retry);
}

#[test]
fn a_message_follows_where_its_destination_has_moved() {
    let (sent, moved) = ABC.run(&["ok", "moved", "ok", "ok"]);
    assert_eq!(sent[1..], ["b rich to here", "b rich to elsewhere", "c rich to elsewhere"]);
    assert_eq!(moved.outcome.class, Class::Delivered);
    assert_eq!(moved.patch, Some(ConfigPatch { key: "to", value: "elsewhere".to_owned() }));
    // What was done stays done under the new config.
    let (_, failed) = ABC.run(&["ok", "moved", "later"]);
    let next = Trial { to: "elsewhere", done: failed.steps_done, ..ABC };
    assert_eq!(next.run(&["ok", "ok"]).0[0], "b rich to elsewhere");
    // It moves once in a try.
    let (_, again) = ABC.run(&["moved", "moved"]);
    assert_eq!((again.outcome.class, again.outcome.scope), (Class::Permanent, Scope::Channel));
    let metered = Trial { is_metered: true, ..ABC };
    assert_eq!(metered.run(&["moved", "ok"]).0.len(), 2, "at once, also where parts take turns");
}

#[test]
fn a_message_that_cannot_be_read_goes_again_as_plain_text() {
    let (sent, answered) = ABC.run(&["garbled", "ok", "ok", "ok"]);
    assert_eq!(sent[..2], ["a rich to here", "a plain to here"]);
    assert_eq!(answered.outcome.class, Class::Delivered);
    assert_eq!(answered.records.len(), 4);
    let (_, dead) = ABC.run(&["garbled", "garbled"]);
    assert_eq!(
        (dead.outcome.class, dead.outcome.note.as_str()),
        (Class::Permanent, "1 of 3 failed for good, the first: garbled")
    );
    let (sent, _) = ABC.run(&["moved", "garbled", "ok", "ok", "ok"]);
    assert_eq!(sent[2], "a plain to elsewhere");
}

#[test]
fn a_repeat_after_a_try_without_answer_was_delivered_by_it() {
    let one = Trial { text: "a", ..ABC };
    let (_, unknown) = one.run(&["nothing"]);
    assert!(unknown.steps_done.is_in_doubt());
    let (_, later) = Trial { done: unknown.steps_done, ..one }.run(&["later"]);
    let (_, repeat) = Trial { done: later.steps_done, ..one }.run(&["twice"]);
    assert_eq!(repeat.outcome.class, Class::Delivered);
    assert!(repeat.outcome.note.contains("an earlier try"), "{:?}", repeat.outcome);
    // Without such a try it is another message with the same text.
    assert_eq!(one.run(&["twice"]).1.outcome.class, Class::Permanent);
}
