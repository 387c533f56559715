//! `/console`: who may look, what is shown, and that nothing that somebody wrote becomes markup.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{ADMIN_KEY, Answer, Client, Page, Reply, Server, Setup, Stats, eventually, start};

const SCOPES: [&str; 3] = ["events:write", "deliveries:read", "channels:read"];

/// Somebody with a browser: no key of their own in any request, but a cookie.
struct Browser {
    client: Client,
    cookie: String,
}

impl Browser {
    async fn signed_in(server: &Server, key: &str) -> Self {
        let client = server.client_with("");
        let answer = sign_in(&client, key, &[]).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (303, Some("/console")));
        let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        Self { client, cookie }
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let headers = [&[("cookie", self.cookie.as_str())], headers].concat();
        self.client.send(method, path, &headers, "").await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[]).await
    }

    async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text()
    }
}

async fn sign_in(client: &Client, key: &str, headers: &[(&str, &str)]) -> Answer {
    let form: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("key", key).finish();
    client.send(Method::POST, "/console/sign-in", headers, form).await
}

#[tokio::test]
async fn strangers_are_asked_for_a_key() {
    let server = Setup::new().start().await;
    let stranger = server.client_with("");
    for path in ["/console", "/console?tenant=default"] {
        let answer = stranger.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.header("location")), (303, Some("/console/sign-in")));
    }
    assert!(stranger.get("/console/sign-in").await.text().contains("<form method=\"post\""));
    for key in ["", "wrong", "<script>alert(1)</script>"] {
        let answer = sign_in(&stranger, key, &[]).await;
        assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (401, None));
        assert!(!answer.text().contains("<script"));
    }
    let blind = server.client.create_key("default", &["events:write", "channels:read"]).await.key.unwrap();
    let answer = sign_in(&stranger, &blind, &[]).await;
    assert!(answer.status == 403 && answer.text().contains("deliveries:read"), "{}", answer.text());
    for cookie in ["postrider_session=", "postrider_session=x", "other=1"] {
        assert_eq!(stranger.send(Method::GET, "/console", &[("cookie", cookie)], "").await.status, 303);
    }
}

#[tokio::test]
async fn a_session_is_a_cookie_that_tells_nothing() {
    let server = Setup::new().start().await;
    let answer = sign_in(&server.client_with(""), ADMIN_KEY, &[]).await;
    let cookie = answer.header("set-cookie").unwrap();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains(ADMIN_KEY) && !cookie.contains("Secure"), "{cookie}");

    let browser = Browser::signed_in(&server, ADMIN_KEY).await;
    browser.page("/console").await;
    let left = browser.ask(Method::POST, "/console/sign-out", &[]).await;
    assert_eq!((left.status.as_u16(), left.header("location")), (303, Some("/console/sign-in")));
    assert!(left.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(browser.get("/console").await.status, 303, "the old cookie is worth nothing");

    // It ends with its key, and with the process.
    let key = server.client.create_key("default", &SCOPES).await;
    let browser = Browser::signed_in(&server, &key.key.unwrap()).await;
    browser.page("/console").await;
    server.client.delete(&format!("/v1/tenants/default/keys/{}", key.id)).await;
    assert_eq!(browser.get("/console").await.status, 303);
}

#[tokio::test]
async fn a_suspended_tenant_sees_nothing() {
    let server = Setup::new().start().await;
    server.client.send(Method::PUT, "/v1/tenants/acme", &[], "{}").await.read::<Value>(200);
    let key = server.client.create_key("acme", &SCOPES).await.key.unwrap();
    let browser = Browser::signed_in(&server, &key).await;
    browser.page("/console").await;
    server.client.post("/v1/tenants/acme/suspend", &json!({})).await.read::<Value>(200);
    assert_eq!(browser.get("/console").await.status, 303);
    assert_eq!(browser.get("/v1/deliveries").await.status, 401);
    let answer = sign_in(&server.client_with(""), &key, &[]).await;
    assert!(answer.status == 403 && answer.text().contains("suspended"), "{}", answer.text());
    // The platform looks on, and the session is there again afterwards.
    Browser::signed_in(&server, ADMIN_KEY).await.page("/console?tenant=acme").await;
    server.client.post("/v1/tenants/acme/resume", &json!({})).await.read::<Value>(200);
    browser.page("/console").await;
}

