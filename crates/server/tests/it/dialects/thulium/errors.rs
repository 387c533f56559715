//! Every error: its status, its envelope, and the request's id in both places.

use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Thulium, USER, basic, key, request};
use crate::harness::{Answer, Setup, eventually, now_seconds, soon};

/// Checks the envelope; the codes and messages in it.
fn faults(answer: &Answer, status: u16) -> Vec<(u64, String)> {
    let body: Value = answer.read(status);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let id = body["request_id"].as_str().unwrap();
    assert_eq!(Some(id), answer.header("x-request-id"));
    assert!(!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
    let one = |error: &Value| {
        assert_eq!(error.as_object().unwrap().len(), 2, "{body}");
        (error["code"].as_u64().unwrap(), error["message"].as_str().unwrap().to_owned())
    };
    let errors: Vec<_> = body["errors"].as_array().unwrap().iter().map(one).collect();
    assert!(!errors.is_empty() && errors.iter().all(|(code, _)| code / 1000 == u64::from(status)), "{body}");
    errors
}

#[tokio::test]
async fn logins_that_are_no_good_are_told_apart() {
    let thulium = Thulium::start().await;
    let server = &thulium.server;
    let check = async |header: Option<&str>, part: &str| {
        let headers: Vec<_> = header.iter().map(|value| ("authorization", *value)).collect();
        let answer = server.client_with("").send(Method::GET, "/api/webhooks", &headers, "").await;
        assert_eq!(answer.header("www-authenticate"), Some("Basic realm=\"Thulium API\""));
        let (_, message) = faults(&answer, 401).remove(0);
        assert!(message.contains(part), "{header:?}: {message}");
    };
    check(None, "HTTP Basic").await;
    check(Some("Digest x"), "HTTP Basic").await;
    check(Some("Basic ###"), "unknown").await;
    check(Some(&basic(USER, "wrong")), "unknown").await;
    check(Some("Bearer wrong"), "unknown").await;
    check(Some(&basic("somebody_else", &thulium.key)), "unknown").await;

    let soon_over = jiff::Timestamp::from_second(now_seconds() + 2).unwrap().to_string();
    let expiring = key(server, json!({"name": "e", "scopes": ["channels:read"], "expires_at": soon_over})).await;
    let answer = eventually("the key expires", async || {
        let answer = thulium.call_as("any", &expiring, Method::GET, "/api/webhooks", String::new()).await;
        (answer.status.as_u16() == 401).then_some(answer)
    })
    .await;
    let (code, message) = faults(&answer, 401).remove(0);
    assert_eq!(code, 401_002, "{message}");

    let reader = key(server, json!({"name": "r", "scopes": ["channels:read"]})).await;
    let refused = thulium.call_as("any", &reader, Method::POST, "/api/webhooks", request().to_string()).await;
    assert!(faults(&refused, 403)[0].1.contains("channels:write"));
    server.client.post("/v1/tenants/acme/suspend", &json!({})).await.read::<Value>(200);
    let refused = thulium.call(Method::GET, "/api/webhooks", &Value::Null).await;
    assert_eq!(faults(&refused, 403)[0].0, 403_002);
}

#[tokio::test]
async fn bodies_that_are_no_good_name_their_fields() {
    let thulium = Thulium::of(Setup::new().set("POSTRIDER_LIMITS__BODY_BYTES_MAX", "4096")).await;
    thulium.create(&request()).await;
    let check = async |body: &str, expected: &[&str]| {
        for (method, path) in [(Method::POST, "/api/webhooks"), (Method::PUT, "/api/webhooks/1")] {
            let answer = thulium.call_as(USER, &thulium.key, method, path, body.to_owned()).await;
            let errors = faults(&answer, 400);
            assert_eq!(errors.len(), expected.len(), "{body}: {errors:?}");
            for ((_, message), part) in errors.iter().zip(expected) {
                assert!(message.contains(part), "{body}: {message}");
            }
        }
    };
    let with = |field: &str, value: Value| {
        let mut body = request();
        body[field] = value;
        body.to_string()
    };
    check("", &["not JSON"]).await;
    check("{", &["not JSON"]).await;
    check("[]", &["must be a JSON object"]).await;
    check("7", &["must be a JSON object"]).await;
    check("{}", &["actions is required", "subscription_url is required"]).await;
    check(&with("actions", json!("A")), &["actions must be an array"]).await;
    check(&with("actions", json!(null)), &["actions must be an array"]).await;
    check(&with("actions", json!([])), &["at least one action"]).await;
    check(&with("actions", json!([1])), &["actions must hold texts only"]).await;
    for name in ["chat_created", "A", "1A", "_A", "A-B", "A B", "", "Ä_B", &"A".repeat(65)] {
        check(&with("actions", json!(["PING", name])), &["actions must hold names"]).await;
    }
    let many: Vec<_> = (0..101).map(|number| format!("A{number}")).collect();
    check(&with("actions", json!(many)), &["at most 100"]).await;
    for url in ["ftp://example.pl", "example.pl", "/x", "http://", "https://exa mple.pl", "https://e.pl/#x"] {
        check(&with("subscription_url", json!(url)), &["subscription_url must"]).await;
    }
    check(&with("subscription_url", json!("")), &["subscription_url is required"]).await;
    check(&with("subscription_url", json!(7)), &["subscription_url must be a text"]).await;
    check(&with("http_auth_user", json!("a:b")), &["http_auth_user must not hold ':'"]).await;
    check(&with("http_auth_user", json!(7)), &["http_auth_user must be a text"]).await;
    check(&with("http_auth_password", json!("x")), &["http_auth_user is required"]).await;
    // Nothing of it was kept.
    let kept = thulium.list().await;
    assert_eq!((kept.len(), &kept[0]["actions"]), (1, &request()["actions"]));

    let large = thulium.call(Method::POST, "/api/webhooks", &json!({"actions": "x".repeat(5000)})).await;
    assert_eq!(faults(&large, 413)[0].0, 413_001);
}

#[tokio::test]
async fn what_is_not_there_is_told_in_the_same_form() {
    let thulium = Thulium::start().await;
    let check = async |method: Method, path: &str, status: u16| {
        let answer = thulium.call(method.clone(), path, &request()).await;
        let (_, message) = faults(&answer, status).remove(0);
        assert!(!message.is_empty(), "{method} {path}");
        answer
    };
    for path in ["/api/webhooks/1", "/api/webhooks/x", "/api/webhooks/-1", "/api/webhooks/99999999999999999999"] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            assert!(check(method, path, 404).await.text().contains("Webhook not found."));
        }
    }
    check(Method::GET, "/api/webhooks/", 404).await;
    check(Method::GET, "/api/webhooks//", 404).await;
    check(Method::DELETE, "/api/webhooks/1/", 404).await;
    check(Method::POST, "/api/webhooks/1/test", 404).await;
    check(Method::PATCH, "/api/webhooks/1/a/b", 404).await;
    for (method, path) in [(Method::PATCH, "/api/webhooks"), (Method::DELETE, "/api/webhooks")] {
        let answer = check(method, path, 405).await;
        assert!(answer.header("allow").unwrap().contains("POST"));
    }
    check(Method::POST, "/api/webhooks/1", 405).await;
}

