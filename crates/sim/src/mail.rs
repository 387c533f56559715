//! Mail, as servers answer it: what comes of a request, in the words of SMTP.

use providers::step::{Reply, SmtpReply, SmtpStage};
use serde_json::{Map, Value, json};

use crate::receivers::Fate;

/// The recipients of a channel of mail, all of them at one receiver.
pub(crate) const RECIPIENTS: u32 = 3;

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

/// The same fate of a mail.
pub(crate) fn as_mail(fate: Fate, message_id: &str) -> Fate {
    let reply = match fate.reply {
        Reply::Http(answer) => {
            let (stage, code) = said(answer.status.as_u16());
            let (enhanced, text) = (None, "said so".to_owned());
            Reply::Smtp(SmtpReply { stage, code, enhanced, text, message_id: message_id.to_owned() })
        }
        other => other,
    };
    Fate { answer: fate.answer.map(|status| said(status).1), reply, ..fate }
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