#[tokio::test]
async fn behind_https_the_cookie_is_secure() {
    let server = Setup::new().set("POSTRIDER_SERVER__PUBLIC_URL", "https://notify.example.com").start().await;
    let answer = sign_in(&server.client_with(""), ADMIN_KEY, &[("origin", "https://notify.example.com")]).await;
    assert!(answer.header("set-cookie").unwrap().contains("; Secure"), "{answer:?}");
}

#[tokio::test]
async fn other_sites_can_send_no_form() {
    let server = Setup::new().start().await;
    let stranger = server.client_with("");
    let own = format!("http://{}", server.address);
    for (headers, status) in [
        (vec![("origin", "https://evil.example.com")], 403),
        (vec![("origin", "null")], 403),
        (vec![("sec-fetch-site", "cross-site"), ("origin", own.as_str())], 403),
        (vec![("sec-fetch-site", "same-site")], 403),
        (vec![("origin", own.as_str())], 303),
        (vec![("sec-fetch-site", "same-origin"), ("origin", own.as_str())], 303),
    ] {
        assert_eq!(sign_in(&stranger, ADMIN_KEY, &headers).await.status.as_u16(), status, "{headers:?}");
    }
    let browser = Browser::signed_in(&server, ADMIN_KEY).await;
    let evil = [("origin", "https://evil.example.com")];
    assert_eq!(browser.ask(Method::POST, "/console/sign-out", &evil).await.status, 403);
    browser.page("/console").await;
}

#[tokio::test]
async fn pages_load_and_run_nothing_from_elsewhere() {
    let server = Setup::new().start().await;
    let browser = Browser::signed_in(&server, ADMIN_KEY).await;
    for path in ["/console", "/console/sign-in", "/console/style.css", "/console?tenant=nobody"] {
        let answer = browser.get(path).await;
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let text = answer.text();
        for outside in ["http://", "https://", "//cdn", "<script", " style=", "onclick", "@import", "url("] {
            assert!(!text.contains(outside), "{path}: {outside}");
        }
    }
    assert!(browser.page("/console").await.contains("width=device-width"));
    assert!(browser.page("/console/style.css").await.contains("prefers-color-scheme: dark"));
}

