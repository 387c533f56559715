//! What a webhook's request is made of: the formats of its body, its headers, its credentials.

use serde_json::{Value, json};

use crate::harness::{Received, start};

/// What arrives when this event goes to a channel with these fields.
async fn send(channel: Value, event: Value) -> Received {
    let (server, receiver) = start().await;
    server.client.webhook(&receiver.url("/"), channel).await;
    server.client.accept(&event).await;
    receiver.wait_for_one("/").await
}

#[tokio::test]
async fn a_form_is_flat() {
    let data = json!({"text": "a b&c=ü", "n": 1.5, "yes": true, "no": false, "none": null, "list": [1, {"a": "b c"}]});
    let received = send(json!({"config": {"format": "form"}}), json!({"type": "a", "data": data})).await;
    let expected = "list=%5B1%2C%7B%22a%22%3A%22b+c%22%7D%5D&n=1.5&no=0&none=&text=a+b%26c%3D%C3%BC&yes=1";
    assert_eq!(received.text(), expected);
    assert_eq!(received.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(received.header("webhook-signature"), None, "form goes without, unless it is asked for");
}

#[tokio::test]
async fn a_template_escapes_what_it_inserts() {
    let template = r#"{"text": "{{ name }} {{ event.type }} {{ channel.name }}", "n": {{ n }}, "raw": {{ list }}{% if gone %}!{% endif %}}"#;
    let channel = json!({"config": {"format": "template"}, "body_template": template});
    let data = json!({"name": "\"quoted\" \\ \n\t\u{1} <b> ü", "n": 7, "list": ["a", {"b": null}]});
    let received = send(channel, json!({"type": "a.b", "data": data})).await;
    let expected = json!({"text": "\"quoted\" \\ \n\t\u{1} <b> ü a.b Test", "n": 7, "raw": ["a", {"b": null}]});
    assert_eq!(received.json(), expected, "{}", received.text());
    assert_eq!(received.header("content-type"), Some("application/json"));
    assert!(received.header("webhook-signature").is_some());
}

#[tokio::test]
async fn a_template_that_is_no_json_is_text() {
    let channel = json!({"config": {"format": "template"}, "body_template": "Hello {{ name }}"});
    let received = send(channel, json!({"type": "a", "data": {"name": "you"}})).await;
    assert_eq!(received.text(), "Hello you");
    assert_eq!(received.header("content-type"), Some("text/plain; charset=utf-8"));
}

#[tokio::test]
async fn a_template_that_fails_is_an_attempt_that_says_where() {
    let (server, receiver) = start().await;
    let check = async |template: &str, part: &str| {
        let channel = json!({"config": {"format": "template"}, "body_template": template, "event_types": []});
        let id = server.client.webhook(&receiver.url("/"), channel).await.id;
        let event = json!({"type": "a", "data": {"n": 1, "many": vec![0; 100]}, "channels": [id]});
        let delivery = server.client.accept(&event).await.deliveries[0].id;
        let dead = server.client.delivery_once(delivery, "dead").await;
        let attempts = server.client.attempts(delivery).await;
        assert_eq!(attempts.len(), 1);
        assert_eq!((attempts[0].status.as_str(), attempts[0].code), ("rejected", None));
        let reason = attempts[0].reason.as_deref().unwrap();
        assert!(reason.starts_with("body_template, line ") && reason.contains(part), "{reason}");
        assert_eq!(dead.reason.as_deref(), Some(reason));
        assert_eq!(server.client.channel(id).await.paused, None, "other events may fare better");
    };
    check("{\n\n{{ n.missing() }}}", "line 3").await;
    check("{\n{{ n|nosuchfilter }}}", "line 2").await;
    let loops = "{% for i in many %}{% for j in many %}{% for k in many %}x{% endfor %}{% endfor %}{% endfor %}";
    check(loops, "fuel").await;
    assert_eq!(receiver.total(), 0);
}

#[tokio::test]
async fn credentials_and_headers_go_along() {
    let config = json!({"config": {
        "basic_user": "post", "basic_password": "ri:der ü", "headers": {"X-Team": "billing", "Content-Type": "text/csv"},
    }});
    let received = send(config, json!({"type": "a", "data": {}})).await;
    // printf 'post:ri:der ü' | base64
    assert_eq!(received.header("authorization"), Some("Basic cG9zdDpyaTpkZXIgw7w="));
    assert_eq!((received.header("x-team"), received.header("content-type")), (Some("billing"), Some("text/csv")));
}

#[tokio::test]
async fn credentials_in_the_url_become_fields() {
    let (server, receiver) = start().await;
    let url = receiver.url("/").replace("http://", "http://us%C3%A9r:pa%20ss@");
    let channel = server.client.webhook(&url, json!({})).await;
    assert_eq!(channel.config["url"], receiver.url("/"));
    assert_eq!(
        (&channel.config["basic_user"], &channel.config["basic_password"]),
        (&json!("usér"), &json!("********"))
    );
    server.client.accept_one("a", json!({})).await;
    // printf 'usér:pa ss' | base64
    assert_eq!(receiver.wait_for_one("/").await.header("authorization"), Some("Basic dXPDqXI6cGEgc3M="));
}
