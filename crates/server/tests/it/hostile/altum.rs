//! The same for the API of notification handlers: whatever is sent, its own form of errors is what comes back.

use http::Method;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};

use super::strategies::{garbage, header, json as any_json, text, url_part};
use super::{Asked, each};
use crate::harness::Setup;

const HANDLERS: &str = "/api/notification-handlers";

const NAMES: [&str; 16] = [
    "name",
    "type",
    "is_enabled",
    "email",
    "webhook",
    "slack",
    "discord",
    "telegram",
    "telegram_chat_id",
    "microsoft_teams",
    "google_chat",
    "x_consumer_key",
    "x_access_token",
    "internal_notification",
    "nonsense",
    "",
];

const PARAMETERS: [&str; 13] = [
    "page",
    "results_per_page",
    "search",
    "search_by",
    "type",
    "is_enabled",
    "datetime_field",
    "datetime_start",
    "datetime_end",
    "order_by",
    "order_type",
    "p%61ge",
    "nonsense",
];

/// So many calls as the tests make are no abuse here.
fn asked() -> Asked {
    Asked::with(Setup::new().set("POSTRIDER_ALTUM__REQUESTS_PER_MINUTE", "1000000"))
}

fn check(
    asked: &Asked,
    method: &Method,
    path: &str,
    content_type: &str,
    body: Vec<u8>,
) -> Result<Value, TestCaseError> {
    let headers = [("content-type", content_type)];
    let sent = asked.runtime.block_on(asked.server.client.try_send(method.clone(), path, &headers, body));
    let answer = sent.map_err(|error| TestCaseError::fail(format!("{method} {path}: no answer: {error:?}")))?;
    let (status, text) = (answer.status.as_u16(), answer.text());
    prop_assert!(status < 500, "{method} {path}: {status} {text}");
    prop_assert_eq!(answer.header("content-type"), Some("application/json"), "{}", text);
    if answer.body.is_empty() {
        return Ok(Value::Null);
    }
    let value: Value = serde_json::from_str(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
    if status >= 400 {
        let errors = value["errors"].as_array().cloned().unwrap_or_default();
        prop_assert!(!errors.is_empty() && text.len() < 64 * 1024, "{}", text);
        for error in errors {
            prop_assert_eq!(error["status"].as_u64(), Some(status.into()), "{}", text);
            prop_assert!(error["title"].as_str().is_some_and(|title| !title.is_empty()), "{}", text);
        }
    }
    Ok(value)
}

/// A form in parts, mostly a good one.
fn parts() -> BoxedStrategy<Vec<u8>> {
    let head = prop_oneof![
        6 => prop::sample::select(NAMES.to_vec()).prop_map(|name| format!("Content-Disposition: form-data; name=\"{name}\"")),
        1 => header().prop_map(|text| format!("Content-Disposition: form-data; name=\"{text}\"; filename=\"{text}\"")),
        1 => header(),
        1 => Just("Content-Disposition: form-data; name=name\r\nContent-Type: text/plain; charset=utf-16".to_owned()),
    ];
    let break_of = || prop::sample::select(vec!["\r\n", "\r\n", "\r\n", "\n", ""]);
    let part = (head, break_of(), text(), break_of())
        .prop_map(|(head, one, text, other)| format!("--B{one}{head}{one}{one}{text}{other}"));
    let end = prop::sample::select(vec!["--B--\r\n", "--B--", "--B", "", "--C--\r\n"]);
    (prop::collection::vec(part, 0..6), end).prop_map(|(parts, end)| (parts.concat() + end).into_bytes()).boxed()
}

/// A form as pairs or as JSON, or what is neither.
fn other_bodies() -> BoxedStrategy<Vec<u8>> {
    let name = || prop_oneof![6 => prop::sample::select(NAMES.to_vec()).prop_map(ToOwned::to_owned), 1 => url_part()];
    let pairs = prop::collection::vec((name(), url_part()), 0..6).prop_map(|pairs| {
        pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&").into_bytes()
    });
    let object = prop::collection::vec((name(), any_json()), 0..6)
        .prop_map(|fields| Value::Object(fields.into_iter().collect()).to_string().into_bytes());
    prop_oneof![3 => pairs, 3 => object, 1 => garbage()].boxed()
}

#[test]
fn whatever_stands_in_a_form() {
    let asked = asked();
    let id = asked.runtime.block_on(asked.server.client.webhook("https://example.com/", json!({}))).id;
    let targets = prop::sample::select(vec![HANDLERS.to_owned(), format!("{HANDLERS}/{id}")]);
    let media = prop::sample::select(vec![
        "multipart/form-data; boundary=B",
        "multipart/form-data; boundary=B",
        "multipart/form-data; boundary=\"B\"; charset=x",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=B",
    ]);
    let other_media =
        prop::sample::select(vec!["application/x-www-form-urlencoded", "application/json", "text/plain", "x", ""]);
    let bodies = prop_oneof![(media, parts()), (other_media, other_bodies())];
    each(1000, &(targets, bodies), |(path, (media, body))| check(&asked, &Method::POST, &path, media, body).map(drop));
    asked.ends_well();
}

#[test]
fn whatever_stands_in_the_query_of_a_list() {
    let asked = asked();
    asked.runtime.block_on(asked.server.client.webhook("https://example.com/", json!({})));
    let pair =
        (prop::sample::select(PARAMETERS.to_vec()), url_part()).prop_map(|(name, value)| format!("{name}={value}"));
    let query = prop::collection::vec(prop_oneof![5 => pair, 1 => url_part()], 0..4).prop_map(|pairs| pairs.join("&"));
    each(1000, &query, |query| {
        let list = check(&asked, &Method::GET, &format!("{HANDLERS}?{query}"), "", Vec::new())?;
        let page = list["meta"]["page"].as_u64();
        prop_assert!(page.is_some_and(|page| page > 0), "{}", list);
        let this = list["links"]["self"].as_str().unwrap_or_default();
        prop_assert!(this.ends_with(&format!("page={}", page.unwrap_or_default())), "{}", this);
        Ok(())
    });
    asked.ends_well();
}

#[test]
fn whatever_stands_in_a_path_of_it() {
    let asked = asked();
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS].to_vec();
    let starts = prop::sample::select(vec![HANDLERS, "/api/notification-handler"]);
    let ends = prop::sample::select(vec!["", "/", "/x", "/x/y", "//"]);
    each(800, &(prop::sample::select(methods), starts, url_part(), ends), |(method, start, id, end)| {
        check(&asked, &method, &format!("{start}/{id}{end}"), "application/json", b"{}".to_vec()).map(drop)
    });
    asked.ends_well();
}
