//! Judgement shared by providers: what an HTTP answer, or none, means unless a provider knows better.
//!
//! A provider first looks for what is its own, above all in the body, and leaves the rest to [`http()`] and [`failure`].
//! Notes are for the person on call: they hold status, failure and cleaned parts of the answer, never a URL or secret
//! of ours. What follows from an outcome is for dispatch to decide.

use std::time::Duration;

use domain::Timestamp;
use domain::outcome::{HINT_MAX, Outcome, Scope};
use http::header::{LOCATION, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use jiff::fmt::strtime;
use jiff::tz::Offset;
use serde_json::Value;

use crate::step::{Failure, FailureKind, HttpReply, Reply};

/// The most of a receiver's text that is repeated in a note, in characters.
const QUOTE_CHARS_MAX: usize = 200;

/// Judges an HTTP answer by `answer`, and that there is none by [`failure`]: for providers that plan requests only.
pub fn reply(reply: &Reply, answer: impl FnOnce(&HttpReply) -> Outcome) -> Outcome {
    match reply {
        Reply::Http(reply) => answer(reply),
        Reply::Smtp(_) | Reply::Kept => foreign(),
        Reply::Failed(failed) => failure(failed),
    }
}

/// The body of an answer as JSON; null when it is none.
pub(crate) fn json(reply: &HttpReply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or(Value::Null)
}

/// A hint in seconds, which may have a fraction. Negative, absurd and no numbers are no hints.
pub(crate) fn seconds(value: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(value).ok().map(|wait| wait.min(HINT_MAX))
}

/// What an HTTP answer means for a provider whose address and interface are known to be right: the table below.
pub fn http(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Outcome {
    let note = status_note(status);
    match status.as_u16() {
        200..=299 => Outcome::delivered(),
        // The host is fixed, so it has moved or is not what the owner thinks. Where to is not said: such a provider's
        // URL is a secret, and a redirect commonly repeats it.
        300..=399 => Outcome::permanent(Scope::Channel, format!("{note}: redirects are not followed")),
        // This message is malformed, too large or of the wrong kind: the same bytes fare no better later.
        400 | 404 | 405 | 406 | 413 | 415 | 422 | 431 | 501 | 505 => Outcome::permanent(Scope::Message, note),
        // The credentials are not good, or the destination is gone, for every message.
        401 | 403 | 407 | 410 => Outcome::permanent(Scope::Channel, note),
        429 => Outcome::throttled(Scope::Channel, note).with_hint(retry_after(headers, now)),
        // 408, 425 and the other 5xx pass by themselves. What is not named anywhere is tried again as well: one try
        // too many costs a request, one too few a message.
        _ => Outcome::retry(note).with_hint(retry_after(headers, now)),
    }
}

/// What it means that there is no answer.
pub fn failure(failure: &Failure) -> Outcome {
    let note = |what: &str| match failure.detail.as_str() {
        "" => what.to_owned(),
        detail => format!("{what}: {}", quoted(detail)),
    };
    match failure.kind {
        FailureKind::Forbidden => Outcome::permanent(Scope::Channel, note("target not allowed")),
        FailureKind::Dns => Outcome::retry(note("host name not resolved")),
        FailureKind::Connect => Outcome::retry(note("no connection")),
        FailureKind::Tls => Outcome::retry(note("TLS handshake failed")),
        FailureKind::Certificate => {
            Outcome::retry(note("certificate not valid; tried again until the receiver's operator mends it"))
        }
        FailureKind::NotWritten => Outcome::retry(note("connection lost before the request was sent")),
        FailureKind::NoAnswer => Outcome::unknown(note("no answer; the message may have been taken")),
        FailureKind::Garbled => Outcome::retry(note("the answer does not follow the protocol")),
        FailureKind::Unsupported => {
            Outcome::permanent(Scope::Channel, note("the server cannot do what the channel requires"))
        }
        FailureKind::NotConfigured => {
            Outcome::permanent(Scope::Message, note("the operator's settings do not allow it"))
        }
    }
}

/// A reply to another kind of step than the provider plans: a fault of ours, after which nobody knows what was sent.
pub fn foreign() -> Outcome {
    Outcome::unknown("the reply is not of the kind that was asked for; this is a fault of Postrider, please report it")
}

/// Like "HTTP 503 Service Unavailable".
pub fn status_note(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("HTTP {} {reason}", status.as_u16()),
        None => format!("HTTP {}", status.as_u16()),
    }
}

/// Where a redirect leads, for providers whose URL is no secret. It is never followed: the owner chose another place.
///
/// Credentials and query are left out, because a redirect commonly repeats ours and tokens are put there.
pub fn redirect_note(status: StatusCode, headers: &HeaderMap) -> String {
    let Some(location) = headers.get(LOCATION) else { return status_note(status) };
    let location = without_secrets(&String::from_utf8_lossy(location.as_bytes()));
    format!("redirect to {} refused: put the final URL in the channel", quoted(&location))
}

/// The wait that `Retry-After` asks for: seconds or a date, at most [`HINT_MAX`]; zero when negative or past; `None`
/// when it is absent or neither.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = if digits == text { digits.parse().unwrap_or(u64::MAX) } else { 0 };
        return Some(Duration::from_secs(seconds).min(HINT_MAX));
    }
    http_date(text).map(|date| date.since(now).min(HINT_MAX))
}

