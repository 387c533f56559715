//! Webhooks made, listed, changed and deleted.

use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Thulium, USER, basic, key, request};
use crate::harness::soon;

#[tokio::test]
async fn the_pages_request_gets_the_pages_answer() {
    let thulium = Thulium::start().await;
    let body = include_str!("samples/request.json").to_owned();
    let answer = thulium.call_as(USER, &thulium.key, Method::POST, "/api/webhooks", body).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let mut expected: Value = serde_json::from_str(include_str!("samples/response.json")).unwrap();
    expected["id"] = 1.into();
    assert_eq!(answer.read::<Value>(200), expected);
    let keys = ["id", "actions", "subscription_url", "http_auth_user", "http_auth_password"];
    let places = keys.map(|key| answer.text().find(&format!("\"{key}\"")).unwrap());
    assert!(places.is_sorted(), "{}", answer.text());
}

#[tokio::test]
async fn a_webhook_lives_from_post_to_delete() {
    let thulium = Thulium::start().await;
    assert_eq!(thulium.list().await, [] as [Value; 0]);
    let first = json!({"id": 1, "actions": ["CHAT_CONVERSATION_CREATED", "CUSTOMER_UPDATED"],
        "subscription_url": "http://example.pl/a?b=c", "http_auth_user": "receiver", "http_auth_password": "s3cret"});
    let mut sent = first.clone();
    sent["actions"] = json!(["CHAT_CONVERSATION_CREATED", "CUSTOMER_UPDATED", "CHAT_CONVERSATION_CREATED"]);
    assert_eq!(thulium.create(&sent).await, first);
    let second = thulium.create(&request()).await;
    assert_eq!(thulium.list().await, [first.clone(), second.clone()]);
    let get = async |id: i64| thulium.call(Method::GET, &format!("/api/webhooks/{id}"), &Value::Null).await;
    assert_eq!(get(1).await.read::<Value>(200), first);

    // What a change does not name of the credentials stays; what it empties goes.
    let put = async |body: Value| thulium.call(Method::PUT, "/api/webhooks/1", &body).await.read::<Value>(200);
    let moved = json!({"actions": ["TICKET_CREATED"], "subscription_url": "https://example.pl/b"});
    let expected = json!({"id": 1, "actions": ["TICKET_CREATED"], "subscription_url": "https://example.pl/b",
        "http_auth_user": "receiver", "http_auth_password": "s3cret"});
    assert_eq!(put(moved.clone()).await, expected);
    assert_eq!(put(expected.clone()).await, expected);
    let mut bare = moved;
    bare["http_auth_user"] = "".into();
    let shown = put(bare).await;
    assert_eq!((&shown["http_auth_user"], &shown["http_auth_password"]), (&json!(""), &json!("")));
    assert_eq!(get(1).await.read::<Value>(200), shown);

    let deleted = thulium.call(Method::DELETE, "/api/webhooks/1", &Value::Null).await;
    assert_eq!((deleted.status.as_u16(), deleted.text().as_str()), (204, ""));
    assert_eq!(get(1).await.status.as_u16(), 404);
    assert_eq!(thulium.list().await, [second]);
}

#[tokio::test]
async fn any_content_type_and_a_bearer_will_do() {
    let thulium = Thulium::start().await;
    for (number, kind) in ["application/json; charset=utf-8", "text/plain", "application/x-www-form-urlencoded", "x"]
        .into_iter()
        .enumerate()
    {
        let login = basic(USER, &thulium.key);
        let headers = [(AUTHORIZATION.as_str(), login.as_str()), (CONTENT_TYPE.as_str(), kind)];
        let answer =
            thulium.server.client_with("").send(Method::POST, "/api/webhooks", &headers, request().to_string()).await;
        assert_eq!(answer.read::<Value>(200)["id"], number + 1, "{kind}");
    }
    let by_bearer = thulium.native().get("/api/webhooks").await;
    assert_eq!(by_bearer.read::<Vec<Value>>(200).len(), 4);
}

