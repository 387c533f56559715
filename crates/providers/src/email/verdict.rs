//! What a mail server's reply means.
//!
//! Two things decide: the stage, which says whom a refusal concerns, and the class of the code. An enhanced code
//! (RFC 3463) is believed before the basic one, because gateways commonly flatten the latter. Notes repeat the server's
//! words; what secrets of the channel are in them is struck out with the answer.

use domain::outcome::{Class, Outcome, Scope};

use crate::judge::{self, quoted};
use crate::step::{Failure, FailureKind, SmtpReply, SmtpStage};

/// The longest reference that is kept, in characters.
const REFERENCE_CHARS_MAX: usize = 300;

/// What an answer of the server means.
pub(super) fn reply(reply: &SmtpReply) -> Outcome {
    let note = note(reply);
    match class(reply) {
        _ if reply.code == 421 => Outcome::throttled(Scope::Channel, note),
        2 if reply.stage == SmtpStage::Message => delivered(reply),
        4 if is_about_all(reply.stage) => for_all(Outcome::retry(note)),
        5 if refuses_credentials(reply) => Outcome::permanent(Scope::Credential, note),
        // The mailbox is full, which people mend; the message is too large, which concerns no other.
        5 if is_full(reply) => Outcome::retry(note),
        5 if is_too_large(reply) => Outcome::permanent(Scope::Message, note),
        5 if is_about_all(reply.stage) => Outcome::permanent(Scope::Channel, note),
        5 => Outcome::permanent(Scope::Message, note),
        _ => Outcome::retry(note),
    }
}

/// What it means that there is no answer. Everything but a lost last answer concerns whatever is sent to this server, so
/// that no further recipient is tried for now.
pub(super) fn failure(failure: &Failure) -> Outcome {
    match failure.kind {
        // Nobody but an owner or an operator mends a certificate, and until then a password is safer kept.
        FailureKind::Certificate => {
            Outcome::permanent(Scope::Channel, format!("certificate not valid: {}", quoted(&failure.detail)))
        }
        FailureKind::NotWritten => {
            for_all(Outcome::retry(format!("connection lost before the mail was sent: {}", quoted(&failure.detail))))
        }
        FailureKind::Dns | FailureKind::Connect | FailureKind::Tls | FailureKind::Garbled => {
            for_all(judge::failure(failure))
        }
        _ => judge::failure(failure),
    }
}

/// Also a retry has a scope: of a mail with several recipients the others are not tried either.
fn for_all(outcome: Outcome) -> Outcome {
    Outcome { scope: Scope::Channel, ..outcome }
}

fn class(reply: &SmtpReply) -> u16 {
    reply.enhanced.map_or(reply.code / 100, |(class, _, _)| class)
}

/// Before there is a recipient, a refusal concerns whoever there may be.
const fn is_about_all(stage: SmtpStage) -> bool {
    match stage {
        SmtpStage::Connect | SmtpStage::Hello | SmtpStage::StartTls | SmtpStage::Login | SmtpStage::Sender => true,
        SmtpStage::Recipient | SmtpStage::Data | SmtpStage::Message => false,
    }
}

fn refuses_credentials(reply: &SmtpReply) -> bool {
    matches!(reply.code, 530 | 534 | 535 | 538) || matches!(reply.enhanced, Some((5, 7, 8 | 9)))
}

fn is_full(reply: &SmtpReply) -> bool {
    matches!(reply.enhanced, Some((_, 2, 2)))
}

fn is_too_large(reply: &SmtpReply) -> bool {
    matches!(reply.enhanced, Some((_, 3, 4) | (_, 2, 3))) || (reply.code == 552 && reply.enhanced.is_none())
}

fn delivered(reply: &SmtpReply) -> Outcome {
    let reference: String = format!("{} {}", reply.message_id, quoted(&reply.text));
    let reference = reference.trim_end().chars().take(REFERENCE_CHARS_MAX).collect();
    Outcome { class: Class::Delivered, reference: Some(reference), ..Outcome::delivered() }
}

