//! The database is there and takes nothing: no connection is free, or it has become a standby. Who asks is told to come
//! back, and nothing is accepted that is not kept.

use http::{Method, StatusCode};
use serde_json::json;
use store::postgres::cluster::Cluster;

use super::{DATABASE, cluster, setup};
use crate::harness::{Client, Receiver, eventually};

/// Posts an event; whether it was accepted. Anything but that and a refusal for now is wrong.
async fn is_accepted(client: &Client) -> bool {
    let event = json!({"type": "invoice.paid", "data": {}}).to_string();
    let answer = client.try_send(Method::POST, "/v1/events", &[], event).await.unwrap();
    assert!(matches!(answer.status.as_u16(), 202 | 503), "{}", answer.status);
    assert_eq!(answer.status == StatusCode::SERVICE_UNAVAILABLE, answer.headers.contains_key("retry-after"));
    answer.status == StatusCode::ACCEPTED
}

fn events_in(cluster: &Cluster) -> usize {
    cluster.ask(DATABASE, "SELECT count(*) FROM events").unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_connection_and_on_a_standby_nothing_is_accepted_that_is_not_kept() {
    let mut cluster = cluster();
    cluster.ask("postgres", "CREATE ROLE mail LOGIN; ALTER DATABASE postrider OWNER TO mail").unwrap();
    let url = cluster.url(DATABASE).replacen("postgres@", "mail@", 1);
    let receiver = Receiver::start().await;
    let server = setup(&cluster).set("POSTRIDER_DATABASE_URL", &url).start().await;
    server.client.webhook(&receiver.url("/"), json!({})).await;
    let mut accepted = usize::from(is_accepted(&server.client).await);
    assert_eq!(accepted, 1);

    // Its role may have no connections any more, and those that it had are lost.
    cluster.ask("postgres", "ALTER ROLE mail CONNECTION LIMIT 0").unwrap();
    let end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'mail'";
    cluster.ask("postgres", end).unwrap();
    for _ in 0..5 {
        assert!(!is_accepted(&server.client).await);
    }
    cluster.ask("postgres", "ALTER ROLE mail CONNECTION LIMIT -1").unwrap();
    let back = async || is_accepted(&server.client).await.then_some(());
    eventually("a connection", back).await;
    accepted += 1;

    let signal = cluster.data().join("standby.signal");
    tokio::task::block_in_place(|| {
        cluster.stop().unwrap();
        std::fs::write(&signal, "").unwrap();
        cluster.run().unwrap();
    });
    for _ in 0..5 {
        assert!(!is_accepted(&server.client).await);
    }
    tokio::task::block_in_place(|| {
        cluster.stop().unwrap();
        std::fs::remove_file(&signal).unwrap();
        cluster.run().unwrap();
    });
    eventually("a primary", async || is_accepted(&server.client).await.then_some(())).await;
    accepted += 1;

    receiver.wait_for("/", accepted).await;
    assert_eq!((events_in(&cluster), receiver.total()), (accepted, accepted));
    assert!(server.stop().await.success());
}
