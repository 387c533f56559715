//! Who may do what, on every route: keys, scopes and tenants.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{Accepted, Delivery, IssuedKey, Page, Setup, Stats, eventually, now_seconds, start};

/// Every route of a tenant with the scope that it asks for. What stands in braces is the id of such a thing.
const ROUTES: [(&str, &str, &str); 37] = [
    ("POST", "/v1/events", "events:write"),
    ("GET", "/v1/events", "events:read"),
    ("GET", "/v1/events/{event}", "events:read"),
    ("GET", "/v1/events/{event}/explain?channel_id={channel}", "events:read"),
    ("GET", "/v1/channels", "channels:read"),
    ("POST", "/v1/channels", "channels:write"),
    ("GET", "/v1/channels/{channel}", "channels:read"),
    ("PATCH", "/v1/channels/{channel}", "channels:write"),
    ("POST", "/v1/channels/{channel}/test", "channels:write"),
    ("POST", "/v1/channels/preview", "channels:read"),
    ("GET", "/v1/subscriptions", "channels:read"),
    ("POST", "/v1/subscriptions", "channels:write"),
    ("GET", "/v1/subscriptions/{subscription}", "channels:read"),
    ("GET", "/v1/event-types", "channels:read"),
    ("POST", "/v1/event-types", "channels:write"),
    ("GET", "/v1/event-types/{type}", "channels:read"),
    ("PUT", "/v1/event-types/{type}", "channels:write"),
    ("GET", "/v1/deliveries", "deliveries:read"),
    ("GET", "/v1/deliveries/{delivery}", "deliveries:read"),
    ("POST", "/v1/deliveries/{delivery}/retry", "deliveries:write"),
    ("GET", "/v1/redrives", "deliveries:read"),
    ("POST", "/v1/redrives", "deliveries:write"),
    ("GET", "/v1/redrives/{redrive}", "deliveries:read"),
    ("POST", "/v1/redrives/{redrive}/pause", "deliveries:write"),
    ("POST", "/v1/redrives/{redrive}/resume", "deliveries:write"),
    ("POST", "/v1/redrives/{redrive}/cancel", "deliveries:write"),
    ("GET", "/v1/attempts", "deliveries:read"),
    ("GET", "/v1/stats", "deliveries:read"),
    ("GET", "/v1/quotas", "deliveries:read"),
    ("GET", "/v1/inbox", "inbox"),
    ("GET", "/v1/inbox/unread", "inbox"),
    ("POST", "/v1/inbox/read-all", "inbox"),
    ("POST", "/v1/inbox/{entry}/read", "inbox"),
    ("DELETE", "/v1/inbox/{entry}/read", "inbox"),
    // Last, because they do what they say.
    ("DELETE", "/v1/event-types/{type}", "channels:write"),
    ("DELETE", "/v1/subscriptions/{subscription}", "channels:write"),
    ("DELETE", "/v1/channels/{channel}", "channels:write"),
];

const PLATFORM_ROUTES: [(&str, &str); 11] = [
    ("GET", "/v1/tenants"),
    ("POST", "/v1/tenants"),
    ("PUT", "/v1/tenants/default"),
    ("GET", "/v1/tenants/default"),
    ("GET", "/v1/tenants/default/quotas"),
    ("GET", "/v1/tenants/default/keys"),
    ("POST", "/v1/tenants/default/keys"),
    ("DELETE", "/v1/tenants/default/keys/999"),
    ("POST", "/v1/tenants/default/suspend"),
    ("POST", "/v1/tenants/default/resume"),
    ("DELETE", "/v1/tenants/default"),
];

const SCOPES: [&str; 7] =
    ["events:write", "events:read", "channels:read", "channels:write", "deliveries:read", "deliveries:write", "inbox"];

fn method(name: &str) -> Method {
    name.parse().expect("a method")
}

pub(crate) fn every_route() -> impl Iterator<Item = (&'static str, &'static str)> {
    ROUTES.iter().map(|(method, path, _)| (*method, *path)).chain(PLATFORM_ROUTES)
}

/// What every test here goes through is everything that there is: the document is made of the routes themselves.
#[tokio::test]
async fn no_route_is_forgotten() {
    let server = Setup::new().start().await;
    let document: Value = server.client_with("").get("/openapi.json").await.read(200);
    let mut routes = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        // Whoever comes over loopback needs no key for the figures, and nobody does for the rest.
        if !path.starts_with("/v1/") {
            continue;
        }
        for method in operations.as_object().unwrap().keys().filter(|method| *method != "parameters") {
            routes += 1;
            let is_it = |name: &str, listed: &str| {
                let parts = listed.split('?').next().unwrap_or_default().split('/');
                let fits = |(listed, part): (&str, &str)| listed == part || part.starts_with('{');
                name.eq_ignore_ascii_case(method)
                    && parts.clone().count() == path.split('/').count()
                    && parts.zip(path.split('/')).all(fits)
            };
            let is_listed = every_route().any(|(name, listed)| is_it(name, listed));
            assert!(is_listed, "{method} {path} is in neither list above: say which scope it asks for");
        }
    }
    assert_eq!(routes, every_route().count(), "a route is listed that there is not");
}

