//! `postrider bench` on a PostgreSQL that it starts itself: everything arrives, and nothing is left of it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Process, Setup, eventually};

/// A directory that the user may enter whom PostgreSQL runs as.
fn directory() -> TempDir {
    tempfile::Builder::new().permissions(std::fs::Permissions::from_mode(0o755)).tempdir().expect("a directory")
}

fn entries(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Looks that no file of a bench is left in its directory, and no process that works in it.
fn is_left_as_it_was(directory: &Path) {
    assert_eq!(entries(directory), [""; 0]);
    let path = directory.to_string_lossy();
    let processes = std::fs::read_dir("/proc").expect("processes").flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    let left: Vec<_> = lines.map(|line| String::from_utf8_lossy(&line).into_owned()).collect();
    assert!(left.iter().any(|line| !line.is_empty()), "processes are seen");
    let left: Vec<_> = left.into_iter().filter(|line| line.contains(&*path)).collect();
    assert_eq!(left, [""; 0]);
}

/// Starts a bench in this directory, and waits until its database and then its server run.
async fn start(directory: &Path, arguments: &[&str]) -> Process {
    let path = directory.to_string_lossy();
    let bench = Setup::new().launch(&[&["bench", "--dir", &path], arguments].concat());
    let is_there = |name: &str| entries(directory).iter().any(|entry| entry.starts_with(name));
    eventually("a database", async || is_there("pg-").then_some(())).await;
    let has_log = |entry: &String| directory.join(entry).join("server.log").exists();
    eventually("a server", async || entries(directory).iter().any(has_log).then_some(())).await;
    bench
}

#[tokio::test]
async fn a_run_delivers_everything_and_leaves_nothing() {
    let directory = directory();
    let size = ["--events", "50", "--channels", "10", "--concurrency", "4"];
    let run = [&["--scenario", "live-tables", "--json"], &size[..]].concat();
    let mut bench = start(directory.path(), &run).await;
    assert!(bench.ended().await.success(), "{}", bench.stderr.text());
    let report: Value = serde_json::from_str(&bench.stdout.text()).expect("JSON");
    let scenario = &report["scenarios"][0];
    assert_eq!(scenario["figures"]["deliveries"]["value"], 500.0, "{report}");
    assert_eq!(scenario["broken"], serde_json::json!([]), "{report}");
    is_left_as_it_was(directory.path());
}

#[tokio::test]
async fn a_run_that_is_stopped_leaves_nothing_either() {
    for stop in [Process::ask_to_stop, Process::interrupt] {
        let directory = directory();
        let mut bench = start(directory.path(), &["--store", "postgres", "--scenario", "backlog"]).await;
        stop(&bench);
        assert_eq!(bench.ended().await.code(), Some(130));
        is_left_as_it_was(directory.path());
    }
}

#[tokio::test]
async fn a_run_that_fails_leaves_nothing_either() {
    let directory = directory();
    let path = directory.path().to_string_lossy();
    // What is to start the server ends at once, when its database runs.
    let run = ["bench", "--dir", &path, "--store", "postgres", "--scenario", "backlog", "--through", "false"];
    Setup::new().run(&run).await.ended_with(1).remarks(&["the server ended while starting"]);
    is_left_as_it_was(directory.path());
}
