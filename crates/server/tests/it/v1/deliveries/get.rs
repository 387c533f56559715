//! `GET /v1/deliveries` and `GET /v1/deliveries/{id}`: where every delivery stands.

use serde_json::{Value, json};

use crate::harness::{Client, Delivery, Gate, Page, Receiver, Reply, Setup, Stats, eventually, start};

/// One delivery in each state, in the order of `State::ALL`; the gate holds `processing` and `pending` where they are.
struct Everything {
    gate: Gate,
    deliveries: Vec<(&'static str, i64)>,
}

impl Everything {
    async fn arrange(client: &Client, receiver: &Receiver) -> Self {
        let gate = Gate::closed();
        receiver.always("/held-back", Reply::status(200).behind(&gate));
        receiver.always("/broken", Reply::status(500));
        receiver.always("/gone", Reply::status(410));
        let channel = async |path: &str, more: Value| {
            let mut fields = json!({"event_types": []});
            fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            client.webhook(&receiver.url(path), fields).await.id
        };
        let accept = async |channel: i64| {
            client.accept(&json!({"type": "a", "data": {}, "channels": [channel]})).await.deliveries[0].id
        };
        let slow = channel("/held-back", json!({"concurrency": 1})).await;
        let (processing, pending) = (accept(slow).await, accept(slow).await);
        receiver.wait_for("/held-back", 1).await;
        let retrying = accept(channel("/broken", json!({"retry": {"delays_seconds": [3600]}})).await).await;
        let held = accept(channel("/gone", json!({})).await).await;
        let sent = accept(channel("/fine", json!({})).await).await;
        let dead = accept(channel("/broken", json!({"retry": {"delays_seconds": []}})).await).await;
        let switched_off = channel("/broken", json!({"retry": {"delays_seconds": [3600]}})).await;
        let cancelled = accept(switched_off).await;
        client.delivery_once(cancelled, "retrying").await;
        client.patch_channel(switched_off, &json!({"is_active": false})).await;
        let deliveries = vec![
            ("pending", pending),
            ("processing", processing),
            ("retrying", retrying),
            ("held", held),
            ("sent", sent),
            ("dead", dead),
            ("cancelled", cancelled),
        ];
        for (status, delivery) in &deliveries {
            client.delivery_once(*delivery, status).await;
        }
        Self { gate, deliveries }
    }
}

#[tokio::test]
async fn every_status_is_a_filter() {
    let (server, receiver) = start().await;
    let Everything { gate, deliveries } = Everything::arrange(&server.client, &receiver).await;

    for (status, delivery) in &deliveries {
        let listed = server.client.deliveries(&format!("status={status}")).await;
        assert_eq!(listed.iter().map(|one| one.id).collect::<Vec<_>>(), [*delivery], "{status}");
        assert_eq!(listed[0], server.client.delivery(*delivery).await);
        assert_eq!(listed[0].status, *status);
        let elsewhere = server.client.deliveries(&format!("status={status}&channel_id=999")).await;
        assert!(elsewhere.is_empty(), "{status}");
        let here = server.client.deliveries(&format!("status={status}&channel_id={}", listed[0].channel_id)).await;
        assert_eq!(here.len(), 1, "{status}");
    }
    assert!(server.client.deliveries("status=expired").await.is_empty());
    let of = |status: &str| deliveries.iter().find(|(name, _)| *name == status).unwrap().1;
    let held = server.client.delivery(of("held")).await;
    assert_eq!(held.reason.as_deref(), Some("the channel is paused: HTTP 410 Gone"));
    assert!(server.client.delivery(of("retrying")).await.next_attempt_at.is_some());
    assert!(server.client.delivery(of("dead")).await.settled_at.is_some());
    gate.open();
}

#[tokio::test]
async fn the_sums_are_those_of_the_lists() {
    let (server, receiver) = start().await;
    let Everything { gate, .. } = Everything::arrange(&server.client, &receiver).await;
    // Seven, and what tells of the channel that is gone and of the dead delivery.
    let stats = eventually("nine events", async || {
        Some(server.client.get("/v1/stats").await.read::<Stats>(200)).filter(|stats| stats.events == 9)
    })
    .await;
    assert_eq!((stats.sent, stats.dead, stats.cancelled, stats.expired), (1, 1, 1, 0));
    // What is under way has not been settled, so it still counts as what it was.
    assert_eq!((stats.pending, stats.retrying, stats.held), (2, 1, 1));
    assert_eq!(stats.failed_attempts, 4, "retrying, held, dead and the cancelled one");
    gate.open();
}

#[tokio::test]
async fn deliveries_are_listed_newest_first_by_cursor() {
    let (server, receiver) = start().await;
    let Everything { gate, deliveries } = Everything::arrange(&server.client, &receiver).await;
    let mut expected: Vec<i64> = deliveries.into_iter().map(|(_, delivery)| delivery).collect();
    expected.sort_unstable_by(|left, right| right.cmp(left));
    let mut listed = Vec::new();
    let mut cursor = String::new();
    loop {
        let page: Page<Delivery> = server.client.get(&format!("/v1/deliveries?limit=2{cursor}")).await.read(200);
        assert!(page.data.len() <= 2);
        listed.extend(page.data.iter().map(|delivery| delivery.id));
        let Some(next) = page.next_cursor else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(listed, expected);
    gate.open();
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let server = Setup::new().start().await;
    for id in ["999", "0", "x"] {
        server.client.get(&format!("/v1/deliveries/{id}")).await.problem(404);
        server.client.post(&format!("/v1/deliveries/{id}/retry"), &json!({})).await.problem(404);
    }
}

#[tokio::test]
async fn deliveries_are_filtered() {
    let (server, receiver) = start().await;
    receiver.always("/broken", Reply::status(500));
    let fields = json!({"event_types": ["invoice.*"], "retry": {"delays_seconds": []}});
    let broken = server.client.webhook(&receiver.url("/broken"), fields).await.id;
    let fine = server.client.webhook(&receiver.url("/"), json!({"event_types": ["*"]})).await.id;
    let mut events = Vec::new();
    for event_type in ["invoice.paid", "invoice.lost", "invoices"] {
        let accepted = server.client.accept(&json!({"type": event_type, "data": {}})).await;
        for made in &accepted.deliveries {
            let status = if made.channel_id == fine { "sent" } else { "dead" };
            server.client.delivery_once(made.id, status).await;
        }
        events.push(accepted.id);
    }
    let check = async |query: &str, expected: &[(usize, i64)]| {
        let listed = server.client.deliveries(query).await;
        let found: Vec<_> = listed.iter().map(|one| (one.event_id.as_str(), one.channel_id)).collect();
        let expected: Vec<_> = expected.iter().map(|(event, channel)| (events[*event].as_str(), *channel)).collect();
        assert_eq!(found, expected, "{query}");
    };
    check("", &[(2, fine), (1, fine), (1, broken), (0, fine), (0, broken)]).await;
    check("event_type=invoice.paid", &[(0, fine), (0, broken)]).await;
    check("event_type=invoice.*&status=dead", &[(1, broken), (0, broken)]).await;
    check(&format!("event_id={}", events[1]), &[(1, fine), (1, broken)]).await;
    check(&format!("event_id={}&channel_id={fine}", events[1]), &[(1, fine)]).await;
    check("event_id=evt_999", &[]).await;
    check("q=internal%20SERVER", &[(1, broken), (0, broken)]).await;
    check("q=%25", &[]).await;
    check("since=2020-01-01T00:00:00Z&until=2999-01-01T00:00:00Z&event_type=invoices", &[(2, fine)]).await;
    check("until=2020-01-01T00:00:00Z", &[]).await;
}
