//! `POST /v1/events` with CloudEvents 1.0 in their JSON format, single and in batches.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Accepted, Answer, Client, Page, Setup, start};

const SINGLE: &str = "application/cloudevents+json; charset=utf-8";
const BATCH: &str = "application/cloudevents-batch+json";

async fn post(client: &Client, media: &str, body: &Value) -> Answer {
    client.send(Method::POST, "/v1/events", &[("content-type", media)], body.to_string()).await
}

fn cloud_event(id: &str) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/billing", "type": "com.example.invoice.paid",
        "time": "2026-11-22T07:00:00+01:00", "subject": "invoice 7", "datacontenttype": "application/json",
        "severity": "warning", "anything": 1, "data": {"amount": 50}})
}

#[tokio::test]
async fn a_single_event_is_delivered_like_any_other() {
    let (server, receiver) = start().await;
    server.client.webhook(&receiver.url("/"), json!({})).await;
    let accepted: Accepted = post(&server.client, SINGLE, &cloud_event("1")).await.read(202);
    let request = receiver.wait_for_one("/").await;
    let body: Value = request.json();
    let expected = json!({"type": "com.example.invoice.paid", "timestamp": "2026-11-22T06:00:00.000Z",
        "data": {"amount": 50}});
    assert_eq!(body, expected);
    let event: Value = server.client.get(&format!("/v1/events/{}", accepted.id)).await.read(200);
    assert_eq!((&event["severity"], &event["data"]), (&json!("warning"), &json!({"amount": 50})));
}

#[tokio::test]
async fn source_and_id_make_it_happen_once() {
    let server = Setup::new().start().await;
    let first: Accepted = post(&server.client, SINGLE, &cloud_event("1")).await.read(202);
    let again: Accepted = post(&server.client, SINGLE, &cloud_event("1")).await.read(202);
    assert_eq!((&again.id, again.repeated), (&first.id, true));
    let mut other = cloud_event("1");
    other["source"] = json!("/shipping");
    let other: Accepted = post(&server.client, SINGLE, &other).await.read(202);
    assert_ne!(other.id, first.id);
    let mut changed = cloud_event("1");
    changed["data"]["amount"] = json!(51);
    post(&server.client, SINGLE, &changed).await.problem(409);
    // A key of the header covers the request instead.
    let headers = [("content-type", SINGLE), ("idempotency-key", "mine")];
    let mine = server.client.send(Method::POST, "/v1/events", &headers, cloud_event("1").to_string()).await;
    assert!(!mine.read::<Accepted>(202).repeated);
}

#[tokio::test]
async fn a_batch_is_kept_all_or_none() {
    let server = Setup::new().start().await;
    let batch = json!([cloud_event("1"), cloud_event("2")]);
    let page: Page<Accepted> = post(&server.client, BATCH, &batch).await.read(202);
    assert_eq!(page.data.len(), 2);
    let mut wrong = cloud_event("4");
    wrong["specversion"] = json!("0.3");
    let problem = post(&server.client, BATCH, &json!([cloud_event("3"), wrong])).await.problem(422);
    assert_eq!(problem.fields(), ["[1].specversion"]);
    let third: Page<Accepted> = post(&server.client, BATCH, &json!([cloud_event("3")])).await.read(202);
    assert!(!third.data[0].repeated);
}

#[tokio::test]
async fn the_media_type_may_be_left_out() {
    let server = Setup::new().start().await;
    for media in ["application/json", "text/plain"] {
        let accepted: Accepted = post(&server.client, media, &cloud_event(media)).await.read(202);
        let batch: Page<Accepted> = post(&server.client, media, &json!([cloud_event(media)])).await.read(202);
        assert_eq!((&batch.data[0].id, batch.data[0].repeated), (&accepted.id, true), "{media}");
    }
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let server = Setup::new().start().await;
    for (change, field) in [
        (json!({"id": ""}), "id"),
        (json!({"source": "x".repeat(3000)}), "source"),
        (json!({"type": "a b"}), "type"),
        (json!({"type": "postrider.test"}), "type"),
        (json!({"time": "yesterday"}), "time"),
        (json!({"severity": "loud"}), "severity"),
        (json!({"datacontenttype": "text/xml"}), "datacontenttype"),
        (json!({"data_base64": "AAAA"}), "data_base64"),
        (json!({"data": [1]}), "data"),
    ] {
        let mut event = cloud_event("1");
        event.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let problem = post(&server.client, SINGLE, &event).await.problem(422);
        assert_eq!(problem.fields(), [field], "{change}");
    }
    let mut nameless = cloud_event("1");
    nameless.as_object_mut().unwrap().remove("source");
    assert_eq!(post(&server.client, SINGLE, &nameless).await.problem(422).fields(), ["source"]);
    post(&server.client, SINGLE, &json!([cloud_event("1")])).await.problem(400);
    post(&server.client, BATCH, &cloud_event("1")).await.problem(400);
}
