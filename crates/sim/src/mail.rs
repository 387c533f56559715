//! Mail: channels with a step for each recipient, and what their servers say.

use providers::step::{Failure, FailureKind, Reply, SmtpReply, SmtpStage, SmtpStep};
use serde_json::{Map, Value, json};

use crate::receivers::Fate;

/// The recipients of a channel of mail, all of them at one receiver.
pub(crate) const RECIPIENTS: u32 = 3;

/// What a mail says of each event: a line with its serial, which [`serials`] finds again.
pub(crate) const BODY_TEMPLATE: &str = "<p>n {{ n }}</p>";

/// A channel whose recipients are at this receiver.
pub(crate) fn config(receiver: usize) -> Map<String, Value> {
    let host = format!("r{receiver}.example.com");
    let to: Vec<String> = ["ann", "bob", "cid"].iter().map(|name| format!("{name}@{host}")).collect();
    let fields = [
        ("to", json!(to)),
        ("from", json!("sender@example.com")),
        ("smtp_host", json!(host)),
        ("smtp_tls", json!("none")),
    ];
    fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// A change that ends a pause: a mail is the same whatever port takes it.
pub(crate) fn mended() -> Map<String, Value> {
    Map::from_iter([("smtp_port".to_owned(), json!(2525))])
}

/// The serial of each event that a mail tells of; that of an event without one is 0.
pub(crate) fn serials(step: &SmtpStep) -> Vec<u64> {
    let mail = String::from_utf8_lossy(&step.message);
    let lines = mail.lines().map(|line| line.trim_end_matches("=20").trim_end());
    lines.filter_map(|line| if line == "n" { Some(0) } else { line.strip_prefix("n ")?.parse().ok() }).collect()
}

/// The same fate of a mail.
pub(crate) fn as_mail(fate: Fate, message_id: &str) -> Fate {
    match fate.reply {
        Reply::Http(answer) => {
            let (stage, code) = said(answer.status.as_u16());
            let (enhanced, text) = (None, "said so".to_owned());
            let reply = Reply::Smtp(SmtpReply { stage, code, enhanced, text, message_id: message_id.to_owned() });
            Fate { answer: fate.answer.map(|status| said(status).1), reply, ..fate }
        }
        // Whoever does not speak the protocol is not handed a mail.
        Reply::Failed(Failure { kind: FailureKind::Garbled, .. }) => Fate { arrives_us: None, answer: None, ..fate },
        _ => Fate { answer: fate.answer.map(|status| said(status).1), ..fate },
    }
}

/// What a mail server says where others answer with this status, and when.
fn said(status: u16) -> (SmtpStage, u16) {
    match status {
        200..=299 => (SmtpStage::Message, 250),
        429 => (SmtpStage::Connect, 421),
        410 => (SmtpStage::Sender, 550),
        400..=499 => (SmtpStage::Recipient, 550),
        503 => (SmtpStage::Sender, 451),
        _ => (SmtpStage::Recipient, 451),
    }
}
