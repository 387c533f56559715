//! Every request example is sent to a real server: it is answered as documented, and the answer fits its schema.

use http::Method;
use serde_json::{Value, json};

use super::{document, faults, operations};
use crate::harness::{Accepted, Client, Receiver, Reply, Server, Setup};

/// A server with something under every id that the examples name.
pub(super) struct Furnished {
    pub(super) server: Server,
    receiver: Receiver,
    pub(super) document: Value,
    key: i64,
    entry: i64,
    delivery: i64,
    /// A channel for the dialects to change, test and delete.
    spare: i64,
    /// A webhook of Thulium's format.
    thulium: i64,
}

impl Furnished {
    pub(super) async fn new() -> Self {
        let receiver = Receiver::start().await;
        let setup = Setup::new()
            .set("POSTRIDER_DELIVERY__RETRY_BASE_MS", "3600000")
            .set("POSTRIDER_SMTP__URL", "smtp://127.0.0.1:9")
            .set("POSTRIDER_SMTP__FROM", "postrider@example.com")
            // A channel that an example makes hears of events that others post.
            .set("POSTRIDER_PROVIDERS__TELEGRAM__BASE_URL", &receiver.url("/telegram"));
        let server = setup.start().await;
        receiver.always("/hook", Reply::status(503));
        let client = &server.client;
        let hook = client.webhook(&receiver.url("/hook"), json!({})).await;
        assert_eq!(hook.id, 1, "the examples name the first channel");
        let inbox = json!({"name": "Inbox", "provider": "internal_notification", "config": {}});
        client.create_channel(&inbox).await;
        let form = json!({"config": {"format": "thulium"}, "event_types": []});
        let thulium = client.webhook(&receiver.url("/form"), form).await.id;
        let accepted: Accepted = client.accept(&json!({"type": "invoice.paid", "data": {"amount": 50}})).await;
        let of = |channel: i64| accepted.deliveries.iter().find(|made| made.channel_id == channel).unwrap().id;
        let (delivery, entry) = (of(1), of(2));
        client.delivery_once(delivery, "retrying").await;
        client.delivery_once(entry, "sent").await;
        client.send(Method::PUT, "/v1/tenants/acme", &[], "{}").await.read::<Value>(200);
        let key = client.create_key("acme", &["events:read"]).await.id;
        let described = json!({"label": "Invoice paid"}).to_string();
        client.send(Method::PUT, "/v1/event-types/invoice.paid", &[], described).await.read::<Value>(201);
        client.post("/v1/redrives", &json!({"filter": {"status": "dead"}})).await.read::<Value>(201);
        let spare = client.webhook(&receiver.url("/spare"), json!({"event_types": []})).await.id;
        let document = document(&server).await;
        Self { server, receiver, document, key, entry, delivery, spare, thulium }
    }

    /// Stands in what its tenant has, and nowhere else.
    pub(super) fn canary(&self) -> String {
        self.receiver.url("")
    }

    /// The examples of a body with their media types; one that is empty where there is none.
    pub(super) fn bodies(operation: &Value) -> Vec<(String, String)> {
        let content = operation["requestBody"]["content"].as_object().into_iter().flatten();
        let examples = content.flat_map(|(media, content)| {
            let examples = content["examples"].as_object().expect("examples").values();
            examples.map(|example| written(media, &example["value"]))
        });
        let all: Vec<_> = examples.collect();
        if all.is_empty() { vec![("application/json".to_owned(), String::new())] } else { all }
    }

    /// A documented path with real ids.
    pub(super) fn path(&self, path: &str, operation: &Value) -> String {
        let mut concrete = path.to_owned();
        let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        for parameter in parameters.iter().filter(|parameter| parameter["in"] == "path") {
            let name = parameter["name"].as_str().unwrap();
            let value = match name {
                "id" if path.starts_with("/v1/inbox") => self.entry.to_string(),
                "id" if path.starts_with("/v1/deliveries") || path.starts_with("/api/notification-queue") => {
                    self.delivery.to_string()
                }
                "id" if path.starts_with("/api/notification-channels") => self.spare.to_string(),
                "id" if path.contains("/keys/") => self.key.to_string(),
                "id" if path.starts_with("/api/webhooks") => self.thulium.to_string(),
                _ => text(&parameter["example"]),
            };
            concrete = concrete.replace(&format!("{{{name}}}"), &value);
        }
        let query = parameters.iter().filter(|one| one["in"] == "query" && one["required"] == true);
        let query: Vec<_> =
            query.map(|one| format!("{}={}", one["name"].as_str().unwrap(), text(&one["example"]))).collect();
        if query.is_empty() { concrete } else { format!("{concrete}?{}", query.join("&")) }
    }

