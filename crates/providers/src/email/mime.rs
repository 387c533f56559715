//! A mail as bytes: headers, plain text, HTML. Pure: the same arguments give the same bytes.
//!
//! Two things are never left to the library, because it would ask the system for them: the date and the boundary. Both
//! parts are quoted-printable, in which no line can look like a boundary ("=_" is written "=3D_").

use bytes::Bytes;
use domain::Timestamp;
use jiff::fmt::strtime;
use lettre::address::Envelope;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder, MultiPart, MultiPartKind, SinglePart};
use url::Url;

use crate::message::{PlanContext, PlanError};

/// What all mails of a delivery have in common.
pub(super) struct Contents<'a> {
    pub(super) from: &'a Mailbox,
    pub(super) reply_to: Option<&'a Mailbox>,
    pub(super) unsubscribe: Option<&'a Url>,
    /// One line without control characters.
    pub(super) subject: &'a str,
    pub(super) text: &'a str,
    pub(super) html: &'a str,
    pub(super) context: &'a PlanContext<'a>,
}

/// A finished mail.
pub(super) struct Mail {
    /// With its angle brackets.
    pub(super) id: String,
    pub(super) bytes: Bytes,
}

/// Writes the mail for one recipient, who is the only one that it names. `position` is that of the recipient.
pub(super) fn write(contents: &Contents<'_>, to: &Mailbox, position: usize) -> Result<Mail, PlanError> {
    let wire_id = contents.context.wire_id;
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if wire_id.is_empty() || !wire_id.bytes().all(is_safe) {
        return Err(PlanError::WireId);
    }
    // The first has the bare id. The others are other mails and need other ids, or a server may take one for a copy.
    let local = if position == 0 { wire_id.to_owned() } else { format!("{wire_id}.{position}") };
    let id = format!("<{local}@{}>", contents.from.email.domain());
    let envelope = Envelope::new(Some(contents.from.email.clone()), vec![to.email.clone()])
        .map_err(|_| PlanError::Config("to"))?;

    let named =
        |mailbox: &Mailbox| Mailbox::new(mailbox.name.as_deref().map(without_encoded_words), mailbox.email.clone());
    let mut builder = lettre::Message::builder()
        .envelope(envelope)
        .raw_header(exact("Date", date(contents.context.made_at)))
        .from(named(contents.from))
        .to(named(to))
        .subject(without_encoded_words(contents.subject))
        .message_id(Some(id.clone()))
        .raw_header(exact("Auto-Submitted", "auto-generated".to_owned()))
        .raw_header(exact("X-Auto-Response-Suppress", "All".to_owned()));
    if let Some(mailbox) = contents.reply_to {
        builder = builder.reply_to(named(mailbox));
    }
    if let Some(url) = contents.unsubscribe {
        builder = unsubscribable(builder, url);
    }
    let parts = MultiPart::builder()
        .kind(MultiPartKind::Alternative)
        .boundary(format!("=_{local}"))
        .singlepart(part(ContentType::TEXT_PLAIN, contents.text))
        .singlepart(part(ContentType::TEXT_HTML, contents.html));
    let mail = builder.multipart(parts).map_err(|_| PlanError::Config("from"))?;
    Ok(Mail { id, bytes: mail.formatted().into() })
}

/// NUL and the like are no text in any mail; the library makes CRLF of every line's end.
fn part(content_type: ContentType, text: &str) -> SinglePart {
    let text: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t')).collect();
    SinglePart::builder().header(content_type).header(ContentTransferEncoding::QuotedPrintable).body(text)
}

/// RFC 2369 and, where one POST is enough, RFC 8058.
fn unsubscribable(builder: MessageBuilder, url: &Url) -> MessageBuilder {
    // A URL that has been parsed is ASCII and holds no space; brackets would end the header's.
    let link = url.as_str().replace('<', "%3C").replace('>', "%3E");
    let builder = builder.raw_header(exact("List-Unsubscribe", format!("<{link}>")));
    if url.scheme() == "https" {
        return builder.raw_header(exact("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()));
    }
    builder
}

/// A header whose value is our own and needs no encoding.
fn exact(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), value.clone(), value)
}

/// The library encodes what is not ASCII and leaves what looks encoded already, in which data could hide a line's end.
fn without_encoded_words(text: &str) -> String {
    text.replace("=?", "= ?")
}

fn date(now: Timestamp) -> String {
    /// The last second of the year 9999.
    const LATEST_S: i64 = 253_402_300_799;
    let at = jiff::Timestamp::from_second(now.as_seconds().clamp(0, LATEST_S)).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    strtime::format("%a, %d %b %Y %H:%M:%S +0000", &at.to_zoned(jiff::tz::TimeZone::UTC)).unwrap_or_default()
}
