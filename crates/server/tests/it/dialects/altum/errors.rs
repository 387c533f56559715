//! Every refusal, in the one form that this API has for them.

use http::Method;
use serde_json::{Value, json};

use super::{HANDLERS, Site, errors, path, post_form, setup};
use crate::harness::Setup;

#[tokio::test]
async fn a_caller_must_be_known() {
    let site = Site::start().await;
    let id = site.create_named("N").await;
    let asks = [
        (Method::GET, HANDLERS.to_owned()),
        (Method::POST, HANDLERS.to_owned()),
        (Method::GET, path(id)),
        (Method::POST, path(id)),
        (Method::DELETE, path(id)),
        (Method::GET, "/api/notification-handler".to_owned()),
        (Method::PUT, path(id)),
        (Method::GET, format!("{HANDLERS}/x/y")),
    ];
    for (method, path) in asks {
        for key in ["", "nobody-has-this-key-0123456789"] {
            let answer = site.server.client_with(key).send(method.clone(), &path, &[], "").await;
            errors(&answer, 401);
            assert_eq!((answer.header("www-authenticate"), answer.header("x-ratelimit-limit")), (Some("Bearer"), None));
        }
        let basic = [("authorization", "Basic YTpi")];
        errors(&site.server.client_with("").send(method, &path, &basic, "").await, 401);
    }
}

#[tokio::test]
async fn a_caller_may_do_what_its_key_says() {
    let site = Site::start().await;
    let id = site.create_named("N").await;
    let (reader, other) = (site.client_for(&["channels:read"]).await, site.client_for(&["events:write"]).await);
    errors(&reader.delete(&path(id)).await, 403);
    errors(&reader.post(HANDLERS, &json!({})).await, 403);
    errors(&reader.post(&path(id), &json!({})).await, 403);
    reader.get(&path(id)).await.read::<Value>(200);
    errors(&other.get(HANDLERS).await, 403);
    errors(&other.get(&path(id)).await, 403);
    site.server.client.post("/v1/tenants/site/suspend", &json!({})).await.read::<Value>(200);
    errors(&site.client.get(HANDLERS).await, 403);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let site = Site::start().await;
    let id = site.create_named("N").await;
    let of_others = site.server.client.webhook("https://example.com/", json!({})).await.id;
    for missing in ["99", "0", "-1", "x", "1.0", "99999999999999999999", "%00", "1%2F2", &of_others.to_string()] {
        let path = format!("{HANDLERS}/{missing}");
        errors(&site.client.get(&path).await, 404);
        errors(&post_form(&site.client, &path, &[("name", "M")]).await, 404);
        errors(&site.client.delete(&path).await, 404);
    }
    assert_eq!(site.server.client.channel(of_others).await.name, "Test", "nobody else changed it");
    // The original knows no 405.
    for path in [path(id), HANDLERS.to_owned(), format!("{HANDLERS}/"), "/api/notification-handler".to_owned()] {
        for method in [Method::PUT, Method::PATCH, Method::OPTIONS] {
            errors(&site.client.send(method, &path, &[], "{}").await, 404);
        }
        let answer = site.client.send(Method::HEAD, &path, &[], "").await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (404, 0));
    }
    errors(&site.client.delete(HANDLERS).await, 404);
    errors(&site.client.delete("/api/notification-handler/1").await, 404);
    for below in ["/1/test", "/1/2/3", "//", "/1//", "/a/b?c=d"] {
        errors(&site.client.get(&format!("{HANDLERS}{below}")).await, 404);
        errors(&site.client.post(&format!("{HANDLERS}{below}"), &json!({})).await, 404);
        errors(&site.client.get(&format!("/api/notification-handler{below}")).await, 404);
    }
}

/// What another API's settings steer is a handler of nobody.
#[tokio::test]
async fn a_managed_channel_is_not_found() {
    let setup = setup();
    let site = Site::with(&setup).await;
    let (id, other) = (site.create_named("managed").await, site.create_named("other").await);
    let Site { server, key, .. } = site;
    assert!(server.stop().await.success());
    let database = rusqlite::Connection::open(setup.data_dir().join("postrider.db")).expect("a database");
    database.execute("UPDATE channels SET is_managed = 1 WHERE id = ?1", [id]).expect("an update");
    drop(database);
    let server = setup.start().await;
    let site = Site { client: server.client_with(&key), key, server };
    assert_eq!(site.list("").await.data, [site.handler(other).await]);
    errors(&site.client.get(&path(id)).await, 404);
    errors(&post_form(&site.client, &path(id), &[("name", "M")]).await, 404);
    errors(&site.client.delete(&path(id)).await, 404);
    assert_eq!(site.client.channel(id).await.name, "managed");
}

