//! One test for each language: its sender and its receiver, built once.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use super::receivers::{self, SECRET};
use super::samples;
use super::senders::{self, CutOff};
use super::workshop::Workshop;
use crate::harness::soon;

/// Where the receivers that know it may take a free port.
const ANY_PORT: [(&str, &str); 2] = [("SECRET", SECRET), ("PORT", "0")];

/// Every program of the guide. One that is not here is run by no test.
const PROGRAMS: [&str; 11] = [
    "send.sh",
    "send.py",
    "send.mjs",
    "send.go",
    "send.php",
    "Send.java",
    "receive.py",
    "receive.mjs",
    "receive.go",
    "receive.php",
    "Receive.java",
];

/// Fences of what is no program: shown, and not run.
const SHOWN: [&str; 7] = ["text", "json", "ini", "toml", "nginx", "caddyfile", "dockerfile"];

#[test]
fn every_sample_is_run_or_says_why_not() {
    for page in samples::pages() {
        for sample in page.samples {
            let (language, mark) = (sample.language.as_str(), sample.mark.as_str());
            let is_known = match language {
                "sh" if ["", "server", "by hand"].contains(&mark) => true,
                "yaml" | "jinja" => mark.is_empty(),
                _ => PROGRAMS.contains(&mark) || (SHOWN.contains(&language) && mark.is_empty()),
            };
            assert!(is_known, "{}: no test runs ```{language} {mark}", page.name);
        }
    }
    assert!(PROGRAMS.iter().all(|file| !samples::program(file).is_empty()));
}

#[tokio::test]
async fn curl() {
    let workshop = Workshop::with(&["send.sh"]);
    senders::check(&workshop, &["sh", "-e", "send.sh"], CutOff::GivesUp).await;
}

#[tokio::test]
async fn python() {
    let workshop = Workshop::with(&["send.py", "receive.py"]);
    senders::check(&workshop, &["python3", "send.py"], CutOff::Repeats).await;
    check_receiver(&workshop, &["python3", "receive.py"]).await;
}

#[tokio::test]
async fn javascript() {
    let workshop = Workshop::with(&["send.mjs", "receive.mjs"]);
    senders::check(&workshop, &["node", "send.mjs"], CutOff::Repeats).await;
    check_receiver(&workshop, &["node", "receive.mjs"]).await;
}

#[tokio::test]
async fn go() {
    let workshop = Workshop::with(&["send/send.go", "receive/receive.go"]);
    workshop.write("go.mod", "module guide\n\ngo 1.19\n");
    // Beside the other tools of the tests, so that its standard library is compiled once.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    let cache = target.join("test-tools/go-cache").to_string_lossy().into_owned();
    let variables = [
        ("GOCACHE", cache.as_str()),
        ("GOFLAGS", "-mod=mod -trimpath"),
        ("GOPROXY", "off"),
        ("GOTOOLCHAIN", "local"),
        ("GO111MODULE", "on"),
        ("CGO_ENABLED", "0"),
    ];
    std::fs::create_dir(workshop.path().join("built")).expect("a folder");
    workshop.build(&["go", "build", "-o", "built/", "./send", "./receive"], &variables);
    senders::check(&workshop, &["built/send"], CutOff::Repeats).await;
    check_receiver(&workshop, &["built/receive"]).await;
}

#[tokio::test]
async fn java() {
    let workshop = Workshop::with(&["Send.java", "Receive.java"]);
    workshop.build(&["javac", "-Xlint:all", "-Werror", "Send.java", "Receive.java"], &[]);
    senders::check(&workshop, &["java", "-cp", ".", "Send"], CutOff::Repeats).await;
    check_receiver(&workshop, &["java", "-cp", ".", "Receive"]).await;
}

#[tokio::test]
async fn php() {
    let workshop = Workshop::with(&["send.php", "receive.php"]);
    senders::check(&workshop, &["php", "send.php"], CutOff::Repeats).await;

    // PHP's server does not tell which port it took. This address is used by nobody else, so the port stays free.
    let free = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 9), 0)).and_then(|listener| listener.local_addr());
    let address: SocketAddr = free.expect("a free port");
    std::fs::create_dir(workshop.path().join("seen")).expect("a folder");
    let variables = [("SECRET", SECRET), ("SEEN_DIR", "seen")];
    let mut process = workshop.start(&["php", "-S", &address.to_string(), "receive.php"], &variables);
    let line = soon("PHP's server", process.stderr.line_with("Development Server")).await;
    assert!(line.is_some(), "{}", process.stderr.text());
    receivers::check(&process, address).await;
}

/// Starts a receiver that tells its port.
async fn check_receiver(workshop: &Workshop, words: &[&str]) {
    let mut process = workshop.start(words, &ANY_PORT);
    let line = soon("the receiver", process.stdout.line_with("listening on port ")).await;
    let line = line.unwrap_or_else(|| panic!("{words:?}: {}", process.stderr.text()));
    let port = line.rsplit(' ').next().expect("a port").parse().expect("a port");
    receivers::check(&process, SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await;
}
