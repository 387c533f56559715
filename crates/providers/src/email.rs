//! E-mail: one mail to each recipient, handed to the channel's own SMTP server or to the operator's.
//!
//! A mail is made here to its last byte (`mime`), from the channel's templates or in a default form (`default`); nothing
//! is sent. Each recipient is a step of its own, so that a second try mails only those who went without. What a server's
//! reply means is in `verdict`, where readers unsubscribe in [`unsubscribe`].

use std::time::Duration;

use domain::event::EVENT_TYPE_BYTES_MAX;
use domain::outcome::Outcome;
use domain::schedule::Schedule;
use domain::{Secret, Timestamp};
use lettre::message::Mailbox;
use url::Host;

use crate::config::{Config, FieldError};
use crate::message::{Message, PlanContext, PlanError};
use crate::operator::Operator;
use crate::pasted::Form;
use crate::spec::{Field, FieldKind, Markup, Spec};
use crate::step::{Reply, SmtpServer, SmtpStep, SmtpTls, Step};
use crate::summary::{Summary, one_line};
use crate::{Provider, address, judge};

mod default;
mod mime;
mod pasted;
pub mod unsubscribe;
mod verdict;

/// The most recipients of one channel; a list of people is several channels, or a list at the mail server.
pub const RECIPIENTS_MAX: usize = 50;

/// The longest subject, in characters.
const SUBJECT_CHARS_MAX: usize = 250;

/// A line of a mail may have 998 bytes, and a header's URL cannot be folded.
const UNSUBSCRIBE_BYTES_MAX: usize = 900;

/// How wide the plain text of an HTML template is, in columns.
const TEXT_COLUMNS: usize = 76;

const TO: &str = "to";
const FROM: &str = "from";
const REPLY_TO: &str = "reply_to";
const UNSUBSCRIBE_URL: &str = "unsubscribe_url";
const UNSUBSCRIBE_SECRET: &str = "unsubscribe_secret";
const SMTP_HOST: &str = "smtp_host";
const SMTP_PORT: &str = "smtp_port";
const SMTP_TLS: &str = "smtp_tls";
const SMTP_USER: &str = "smtp_user";
const SMTP_PASSWORD: &str = "smtp_password";

const STARTTLS_NAME: &str = "starttls";
const IMPLICIT_NAME: &str = "implicit";
const NONE_NAME: &str = "none";

static SPEC: Spec = Spec {
    name: "email",
    title: "E-mail",
    fields: &[
        Field {
            key: TO,
            kind: FieldKind::Addresses { count_max: RECIPIENTS_MAX },
            required: true,
            secret: false,
            help: "Who gets it: a list of addresses, or one text with commas. Each gets a mail of its own.",
            example: r#"["ann@example.com", "Billing <billing@example.com>"]"#,
        },
        Field {
            key: FROM,
            kind: FieldKind::Address,
            required: false,
            secret: false,
            help: "The sender. The operator's when left out.",
            example: "Postrider <postrider@example.com>",
        },
        Field {
            key: REPLY_TO,
            kind: FieldKind::Address,
            required: false,
            secret: false,
            help: "Where answers go, when not to the sender.",
            example: "support@example.com",
        },
        Field {
            key: UNSUBSCRIBE_URL,
            kind: FieldKind::Url,
            required: false,
            secret: false,
            help: "Where a recipient unsubscribes; {event_type} in it is the event's type, and {signature} a signature over \
                   that. An https URL must take the POST of one-click unsubscribing.",
            example: "https://example.com/unsubscribe?list=billing",
        },
        Field {
            key: UNSUBSCRIBE_SECRET,
            kind: FieldKind::Text { chars_max: 256 },
            required: false,
            secret: true,
            help: "A long random text that {signature} is made with: the first 16 bytes of the HMAC-SHA256 of the event's type, \
                   as base64 for URLs.",
            example: "mQ4vT9sXw2LrB7kYc5NfHd8ZpJ3gVa6E",
        },
        Field {
            key: SMTP_HOST,
            kind: FieldKind::Host,
            required: false,
            secret: false,
            help: "The mail server that takes the mails. The operator's when left out.",
            example: "mail.example.com",
        },
        Field {
            key: SMTP_PORT,
            kind: FieldKind::Port,
            required: false,
            secret: false,
            help: "Its port: 587, or 465 with 'implicit' and 25 with 'none', when left out.",
            example: "587",
        },
        Field {
            key: SMTP_TLS,
            kind: FieldKind::Choice(&[STARTTLS_NAME, IMPLICIT_NAME, NONE_NAME]),
            required: false,
            secret: false,
            help: "How the connection is secured: 'starttls', 'implicit' (TLS from the start) or 'none', which takes no \
                   password.",
            example: STARTTLS_NAME,
        },
        Field {
            key: SMTP_USER,
            kind: FieldKind::Text { chars_max: 256 },
            required: false,
            secret: false,
            help: "The user name at the mail server.",
            example: "postrider",
        },
        Field {
            key: SMTP_PASSWORD,
            kind: FieldKind::Text { chars_max: 1024 },
            required: false,
            secret: true,
            help: "The password at the mail server. It is sent over TLS only.",
            example: "correct horse battery staple",
        },
    ],
    retry: Schedule::mail,
    time_to_live: Duration::from_hours(3 * 24),
    body_markup: Markup::Html,
    sizes: &[],
    rates: &[],
    base_url: None,
};

