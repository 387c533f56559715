//! The three walls in place: literals, resolved names and redirects, against servers that must not be reached.

use std::io::ErrorKind;

use engine::transport::EgressRules;
use providers::step::FailureKind;

use super::{LOCALHOST, Names, Server, failure, loopback_allowed, reply, step, transport, transport_with_names};

/// A listening socket on loopback that can tell whether anybody connected.
struct Trap(std::net::TcpListener);

impl Trap {
    fn set() -> Self {
        let listener = std::net::TcpListener::bind((LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    fn assert_untouched(&self) {
        // The kernel queues a connection before its client learns of it, so this does not race.
        assert_eq!(self.0.accept().expect_err("somebody connected").kind(), ErrorKind::WouldBlock);
    }
}

#[tokio::test]
async fn literals_are_refused_before_anything_leaves() {
    let trap = Trap::set();
    let transport = transport(EgressRules::default());
    for host in ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.1", "0", "[::ffff:7f00:1]", "localhost"] {
        let failure = failure(&transport, step(&format!("http://{host}:{}/", trap.port()))).await;
        assert_eq!(failure.kind, FailureKind::Forbidden, "{host}: {}", failure.detail);
    }
    trap.assert_untouched();
}

#[tokio::test]
async fn a_name_is_refused_when_any_of_its_addresses_is() {
    let trap = Trap::set();
    let names = Names::default()
        .with("loopback.example", &["127.0.0.1"])
        .with("mixed.example", &["127.0.0.1", "93.184.215.14"])
        .with("mixed-last.example", &["93.184.215.14", "2606:4700::1111", "127.0.0.1"])
        .with("mapped.example", &["::ffff:127.0.0.1"])
        .with("nat64.example", &["64:ff9b::7f00:1"])
        .with("metadata.example", &["169.254.169.254"])
        .with("public.local", &["93.184.215.14"]);
    let transport = transport_with_names(EgressRules::default(), names.clone());
    for name in names.0.keys() {
        let failure = failure(&transport, step(&format!("http://{name}:{}/", trap.port()))).await;
        assert_eq!(failure.kind, FailureKind::Forbidden, "{name}: {}", failure.detail);
        assert!(!failure.detail.contains(name), "{}", failure.detail);
    }
    trap.assert_untouched();
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let trap = Trap::set();
    let location = format!("http://127.0.0.1:{}/admin", trap.port());
    let server =
        Server::answering(format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")).await;
    let reply = reply(&transport(loopback_allowed()), server.step()).await;
    assert_eq!((reply.status.as_u16(), reply.headers["location"].to_str().unwrap()), (302, &*location));
    trap.assert_untouched();
}

#[tokio::test]
async fn the_allowed_socket_opens_its_port_alone() {
    let (receiver, trap) = (Server::keeping_alive().await, Trap::set());
    let names = Names::default().with("localhost", &["127.0.0.1"]);
    let transport = transport_with_names(EgressRules::new(vec![], vec![receiver.address]), names);
    for host in ["127.0.0.1", "localhost"] {
        let open = step(&format!("http://{host}:{}/", receiver.port()));
        assert_eq!(reply(&transport, open).await.body, "ok", "{host}");
        let shut = step(&format!("http://{host}:{}/", trap.port()));
        assert_eq!(failure(&transport, shut).await.kind, FailureKind::Forbidden, "{host}");
    }
    trap.assert_untouched();
}

#[tokio::test]
async fn a_local_name_reaches_an_allowed_network() {
    let server = Server::keeping_alive().await;
    let names =
        Names::default().with("hook.internal", &["127.0.0.1"]).with("half.internal", &["127.0.0.1", "10.0.0.1"]);
    let transport = transport_with_names(loopback_allowed(), names);
    let open = step(&format!("http://hook.internal:{}/", server.port()));
    assert_eq!(reply(&transport, open).await.body, "ok");
    let shut = step(&format!("http://half.internal:{}/", server.port()));
    assert_eq!(failure(&transport, shut).await.kind, FailureKind::Forbidden);
}

#[tokio::test]
async fn what_is_no_http_url_is_refused() {
    let transport = transport(loopback_allowed());
    for url in ["", "example.com/hook", "gopher://127.0.0.1/", "http://", "http://a:b@127.0.0.1/", "http://[::1"] {
        assert_eq!(failure(&transport, step(url)).await.kind, FailureKind::Forbidden, "{url}");
    }
}
