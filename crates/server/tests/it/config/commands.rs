//! `postrider config check` and `config dump`.

use serde_json::Value;

use crate::harness::{ADMIN_KEY, Setup};

async fn run(setup: &Setup, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut process = setup.launch(arguments);
    let status = process.ended().await;
    (status.code(), process.stdout.text(), process.stderr.text())
}

#[tokio::test]
async fn check_says_ok_or_everything_that_is_wrong() {
    let good = Setup::new();
    assert_eq!(run(&good, &["config", "check"]).await, (Some(0), "ok".to_owned(), String::new()));
    let (code, told, _) = run(&good, &["config", "check", "--json"]).await;
    assert_eq!((code, serde_json::from_str::<Value>(&told).unwrap()["ok"].as_bool()), (Some(0), Some(true)));

    let bad = good.set("POSTRIDER_LISTEN", "nowhere").set("POSTRIDER_LOGG", "info");
    let (code, _, told) = run(&bad, &["config", "check"]).await;
    assert!(code == Some(1) && told.contains("listen (variable POSTRIDER_LISTEN)") && told.contains("logg"), "{told}");
    let (code, told, _) = run(&bad, &["config", "check", "--json"]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, told["ok"].as_bool(), told["errors"].as_array().map(Vec::len)), (Some(1), Some(false), Some(2)));
    assert_eq!(told["errors"][1]["setting"], "listen");
    assert_eq!(told["errors"][1]["source"], "variable POSTRIDER_LISTEN");
}

#[tokio::test]
async fn dump_shows_everything_but_secrets() {
    let setup = Setup::new();
    let dumped = setup.dump(&[]).await;
    assert!(!dumped.contains(ADMIN_KEY), "{dumped}");
    assert!(dumped.contains("# variable POSTRIDER_ADMIN_KEY"), "{dumped}");
    assert!(dumped.contains("egress.allow = \"127.0.0.0/8\" # variable POSTRIDER_EGRESS__ALLOW"), "{dumped}");
    assert!(dumped.contains("limits.body_bytes_max = \"1048576\" # default"), "{dumped}");
    // What was dumped is a settings file again.
    let again = Setup::first_run().with_file("again.toml", &dumped.replace("admin_key", "#admin_key"));
    assert!(again.dump(&["--config", "again.toml"]).await.contains("# file again.toml, delivery.retry_base_ms"));

    let (code, told, _) = run(&setup, &["config", "dump", "--json"]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    let settings = told["settings"].as_array().unwrap();
    let key = settings.iter().find(|one| one["name"] == "admin_key").unwrap();
    assert_eq!((code, key["source"].as_str()), (Some(0), Some("variable POSTRIDER_ADMIN_KEY")));
    assert!(key["value"] != ADMIN_KEY && key["value"] != "", "{key}");
}

#[tokio::test]
async fn dump_of_wrong_settings_says_what_is_wrong() {
    let (code, told, error) = run(&Setup::new().set("POSTRIDER_LOGG", "info"), &["config", "dump"]).await;
    assert!(code == Some(1) && told.is_empty() && error.contains("did you mean POSTRIDER_LOG?"), "{error}");
}
