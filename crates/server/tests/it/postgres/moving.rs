//! `postrider migrate-store`: a server goes on where another store left off, and what is refused.

use std::path::Path;

use http::Method;
use serde_json::{Value, json};

use super::{DATABASE, cluster};
use crate::harness::{
    ADMIN_KEY, Client, Delivery, Finished, Gate, IssuedKey, Page, Receiver, Reply, Setup, eventually,
};

/// Stands in the URL of the server; nothing asks for it.
const PASSWORD: &str = "canary-password";

/// Stands in the config of a channel.
const SECRET: &str = "whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5";

fn sqlite(data_dir: &Path) -> String {
    format!("sqlite://{}", data_dir.display())
}

fn with_password(url: &str) -> String {
    url.replacen("postgres@", &format!("postgres:{PASSWORD}@"), 1)
}

/// Moves, and looks that nothing is said that must not be.
async fn migrate(setup: &Setup, from: &str, to: &str, more: &[&str]) -> Finished {
    let finished = setup.run(&[&["migrate-store", "--from", from, "--to", to], more].concat()).await;
    for secret in [PASSWORD, SECRET, ADMIN_KEY] {
        assert!(!finished.stdout.contains(secret) && !finished.stderr.contains(secret), "{finished:?}");
    }
    finished
}

/// A server's database with something of every kind in it, and what was seen there.
struct Story {
    own_key: String,
    keyed: Value,
    keyed_event: String,
    explained: String,
    dead: Vec<Delivery>,
    inbox: Value,
    /// Under way when the server was killed.
    cut_off: i64,
    merged: Vec<i64>,
    /// Paused after its first delivery.
    redrive: i64,
    last: i64,
}

async fn listed(client: &Client, path: &str) -> Value {
    client.get(path).await.read(200)
}