/// What is wrong with a form, and the field that says so.
const WRONG: [(&[(&str, &str)], &str); 14] = [
    (&[], "name"),
    (&[("type", "internal_notification")], "name"),
    (&[("name", " "), ("type", "internal_notification")], "name"),
    (&[("name", "N")], "type"),
    (&[("name", "N"), ("type", "")], "type"),
    (&[("name", "N"), ("type", "pigeon")], "type"),
    (&[("name", "N"), ("type", "email")], "email"),
    (&[("name", "N"), ("type", "email"), ("email", "")], "email"),
    (&[("name", "N"), ("type", "email"), ("email", "nobody")], "email"),
    (&[("name", "N"), ("type", "webhook"), ("webhook", "example.com")], "webhook"),
    (&[("name", "N"), ("type", "slack"), ("slack", "https://example.com/")], "slack"),
    (&[("name", "N"), ("type", "telegram"), ("telegram", "x"), ("telegram_chat_id", "1")], "telegram"),
    (&[("name", "N"), ("type", "x"), ("x_consumer_key", "k")], "x_consumer_secret"),
    (&[("name", "N"), ("type", "internal_notification"), ("is_enabled", "?")], "is_enabled"),
];

async fn check_wrong(setup: &Setup, status: u16) {
    let site = Site::with(setup).await;
    for (form, field) in WRONG {
        let told = errors(&post_form(&site.client, HANDLERS, form).await, status);
        assert!(told[0].starts_with(&format!("{field}: ")), "{form:?}: {told:?}");
    }
    let long = "x".repeat(600);
    for form in [
        [("name", &*long), ("type", "internal_notification"), ("x", "")],
        [("name", "N"), ("type", "webhook"), ("webhook", &format!("https://example.com/{long}"))],
        [("name", "N"), ("type", "email"), ("email", &format!("{long}@example.com"))],
    ] {
        errors(&post_form(&site.client, HANDLERS, &form).await, status);
    }
    let id = site.create(&[("name", "N"), ("type", "email"), ("email", "a@example.com")]).await;
    for form in
        [("name", ""), ("type", "pigeon"), ("type", "slack"), ("email", ""), ("email", "x"), ("is_enabled", "?")]
    {
        errors(&post_form(&site.client, &path(id), &[form]).await, status);
    }
    // A body that cannot be read at all is another matter.
    let headers = [("content-type", "multipart/form-data")];
    errors(&site.client.send(Method::POST, HANDLERS, &headers, "x").await, 400);
}

#[tokio::test]
async fn wrong_fields_are_named() {
    check_wrong(&setup(), 400).await;
}

#[tokio::test]
async fn wrong_fields_are_answered_as_the_operator_says() {
    check_wrong(&setup().set("POSTRIDER_ALTUM__VALIDATION_STATUS", "401"), 401).await;
}

#[tokio::test]
async fn a_platform_key_names_its_tenant() {
    let site = Site::start().await;
    let platform = || site.server.client_with(crate::harness::ADMIN_KEY);
    errors(&platform().get(HANDLERS).await, 400);
    errors(&platform().for_tenant("nobody").get(HANDLERS).await, 404);
    platform().for_tenant("site").get(HANDLERS).await.read::<Value>(200);
    errors(&site.client.clone().for_tenant("default").get(HANDLERS).await, 403);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    use std::io::{Read as _, Write as _};
    let site = Site::with(&setup().set("POSTRIDER_LIMITS__BODY_TIMEOUT_SECONDS", "1")).await;
    let mut stream = std::net::TcpStream::connect(site.server.address).expect("a connection");
    let head = format!(
        "POST {HANDLERS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 100\r\nconnection: close\r\n\r\nname=",
        site.key
    );
    stream.write_all(head.as_bytes()).expect("a request");
    let mut answer = String::new();
    // The connection may be cut after the answer, because the body is still to come.
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(
        answer.contains("{\"errors\":[{\"title\":\"the body did not arrive within 1 seconds\",\"status\":408}]}"),
        "{answer}"
    );
}
