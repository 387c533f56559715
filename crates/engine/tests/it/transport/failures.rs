//! Exchanges that end without an answer: each failure is told apart by whether the request may have been taken.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use engine::transport::{EgressRules, GuardedHttp, Resolve, TlsRoots};
use providers::step::FailureKind::{self, Connect, Dns, Garbled, NoAnswer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;

use super::{LOCALHOST, Names, Server, failure, loopback_allowed, read_request, step, transport, transport_with_names};

/// A name server that never answers.
#[derive(Clone)]
struct Silence;

impl Resolve for Silence {
    async fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        pending().await
    }
}

async fn check_answer(answer: &str, expect: FailureKind) {
    let server = Server::answering(answer).await;
    let failure = failure(&transport(loopback_allowed()), server.step()).await;
    assert_eq!(failure.kind, expect, "{answer:?}: {}", failure.detail);
}

/// Against a server that reads the whole request, answers this much, and then holds the line.
async fn check_stall(partial: &'static str, body: &'static str) {
    let (stalling, mut stalled) = mpsc::unbounded_channel();
    let server = Server::start(move |mut stream| {
        let stalling = stalling.clone();
        async move {
            read_request(&mut stream).await;
            stream.write_all(partial.as_bytes()).await.unwrap();
            stalling.send(()).unwrap();
            pending::<()>().await;
        }
    })
    .await;
    let mut step = server.step();
    step.body = body.into();
    let transport = transport(loopback_allowed());
    let (failure, ()) = tokio::join!(failure(&transport, step), async {
        stalled.recv().await.unwrap();
        // Nothing else is under way now, so a paused clock jumps to the timeout.
        tokio::time::pause();
    });
    tokio::time::resume();
    assert_eq!(failure.kind, NoAnswer, "{partial:?}: {}", failure.detail);
}

#[tokio::test]
async fn a_refused_port_is_no_connection() {
    // Bound but not listening: the port stays ours and refuses.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    let failure = failure(&transport(loopback_allowed()), step(&format!("http://{address}/s3cret"))).await;
    assert_eq!(failure.kind, Connect, "{}", failure.detail);
    assert!(failure.detail.contains("refused"), "{}", failure.detail);
}

#[tokio::test]
async fn names_without_addresses_are_dns_failures() {
    let transport = transport_with_names(EgressRules::default(), Names::default().with("empty.example", &[]));
    for host in ["empty.example", "unknown.example"] {
        let failure = failure(&transport, step(&format!("http://{host}/s3cret"))).await;
        assert_eq!(failure.kind, Dns, "{host}: {}", failure.detail);
        assert!(!failure.detail.contains(host), "{}", failure.detail);
    }
}

#[tokio::test(start_paused = true)]
async fn time_that_runs_out_before_the_request_is_no_connection() {
    let resolving = GuardedHttp::with_resolver(loopback_allowed(), TlsRoots::system(), Silence).unwrap();
    assert_eq!(failure(&resolving, step("http://hook.example/s3cret")).await.kind, Connect);
    // Accepts and never shakes hands.
    let server = Server::start(|stream| async move {
        pending::<()>().await;
        drop(stream);
    })
    .await;
    let mut step = step(&format!("https://{}/s3cret", server.address));
    step.timeout = Duration::from_secs(1);
    let failure = failure(&transport(loopback_allowed()), step).await;
    assert_eq!(failure.kind, Connect, "{}", failure.detail);
}

#[tokio::test]
async fn time_that_runs_out_after_the_request_is_no_answer() {
    for partial in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab"] {
        for body in ["", "s3cret"] {
            check_stall(partial, body).await;
        }
    }
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_request_is_no_answer() {
    for answer in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab"] {
        check_answer(answer, NoAnswer).await;
    }
}

#[tokio::test]
async fn a_reset_in_the_middle_of_the_request_is_no_answer() {
    let server = Server::start(|mut stream| async move {
        stream.read_u8().await.unwrap();
        // What is unread turns the close into a reset.
    })
    .await;
    let mut step = server.step();
    step.body = vec![b's'; 8 * 1024 * 1024].into();
    let failure = failure(&transport(loopback_allowed()), step).await;
    assert_eq!(failure.kind, NoAnswer, "{}", failure.detail);
}

#[tokio::test]
async fn what_is_not_http_is_garbled() {
    let endless_head = format!("HTTP/1.1 200 OK\r\nx-long: {}", "x".repeat(1024 * 1024));
    for answer in [
        "220 mail.example ESMTP\r\n",
        "\u{1}\u{2}\u{3}\u{4} s3cret s3cret\r\n\r\n",
        "HTTP/1.1 999999 s3cret\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: s3cret\r\n\r\n",
        &endless_head,
    ] {
        check_answer(answer, Garbled).await;
    }
}

#[tokio::test]
async fn a_method_that_opens_a_tunnel_is_refused() {
    let server = Server::keeping_alive().await;
    let mut step = server.step();
    step.method = http::Method::CONNECT;
    assert_eq!(failure(&transport(loopback_allowed()), step).await.kind, FailureKind::Forbidden);
    assert_eq!(server.connections(), 0);
}
