//! The same for the API of Thulium: a webhook, or errors in its own form.

use http::Method;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};

use super::strategies::{changes, garbage, header, url_part};
use super::{Asked, changed, each};

const WEBHOOKS: &str = "/api/webhooks";

/// A good body.
fn webhook() -> Value {
    json!({"actions": ["CHAT_CONVERSATION_CREATED", "CHAT_*"], "subscription_url": "https://example.pl/",
        "http_auth_user": "u", "http_auth_password": "p"})
}

fn check(
    asked: &Asked,
    method: &Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Result<(), TestCaseError> {
    let logs_in = headers.iter().any(|(name, _)| *name == "authorization");
    let client = if logs_in { asked.server.client_with("") } else { asked.server.client.clone() };
    let sent = asked.runtime.block_on(client.try_send(method.clone(), path, headers, body));
    let answer = sent.map_err(|error| TestCaseError::fail(format!("{method} {path}: no answer: {error:?}")))?;
    let (status, text) = (answer.status.as_u16(), answer.text());
    prop_assert!(matches!(status, 200 | 204 | 400 | 401 | 404 | 405 | 409 | 413), "{method} {path}: {status} {text}");
    if status == 204 {
        prop_assert!(text.is_empty());
        return Ok(());
    }
    prop_assert_eq!(answer.header("content-type"), Some("application/json"), "{}", text);
    let told: Value = serde_json::from_str(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
    if status == 200 {
        let rows = told.as_array().map_or(std::slice::from_ref(&told), Vec::as_slice);
        let keys = ["actions", "http_auth_password", "http_auth_user", "id", "subscription_url"];
        for row in rows {
            let found: Vec<&str> = row.as_object().into_iter().flat_map(|row| row.keys().map(String::as_str)).collect();
            prop_assert_eq!(&found, &keys, "{}", text);
        }
        return Ok(());
    }
    prop_assert_eq!(told["request_id"].as_str(), answer.header("x-request-id"), "{}", text);
    prop_assert!(told.as_object().is_some_and(|told| told.len() == 2) && text.len() < 64 * 1024, "{}", text);
    let errors = told["errors"].as_array().cloned().unwrap_or_default();
    prop_assert!(!errors.is_empty(), "{}", text);
    for error in errors {
        prop_assert_eq!(error["code"].as_u64().map(|code| code / 1000), Some(status.into()), "{}", text);
        prop_assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{}", text);
    }
    Ok(())
}

#[test]
fn whatever_stands_in_a_webhook() {
    let asked = Asked::start();
    check(
        &asked,
        &Method::POST,
        WEBHOOKS,
        &[],
        json!({"actions": ["A1"], "subscription_url": "http://e.pl"}).to_string().into(),
    )
    .unwrap();
    let calls = vec![(Method::POST, WEBHOOKS), (Method::PUT, "/api/webhooks/1")];
    let media = prop::sample::select(vec!["application/json", "application/x-www-form-urlencoded", "text/plain; x"]);
    let body = prop_oneof![4 => changes().prop_map(Ok), 1 => garbage().prop_map(Err)];
    each(1000, &(prop::sample::select(calls), media, body), |((method, path), media, body)| {
        let body = body.map_or_else(|garbage| garbage, |changes| changed(webhook(), &changes).to_string().into_bytes());
        check(&asked, &method, path, &[("content-type", media)], body)
    });
    // Whatever was taken can be shown.
    check(&asked, &Method::GET, WEBHOOKS, &[], Vec::new()).unwrap();
    asked.ends_well();
}

#[test]
fn whatever_stands_in_a_path_or_header_of_it() {
    let asked = Asked::start();
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS].to_vec();
    let ends = prop::sample::select(vec!["", "/", "/x", "/x/y", "//", "?page=2"]);
    let names =
        prop::sample::select(vec!["authorization", "accept-language", "x-request-id", "content-type", "accept"]);
    let parts = (prop::sample::select(methods), prop::option::of(url_part()), ends, names, header());
    each(800, &parts, |(method, id, end, name, value)| {
        let path = id.map_or_else(|| format!("{WEBHOOKS}{end}"), |id| format!("{WEBHOOKS}/{id}{end}"));
        check(&asked, &method, &path, &[(name, &value)], b"{}".to_vec())
    });
    asked.ends_well();
}
