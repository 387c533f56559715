//! The same for the API of Aether365: the settings, or an error in its own form.

use http::Method;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};

use super::strategies::{changes, garbage, url_part};
use super::{Asked, changed, each};

const SETTINGS: &str = "/tenants/me/notifications";

fn check(asked: &Asked, method: &Method, path: &str, body: Vec<u8>) -> Result<(), TestCaseError> {
    let sent = asked.runtime.block_on(asked.server.client.try_send(method.clone(), path, &[], body));
    let answer = sent.map_err(|error| TestCaseError::fail(format!("{method} {path}: no answer: {error:?}")))?;
    let (status, text) = (answer.status.as_u16(), answer.text());
    prop_assert!(matches!(status, 200 | 400 | 404 | 405 | 413), "{method} {path}: {status} {text}");
    prop_assert_eq!(answer.header("content-type"), Some("application/json"), "{}", text);
    let told: Value = serde_json::from_str(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(told["success"].as_bool(), Some(status == 200), "{}", text);
    prop_assert!(told.as_object().is_some_and(|told| told.len() == 2) && text.len() < 64 * 1024, "{}", text);
    if status == 200 {
        let settings = told["data"].as_object().cloned().unwrap_or_default();
        prop_assert_eq!(settings.len(), 5, "{}", text);
        for (name, value) in settings {
            let is_right =
                if name == "teamsWebhookUrl" { value.is_null() || value.is_string() } else { value.is_boolean() };
            prop_assert!(is_right, "{}", text);
        }
        return Ok(());
    }
    let error = &told["error"];
    prop_assert!(error.as_object().is_some_and(|error| error.len() == 3) && error["details"].is_object(), "{}", text);
    prop_assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{}", text);
    let code = error["code"].as_str().unwrap_or_default();
    prop_assert!(!code.is_empty() && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'), "{}", text);
    Ok(())
}

#[test]
fn whatever_stands_in_settings() {
    let asked = Asked::start();
    let good = || {
        json!({"emailOnComplete": true, "emailOnFail": false, "teamsWebhookUrl": "https://teams.example.com/x",
            "teamsOnComplete": true, "teamsOnFail": false})
    };
    let body = prop_oneof![4 => changes().prop_map(Ok), 1 => garbage().prop_map(Err)];
    each(1000, &body, |body| {
        let body = body.map_or_else(|garbage| garbage, |changes| changed(good(), &changes).to_string().into_bytes());
        check(&asked, &Method::PATCH, SETTINGS, body)?;
        // Whatever was taken can be shown.
        check(&asked, &Method::GET, SETTINGS, Vec::new())
    });
    asked.ends_well();
}

#[test]
fn whatever_stands_in_a_path_of_them() {
    let asked = Asked::start();
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS].to_vec();
    let starts = prop::sample::select(vec!["/tenants", "/tenants/me", SETTINGS]);
    let ends = prop::sample::select(vec!["", "/", "/notifications", "/x/y", "//", "?a=b"]);
    each(600, &(prop::sample::select(methods), starts, url_part(), ends), |(method, start, part, end)| {
        check(&asked, &method, &format!("{start}/{part}{end}"), b"{}".to_vec())
    });
    asked.ends_well();
}
