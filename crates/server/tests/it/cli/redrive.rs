//! `postrider redrive`: counted first, then carried out, and told of.

use serde_json::json;

use crate::harness::{Receiver, Reply, Setup};

#[tokio::test]
async fn an_order_is_counted_given_and_shown() {
    let setup = Setup::new();
    let server = setup.start().await;
    let receiver = Receiver::start().await;
    receiver.script("/", [Reply::status(500)]);
    server.client.webhook(&receiver.url("/"), json!({"retry": {"delays_seconds": []}})).await;
    let dead = server.client.accept_one("a", json!({})).await;
    server.client.delivery_once(dead, "dead").await;

    setup.run(&["redrive"]).await.ended_with(0).says(&["There are no redrives."]);
    let counted = setup.run(&["redrive", "start", "--code", "500", "--channel", "1", "--dry-run"]).await;
    counted.ended_with(0).says(&["It would take 1 dead letters.", "delivery 1 of evt_1 to channel 1: gave up"]);
    let begun = setup.run(&["redrive", "start", "--code", "500", "--pace", "100"]).await;
    begun.ended_with(0).says(&["Redrive 1 from dead is"]);
    server.client.delivery_once(dead, "sent").await;
    setup.run(&["redrive", "show", "1"]).await.ended_with(0).says(&["Redrive 1 from dead", "1 redriven"]);
    setup.run(&["redrive"]).await.ended_with(0).says(&["dead", "REDRIVEN"]);
    let history = setup.run(&["redrive", "start", "--from", "history", "--channel", "1", "--dry-run"]).await;
    history.ended_with(0).says(&["It would take 0 events."]);
    let wrong = setup.run(&["redrive", "start", "--status", "sent"]).await;
    assert!(wrong.stderr.contains("filter.status"), "{wrong:?}");
}