/// Makes all of that, and kills the server.
async fn tell(setup: &Setup, receiver: &Receiver) -> Story {
    let server = setup.start().await;
    let client = &server.client;
    let issued: IssuedKey = client.create_key("default", &["channels:read", "deliveries:read"]).await;
    let fine = json!({"event_types": ["fine"], "config": {"secret": SECRET}});
    client.webhook(&receiver.url("/fine"), fine).await;
    let retry = json!({"delays_seconds": []});
    receiver.script("/broken", [500; 4].map(Reply::status));
    client.webhook(&receiver.url("/broken"), json!({"event_types": ["broken"], "retry": retry})).await;
    let digest = json!({"window_seconds": 600, "max_items": 3});
    client.webhook(&receiver.url("/merged"), json!({"event_types": ["merged"], "digest": digest})).await;
    let inbox = json!({"name": "Inbox", "provider": "internal_notification", "config": {}, "event_types": ["fine"]});
    client.create_channel(&inbox).await;
    let gate = Gate::closed();
    receiver.script("/slow", [Reply::status(200).behind(&gate)]);
    client.webhook(&receiver.url("/slow"), json!({"event_types": ["slow"]})).await;
    client.send(Method::PUT, "/v1/event-types/fine", &[], r#"{"label": "Fine"}"#).await.read::<Value>(201);

    let keyed = json!({"type": "fine", "data": {"n": 1}, "idempotency_key": "first"});
    let accepted = client.accept(&keyed).await;
    for made in &accepted.deliveries {
        client.delivery_once(made.id, "sent").await;
    }
    let mut broken = Vec::new();
    for n in 0..4 {
        broken.push(client.accept_one("broken", json!({"n": n})).await);
    }
    for delivery in broken {
        client.delivery_once(delivery, "dead").await;
    }
    let mut merged = Vec::new();
    for n in 0..2 {
        merged.push(client.accept_one("merged", json!({"n": n})).await);
    }
    let order = json!({"pace_per_second": 1, "filter": {"text": "500"}});
    let begun: Value = client.post("/v1/redrives", &order).await.read(201);
    let redrive = begun["id"].as_i64().unwrap();
    client.post(&format!("/v1/redrives/{redrive}/pause"), &json!({})).await.read::<Value>(200);
    eventually("what was redriven is sent", async || {
        let shown = listed(client, &format!("/v1/redrives/{redrive}")).await;
        let sent = client.deliveries("status=sent&event_type=broken").await.len() as u64;
        (shown["redriven"].as_u64() == Some(sent)).then_some(())
    })
    .await;
    let cut_off = client.accept_one("slow", json!({})).await;
    receiver.wait_for_one("/slow").await;
    let explain = format!("/v1/events/{}/explain?channel_id=2", accepted.id);
    let story = Story {
        own_key: issued.key.expect("shown once"),
        keyed,
        explained: client.get(&explain).await.text(),
        keyed_event: accepted.id,
        dead: client.deliveries("status=dead").await,
        inbox: listed(client, "/v1/inbox").await,
        cut_off,
        merged,
        redrive,
        last: cut_off,
    };
    server.kill().await;
    story
}

/// What is to be read is what it was.
async fn is_told(story: &Story, client: &Client, own: &Client) {
    assert_eq!(own.get("/v1/channels").await.read::<Page<Value>>(200).data.len(), 5);
    let again = client.accept(&story.keyed).await;
    assert_eq!((&again.id, again.repeated), (&story.keyed_event, true));
    let explain = format!("/v1/events/{}/explain?channel_id=2", story.keyed_event);
    assert_eq!(client.get(&explain).await.text(), story.explained);
    assert_eq!(listed(client, "/v1/inbox").await, story.inbox);
    assert_eq!(listed(client, "/v1/event-types/fine").await["label"], "Fine");
}

/// What waited goes on.
async fn goes_on(story: &Story, client: &Client, receiver: &Receiver) {
    client.delivery_once(story.cut_off, "sent").await;
    let attempts = client.attempts(story.cut_off).await;
    let statuses: Vec<_> = attempts.iter().map(|one| one.status.as_str()).collect();
    assert_eq!(statuses, ["unknown", "delivered"]);
    let third = client.accept_one("merged", json!({"n": 2})).await;
    assert!(third > story.last, "numbers go on");
    for delivery in story.merged.iter().chain([&third]) {
        client.delivery_once(*delivery, "sent").await;
    }
    assert_eq!(receiver.received("/merged").len(), 1, "one message");
    client.post(&format!("/v1/redrives/{}/resume", story.redrive), &json!({})).await.read::<Value>(200);
    let dead = story.dead.len() as u64;
    eventually("the redrive is done", async || {
        let shown = listed(client, &format!("/v1/redrives/{}", story.redrive)).await;
        (shown["status"] == "done" && shown["redriven"].as_u64() >= Some(dead)).then_some(())
    })
    .await;
    for delivery in &story.dead {
        client.delivery_once(delivery.id, "sent").await;
    }
}

#[tokio::test]
async fn a_server_goes_on_in_the_other_store_and_back() {
    let cluster = cluster();
    let url = with_password(&cluster.url(DATABASE));
    let receiver = Receiver::start().await;
    let setup = Setup::new();
    let story = tell(&setup, &receiver).await;
    let data_dir = setup.data_dir();
    let key = std::fs::read(data_dir.join("secret.key")).unwrap();

    let there = migrate(&setup, &sqlite(&data_dir), &url, &[]).await;
    there.ended_with(0).says(&["attempts", "DIGEST OF COPY", "yes"]);
    there.remarks(&["Copying: attempts", "Reading back: attempts", "rows/s", "read back and equal", "database_url"]);
    assert!(!there.stdout.contains("NO"), "{}", there.stdout);

    // Back at once, into another directory: nothing has changed, and what was under way is not forgotten.
    let elsewhere = tempfile::tempdir().unwrap();
    let back = elsewhere.path().join("back");
    let source = data_dir.to_string_lossy().into_owned();
    let and_back = migrate(&setup, &url, &sqlite(&back), &["--data-dir", &source, "--json"]).await;
    let result: Value = and_back.json();
    assert_eq!((&result["is_equal"], &result["adapted"]), (&json!(true), &json!(0)));
    assert!(result["rows"].as_u64() > Some(20), "{result}");
    assert_eq!(std::fs::read(back.join("secret.key")).unwrap(), key);
    let returned = setup.clone().set("POSTRIDER_DATA_DIR", &back.to_string_lossy());
    let server = returned.start().await;
    is_told(&story, &server.client, &server.client_with(&story.own_key)).await;
    server.client.delivery_once(story.cut_off, "sent").await;
    assert_eq!(server.client.attempts(story.cut_off).await[0].status, "unknown");
    assert_eq!(server.client.deliveries("status=dead").await, story.dead);
    server.kill().await;

    let moved = setup.clone().set("POSTRIDER_DATABASE_URL", &url);
    let server = moved.start().await;
    is_told(&story, &server.client, &server.client_with(&story.own_key)).await;
    assert_eq!(server.client.deliveries("status=dead").await, story.dead);
    goes_on(&story, &server.client, &receiver).await;
    let why = moved.run(&["why", &story.keyed_event]).await;
    why.ended_with(0).says(&["fine", "sent"]);
    assert!(server.stop().await.success());
}

#[tokio::test]
async fn what_cannot_be_moved_is_told_with_what_to_do() {
    let cluster = cluster();
    let url = with_password(&cluster.url(DATABASE));
    let setup = Setup::new();
    let data_dir = setup.data_dir();
    let from = sqlite(&data_dir);
    let check = async |from: &str, to: &str, more: &[&str], code: i32, parts: &[&str]| {
        migrate(&setup, from, to, more).await.ended_with(code).remarks(parts);
    };
    check(&from, &url, &[], 1, &["there is no database in"]).await;
    assert!(!data_dir.exists(), "nothing is made of a wrong name");
    let server = setup.start().await;
    server.client.webhook("http://127.0.0.1:9/", json!({"config": {"secret": SECRET}})).await;
    check(&from, &url, &[], 3, &["is in use by another Postrider process"]).await;
    assert!(server.stop().await.success());

    check("data", &url, &[], 2, &["--from must be sqlite://DIRECTORY"]).await;
    check(&from, &format!("{url}?sslmode=maybe"), &[], 2, &["--to: sslmode must be"]).await;
    check(&from, "sqlite://elsewhere", &[], 2, &["postrider backup"]).await;
    check(&url, &url, &[], 2, &["pg_dump"]).await;
    let nobody = format!("postgres://ada:{PASSWORD}@127.0.0.1:1/mail?connect_timeout=1");
    check(&from, &nobody, &[], 3, &["cannot be reached"]).await;
    check(&from, &with_password(&cluster.url("nothing")), &[], 1, &["\"nothing\" does not exist"]).await;
    check(&url, "sqlite://elsewhere", &[], 1, &["secret.key is missing", "--data-dir"]).await;
    let source = data_dir.to_string_lossy().into_owned();
    check(&url, "sqlite://elsewhere", &["--data-dir", &source], 1, &["there is no database of Postrider"]).await;

    // Another key in the directory of the new server, and another than the one of the database.
    let other = tempfile::tempdir().unwrap();
    let other_dir = other.path().to_string_lossy().into_owned();
    std::fs::write(other.path().join("secret.key"), [7; 32]).unwrap();
    check(&from, &url, &["--data-dir", &other_dir], 1, &["is another key than that of"]).await;
    let key = data_dir.join("secret.key");
    let right = std::fs::read(&key).unwrap();
    std::fs::write(&key, [7; 32]).unwrap();
    check(&from, &url, &[], 1, &["Is secret.key the one of this database?"]).await;
    std::fs::remove_file(&key).unwrap();
    check(&from, &url, &[], 1, &["secret.key is missing"]).await;
    std::fs::write(&key, right).unwrap();

    // None of these has left anything.
    check(&from, &url, &[], 0, &["read back and equal"]).await;
    check(&from, &url, &[], 1, &["is not empty", "a move to it came to its end"]).await;
    check(&url, &from, &[], 1, &["holds a database already"]).await;
}

#[tokio::test]
async fn an_interrupted_move_leaves_both_places_as_they_were() {
    let cluster = cluster();
    let url = cluster.url(DATABASE);
    let (setup, busy) = (Setup::new(), super::setup(&cluster));
    assert!(setup.start().await.stop().await.success());
    // A server on the target holds the move up for a few seconds.
    let server = busy.start().await;
    let from = sqlite(&setup.data_dir());
    let mut process = setup.launch(&["migrate-store", "--from", &from, "--to", &url]);
    process.stderr.line_with("Moving").await.expect("it begins");
    process.ask_to_stop();
    assert_eq!(process.ended().await.code(), Some(1));
    assert!(process.stderr.text().contains("interrupted"), "{}", process.stderr.text());
    let names: Vec<_> = std::fs::read_dir(setup.data_dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().any(|name| name == "postrider.db") && !names.iter().any(|name| name == "postrider.db.moving"));
    assert!(server.stop().await.success());
    setup.start().await;
}
