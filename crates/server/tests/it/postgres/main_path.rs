//! An event's whole way with PostgreSQL: accepted, delivered, tried again, read back, and all of it after a restart.

use http::Method;
use serde_json::json;

use super::{cluster, setup};
use crate::harness::{Event, Receiver, Reply};

#[tokio::test]
async fn events_are_delivered_tried_again_and_read_back_after_a_restart() {
    let cluster = cluster();
    let setup = setup(&cluster);
    let receiver = Receiver::start().await;
    receiver.script("/flaky", [Reply::status(500), Reply::status(200)]);
    let server = setup.start().await;
    server.client.webhook(&receiver.url("/"), json!({})).await;
    server.client.webhook(&receiver.url("/flaky"), json!({"event_types": ["invoice.*"]})).await;

    let event = json!({"type": "invoice.paid", "data": {"amount": 100}, "idempotency_key": "first"});
    let accepted = server.client.accept(&event).await;
    assert_eq!(accepted.deliveries.len(), 2);
    receiver.wait_for_one("/").await;
    receiver.wait_for("/flaky", 2).await;
    for delivery in &accepted.deliveries {
        server.client.delivery_once(delivery.id, "sent").await;
    }
    // The same key stands for the same event.
    let again = server.client.accept(&event).await;
    assert_eq!((&again.id, receiver.total()), (&accepted.id, 3));
    assert!(server.stop().await.success());
    assert!(!setup.data_dir().join("postrider.db").exists());

    let server = setup.start().await;
    let read: Event = server.client.event(&accepted.id).await;
    assert_eq!(read.deliveries_total, 2);
    assert_eq!(server.client.attempts(accepted.deliveries[1].id).await.len(), 2);
    let next = server.client.accept(&json!({"type": "order.paid", "data": {}})).await;
    assert!(next.deliveries[0].id > accepted.deliveries[1].id);
    receiver.wait_for("/", 2).await;
    assert!(server.stop().await.success());
    assert_eq!(cluster.ask(super::DATABASE, "SELECT count(*) FROM queue").unwrap(), "0");
}

#[tokio::test]
async fn one_database_has_one_server() {
    let cluster = cluster();
    let (first, second) = (setup(&cluster), setup(&cluster));
    let server = first.start().await;
    let (status, stderr) = second.start_in_vain().await;
    assert!(!status.success());
    assert!(stderr.contains("in use by another Postrider process"), "{stderr}");
    // It is free as soon as the first has ended, however that ends.
    server.kill().await;
    let server = second.start().await;
    let answer = server.client.try_send(Method::GET, "/readyz", &[], "").await.unwrap();
    assert_eq!(answer.status, 200);
}
