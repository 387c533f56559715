//! What each API says when it is no fault of the client: the database cannot be used now (503, come back), or it refuses
//! what it should take (500). Each in its own envelope, and nothing of what went wrong within.

use http::Method;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::black_box::disk::{Wall, set_file_size_max};
use crate::harness::{Answer, Client, Setup, eventually};

const V1: &str = "/v1/channels";
const ALTUM: &str = "/api/notification-handlers";
const AETHER: &str = "/tenants/me/notifications";
const THULIUM: &str = "/api/webhooks";
const LENZ: &str = "/api/notification-channels";

/// What is read from the database, where most of what the other APIs show is in memory.
const READS_OF_LENZ: [&str; 3] =
    ["/api/notification-queue/stats", "/api/notification-queue/dead-letter", "/api/notification-logs"];

/// Stands in the error of the database, and must stand in no answer.
const CANARY: &str = "canary-within";

/// A change by each API that is right in itself.
fn changes() -> [(Method, &'static str, Value); 5] {
    [
        (Method::POST, V1, json!({"name": "N", "provider": "webhook", "config": {"url": "https://example.com/"}})),
        (Method::POST, ALTUM, json!({"name": "N", "type": "internal_notification"})),
        (Method::PATCH, AETHER, json!({"emailOnFail": false})),
        (Method::POST, THULIUM, json!({"actions": ["PING"], "subscription_url": "https://example.com/"})),
        (Method::POST, LENZ, json!({"name": "N", "provider": "webhook", "config": {"url": "https://example.com/"}})),
    ]
}

/// An error is in the envelope of the API that was asked, and names nothing from within.
fn check_envelope(path: &str, answer: &Answer, status: u16) {
    let text = answer.text();
    assert!(!text.contains(CANARY) && !text.contains("disk I/O"), "{path}: {text}");
    assert_eq!(answer.header("retry-after").is_some(), status == 503, "{path}");
    if path == V1 {
        answer.problem(status);
        return;
    }
    assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
    let body: Value = answer.read(status);
    let is_away = status == 503;
    let (told, expected) = match path {
        ALTUM => {
            let title = &body["errors"][0]["title"];
            (title, json!({"errors": [{"title": title, "status": status}]}))
        }
        AETHER => {
            let code = if is_away { "SERVICE_UNAVAILABLE" } else { "INTERNAL_ERROR" };
            let message = &body["error"]["message"];
            (message, json!({"success": false, "error": {"code": code, "message": message, "details": {}}}))
        }
        THULIUM => {
            let (message, code) = (&body["errors"][0]["message"], u32::from(status) * 1000 + 1);
            let request_id = answer.header("x-request-id").expect("an id");
            (message, json!({"request_id": request_id, "errors": [{"message": message, "code": code}]}))
        }
        _ => {
            let message = if is_away { "service unavailable" } else { "internal server error" };
            (&body["message"], json!({"ok": false, "message": message}))
        }
    };
    assert!(told.as_str().is_some_and(|told| !told.is_empty()), "{path}: {text}");
    assert_eq!(body, expected, "{path}");
}

async fn check_changes(client: &Client, status: u16) {
    for (method, path, body) in changes() {
        let answer = client.send(method, path, &[], body.to_string()).await;
        check_envelope(path, &answer, status);
    }
}

async fn check_goes_on(client: &Client) {
    for (method, path, body) in changes() {
        eventually(path, async || {
            let answer = client.send(method.clone(), path, &[], body.to_string()).await;
            answer.status.is_success().then_some(())
        })
        .await;
    }
}

/// The database is away, and whatever needs it is told to come back.
pub(crate) async fn check_away(client: &Client) {
    check_changes(client, 503).await;
    for path in READS_OF_LENZ {
        check_envelope(path, &client.get(path).await, 503);
    }
}

/// It is back.
pub(crate) async fn check_back(client: &Client) {
    check_goes_on(client).await;
    for path in READS_OF_LENZ {
        client.get(path).await.read::<Value>(200);
    }
}

#[tokio::test]
async fn what_cannot_be_kept_is_turned_away() {
    let server = Wall::FileSize.setup().start().await;
    set_file_size_max(&server, "0");
    check_changes(&server.client, 503).await;
    // What is there can be read.
    for path in [V1, ALTUM, AETHER, THULIUM, LENZ].into_iter().chain(READS_OF_LENZ) {
        server.client.get(path).await.read::<Value>(200);
    }
    set_file_size_max(&server, "unlimited");
    check_goes_on(&server.client).await;
}

#[tokio::test]
async fn what_the_database_refuses_is_a_fault_of_the_server() {
    let setup = Setup::new();
    assert!(setup.start().await.stop().await.success());
    let database = Connection::open(setup.data_dir().join("postrider.db")).expect("a database");
    for table in ["channels", "dialect_settings"] {
        let refuses = format!(
            "CREATE TRIGGER refuses_{table} BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, '{CANARY}'); END"
        );
        database.execute_batch(&refuses).expect("a trigger");
    }
    drop(database);
    let server = setup.start().await;
    check_changes(&server.client, 500).await;
    let log = server.process.stderr.text();
    assert!(log.contains("by a fault of ours") && log.contains(CANARY), "whoever runs it reads why: {log}");
    assert_eq!(server.client.get("/readyz").await.status, 200);
}
