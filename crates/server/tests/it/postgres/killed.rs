//! Killed in the middle of a load: the server, and the database beneath it.

use http::Method;
use serde_json::json;

use super::{cluster, setup};
use crate::black_box::sigkill::{Load, Plan, check_arrivals, kill_again_and_again, make_channels};
use crate::dialects::outages;
use crate::harness::Receiver;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_accepted_is_lost_however_often_the_server_is_killed() {
    let cluster = cluster();
    kill_again_and_again(setup(&cluster), Plan { events: 4_000, kills: 4 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_accepted_is_lost_however_often_the_database_is_killed() {
    let mut cluster = cluster();
    let plan = Plan { events: 4_000, kills: 5 };
    let receiver = Receiver::start().await;
    let mut load = Load::new(plan);
    let server = setup(&cluster).start().await;
    make_channels(&server.client, &receiver).await;

    for _ in 0..plan.kills {
        let under_way = load.post_some(&server.client).await;
        tokio::task::block_in_place(|| cluster.kill()).unwrap();
        // Nothing is promised while it is away, and whoever asks is told to come back.
        let event = json!({"type": "load.1", "data": {}});
        let answer = server.client.try_send(Method::POST, "/v1/events", &[], event.to_string()).await.unwrap();
        assert_eq!(answer.status, 503);
        assert!(answer.headers.contains_key("retry-after"));
        tokio::task::block_in_place(|| cluster.run()).unwrap();
        load.collect(under_way).await;
    }
    load.post(&server.client, usize::MAX).await;

    assert_eq!(load.accepted.len(), plan.events);
    // The server lived on and kept what was answered: nothing is sent a second time.
    check_arrivals(&receiver, &load.accepted, 0).await;
    assert!(server.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_api_says_in_its_own_form_that_the_database_is_away() {
    let mut cluster = cluster();
    let server = setup(&cluster).start().await;
    tokio::task::block_in_place(|| cluster.kill()).unwrap();
    outages::check_away(&server.client).await;
    tokio::task::block_in_place(|| cluster.run()).unwrap();
    outages::check_back(&server.client).await;
}