#[tokio::test]
async fn a_webhook_is_the_same_channel_on_every_face() {
    let thulium = Thulium::start().await;
    let native = thulium.native();
    thulium.create(&request()).await;
    let channel = native.channel(1).await;
    assert_eq!((channel.provider.as_str(), channel.dialect.as_deref()), ("webhook", Some("thulium")));
    assert_eq!(channel.config, *json!({"url": "https://example.pl", "format": "thulium"}).as_object().unwrap());
    assert_eq!((channel.name.as_str(), channel.event_types), ("example.pl", vec!["chat.conversation_created".into()]));

    // What another face subscribes it to is shown, and comes back unchanged from a change here.
    let types = json!(["chat.*", "billing.invoice.paid"]);
    native.patch_channel(1, &json!({"event_types": types})).await;
    let mut shown = thulium.list().await.remove(0);
    assert_eq!(shown["actions"], json!(["CHAT_*", "BILLING_INVOICE_PAID"]));
    shown["actions"].as_array_mut().unwrap().push("CUSTOMER_CREATED".into());
    thulium.call(Method::PUT, "/api/webhooks/1", &shown).await.read::<Value>(200);
    assert_eq!(native.channel(1).await.event_types, ["chat.*", "billing.invoice.paid", "customer.created"]);

    // Webhooks with another body are none of Thulium's, and one of its format is, whoever made it.
    let other = native.webhook("https://example.pl/other", json!({})).await;
    let own = native.webhook("https://example.pl/own", json!({"config": {"format": "thulium"}})).await;
    let ids: Vec<_> = thulium.list().await.iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ids, [json!(1), json!(own.id)]);
    for method in [Method::GET, Method::DELETE] {
        let answer = thulium.call(method, &format!("/api/webhooks/{}", other.id), &Value::Null).await;
        assert_eq!(answer.status.as_u16(), 404);
    }
}

#[tokio::test]
async fn a_password_is_shown_only_to_keys_that_may_change_it() {
    let thulium = Thulium::start().await;
    let mut webhook = request();
    webhook["http_auth_user"] = "u".into();
    webhook["http_auth_password"] = "s3cret".into();
    thulium.create(&webhook).await;
    let reader = key(&thulium.server, json!({"name": "r", "scopes": ["channels:read"]})).await;
    for path in ["/api/webhooks", "/api/webhooks/1"] {
        let answer = thulium.call_as("whoever", &reader, Method::GET, path, String::new()).await;
        let text = answer.text();
        answer.read::<Value>(200);
        assert!(!text.contains("s3cret") && text.contains(r#""http_auth_user":"u","http_auth_password":""#), "{text}");
        assert!(!text.contains(r#""http_auth_password":"""#), "it can be seen that there is one: {text}");
    }
}

#[tokio::test]
async fn a_tenant_has_a_thousand_webhooks_at_most_and_lists_them_all_in_order() {
    let thulium = Thulium::start().await;
    let login = basic(USER, &thulium.key);
    let mut making = JoinSet::new();
    for _ in 0..1000 {
        let (client, login) = (thulium.server.client_with(""), login.clone());
        making.spawn(async move {
            let headers = [(AUTHORIZATION.as_str(), login.as_str())];
            client.send(Method::POST, "/api/webhooks", &headers, request().to_string()).await.status.as_u16()
        });
    }
    let statuses = soon("a thousand webhooks", making.join_all()).await;
    assert!(statuses.iter().all(|status| *status == 200));
    let refused = thulium.call(Method::POST, "/api/webhooks", &request()).await;
    assert_eq!(refused.read::<Value>(409)["errors"][0]["code"], 409_001);
    let ids: Vec<i64> = thulium.list().await.iter().map(|one| one["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, (1..=1000).collect::<Vec<_>>());
    // Room for one is made by deleting one.
    thulium.call(Method::DELETE, "/api/webhooks/7", &Value::Null).await;
    thulium.create(&request()).await;
}
