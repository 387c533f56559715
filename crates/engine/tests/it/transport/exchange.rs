//! Exchanges that end with an answer: what goes over the wire, how much is read, when a connection is used again.

use std::sync::{Arc, Mutex};

use engine::transport::{EgressRules, GuardedHttp, TlsRoots, Transport as _};
use http::{HeaderValue, Method, StatusCode};
use providers::step::{REPLY_BODY_BYTES_MAX, Step};
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

use super::{Names, OK, Server, loopback_allowed, read_request, reply, step, transport, transport_with_names};

/// A server that tells what it was sent.
async fn echoing() -> Server {
    Server::start(|mut stream| async move {
        while let Some(request) = read_request(&mut stream).await {
            let head = format!("HTTP/1.1 201 Created\r\nx-seen: yes\r\ncontent-length: {}\r\n\r\n", request.len());
            stream.write_all(format!("{head}{request}").as_bytes()).await.unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn the_request_goes_out_as_planned() {
    let server = echoing().await;
    let reply = reply(&transport(loopback_allowed()), server.step()).await;
    assert_eq!((reply.status, &reply.headers["x-seen"]), (StatusCode::CREATED, &HeaderValue::from_static("yes")));
    let request = String::from_utf8(reply.body.to_vec()).unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.lines().collect();
    lines.sort_unstable();
    let host = format!("host: {}", server.address);
    let agent = concat!("user-agent: Postrider/", env!("CARGO_PKG_VERSION"));
    let first = "POST /s3cret?token=s3cret HTTP/1.1";
    assert_eq!(lines, [first, "authorization: s3cret", "content-length: 6", &host, agent]);
    assert_eq!(body, "s3cret");
}

#[tokio::test]
async fn a_step_chooses_its_agent_but_not_its_framing() {
    let server = echoing().await;
    let mut step = server.step();
    for (name, value) in [
        ("user-agent", "Other/1"),
        ("host", "elsewhere.example"),
        ("content-length", "1"),
        ("transfer-encoding", "chunked"),
        ("connection", "upgrade"),
    ] {
        step.headers.insert(name, HeaderValue::from_static(value));
    }
    let reply = reply(&transport(loopback_allowed()), step).await;
    let request = String::from_utf8(reply.body.to_vec()).unwrap();
    assert!(request.contains("user-agent: Other/1\r\n") && !request.contains("Postrider"), "{request}");
    assert!(request.contains("content-length: 6\r\n") && request.ends_with("\r\n\r\ns3cret"), "{request}");
    for unwanted in ["elsewhere", "chunked", "upgrade"] {
        assert!(!request.contains(unwanted), "{request}");
    }
}

#[tokio::test]
async fn a_name_is_sent_as_host_and_its_next_address_is_tried() {
    let server = echoing().await;
    let names = Names::default().with("hook.example", &["127.0.0.2", "127.0.0.1"]);
    let transport = transport_with_names(loopback_allowed(), names);
    let reply = reply(&transport, step(&format!("http://hook.example:{}/a", server.port()))).await;
    let request = String::from_utf8(reply.body.to_vec()).unwrap();
    assert!(request.contains(&format!("host: hook.example:{}\r\n", server.port())), "{request}");
}

#[tokio::test]
async fn the_system_knows_localhost() {
    let server = Server::keeping_alive().await;
    let rules = EgressRules::new(vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()], vec![]);
    let transport = GuardedHttp::new(rules, TlsRoots::system()).unwrap();
    let reply = reply(&transport, step(&format!("http://localhost:{}/", server.port()))).await;
    assert_eq!(reply.body, "ok");
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = Server::keeping_alive().await;
    let transport = transport(loopback_allowed());
    for _ in 0..5 {
        let step = step(&format!("http://{}/", server.address));
        assert_eq!(reply(&transport, step).await.body, "ok");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_pooled_connection_that_the_server_closed_is_no_failure() {
    let (closed, mut closing) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |mut stream| {
        let closed = closed.clone();
        async move {
            // No `connection: close`: the client only learns of it from the socket.
            read_request(&mut stream).await;
            stream.write_all(OK).await.unwrap();
            drop(stream);
            closed.send(()).unwrap();
        }
    })
    .await;
    let other = Server::keeping_alive().await;
    let transport = transport(loopback_allowed());
    for _ in 0..3 {
        assert_eq!(reply(&transport, server.step()).await.body, "ok");
        closing.recv().await.unwrap();
        // A whole exchange elsewhere, in the course of which the runtime has also seen the closing.
        assert_eq!(reply(&transport, other.step()).await.body, "ok");
    }
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn connections_are_used_by_one_exchange_at_a_time() {
    let server = Server::keeping_alive().await;
    let transport = transport(loopback_allowed());
    for _ in 0..3 {
        let (one, other) = tokio::join!(reply(&transport, server.step()), reply(&transport, server.step()));
        assert_eq!((&*one.body, &*other.body), (&b"ok"[..], &b"ok"[..]));
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed() {
    let (done, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::start(move |mut stream| {
        let done = done.clone();
        async move {
            while read_request(&mut stream).await.is_some() {
                stream.write_all(OK).await.unwrap();
            }
            done.send(()).unwrap();
        }
    })
    .await;
    let transport = transport(loopback_allowed());
    assert_eq!(reply(&transport, server.step()).await.body, "ok");
    // Nothing is under way now, so a paused clock jumps to where somebody looks.
    tokio::time::pause();
    ended.recv().await.unwrap();
    tokio::time::resume();
    assert_eq!(reply(&transport, server.step()).await.body, "ok");
    assert_eq!(server.connections(), 2);
}

/// Every delivery is a task that holds this, and is copied a few times on its way to where it runs.
#[tokio::test]
async fn what_an_exchange_needs_is_small() {
    let transport = transport(loopback_allowed());
    let sending = transport.send(Step::Http(step("http://127.0.0.1/")));
    let bytes = std::mem::size_of_val(&sending);
    assert!(bytes <= 4096, "{bytes}");
}

#[tokio::test]
async fn a_long_answer_is_cut_and_its_connection_dropped() {
    const ANSWER_BYTES: usize = 1024 * 1024;
    let (done, dropped) = oneshot::channel();
    let done = Arc::new(Mutex::new(Some(done)));
    let server = Server::start(move |mut stream| {
        let done = done.lock().unwrap().take();
        async move {
            read_request(&mut stream).await;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {ANSWER_BYTES}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            // The rest of the answer follows only when the client has gone, so it cannot be what ends the exchange.
            stream.write_all(&vec![b'x'; REPLY_BODY_BYTES_MAX + 1]).await.unwrap();
            let gone = read_request(&mut stream).await.is_none();
            done.unwrap().send(gone).unwrap();
        }
    })
    .await;
    let reply = reply(&transport(loopback_allowed()), server.step()).await;
    assert_eq!(reply.body, vec![b'x'; REPLY_BODY_BYTES_MAX]);
    assert!(dropped.await.unwrap(), "the connection was used again");
}

#[tokio::test]
async fn answers_of_every_framing_are_read() {
    let long = "y".repeat(REPLY_BODY_BYTES_MAX);
    let checks = [
        ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), 204, ""),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(), 200, ""),
        ("HTTP/1.0 200 OK\r\n\r\nuntil the end".to_owned(), 200, "until the end"),
        ("HTTP/1.1 500 Oops\r\nconnection: close\r\n\r\nno".to_owned(), 500, "no"),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\ncontent-length: 1\r\n\r\n1".to_owned(), 202, "1"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n".to_owned(), 200, "abc"),
        (format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{long}", long.len()), 200, &*long),
    ];
    let transport = transport(loopback_allowed());
    for (answer, status, body) in checks {
        let server = Server::answering(answer.clone()).await;
        let reply = reply(&transport, server.step()).await;
        assert_eq!(
            (reply.status.as_u16(), &*reply.body),
            (status, body.as_bytes()),
            "{}",
            &answer[..40.min(answer.len())]
        );
    }
}

#[tokio::test]
async fn a_request_without_a_body_is_sent_as_such() {
    let server = echoing().await;
    let mut step = server.step();
    (step.method, step.body) = (Method::GET, bytes::Bytes::new());
    let reply = reply(&transport(loopback_allowed()), step).await;
    assert!(!reply.body.windows(14).any(|window| window == b"content-length"), "{:?}", reply.body);
}
