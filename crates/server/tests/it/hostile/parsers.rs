//! Parsers of what comes by other ways than a request: settings, and the answers of receivers.

use domain::{EventId, Timestamp, TraceContext};
use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use server::config::{Config, Sources};

use super::each;
use super::strategies::{header, text};

const NOW: Timestamp = Timestamp::from_ms(1_700_000_000_000);

const NAMES: [&str; 19] = [
    "LISTEN",
    "DATA_DIR",
    "DATABASE_URL",
    "ADMIN_KEY",
    "LOG",
    "LOG_FORMAT",
    "SERVER__PUBLIC_URL",
    "SERVER__TRUSTED_PROXIES",
    "SERVER__CORS_ORIGINS",
    "LIMITS__BODY_BYTES_MAX",
    "OTEL__ENDPOINT",
    "OTEL__HEADERS",
    "DELIVERY__RETRY_BASE_MS",
    "EGRESS__ALLOW",
    "LENZ__TIME_ZONE",
    "SMTP__URL",
    "SMTP__FROM",
    "ALTUM__REQUESTS_PER_MINUTE",
    "ALTUM__VALIDATION_STATUS",
];

#[test]
fn settings_are_taken_or_the_wrong_one_is_named() {
    each(1500, &(prop::sample::select(NAMES.to_vec()), text()), |(name, value)| {
        let name = format!("POSTRIDER_{name}");
        let sources = Sources { variables: vec![(name.clone(), value)], ..Sources::default() };
        if let Err(errors) = Config::load(&sources) {
            prop_assert!(errors.to_string().contains(&name), "{errors}");
        }
        Ok(())
    });
}

#[test]
fn mail_servers_are_taken_or_refused() {
    let schemes = prop::sample::select(vec!["smtp", "smtps", "smtp+starttls", "http", ""]);
    each(1500, &(schemes, text(), text(), text()), |(scheme, user, password, rest)| {
        let url = format!("{scheme}://{user}:{password}@{rest}");
        let variables = vec![("POSTRIDER_SMTP__URL".to_owned(), url)];
        if let Err(errors) = Config::load(&Sources { variables, ..Sources::default() }) {
            prop_assert!(errors.to_string().contains("POSTRIDER_SMTP__URL"), "{errors}");
        }
        Ok(())
    });
}

#[test]
fn settings_files_are_read_or_refused() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("postrider.toml");
    let lines = prop_oneof![text(), (text(), text()).prop_map(|(name, value)| format!("[smtp]\n{name} = \"{value}\""))];
    each(800, &lines, |lines| {
        std::fs::write(&path, lines).expect("a file");
        // Whether it can be used is all the same here.
        drop(Config::load(&Sources { file: Some(path.clone()), ..Sources::default() }));
        Ok(())
    });
}

#[test]
fn what_receivers_say_is_read_within_bounds() {
    let dates =
        prop::sample::select(vec!["Sun, 06 Nov 1994 08:49:37 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "-5", "1e9"]);
    let value =
        prop_oneof![header(), dates.prop_map(ToOwned::to_owned), any::<i64>().prop_map(|number| number.to_string())];
    each(1500, &value, |value| {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_str(&value).expect("a value"))]);
        let wait = providers::judge::retry_after(&headers, NOW).unwrap_or_default();
        prop_assert!(wait <= std::time::Duration::from_hours(24 * 31), "{wait:?}");
        providers::judge::redirect_note(http::StatusCode::FOUND, &headers);
        Ok(())
    });
}

#[test]
fn names_are_read_as_they_are_written() {
    each(3000, &text(), |text| {
        if let Some(id) = EventId::parse(&text) {
            prop_assert_eq!(EventId::parse(&id.public()), Some(id));
        }
        if let Some(trace) = TraceContext::parse(&text) {
            prop_assert_eq!(TraceContext::parse(&trace.to_string()), Some(trace));
        }
        if let Some(time) = providers::message::parse_rfc3339(&text) {
            prop_assert_eq!(providers::message::parse_rfc3339(&providers::message::rfc3339(time)), Some(time));
        }
        if let Ok(pattern) = domain::routing::Pattern::parse(&text) {
            prop_assert_eq!(pattern.to_string(), text.clone());
        }
        if providers::address::check(&text).is_ok() {
            prop_assert!(!text.trim().contains(char::is_control), "{text:?}");
        }
        Ok(())
    });
}