/// The vendor has two languages; whatever is told in the one has its text in the other.
#[tokio::test]
async fn errors_are_in_polish_for_those_who_prefer_it() {
    let thulium = Thulium::of(Setup::new().set("POSTRIDER_LIMITS__BODY_BYTES_MAX", "4096")).await;
    thulium.create(&request()).await;
    let login = basic(USER, &thulium.key);
    let ask = async |method: Method, path: &str, login: &str, language: &str, body: &str| {
        let headers = [("authorization", login), ("accept-language", language)];
        thulium.server.client_with("").send(method, path, &headers, body.to_owned()).await
    };
    let check = async |method: Method, path: &str, login: &str, body: &str, status: u16, polish: &[&str]| {
        let told = faults(&ask(method.clone(), path, login, "pl-PL,pl;q=0.9,en;q=0.8", body).await, status);
        let english = faults(&ask(method, path, login, "en, pl;q=0.5", body).await, status);
        assert_eq!(told.len(), polish.len(), "{told:?}");
        for (((code, message), (same, other)), part) in told.iter().zip(&english).zip(polish) {
            assert!(code == same && message.contains(part) && message != other, "{message}, {other}");
        }
    };
    let all = "/api/webhooks";
    let post = async |body: &str, polish: &[&str]| check(Method::POST, all, &login, body, 400, polish).await;
    post("{", &["Treść nie jest JSON-em"]).await;
    post("[]", &["Treść musi być obiektem JSON"]).await;
    post("{}", &["Pole actions jest wymagane.", "Pole subscription_url jest wymagane."]).await;
    let with = |actions: Value, url: &str| json!({"actions": actions, "subscription_url": url}).to_string();
    post(&with(json!("A"), "https://example.pl"), &["Pole actions musi być tablicą nazw."]).await;
    post(&with(json!([]), "https://example.pl"), &["Pole actions musi zawierać co najmniej jedną akcję."]).await;
    post(&with(json!([1]), "https://example.pl"), &["Pole actions może zawierać tylko teksty."]).await;
    post(&with(json!(["a"]), "https://example.pl"), &["Pole actions musi zawierać nazwy"]).await;
    post(&with(json!(["PING"]), "ftp://example.pl"), &["Pole subscription_url ma niewłaściwą wartość (must"]).await;
    check(Method::GET, "/api/webhooks/9", &login, "", 404, &["Nie znaleziono webhooka."]).await;
    check(Method::PATCH, all, &login, "", 405, &["Niedozwolona metoda"]).await;
    check(Method::POST, all, &login, &"x".repeat(5000), 413, &["Żądanie jest za duże"]).await;
    check(Method::GET, all, "Digest x", "", 401, &["Zaloguj się przez HTTP Basic"]).await;
    check(Method::GET, all, &basic(USER, "wrong"), "", 401, &["Nieznany użytkownik"]).await;
    let reader = key(&thulium.server, json!({"name": "r", "scopes": ["channels:read"]})).await;
    check(Method::DELETE, "/api/webhooks/1", &basic("any", &reader), "", 403, &["nie ma uprawnienia channels:write"])
        .await;
    // Those who say nothing, or something else, are told in English.
    for language in ["de", "*", ""] {
        let answer = ask(Method::GET, "/api/webhooks/9", &login, language, "").await;
        assert_eq!(faults(&answer, 404)[0].1, "Webhook not found.");
    }
}

#[tokio::test]
async fn a_client_may_name_its_request() {
    let thulium = Thulium::start().await;
    let headers = [("x-request-id", "53678450401cf")];
    let answer = thulium.server.client_with("").send(Method::GET, "/api/webhooks", &headers, "").await;
    faults(&answer, 401);
    assert_eq!(answer.header("x-request-id"), Some("53678450401cf"));
}

/// The page's PHP counts characters where bytes are meant.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "no client sends a wrong length by itself")]
async fn a_body_cut_short_is_refused_and_not_waited_for() {
    let thulium = Thulium::start().await;
    let body = r#"{"actions":["CHAT_CONVERSATION_CREATED"],"subscription_url":"https:\/\/example.pl\/żółw"}"#;
    let head = format!(
        "POST /api/webhooks HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\ncontent-length: {}\r\n\r\n",
        basic(USER, &thulium.key),
        body.chars().count()
    );
    let mut stream = TcpStream::connect(thulium.server.address).await.unwrap();
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // What is left of the body is no request, and ends the connection.
    soon("the answer", stream.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("cut short"), "{answer}");
    assert_eq!(thulium.list().await, [] as [Value; 0]);
}
