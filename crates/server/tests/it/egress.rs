//! The way out, seen from outside: every way to write an address that is not for tenants, as a literal and by redirect.
//! Names whose answers change cannot be made here; the engine's own tests do that.

use std::net::Ipv4Addr;

use serde_json::json;

use crate::harness::{Receiver, Reply, Setup};

/// Lets nothing of this machine through but one address.
fn guarded() -> Setup {
    Setup::new().set("POSTRIDER_EGRESS__ALLOW", "127.0.0.2/32")
}

/// Each form of an address, with what the refusal must say of it. `{}` is the port of a receiver that listens.
const FORBIDDEN: [(&str, &str); 55] = [
    ("http://127.0.0.1:{}/", "loopback"),
    ("http://127.1:{}/", "loopback"),
    ("http://2130706433:{}/", "loopback"),
    ("http://0x7f.1:{}/", "loopback"),
    ("http://0x7f000001:{}/", "loopback"),
    ("http://0177.0.0.1:{}/", "loopback"),
    ("http://%31%32%37.0.0.1:{}/", "loopback"),
    ("http://127。0。0。1:{}/", "loopback"),
    ("http://１２７.0.0.1:{}/", "loopback"),
    ("http://0:{}/", "this host"),
    ("http://0.0.0.0:{}/", "this host"),
    ("http://[::1]:{}/", "loopback"),
    ("http://[::]:{}/", "unspecified"),
    ("http://[::ffff:127.0.0.1]:{}/", "loopback"),
    ("http://[::ffff:7f00:1]:{}/", "loopback"),
    ("http://[::127.0.0.1]:{}/", "IPv4-compatible"),
    ("http://[64:ff9b::7f00:1]:{}/", "loopback"),
    ("http://[64:ff9b::a9fe:a9fe]/", "link-local"),
    ("http://[64:ff9b:1::7f00:1]:{}/", "NAT64"),
    ("http://[2002:7f00:1::]:{}/", "loopback"),
    ("http://[2002:a00:1::]/", "private"),
    ("http://[2001::1]/", "Teredo"),
    ("http://[2001:db8::1]/", "documentation"),
    ("http://[3fff::1]/", "documentation"),
    ("http://[100::1]/", "discarded"),
    ("http://[5f00::1]/", "segment routing"),
    ("http://[fc00::1]/", "private"),
    ("http://[fd00:ec2::254]/", "private"),
    ("http://[fd20:ce::254]/", "private"),
    ("http://[fe80::1]/", "link-local"),
    ("http://[fec0::1]/", "site-local"),
    ("http://[ff02::1]/", "multicast"),
    ("http://10.0.0.1/", "private"),
    ("http://100.64.0.1/", "carrier"),
    ("http://100.100.100.200/", "carrier"),
    ("http://169.254.169.254/latest/meta-data/", "link-local"),
    ("http://169.254.170.2/", "link-local"),
    ("http://172.16.0.1/", "private"),
    ("http://172.31.255.255/", "private"),
    ("http://192.0.0.1/", "protocols"),
    ("http://192.0.2.1/", "documentation"),
    ("http://192.88.99.1/", "6to4"),
    ("http://192.168.0.1/", "private"),
    ("http://198.18.0.1/", "benchmarks"),
    ("http://198.19.255.255/", "benchmarks"),
    ("http://198.51.100.1/", "documentation"),
    ("http://203.0.113.1/", "documentation"),
    ("http://224.0.0.1/", "multicast"),
    ("http://240.0.0.1/", "reserved"),
    ("http://255.255.255.255/", "broadcast"),
    ("https://127.0.0.1:{}/", "loopback"),
    ("http://127.0.0.1.:{}/", "loopback"),
    ("http://127.0.0.3:{}/", "loopback"),
    ("http://127.255.255.255:{}/", "loopback"),
    ("http://[::ffff:169.254.169.254]/", "link-local"),
];

