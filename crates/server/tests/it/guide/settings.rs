//! What an operator copies is right: settings files, the commands of the unit, the variables of the container, figures.

use std::path::Path;

use rcgen::{CertificateParams, KeyPair};
use serde_json::json;

use super::samples::{self, Sample, page_named};
use crate::harness::{Setup, start};

/// Where the binary is in the guide.
const INSTALLED: &str = "/usr/local/bin/postrider ";

fn shown(language: &str) -> Vec<String> {
    let is_meant = |sample: &Sample| sample.language == language;
    page_named("install.md").samples.into_iter().filter(is_meant).map(|sample| sample.text).collect()
}

/// The files that the settings name, in place of those of a machine.
fn with_files(settings: &str, folder: &Path) -> String {
    let key = KeyPair::generate().expect("a key");
    let certificate = CertificateParams::new(vec!["notify.example.com".to_owned()]).expect("a name").self_signed(&key);
    let files = [
        ("/etc/postrider/admin-key", "pp_0123456789abcdef0123456789abcdef".to_owned()),
        ("/etc/letsencrypt/live/notify.example.com/fullchain.pem", certificate.expect("a certificate").pem()),
        ("/etc/letsencrypt/live/notify.example.com/privkey.pem", key.serialize_pem()),
    ];
    files.into_iter().fold(settings.to_owned(), |settings, (shown, content)| {
        let path = folder.join(Path::new(shown).file_name().expect("a name"));
        std::fs::write(&path, content).expect("a file");
        settings.replace(shown, &path.to_string_lossy())
    })
}

#[tokio::test]
async fn settings_files_are_taken() {
    let files = shown("toml");
    assert_eq!(files.len(), 2);
    for settings in files {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let setup = Setup::first_run().with_file("postrider.toml", &with_files(&settings, folder.path()));
        setup.run(&["config", "check"]).await.ended_with(0).says(&["ok"]);
    }
}

#[tokio::test]
async fn the_unit_runs_commands_that_there_are() {
    let unit = shown("ini").remove(0);
    let commands: Vec<&str> =
        unit.lines().filter_map(|line| line.split_once(INSTALLED)).map(|(_, rest)| rest).collect();
    assert_eq!(commands.len(), 2, "{unit}");
    let setup = Setup::first_run().with_file("postrider.toml", "log_format = \"json\"\n");
    for command in commands {
        // A server would go on running: its settings are read as it would read them.
        let command = command.replace("serve --config", "config check --config");
        let command = command.replace("/etc/postrider/", "");
        let words: Vec<&str> = command.split(' ').collect();
        setup.run(&words).await.ended_with(0).says(&["ok"]);
    }
}

#[tokio::test]
async fn the_containers_variables_are_settings() {
    let file = shown("dockerfile").remove(0);
    let words = file.lines().find_map(|line| line.strip_prefix("ENV ")).expect("variables").split(' ');
    let setup = words
        .map(|word| word.split_once('=').expect("a value"))
        .fold(Setup::first_run(), |setup, (name, value)| setup.set(name, value));
    setup.run(&["config", "check"]).await.ended_with(0).says(&["ok"]);
    assert!(setup.dump(&[]).await.contains("log_format = \"json\""));
}

#[tokio::test]
async fn the_figures_to_alert_on_are_there() {
    let told = std::fs::read_to_string(samples::documents().join("operations.md")).expect("operations.md");
    let is_part = |it: char| it.is_ascii_lowercase() || it == '_';
    let mut names: Vec<&str> =
        told.split(|it| !is_part(it)).filter(|word| word.starts_with("postrider_") && word.len() > 20).collect();
    names.sort_unstable();
    names.dedup();
    assert!(names.len() > 15, "{names:?}");
    // A figure of attempts is told once there was one.
    let (server, receiver) = start().await;
    server.client.webhook(&receiver.url("/"), json!({})).await;
    let delivery = server.client.accept_one("a", json!({})).await;
    server.client.delivery_once(delivery, "sent").await;
    let figures = server.client.get("/metrics").await.text();
    for name in names {
        // Counters are declared without their suffix, and buckets belong to a histogram.
        let family = name.trim_end_matches("_bucket").trim_end_matches("_total").trim_end_matches("_info");
        assert!(figures.contains(&format!("# TYPE {family} ")), "no {name} in /metrics");
    }
}