/// Like "recipient refused: 550 5.1.1 no such user".
fn note(reply: &SmtpReply) -> String {
    let what = match reply.stage {
        SmtpStage::Connect => "the mail server does not take connections",
        SmtpStage::Hello => "the mail server refused the greeting",
        SmtpStage::StartTls => "the mail server refused STARTTLS",
        SmtpStage::Login => "login refused",
        SmtpStage::Sender => "sender refused",
        SmtpStage::Recipient => "recipient refused",
        SmtpStage::Data | SmtpStage::Message => "mail refused",
    };
    let enhanced = reply.enhanced.map(|(class, subject, detail)| format!(" {class}.{subject}.{detail}"));
    let text = quoted(&reply.text);
    format!("{what}: {}{} {text}", reply.code, enhanced.unwrap_or_default()).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use Class::{Delivered, Permanent, Retry, Throttled, Unknown};
    use SmtpStage::{Connect, Data, Hello, Login, Message, Recipient, Sender, StartTls};

    use super::*;

    fn answer(stage: SmtpStage, code: u16, enhanced: Option<(u16, u16, u16)>) -> SmtpReply {
        SmtpReply { stage, code, enhanced, text: "words".to_owned(), message_id: "<dlv_1@x.test>".to_owned() }
    }

    #[test]
    fn replies_hold_row_by_row() {
        let check = |stages: &[SmtpStage], code, enhanced, class: Class, scope: Scope| {
            for stage in stages {
                let outcome = reply(&answer(*stage, code, enhanced));
                assert_eq!((outcome.class, outcome.scope), (class, scope), "{stage:?} {code} {enhanced:?}");
                assert_eq!(outcome.hint, None, "the schedule waits out greylisting");
            }
        };
        let early = [Connect, Hello, StartTls, Login, Sender];
        let late = [Recipient, Data, Message];
        check(&[Message], 250, Some((2, 0, 0)), Delivered, Scope::Message);
        check(&[Message], 250, None, Delivered, Scope::Message);
        check(&early, 421, Some((4, 7, 0)), Throttled, Scope::Channel);
        check(&late, 421, None, Throttled, Scope::Channel);
        check(&early, 451, None, Retry, Scope::Channel);
        check(&late, 450, Some((4, 7, 1)), Retry, Scope::Message);
        check(&late, 452, None, Retry, Scope::Message);
        check(&[Connect, Hello, StartTls, Sender], 554, None, Permanent, Scope::Channel);
        check(&[Sender], 550, Some((5, 7, 1)), Permanent, Scope::Channel);
        check(&[Sender], 552, Some((5, 3, 4)), Permanent, Scope::Message);
        for code in [530, 534, 535, 538] {
            check(&early, code, None, Permanent, Scope::Credential);
            check(&late, code, None, Permanent, Scope::Credential);
        }
        check(&late, 554, Some((5, 7, 8)), Permanent, Scope::Credential);
        check(&[Login], 454, Some((5, 7, 9)), Permanent, Scope::Credential);
        for code in [550, 551, 553] {
            check(&[Recipient], code, Some((5, 1, 1)), Permanent, Scope::Message);
            check(&[Recipient], code, None, Permanent, Scope::Message);
        }
        check(&[Recipient], 550, Some((5, 2, 1)), Permanent, Scope::Message);
        check(&[Recipient], 550, Some((5, 7, 1)), Permanent, Scope::Message);
        check(&[Recipient, Message], 552, Some((5, 2, 2)), Retry, Scope::Message);
        check(&[Recipient, Message], 452, Some((4, 2, 2)), Retry, Scope::Message);
        check(&[Message], 552, None, Permanent, Scope::Message);
        check(&[Message], 554, Some((5, 6, 0)), Permanent, Scope::Message);
        check(&[Message], 554, Some((5, 7, 1)), Permanent, Scope::Message);
        // The enhanced class is believed.
        check(&[Recipient], 450, Some((5, 1, 1)), Permanent, Scope::Message);
        check(&[Recipient], 550, Some((4, 7, 1)), Retry, Scope::Message);
        // An answer that fits no question.
        check(&late, 354, None, Retry, Scope::Message);
    }

    #[test]
    fn failures_hold_row_by_row() {
        let check = |kind: FailureKind, class: Class, scope: Scope, part: &str| {
            let outcome = failure(&Failure { kind, detail: "why".to_owned() });
            assert_eq!((outcome.class, outcome.scope), (class, scope), "{kind:?}");
            assert!(outcome.note.contains(part) && outcome.note.ends_with(": why"), "{}", outcome.note);
        };
        check(FailureKind::Forbidden, Permanent, Scope::Channel, "not allowed");
        check(FailureKind::Dns, Retry, Scope::Channel, "not resolved");
        check(FailureKind::Connect, Retry, Scope::Channel, "no connection");
        check(FailureKind::Tls, Retry, Scope::Channel, "TLS");
        check(FailureKind::Certificate, Permanent, Scope::Channel, "certificate");
        check(FailureKind::NotWritten, Retry, Scope::Channel, "before the mail");
        check(FailureKind::NoAnswer, Unknown, Scope::Message, "may have been taken");
        check(FailureKind::Garbled, Retry, Scope::Channel, "protocol");
        check(FailureKind::Unsupported, Permanent, Scope::Channel, "cannot do");
        check(FailureKind::NotConfigured, Permanent, Scope::Message, "operator");
    }

    #[test]
    fn notes_and_references_repeat_the_server() {
        let refused = reply(&answer(Recipient, 550, Some((5, 1, 1))));
        assert_eq!(refused.note, "recipient refused: 550 5.1.1 words");
        let taken = reply(&answer(Message, 250, Some((2, 0, 0))));
        assert_eq!(taken.reference.as_deref(), Some("<dlv_1@x.test> words"));
    }
}