/// Mail over SMTP.
pub struct Email;

impl Provider for Email {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn pasted(&self) -> &'static [Form] {
        &[Form {
            schemes: &["mailto", "mailtos"],
            shown: "mailto://USER@HOST, or mailtos://USER:PASSWORD@HOST for a server of its own",
            read: pasted::read,
        }]
    }

    fn check(&self, config: &Config) -> Result<(), Vec<FieldError>> {
        let mut errors = Vec::new();
        let mut wrong = |key: &str, message: &str| errors.push(FieldError::new(key, message));
        let (user, password) = (config.text(SMTP_USER), config.text(SMTP_PASSWORD));
        if config.text(SMTP_HOST).is_none() {
            let given = [(SMTP_USER, user.is_some()), (SMTP_PASSWORD, password.is_some())];
            let given = given.into_iter().chain([(SMTP_PORT, config.port(SMTP_PORT).is_some())]);
            for (key, _) in given.filter(|(_, is_given)| *is_given) {
                wrong(key, "belongs to a mail server of the channel's own: set smtp_host as well, or leave it out");
            }
        }
        if config.text(SMTP_TLS) == Some(NONE_NAME) && password.is_some() {
            wrong(SMTP_TLS, "must be starttls or implicit when there is a password, which goes over TLS only");
        }
        match (user, password) {
            (Some(_), None) => wrong(SMTP_PASSWORD, "is required with smtp_user"),
            (None, Some(_)) => wrong(SMTP_USER, "is required with smtp_password"),
            _ => {}
        }
        let (url, secret) = (config.text(UNSUBSCRIBE_URL), config.text(UNSUBSCRIBE_SECRET));
        if secret.is_none() && url.is_some_and(unsubscribe::needs_secret) {
            wrong(UNSUBSCRIBE_SECRET, "is required with {signature} in unsubscribe_url");
        }
        let longest = "x".repeat(EVENT_TYPE_BYTES_MAX);
        let unsubscribe = url.and_then(|text| unsubscribe::url(text, secret, &longest));
        if unsubscribe.is_some_and(|url| url.as_str().len() > UNSUBSCRIBE_BYTES_MAX) {
            wrong(UNSUBSCRIBE_URL, "must be at most 900 bytes long: it is a line of the mail");
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn check_operator(&self, config: &Config, operator: &Operator) -> Result<(), Vec<FieldError>> {
        let mut errors = Vec::new();
        if config.text(SMTP_HOST).is_none() && !operator.has_smtp {
            let message = "is required, because the operator has set no mail server (POSTRIDER_SMTP__URL)";
            errors.push(FieldError::new(SMTP_HOST, message));
        }
        if config.text(FROM).is_none() && operator.smtp_from.is_none() {
            let message = "is required, because the operator has set no sender (POSTRIDER_SMTP__FROM)";
            errors.push(FieldError::new(FROM, message));
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// Of a server of the channel's own. The operator's is not the owner's to mend.
    fn credential(&self, config: &Config) -> Option<String> {
        config.text(SMTP_HOST)?;
        let keys = [SMTP_HOST, SMTP_USER, SMTP_PASSWORD];
        Some(keys.map(|key| config.text(key).unwrap_or_default()).join(" "))
    }

    fn plan(&self, config: &Config, message: &Message<'_>, context: &PlanContext<'_>) -> Result<Vec<Step>, PlanError> {
        let prepared = config.prepared(Prepared::new).as_ref().map_err(Clone::clone)?;
        if prepared.server.is_none() && !context.operator.has_smtp {
            return Err(PlanError::NoServer);
        }
        let operators = context.operator.smtp_from.as_deref().and_then(|text| address::parse(text).ok());
        let from = prepared.from.as_ref().or(operators.as_ref()).ok_or(PlanError::NoSender)?;
        let secret = config.text(UNSUBSCRIBE_SECRET);
        let unsubscribe = config.text(UNSUBSCRIBE_URL);
        let unsubscribe = unsubscribe.and_then(|text| unsubscribe::url(text, secret, message.event_type));
        let summary = Summary::read(message)?;
        let subject = message.subject.map(|text| one_line(text, SUBJECT_CHARS_MAX)).filter(|text| !text.is_empty());
        let html = match message.body {
            Some(body) => body.to_owned(),
            None => default::html(&summary, unsubscribe.as_ref()),
        };
        let text = match message.body {
            Some(body) => html2text::from_read(body.as_bytes(), TEXT_COLUMNS).map_err(|_| PlanError::Template)?,
            None => default::text(&summary, unsubscribe.as_ref()),
        };
        let contents = mime::Contents {
            from,
            reply_to: prepared.reply_to.as_ref(),
            unsubscribe: unsubscribe.as_ref(),
            subject: subject.as_deref().unwrap_or(&summary.title),
            text: &text,
            html: &html,
            context,
        };
        let steps = prepared.to.iter().enumerate().map(|(position, to)| {
            let mail = mime::write(&contents, to, position)?;
            Ok(Step::Smtp(SmtpStep {
                server: prepared.server.clone(),
                from: from.email.to_string(),
                to: to.email.to_string(),
                message_id: mail.id,
                message: mail.bytes,
            }))
        });
        steps.collect()
    }

    fn judge(&self, reply: &Reply, _: Timestamp) -> Outcome {
        match reply {
            Reply::Smtp(reply) => verdict::reply(reply),
            Reply::Failed(failure) => verdict::failure(failure),
            Reply::Http(_) | Reply::Kept => judge::foreign(),
        }
    }
}

/// What follows from a config alone.
struct Prepared {
    to: Vec<Mailbox>,
    from: Option<Mailbox>,
    reply_to: Option<Mailbox>,
    /// `None` is the operator's.
    server: Option<SmtpServer>,
}

impl Prepared {
    fn new(config: &Config) -> Result<Self, PlanError> {
        let one = |key: &'static str| {
            let text = config.text(key);
            text.map(|text| address::parse(text).map_err(|_| PlanError::Config(key))).transpose()
        };
        let to = config.texts(TO).map(|text| address::parse(text).map_err(|_| PlanError::Config(TO)));
        let to: Vec<Mailbox> = to.collect::<Result<_, _>>()?;
        if to.is_empty() {
            return Err(PlanError::Config(TO));
        }
        Ok(Self { to, from: one(FROM)?, reply_to: one(REPLY_TO)?, server: server(config)? })
    }
}

fn server(config: &Config) -> Result<Option<SmtpServer>, PlanError> {
    let Some(host) = config.text(SMTP_HOST) else { return Ok(None) };
    let (tls, usual_port) = match config.text(SMTP_TLS).unwrap_or(STARTTLS_NAME) {
        STARTTLS_NAME => (SmtpTls::StartTls, 587),
        IMPLICIT_NAME => (SmtpTls::Implicit, 465),
        NONE_NAME => (SmtpTls::None, 25),
        _ => return Err(PlanError::Config(SMTP_TLS)),
    };
    Ok(Some(SmtpServer {
        host: match Host::parse(host) {
            Ok(host) => host.to_string(),
            // An IPv6 address, which a URL puts in brackets.
            Err(_) => host.to_owned(),
        },
        port: config.port(SMTP_PORT).unwrap_or(usual_port),
        tls,
        user: config.text(SMTP_USER).map(ToOwned::to_owned),
        password: config.text(SMTP_PASSWORD).map(Secret::new),
    }))
}

#[cfg(test)]
mod tests;
