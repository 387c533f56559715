//! `postrider backup` and `restore`: beside a server under load, and on to another directory.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Accepted, Page, Receiver, Setup, eventually, soon};

fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("there").permissions().mode() & 0o777
}

#[tokio::test]
async fn everything_accepted_before_a_backup_is_in_it_and_is_delivered() {
    const EVENTS_BEFORE: usize = 3000;
    let setup = Setup::new();
    let receiver = Receiver::start().await;
    let server = setup.start().await;
    server.client.webhook(&receiver.url("/"), json!({})).await;
    let batch =
        |first: usize| -> Value { (first..first + 100).map(|n| json!({"type": "a", "data": {"n": n}})).collect() };
    for first in (0..EVENTS_BEFORE).step_by(100) {
        server.client.post("/v1/events", &batch(first)).await.read::<Value>(202);
    }
    // Events go on coming in while the copy is made.
    let safe = tempfile::tempdir().unwrap();
    let (file, keys) = (safe.path().join("monday.db"), safe.path().join("keys"));
    std::fs::create_dir(&keys).unwrap();
    let arguments = ["backup", "--to", text(&file), "--with-key", text(&keys), "--json"];
    let mut copying = Box::pin(setup.run(&arguments));
    let mut posted = EVENTS_BEFORE;
    let made: Value = loop {
        let events = batch(posted);
        tokio::select! {
            finished = &mut copying => break finished.json(),
            answer = server.client.post("/v1/events", &events) => {
                answer.read::<Value>(202);
                posted += 100;
            }
        }
    };
    assert_eq!(made["bytes"].as_u64(), Some(std::fs::metadata(&file).unwrap().len()));
    assert_eq!((mode(&file), mode(&keys.join("secret.key"))), (0o600, 0o600));
    server.kill().await;

    let elsewhere = Setup::new();
    let key = keys.join("secret.key");
    let restored = elsewhere.run(&["restore", "--from", text(&file), "--key", text(&key)]).await;
    restored.ended_with(0).says(&["checked and opened"]).remarks(&["is sent when a server starts"]);
    let before = receiver.total();
    let server = elsewhere.start().await;
    for number in [1, EVENTS_BEFORE / 2, EVENTS_BEFORE] {
        let event = server.client.event(&format!("evt_{number}")).await;
        assert_eq!(event.data["n"].as_u64(), Some(number as u64 - 1));
    }
    eventually("what waited is sent", async || {
        let waiting: Page<Value> = server.client.get("/v1/deliveries?status=pending").await.read(200);
        let retrying: Page<Value> = server.client.get("/v1/deliveries?status=retrying").await.read(200);
        (waiting.data.is_empty() && retrying.data.is_empty()).then_some(())
    })
    .await;
    // A new delivery has a number that the original cannot have given out.
    let new: Accepted = server.client.accept(&json!({"type": "a", "data": {}})).await;
    assert!(new.deliveries[0].id > 1_000_000_000, "{new:?}");
    server.client.delivery_once(new.deliveries[0].id, "sent").await;
    assert!(receiver.total() > before);
    let ids: std::collections::BTreeSet<String> = receiver
        .received("/")
        .iter()
        .filter(|one| one.json()["data"]["n"].is_u64())
        .map(|one| one.id().to_owned())
        .collect();
    assert!(ids.len() >= EVENTS_BEFORE, "every event reached the receiver: {}", ids.len());
}

#[tokio::test]
async fn a_stopped_server_is_backed_up_too() {
    let setup = Setup::new();
    assert!(setup.start().await.stop().await.success());
    let safe = tempfile::tempdir().unwrap();
    let file = safe.path().join("a.db");
    let made = setup.run(&["backup", "--to", text(&file)]).await;
    made.ended_with(0).says(&["every page checked"]).remarks(&["secret.key", "--with-key"]);
    assert_eq!(std::fs::read_dir(safe.path()).unwrap().count(), 1, "nothing is left beside it");
    // The server starts as before.
    setup.start().await;
}

#[tokio::test]
async fn what_is_there_is_left_alone() {
    let setup = Setup::new();
    let server = setup.start().await;
    server.client.webhook("http://127.0.0.1:1/", json!({})).await;
    let safe = tempfile::tempdir().unwrap();
    let (file, key) = (safe.path().join("a.db"), setup.data_dir().join("secret.key"));
    setup.run(&["backup", "--to", text(&file)]).await.ended_with(0);
    let before = std::fs::read(&file).unwrap();
    setup.run(&["backup", "--to", text(&file)]).await.ended_with(1).remarks(&["is there already"]);
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let missing = safe.path().join("no/such/directory/a.db");
    setup.run(&["backup", "--to", text(&missing)]).await.ended_with(1).remarks(&["no/such/directory"]);

    let restore = async |setup: &Setup, key: Option<&Path>| {
        let key: Vec<&str> = key.map_or_else(Vec::new, |key| vec!["--key", text(key)]);
        soon("the restore", setup.run(&[&["restore", "--from", text(&file)], &key[..]].concat())).await
    };
    restore(&setup, Some(&key)).await.ended_with(1).remarks(&["is not empty"]);
    let empty = Setup::new();
    restore(&empty, None).await.ended_with(2).remarks(&["--key FILE is needed"]);
    // A key of another database opens nothing, and nothing is left behind.
    let wrong = safe.path().join("wrong.key");
    std::fs::write(&wrong, [7; 32]).unwrap();
    restore(&empty, Some(&wrong)).await.ended_with(1).remarks(&["secret.key the one of this database"]);
    restore(&empty, Some(&key)).await.ended_with(0);
    // A key that lies there already is the one that is used.
    let prepared = Setup::new();
    std::fs::create_dir(prepared.data_dir()).unwrap();
    std::fs::copy(&key, prepared.data_dir().join("secret.key")).unwrap();
    restore(&prepared, Some(&key)).await.ended_with(1).remarks(&["leave --key out"]);
    restore(&prepared, None).await.ended_with(0);
    prepared.run(&["channel", "list"]).await.ended_with(0).says(&["Test"]);
    let nothing = Setup::new();
    nothing.run(&["backup", "--to", text(&safe.path().join("b.db"))]).await.ended_with(1).remarks(&["no database"]);
    assert!(!safe.path().join("b.db").exists());
    server.stop().await;
}