    async fn check(&self, path: &str, method: &str, operation: &Value) {
        let mut concrete = self.path(path, operation);
        if method == "delete" && path.starts_with("/api/notification-") {
            // Several APIs can delete one channel, and each should have one.
            let form = json!({"config": {"format": "form"}, "event_types": []});
            let spare = self.server.client.webhook(&self.receiver.url("/spare"), form).await.id;
            concrete = path.replace("{id}", &spare.to_string());
        }
        let http = Method::from_bytes(method.to_ascii_uppercase().as_bytes()).unwrap();
        let mut requests = vec![];
        for (media, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
            for (name, example) in content["examples"].as_object().unwrap() {
                let faults = faults(&self.document, &content["schema"], &example["value"]);
                assert!(faults.is_empty(), "{method} {path}, example {name}: {faults:#?}");
                requests.push(written(media, &example["value"]));
            }
        }
        if requests.is_empty() {
            requests.push(("application/json".to_owned(), String::new()));
        }
        for (media, body) in requests {
            let answer = self.server.client.send(http.clone(), &concrete, &[("content-type", &media)], body).await;
            let status = answer.status.as_u16().to_string();
            let told = format!("{method} {concrete}: {status} {}", answer.text());
            // A redrive of nothing is over before it can be steered, and says so.
            let is_over = path.starts_with("/v1/redrives/{id}/") && status == "409";
            assert!(answer.status.is_success() || is_over, "{told}");
            let documented = operation["responses"].get(&status).unwrap_or_else(|| panic!("not documented: {told}"));
            match documented["content"].as_object().and_then(|content| content.iter().next()) {
                None => assert!(answer.body.is_empty(), "{told}"),
                Some((media, content)) => {
                    assert!(answer.header("content-type").unwrap_or_default().starts_with(media), "{told}");
                    if media == "application/json" {
                        let faults = faults(&self.document, &content["schema"], &answer.read(answer.status.as_u16()));
                        assert!(faults.is_empty(), "{told}: {faults:#?}");
                    }
                }
            }
        }
    }
}

/// A body of a media type, and its `Content-Type`.
fn written(media: &str, example: &Value) -> (String, String) {
    let fields = || {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        example.as_object().unwrap().iter().map(move |(name, value)| (name.as_str(), text(value)))
    };
    match media {
        "multipart/form-data" => {
            let part = |(name, text): (&str, String)| {
                format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
            };
            (format!("{media}; boundary=B"), fields().map(part).collect::<String>() + "--B--\r\n")
        }
        "application/x-www-form-urlencoded" => {
            let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields()).finish();
            (media.to_owned(), body)
        }
        _ => (media.to_owned(), example.to_string()),
    }
}

/// What removes goes last, and the subscriptions of a channel before it.
fn turn(method: &str, path: &str) -> (bool, usize) {
    (method == "delete", if method == "delete" { usize::MAX - path.len() } else { 0 })
}

#[tokio::test]
async fn every_example_is_taken_and_answered_as_documented() {
    let furnished = Furnished::new().await;
    let mut operations = operations(&furnished.document);
    operations.sort_by_key(|(path, method, _)| turn(method, path));
    // A link that unsubscribes is only in mails; `dialects::aether365` follows one.
    for (path, method, operation) in operations.iter().filter(|(path, ..)| !path.starts_with("/u/")) {
        furnished.check(path, method, operation).await;
    }
}

/// Every list takes every one of its filters with the example or the first value that the document has for it.
#[tokio::test]
async fn every_parameter_takes_what_the_document_says() {
    let furnished = Furnished::new().await;
    let client: &Client = &furnished.server.client;
    for (path, _, operation) in operations(&furnished.document).iter().filter(|(_, method, _)| method == "get") {
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        for one in parameters.iter().filter(|one| one["in"] == "query" && one["required"] != true) {
            let value = one.get("example").or(one["schema"]["enum"].get(0)).cloned().unwrap_or(json!(true));
            let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            let pair = [(one["name"].as_str().unwrap(), value)];
            let pair = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pair).finish();
            let concrete = furnished.path(path, operation);
            let joint = if concrete.contains('?') { '&' } else { '?' };
            let answer = client.get(&format!("{concrete}{joint}{pair}")).await;
            assert_eq!(answer.status.as_u16(), 200, "{path} {pair}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn refusals_fit_their_schema() {
    let furnished = Furnished::new().await;
    let problem = &json!({"$ref": "#/components/schemas/Problem"});
    let server = &furnished.server;
    let check = async |client: &Client, method: Method, path: &str, body: &str, status: u16| {
        let answer = client.send(method, path, &[], body.to_owned()).await;
        let faults = faults(&furnished.document, problem, &answer.read(status));
        assert!(faults.is_empty(), "{path}: {faults:#?}");
    };
    check(&server.client, Method::POST, "/v1/events", "{", 400).await;
    check(&server.client_with(""), Method::GET, "/v1/events", "", 401).await;
    check(&server.client, Method::GET, "/v1/nothing", "", 404).await;
    check(&server.client, Method::PUT, "/v1/events", "", 405).await;
    check(&server.client, Method::POST, "/v1/events", "{}", 422).await;
}
