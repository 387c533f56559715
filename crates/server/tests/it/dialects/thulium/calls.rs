//! Every program on the page, run as it stands there.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::Thulium;

/// Runs a program in a folder with these samples; what it printed.
fn run(thulium: &Thulium, samples: &[(&str, &str)], words: &[&str]) -> String {
    let folder = TempDir::new().expect("a temporary directory");
    for (name, text) in samples {
        let address = format!("http://{}", thulium.server.address);
        let text = text.replace("https://your-system-name.thulium.com", &address);
        std::fs::write(folder.path().join(name), text).expect("a file");
    }
    let path = std::env::var("PATH").expect("a PATH");
    let output = Command::new("sh")
        .args(["-c", &words.join(" ")])
        .current_dir(folder.path())
        .env("PATH", format!("{}:{path}", tools().display()))
        .output()
        .expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{words:?}: run scripts/test\n{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Where `scripts/test` puts `HTTPie`.
fn tools() -> PathBuf {
    let binary = std::env::current_exe().expect("a path");
    let found = binary.ancestors().map(|folder| folder.join("test-tools/venv/bin")).find(|path| path.exists());
    found.expect("scripts/test makes the environment")
}

/// The page's answer, as its server would give it to the first caller.
fn answer() -> Value {
    json!({"id": 1, "actions": ["CHAT_CONVERSATION_CREATED"], "subscription_url": "https://example.pl",
        "http_auth_user": "", "http_auth_password": ""})
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test]
async fn curl() {
    let thulium = Thulium::start().await;
    let printed = run(&thulium, &[("call.sh", include_str!("samples/curl.sh"))], &["sh", "call.sh"]);
    assert_eq!(parsed(&printed), answer());
    assert_eq!(thulium.list().await, [answer()]);
}

#[tokio::test]
async fn httpie() {
    let thulium = Thulium::start().await;
    let printed = run(&thulium, &[("call.sh", include_str!("samples/httpie.sh"))], &["sh", "call.sh"]);
    assert_eq!(parsed(&printed), answer());
    assert_eq!(thulium.list().await, [answer()]);
}

#[tokio::test]
async fn php() {
    let thulium = Thulium::start().await;
    let printed = run(&thulium, &[("post.php", include_str!("samples/post.php"))], &["php", "post.php"]);
    let expected = "stdClass Object ( [id] => 1 [actions] => Array ( [0] => CHAT_CONVERSATION_CREATED ) \
                    [subscription_url] => https://example.pl [http_auth_user] => [http_auth_password] => )";
    assert_eq!(
        printed.split_whitespace().collect::<Vec<_>>().join(" "),
        expected,
        "it prints an object only after 200"
    );
    assert_eq!(thulium.list().await, [answer()]);
}

#[tokio::test]
async fn java() {
    let thulium = Thulium::start().await;
    let samples = [
        ("Example.java", include_str!("samples/Example.java")),
        ("ThuliumRestClient.java", include_str!("samples/ThuliumRestClient.java")),
    ];
    let printed = run(&thulium, &samples, &["javac Example.java ThuliumRestClient.java && java -cp . Example"]);
    assert_eq!(parsed(printed.strip_prefix("200 ").unwrap_or(&printed)), answer());
    assert_eq!(thulium.list().await, [answer()]);
}
