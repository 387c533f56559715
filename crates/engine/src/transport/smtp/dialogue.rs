//! One transaction over an open connection: MAIL, RCPT, DATA, the mail. Each answer is known by its stage.

use std::error::Error as _;
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use providers::step::{FailureKind, Reply, SmtpReply, SmtpStage, SmtpStep};
use tokio::time::timeout;

use super::connect::Refused;
use crate::transport::failed;

/// For the answer to one command.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// For the answer to the mail itself, which servers scan before they answer.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(120);

/// The most mails over one connection: servers commonly close after a hundred.
const MAILS_MAX: u32 = 50;

/// A connection that is logged in.
pub(super) struct Dialogue {
    connection: AsyncSmtpConnection,
    mails: u32,
    is_usable: bool,
}

/// What came of a transaction.
pub(super) enum Carried {
    Answered(Reply),
    /// A connection that was used before turned out dead before anything of the mail was said.
    Stale,
}

impl Dialogue {
    pub(super) fn new(connection: AsyncSmtpConnection) -> Self {
        Self { connection, mails: 0, is_usable: true }
    }

    /// Whether another transaction may follow.
    pub(super) fn may_go_on(&self) -> bool {
        self.is_usable && self.mails < MAILS_MAX
    }

    /// Hands one mail in.
    pub(super) async fn carry(&mut self, step: &SmtpStep) -> Carried {
        let was_used = self.mails > 0;
        self.mails += 1;
        // Until the end is known: a transaction that is dropped half-way leaves the connection in the middle of it.
        self.is_usable = false;
        let refused = match self.transaction(step).await {
            Ok(reply) => {
                self.is_usable = true;
                return Carried::Answered(Reply::Smtp(reply));
            }
            Err(refused) => refused,
        };
        match &refused {
            (SmtpStage::Sender, Refused::Failed(_)) if was_used => return Carried::Stale,
            (SmtpStage::Sender, Refused::Said(reply)) if was_used && reply.code == 421 => return Carried::Stale,
            // A refusal ends the transaction only. What follows begins anew, once the server has said so.
            (_, Refused::Said(reply)) if reply.code != 421 => {
                self.is_usable = matches!(timeout(COMMAND_TIMEOUT, self.connection.command(Rset)).await, Ok(Ok(_)));
            }
            _ => {}
        }
        Carried::Answered(refused.1.with_message_id(step))
    }

    async fn transaction(&mut self, step: &SmtpStep) -> Result<SmtpReply, (SmtpStage, Refused)> {
        let address = |text: &str| {
            text.parse::<Address>().map_err(|_| failed(FailureKind::Forbidden, "the envelope holds no address").into())
        };
        let from = address(&step.from).map_err(|refused| (SmtpStage::Sender, refused))?;
        let to = address(&step.to).map_err(|refused| (SmtpStage::Recipient, refused))?;
        self.ask(SmtpStage::Sender, Mail::new(Some(from), Vec::new())).await?;
        self.ask(SmtpStage::Recipient, Rcpt::new(to, Vec::new())).await?;
        self.ask(SmtpStage::Data, Data).await?;
        let stage = SmtpStage::Message;
        match timeout(MESSAGE_TIMEOUT, self.connection.message(&step.message)).await {
            Ok(Ok(response)) => {
                let lines: Vec<&str> = response.message().collect();
                let said = reply(stage, response.code().into(), &lines.join(" "));
                Ok(SmtpReply { message_id: step.message_id.clone(), ..said })
            }
            Ok(Err(error)) => Err((stage, answer_of(&error, stage))),
            Err(_) => {
                let detail = format!("no answer to the mail within {MESSAGE_TIMEOUT:?}");
                Err((stage, failed(FailureKind::NoAnswer, detail).into()))
            }
        }
    }

    async fn ask(&mut self, stage: SmtpStage, command: impl std::fmt::Display) -> Result<(), (SmtpStage, Refused)> {
        match timeout(COMMAND_TIMEOUT, self.connection.command(command)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err((stage, answer_of(&error, stage))),
            Err(_) => {
                Err((stage, failed(FailureKind::NotWritten, format!("no answer within {COMMAND_TIMEOUT:?}")).into()))
            }
        }
    }
}

/// The same patience for what is said by hand.
pub(super) async fn asked<T>(asking: impl Future<Output = Result<T, Refused>>) -> Result<T, Refused> {
    match timeout(COMMAND_TIMEOUT, asking).await {
        Ok(answered) => answered,
        Err(_) => Err(failed(FailureKind::NotWritten, format!("no answer within {COMMAND_TIMEOUT:?}")).into()),
    }
}

/// What an error of the library says: the server's own words, or how far the mail got.
pub(super) fn answer_of(error: &Error, stage: SmtpStage) -> Refused {
    if let Some(code) = error.status() {
        let text = error.source().map(ToString::to_string).unwrap_or_default();
        return Refused::Said(reply(stage, code.into(), &text));
    }
    let root = error.source().map(ToString::to_string).unwrap_or_default();
    // Once the mail is on its way, its end may have been as well.
    let kind = if stage == SmtpStage::Message { FailureKind::NoAnswer } else { FailureKind::NotWritten };
    failed(kind, format!("the connection broke: {root}")).into()
}

/// The text of an answer taken apart.
pub(super) fn reply(stage: SmtpStage, code: u16, text: &str) -> SmtpReply {
    let (enhanced, text) = match text.split_once(' ').unwrap_or((text, "")) {
        (first, rest) if enhanced(first).is_some() => (enhanced(first), rest),
        _ => (None, text),
    };
    SmtpReply { stage, code, enhanced, text: text.trim().to_owned(), message_id: String::new() }
}

/// `5.1.1`; of classes there are three.
fn enhanced(word: &str) -> Option<(u16, u16, u16)> {
    let parts: Vec<&str> = word.split('.').collect();
    let [class, subject, detail] = parts.as_slice() else { return None };
    let number = |text: &str| {
        let is_number = (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { text.parse().ok() } else { None }
    };
    let code = (number(class)?, number(subject)?, number(detail)?);
    matches!(code.0, 2 | 4 | 5).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_taken_apart() {
        let check = |text: &str, enhanced: Option<(u16, u16, u16)>, rest: &str| {
            let found = reply(SmtpStage::Recipient, 550, text);
            assert_eq!((found.enhanced, found.text.as_str()), (enhanced, rest), "{text}");
        };
        check("5.1.1 no such user", Some((5, 1, 1)), "no such user");
        check("4.7.26", Some((4, 7, 26)), "");
        check("no such user 5.1.1", None, "no such user 5.1.1");
        check("3.1.1 x", None, "3.1.1 x");
        check("5.1 x", None, "5.1 x");
        check("5.1.1.1 x", None, "5.1.1.1 x");
        check("127.0.0.1 is blocked", None, "127.0.0.1 is blocked");
        check("", None, "");
    }
}