/// A date in any of the three forms that receivers of HTTP must read (RFC 9110, 5.6.7).
fn http_date(text: &str) -> Option<Timestamp> {
    const FORMS: [&str; 3] = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
    let date = FORMS.iter().find_map(|form| strtime::parse(form, text).ok()?.to_datetime().ok())?;
    // Only the last day of the year 9999 has no timestamp.
    let time = Offset::UTC.to_timestamp(date).unwrap_or(jiff::Timestamp::MAX);
    Some(Timestamp::from_ms(time.as_millisecond()))
}

/// A URL, absolute or not, without credentials, query and fragment.
fn without_secrets(url: &str) -> String {
    let url = &url[..url.find(['?', '#']).unwrap_or(url.len())];
    let Some((scheme, rest)) = url.split_once("//") else { return url.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}//{host}{path}")
}

/// Somebody else's text, fit for a note.
pub(crate) fn quoted(text: &str) -> String {
    let printable = text.trim().chars().filter(|c| !c.is_control());
    printable.take(QUOTE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use domain::outcome::Class;

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
    const DATE: Timestamp = Timestamp::from_ms(784_111_777_000);

    fn headers(name: http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn the_default_table_holds_row_by_row() {
        use Class::{Delivered, Permanent, Retry, Throttled};
        let hint = headers(RETRY_AFTER, "7");
        let check = |codes: &[u16], class: Class, scope: Scope, hinted: bool| {
            for code in codes {
                let outcome = http(StatusCode::from_u16(*code).unwrap(), &hint, DATE);
                assert_eq!((outcome.class, outcome.scope), (class, scope), "{code}");
                assert_eq!(outcome.hint, hinted.then_some(Duration::from_secs(7)), "{code}");
                assert_eq!(outcome.note.is_empty(), class == Delivered, "{code}");
            }
        };
        check(&[200, 201, 202, 204, 299], Delivered, Scope::Message, false);
        check(&[300, 301, 302, 303, 304, 307, 308], Permanent, Scope::Channel, false);
        check(&[400, 404, 405, 406, 413, 415, 422, 431], Permanent, Scope::Message, false);
        check(&[401, 403, 407], Permanent, Scope::Channel, false);
        check(&[408, 425], Retry, Scope::Message, true);
        check(&[429], Throttled, Scope::Channel, true);
        check(&[410], Permanent, Scope::Channel, false);
        check(&[500, 502, 503, 504, 507, 520, 521, 529], Retry, Scope::Message, true);
        check(&[501, 505], Permanent, Scope::Message, false);
        check(&[101, 402, 409, 418, 423, 451, 508, 599, 999], Retry, Scope::Message, true);
    }

    #[test]
    fn failures_hold_row_by_row() {
        let check = |kind: FailureKind, class: Class, scope: Scope, note: &str| {
            let outcome = failure(&Failure { kind, detail: "os error 111\n".to_owned() });
            assert_eq!((outcome.class, outcome.scope, outcome.hint), (class, scope, None), "{kind:?}");
            assert_eq!(outcome.note, format!("{note}: os error 111"));
            assert_eq!(failure(&Failure { kind, detail: String::new() }).note, note);
        };
        check(FailureKind::Forbidden, Class::Permanent, Scope::Channel, "target not allowed");
        check(FailureKind::Dns, Class::Retry, Scope::Message, "host name not resolved");
        check(FailureKind::Connect, Class::Retry, Scope::Message, "no connection");
        check(FailureKind::Tls, Class::Retry, Scope::Message, "TLS handshake failed");
        let certificate = "certificate not valid; tried again until the receiver's operator mends it";
        check(FailureKind::Certificate, Class::Retry, Scope::Message, certificate);
        check(FailureKind::NotWritten, Class::Retry, Scope::Message, "connection lost before the request was sent");
        let unknown = "no answer; the message may have been taken";
        check(FailureKind::NoAnswer, Class::Unknown, Scope::Message, unknown);
        let garbled = "the answer does not follow the protocol";
        check(FailureKind::Garbled, Class::Retry, Scope::Message, garbled);
        let unsupported = "the server cannot do what the channel requires";
        check(FailureKind::Unsupported, Class::Permanent, Scope::Channel, unsupported);
        let missing = "the operator's settings do not allow it";
        check(FailureKind::NotConfigured, Class::Permanent, Scope::Message, missing);
    }

    #[test]
    fn retry_after_is_read_and_clamped() {
        let check = |value: &str, expected_s: Option<u64>| {
            let found = retry_after(&headers(RETRY_AFTER, value), Timestamp::from_ms(DATE.as_ms() - 60_000));
            assert_eq!(found, expected_s.map(Duration::from_secs), "{value}");
        };
        check("0", Some(0));
        check("120", Some(120));
        check(" 120 ", Some(120));
        check("-5", Some(0));
        check("86401", Some(86_400));
        check("99999999999999999999999", Some(86_400));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(60));
        check("Sunday, 06-Nov-94 08:49:37 GMT", Some(60));
        check("Sun Nov  6 08:49:37 1994", Some(60));
        check("Sun, 06 Nov 1994 08:48:00 GMT", Some(0));
        check("Fri, 31 Dec 9999 23:59:59 GMT", Some(86_400));
        for unreadable in ["", "soon", "1.5", "1e3", "+5", "-", "0x10", "1994-11-06T08:49:37Z", "Sun, 06 Nov 1994"] {
            check(unreadable, None);
        }
        assert_eq!(retry_after(&HeaderMap::new(), DATE), None);
    }

    #[test]
    fn redirects_are_named_without_secrets() {
        let check = |location: &[u8], expected: &str| {
            let location = http::HeaderValue::from_bytes(location).unwrap();
            let note = redirect_note(StatusCode::FOUND, &HeaderMap::from_iter([(LOCATION, location)]));
            assert_eq!(note, format!("redirect to {expected} refused: put the final URL in the channel"));
        };
        check(b"https://x/y", "https://x/y");
        check(b"/login?next=/hook&token=secret#x", "/login");
        check(b"https://user:p@ss@x/y", "https://x/y");
        check(b"//user@x", "//x");
        check(b"https://x/@me/y", "https://x/@me/y");
        check(b"https://x/\xff\ty", "https://x/\u{fffd}y");
        check(&[b'x'; 500], &"x".repeat(QUOTE_CHARS_MAX));
        assert_eq!(redirect_note(StatusCode::NOT_MODIFIED, &HeaderMap::new()), "HTTP 304 Not Modified");
        assert_eq!(status_note(StatusCode::SERVICE_UNAVAILABLE), "HTTP 503 Service Unavailable");
        assert_eq!(status_note(StatusCode::from_u16(599).unwrap()), "HTTP 599");
    }
}