#[tokio::test]
async fn without_a_good_key_nothing_is_told() {
    let server = Setup::new().start().await;
    let check = async |client: &crate::harness::Client, headers: &[(&str, &str)]| {
        for (name, path) in every_route() {
            let answer = client.send(method(name), path, headers, "{}").await;
            let problem = answer.problem(401);
            assert_eq!(problem.r#type, "urn:postrider:unauthorized", "{name} {path}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{name} {path}");
        }
    };
    check(&server.client_with(""), &[]).await;
    check(&server.client_with("wrong"), &[]).await;
    check(&server.client_with(""), &[("authorization", "Basic YWRtaW46YWRtaW4=")]).await;
    check(&server.client_with(""), &[("authorization", "Bearer")]).await;
    check(&server.client_with(""), &[("authorization", "Bearer ")]).await;
}

#[tokio::test]
async fn keys_end() {
    let server = Setup::new().start().await;
    let expires_at = jiff::Timestamp::from_second(now_seconds() + 2).unwrap().to_string();
    let request = json!({"name": "Short", "scopes": ["events:read"], "expires_at": expires_at});
    let key: IssuedKey = server.client.post("/v1/tenants/default/keys", &request).await.read(201);
    assert_eq!(crate::harness::ms(&key.expires_at.unwrap()), crate::harness::ms(&expires_at));
    let client = server.client_with(&key.key.unwrap());
    client.get("/v1/events/evt_1").await.problem(404);
    eventually("the key has expired", async || (client.get("/v1/events/evt_1").await.status == 401).then_some(()))
        .await;

    let key = server.client.create_key("default", &["events:read"]).await;
    let client = server.client_with(&key.key.unwrap());
    client.get("/v1/events/evt_1").await.problem(404);
    assert_eq!(server.client.delete(&format!("/v1/tenants/default/keys/{}", key.id)).await.status, 204);
    client.get("/v1/events/evt_1").await.problem(401);
}

#[tokio::test]
async fn every_route_asks_for_its_scope() {
    let server = Setup::new().start().await;
    let fill = |path: &str| {
        let path = path.replace("{event}", "evt_999").replace("{channel}", "999").replace("{delivery}", "999");
        path.replace("{subscription}", "999")
            .replace("{type}", "nothing")
            .replace("{entry}", "999")
            .replace("{redrive}", "999")
    };
    for scope in SCOPES {
        let others: Vec<&str> = SCOPES.into_iter().filter(|other| *other != scope).collect();
        let without = server.client_with(&server.client.create_key("default", &others).await.key.unwrap());
        let only = server.client_with(&server.client.create_key("default", &[scope]).await.key.unwrap());
        for (name, path, needed) in ROUTES {
            let (name, path) = (method(name), fill(path));
            let (with_it, without_it) = if scope == needed { (&only, &without) } else { (&without, &only) };
            let refused = without_it.send(name.clone(), &path, &[], "{}").await.problem(403);
            assert!(refused.detail.contains(needed), "{name} {path}: {refused:?}");
            let allowed = with_it.send(name.clone(), &path, &[], "{}").await;
            assert!(matches!(allowed.status.as_u16(), 200 | 201 | 204 | 404 | 422), "{name} {path}: {allowed:?}");
        }
    }
}

#[tokio::test]
async fn tenants_are_the_platforms_business() {
    let server = Setup::new().start().await;
    let tenant_key = server.client_with(&server.client.create_key("default", &SCOPES).await.key.unwrap());
    for (name, path) in PLATFORM_ROUTES {
        let problem = tenant_key.send(method(name), path, &[], "{}").await.problem(403);
        assert!(problem.detail.contains("platform"), "{name} {path}: {problem:?}");
    }
}

#[tokio::test]
async fn the_ids_of_another_tenant_do_not_exist() {
    let (server, receiver) = start().await;
    let channel = server.client.webhook(&receiver.url("/"), json!({})).await.id;
    let inbox = json!({"name": "Inbox", "provider": "internal_notification", "config": {}});
    server.client.create_channel(&inbox).await;
    let accepted = server.client.accept(&json!({"type": "a", "data": {}})).await;
    let (delivery, entry) = (accepted.deliveries[0].id, accepted.deliveries[1].id);
    for id in [delivery, entry] {
        server.client.delivery_once(id, "sent").await;
    }
    server.client.send(Method::PUT, "/v1/tenants/other", &[], "{}").await.read::<Value>(200);
    let other = server.client_with(&server.client.create_key("other", &SCOPES).await.key.unwrap());

    let subscriptions: Page<Value> = server.client.get("/v1/subscriptions").await.read(200);
    let subscription = subscriptions.data[0]["id"].to_string();
    let described = json!({"type": "a", "label": "Of the other"});
    assert_eq!(server.client.post("/v1/event-types", &described).await.status, 201);

    let redrive: Value = server.client.post("/v1/redrives", &json!({"filter": {"status": "dead"}})).await.read(201);

    // To put a name anew is everyone's own business.
    for (name, path, _) in ROUTES.iter().filter(|(name, path, _)| path.contains('{') && *name != "PUT") {
        let path = path
            .replace("{subscription}", &subscription)
            .replace("{type}", "a")
            .replace("{event}", &accepted.id)
            .replace("{channel}", &channel.to_string())
            .replace("{delivery}", &delivery.to_string())
            .replace("{entry}", &entry.to_string())
            .replace("{redrive}", &redrive["id"].to_string());
        assert!(!path.contains('{'), "{path}: which id does the other tenant ask with?");
        other.send(method(name), &path, &[], "{}").await.problem(404);
    }
    for list in ["/v1/deliveries?", "/v1/attempts?", "/v1/stats?"] {
        for filter in [format!("channel_id={channel}"), "event_type=a".to_owned()] {
            let found: Value = other.get(&format!("{list}{filter}")).await.read(200);
            assert!(found["data"].as_array().is_none_or(Vec::is_empty), "{list}{filter}: {found}");
            assert_eq!(found["sent"].as_u64().unwrap_or(0), 0, "{list}{filter}: {found}");
        }
    }
    for list in ["/v1/deliveries", "/v1/attempts"] {
        let path = format!("{list}?event_id={}", accepted.id);
        assert!(other.get(&path).await.read::<Page<Value>>(200).data.is_empty(), "{path}");
    }
    let path = format!("/v1/attempts?delivery_id={delivery}");
    assert!(other.get(&path).await.read::<Page<Value>>(200).data.is_empty(), "{path}");
    for path in ["/v1/channels", "/v1/subscriptions", "/v1/deliveries", "/v1/attempts", "/v1/events", "/v1/inbox"] {
        assert!(other.get(path).await.read::<Page<Value>>(200).data.is_empty(), "{path}");
    }
    assert!(!other.get("/v1/event-types").await.text().contains("Of the other"));
    let named = json!({"type": "a", "data": {}, "channels": [channel]});
    assert_eq!(other.post("/v1/events", &named).await.problem(422).fields(), ["channels[0]"]);
    assert!(other.accept(&json!({"type": "a", "data": {}})).await.deliveries.is_empty());
    let stats: Stats = other.get("/v1/stats").await.read(200);
    assert_eq!((stats.events, stats.sent), (1, 0));
    let untouched: Delivery = server.client.delivery(delivery).await;
    assert_eq!((untouched.status.as_str(), receiver.count("/")), ("sent", 1));
    server.client.channel(channel).await;
}

#[tokio::test]
async fn a_platform_key_names_its_tenant() {
    let server = Setup::new().start().await;
    let platform = server.client_with(crate::harness::ADMIN_KEY);
    let problem = platform.get("/v1/channels").await.problem(400);
    assert!(problem.detail.contains("Postrider-Tenant"), "{problem:?}");
    platform.clone().for_tenant("nobody").get("/v1/channels").await.problem(404);
    platform.clone().for_tenant("default").get("/v1/channels").await.read::<Page<Value>>(200);
    // Platform routes need none.
    platform.get("/v1/tenants").await.read::<Page<Value>>(200);
}

#[tokio::test]
async fn a_tenants_key_acts_for_its_tenant_alone() {
    let server = Setup::new().start().await;
    server.client.send(Method::PUT, "/v1/tenants/other", &[], "{}").await.read::<Value>(200);
    let key = server.client.create_key("other", &SCOPES).await.key.unwrap();
    let client = server.client_with(&key);
    let event = json!({"type": "a", "data": {}});
    client.post("/v1/events", &event).await.read::<Accepted>(202);
    client.clone().for_tenant("other").post("/v1/events", &event).await.read::<Accepted>(202);
    for slug in ["default", "nobody", ""] {
        client.clone().for_tenant(slug).post("/v1/events", &event).await.problem(403);
    }
}