#[tokio::test]
async fn no_form_of_a_forbidden_address_is_ever_called() {
    let server = guarded().start().await;
    let receiver = Receiver::start().await;
    for (form, what) in FORBIDDEN {
        let url = form.replace("{}", &receiver.port().to_string());
        let id = server.client.webhook(&url, json!({"event_types": []})).await.id;
        let accepted = server.client.accept(&json!({"type": "a", "data": {}, "channels": [id]})).await;
        let held = server.client.delivery_once(accepted.deliveries[0].id, "held").await;
        let reason = held.reason.unwrap();
        assert!(reason.starts_with("the channel is paused: target not allowed: "), "{url}: {reason}");
        assert!(reason.contains(what) && reason.contains("POSTRIDER_EGRESS__ALLOW"), "{url}: {reason}");
        let paused = server.client.channel(id).await.paused.unwrap();
        assert!(reason.ends_with(&paused.reason), "{url}: {paused:?}");
        let attempts = server.client.attempts(held.id).await;
        let seen: Vec<_> = attempts.iter().map(|one| (one.status.as_str(), one.code)).collect();
        assert_eq!(seen, [("rejected", None)], "{url}");
    }
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn local_names_are_not_even_resolved() {
    let server = Setup::new().set("POSTRIDER_EGRESS__ALLOW", "").start().await;
    let names = ["localhost", "LocalHost", "localhost.", "a.localhost", "printer.local", "x.internal.", "internal"];
    for name in names.into_iter().chain(["metadata.google.internal", "metadata.google.internal."]) {
        let url = format!("http://{name}/");
        let id = server.client.webhook(&url, json!({"event_types": []})).await.id;
        let accepted = server.client.accept(&json!({"type": "a", "data": {}, "channels": [id]})).await;
        let held = server.client.delivery_once(accepted.deliveries[0].id, "held").await;
        assert!(held.reason.unwrap().contains("are local"), "{name}");
    }
}

#[tokio::test]
async fn a_redirect_to_a_forbidden_address_is_not_followed() {
    let server = guarded().start().await;
    let allowed = Receiver::start_at(Ipv4Addr::new(127, 0, 0, 2)).await;
    let forbidden = Receiver::start().await;
    for status in [301, 302, 303, 307, 308] {
        let path = format!("/{status}");
        allowed.always(&path, Reply::status(status).header("location", forbidden.url("/inside?token=x")));
        let settings = json!({"event_types": [], "retry": {"delays_seconds": [0.01]}});
        let id = server.client.webhook(&allowed.url(&path), settings).await.id;
        let accepted = server.client.accept(&json!({"type": "a", "data": {}, "channels": [id]})).await;
        let dead = server.client.delivery_once(accepted.deliveries[0].id, "dead").await;
        let reason = dead.reason.unwrap();
        assert!(reason.contains(&format!("redirect to {} refused", forbidden.url("/inside"))), "{reason}");
        assert_eq!(allowed.count(&path), 2);
    }
    assert_eq!(forbidden.connections(), 0);
}

#[tokio::test]
async fn what_the_operator_allows_is_reached() {
    let server = guarded().start().await;
    let allowed = Receiver::start_at(Ipv4Addr::new(127, 0, 0, 2)).await;
    server.client.webhook(&allowed.url("/"), json!({})).await;
    server.client.accept_one("a", json!({})).await;
    allowed.wait_for_one("/").await;
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_not_used() {
    let proxy = Receiver::start().await;
    let setup = ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"]
        .into_iter()
        .fold(Setup::new(), |setup, name| setup.set(name, &proxy.url("")));
    let server = setup.start().await;
    let receiver = Receiver::start().await;
    server.client.webhook(&receiver.url("/"), json!({})).await;
    server.client.accept_one("a", json!({})).await;
    receiver.wait_for_one("/").await;
    assert_eq!(proxy.connections(), 0);
}
