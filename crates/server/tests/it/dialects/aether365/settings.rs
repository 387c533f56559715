//! The settings shown and changed.

use std::process::Command;

use serde_json::{Value, json};

use super::{Aether, PATH, SCOPES, defaults};
use crate::harness::Setup;

/// Runs a command of the page; what it printed.
fn run(aether: &Aether, command: &str) -> Value {
    let command = command
        .replace("https://api.aether365.io", &format!("http://{}", aether.server.address))
        .replace("<token>", &aether.key);
    let output = Command::new("sh").args(["-c", &command]).output().expect("a shell");
    assert!(output.status.success(), "{command}: run scripts/test: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn sample(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[tokio::test]
async fn the_pages_commands_get_the_pages_answers() {
    let aether = Aether::start(Setup::new()).await;
    let get = include_str!("samples/get.sh");
    assert_eq!(run(&aether, get), defaults());
    let on = run(&aether, include_str!("samples/teams_on.sh"));
    let mut expected = sample(include_str!("samples/get.json"));
    expected["data"]["teamsWebhookUrl"] = "https://outlook.office.com/webhook/your-webhook-url".into();
    assert_eq!(on, expected);

    // The page's body, and then its other command: the answers are those of the page, value by value.
    let body = sample(include_str!("samples/body.json"));
    assert_eq!(aether.patch(body.clone()).await, json!({"success": true, "data": body}));
    aether.patch(json!({"teamsOnFail": true})).await;
    assert_eq!(run(&aether, get), sample(include_str!("samples/get.json")));
    assert_eq!(run(&aether, include_str!("samples/mail_off.sh")), sample(include_str!("samples/mail_off.json")));
    assert_eq!(run(&aether, get), sample(include_str!("samples/mail_off.json")));
}

#[tokio::test]
async fn absent_is_not_null_and_all_or_nothing_is_changed() {
    let aether = Aether::start(Setup::new()).await;
    let url = "https://teams.test/hook?sig=s3cret";
    let set = aether.patch(json!({"teamsWebhookUrl": url, "teamsOnFail": true})).await;
    assert_eq!(aether.patch(json!({})).await, set);
    assert_eq!(aether.patch(json!({"unknown": 1, "teamsOnFail": true})).await, set);
    let wrong = json!({"emailOnComplete": false, "teamsWebhookUrl": "http://teams.test/"});
    assert_eq!(aether.client.patch(PATH, &wrong).await.status.as_u16(), 400);
    assert_eq!(aether.get().await, set);
    // The flags outlive the URL.
    let cleared = aether.patch(json!({"teamsWebhookUrl": null})).await;
    assert_eq!((&cleared["data"]["teamsWebhookUrl"], &cleared["data"]["teamsOnFail"]), (&Value::Null, &json!(true)));
    aether.patch(json!({"teamsWebhookUrl": url})).await;
    assert_eq!(aether.patch(json!({"teamsWebhookUrl": ""})).await, cleared);
}

#[tokio::test]
async fn a_url_is_shown_only_to_keys_that_may_change_it() {
    let aether = Aether::start(Setup::new()).await;
    let url = "https://teams.test/hook?sig=s3cret";
    let set = aether.patch(json!({"teamsWebhookUrl": url})).await;
    let reader = aether.server.client.create_key("acme", &["channels:read"]).await.key.unwrap();
    let shown: Value = aether.server.client_with(&reader).get(PATH).await.read(200);
    let masked = shown["data"]["teamsWebhookUrl"].as_str().unwrap();
    assert!(masked.starts_with("https://teams.test/") && !masked.contains("s3cret"), "{masked}");
    // A mask that comes back changes nothing.
    assert_eq!(aether.patch(json!({"teamsWebhookUrl": masked})).await, set);
}

#[tokio::test]
async fn settings_survive_a_restart_and_tenants_have_their_own() {
    let setup = Setup::new();
    let aether = Aether::start(setup.clone()).await;
    let set = aether.patch(json!({"emailOnFail": false, "teamsWebhookUrl": "https://teams.test/hook"})).await;
    let key = aether.key.clone();
    aether.server.stop().await;
    let server = setup.start().await;
    assert_eq!(server.client_with(&key).get(PATH).await.read::<Value>(200), set);
    server.client.send(http::Method::PUT, "/v1/tenants/other", &[], "{}").await.read::<Value>(200);
    let other = server.client.create_key("other", &SCOPES).await.key.unwrap();
    assert_eq!(server.client_with(&other).get(PATH).await.read::<Value>(200), defaults());
    // A platform key names whose it means.
    assert_eq!(server.client.clone().for_tenant("acme").get(PATH).await.read::<Value>(200), set);
}