#[tokio::test]
async fn it_shows_what_happens_and_what_needs_attention() {
    let (server, receiver) = start().await;
    let quiet = Browser::signed_in(&server, ADMIN_KEY).await.page("/console?tenant=default").await;
    assert!(quiet.contains("all is well") && quiet.contains("There is none yet"), "{quiet}");
    for (name, more) in [
        ("Works", json!({})),
        ("Gone", json!({})),
        ("Gives up", json!({"retry": {"delays_seconds": []}})),
        ("Stumbles", json!({"retry": {"delays_seconds": [3600]}})),
    ] {
        let path = format!("/{}", name.replace(' ', "-"));
        let mut channel = json!({"name": name, "event_types": [name.to_lowercase().replace(' ', ".")]});
        channel.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.client.webhook(&receiver.url(&path), channel).await;
    }
    receiver.script("/Gone", [Reply::status(410)]);
    receiver.script("/Gives-up", [Reply::status(500)]);
    receiver.script("/Stumbles", [Reply::status(503)]);
    let mut last = String::new();
    for (event_type, state) in [("works", "sent"), ("gone", "held"), ("gives.up", "dead"), ("stumbles", "retrying")] {
        let delivery = server.client.accept_one(event_type, json!({})).await;
        last = server.client.delivery_once(delivery, state).await.event_id;
    }
    // Its owner is told of the channel that is gone and of the delivery that died, by events.
    let told = async || server.client.get("/v1/stats").await.read::<Stats>(200).events == 6;
    eventually("four events and two of Postrider's own", async || told().await.then_some(())).await;
    let page = Browser::signed_in(&server, ADMIN_KEY).await.page("/console?tenant=default").await;
    for shown in [
        "<strong>Gone</strong> is paused since",
        "1 delivery is held",
        "<strong>Stumbles</strong> is failing: 1 delivery waits",
        "1 delivery has given up",
        "<dt>Events</dt><dd>6</dd>",
        "<dt>Sent</dt><dd>1</dd>",
        ">held</a>",
        ">dead</a>",
        ">retrying</a>",
        last.as_str(),
        "gives.up",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
}

#[tokio::test]
async fn what_somebody_wrote_never_becomes_markup() {
    let (server, receiver) = start().await;
    let hostile = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>";
    let tenant = json!({"name": hostile}).to_string();
    server.client.send(Method::PUT, "/v1/tenants/default", &[], tenant).await.read::<Value>(200);
    server.client.webhook(&receiver.url("/"), json!({"name": hostile, "event_types": ["a", "b"]})).await;
    receiver.script("/", [Reply::status(302).header("location", "/<script>alert(2)</script>"), Reply::status(410)]);
    server.client.accept_one("a", json!({})).await;
    let delivery = server.client.accept_one("b", json!({})).await;
    server.client.delivery_once(delivery, "held").await;
    let event = json!({"type": "<script>alert(3)</script>", "data": {}});
    server.client.post("/v1/events", &event).await.problem(422);
    for path in ["/console", "/console?tenant=default", "/console?tenant=<script>alert(4)</script>"] {
        let answer =
            Browser::signed_in(&server, ADMIN_KEY).await.get(&path.replace('<', "%3C").replace('>', "%3E")).await;
        let text = answer.text();
        assert!(!text.contains("<script") && !text.contains("<img"), "{text}");
    }
    let page = Browser::signed_in(&server, ADMIN_KEY).await.page("/console").await;
    assert!(page.contains("&lt;script&gt;alert('x')&lt;/script&gt;&quot;&gt;&lt;img"), "{page}");
}

#[tokio::test]
async fn tenants_see_their_own_and_the_platform_chooses() {
    let server = Setup::new().start().await;
    server.client.send(Method::PUT, "/v1/tenants/other", &[], r#"{"name": "Somebody else"}"#).await.read::<Value>(200);
    let key = server.client.create_key("default", &SCOPES).await.key.unwrap();
    let tenant = Browser::signed_in(&server, &key).await;
    let page = tenant.page("/console").await;
    assert!(page.contains("Default") && !page.contains("Somebody else"), "{page}");
    tenant.page("/console?tenant=default").await;
    for slug in ["other", "nobody"] {
        assert_eq!(tenant.get(&format!("/console?tenant={slug}")).await.status, 404, "{slug}");
    }
    let platform = Browser::signed_in(&server, ADMIN_KEY).await;
    assert!(platform.page("/console").await.contains("<option value=\"other\">"));
    assert!(platform.page("/console?tenant=other").await.contains("<h2>Somebody else</h2>"));
    assert_eq!(platform.get("/console?tenant=nobody").await.status, 404);
}

#[tokio::test]
async fn links_lead_to_the_json_for_reading_alone() {
    let (server, receiver) = start().await;
    server.client.webhook(&receiver.url("/"), json!({})).await;
    let delivery = server.client.accept_one("a", json!({})).await;
    server.client.delivery_once(delivery, "sent").await;
    let key = server.client.create_key("default", &SCOPES).await.key.unwrap();
    for key in [ADMIN_KEY, &key] {
        let browser = Browser::signed_in(&server, key).await;
        let page = browser.page("/console?tenant=default").await;
        let links: Vec<String> = page
            .split("href=\"/v1/")
            .skip(1)
            .map(|rest| format!("/v1/{}", rest.split('"').next().unwrap().replace("&amp;", "&")))
            // The tenant's key may not read events.
            .filter(|link| key == ADMIN_KEY || !link.contains("/events/"))
            .collect();
        assert!(links.len() >= 3, "{links:?}");
        for link in links {
            let answer = browser.get(&link).await;
            assert_eq!(answer.status, 200, "{link}: {}", answer.text());
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        }
        assert_eq!(browser.get("/v1/deliveries?tenant=default").await.read::<Page<Value>>(200).data.len(), 1);
        // A page of another site cannot read with it, and nothing can be changed with it.
        let evil = [("sec-fetch-site", "cross-site")];
        assert_eq!(browser.ask(Method::GET, "/v1/deliveries?tenant=default", &evil).await.status, 401);
        let retry = format!("/v1/deliveries/{delivery}/retry?tenant=default");
        assert_eq!(browser.ask(Method::POST, &retry, &[]).await.status, 401);
        assert_eq!(browser.ask(Method::DELETE, "/v1/channels/1?tenant=default", &[]).await.status, 401);
    }
    let other = server.client.create_key("default", &SCOPES).await.key.unwrap();
    let own = Browser::signed_in(&server, &other).await;
    assert_eq!(own.get("/v1/tenants").await.status, 403);
}
