//! `postrider bench` on a PostgreSQL that it starts itself: everything arrives, and nothing is left of it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Setup, eventually};

/// A directory that the user may enter whom PostgreSQL runs as.
fn directory() -> TempDir {
    tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o755)).tempdir().expect("a directory")
}

fn entries(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test]
async fn a_run_delivers_everything_and_leaves_nothing() {
    let directory = directory();
    let path = directory.path().to_string_lossy();
    let size = ["--events", "50", "--channels", "10", "--concurrency", "4"];
    let run = ["bench", "--scenario", "live-tables", "--json", "--dir", &path];
    let report: Value = Setup::new().run(&[&run[..], &size].concat()).await.json();
    let scenario = &report["scenarios"][0];
    assert_eq!(scenario["figures"]["deliveries"]["value"], 500.0, "{report}");
    assert_eq!(scenario["broken"], serde_json::json!([]), "{report}");
    assert_eq!(entries(directory.path()), [""; 0]);
}

#[tokio::test]
async fn a_run_that_is_stopped_leaves_nothing_either() {
    let directory = directory();
    let path = directory.path().to_string_lossy();
    let mut bench = Setup::new().launch(&["bench", "--store", "postgres", "--scenario", "backlog", "--dir", &path]);
    // With its database and its server running.
    eventually("a server", async || {
        let is_there = |name: &str| entries(directory.path()).iter().any(|entry| entry.starts_with(name));
        let starts = ["pg-", "postrider-bench-"];
        starts.into_iter().all(is_there).then_some(())
    })
    .await;
    bench.ask_to_stop();
    assert_eq!(bench.ended().await.code(), Some(130));
    assert_eq!(entries(directory.path()), [""; 0]);
}
