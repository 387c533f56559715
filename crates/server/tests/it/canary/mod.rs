//! No secret is told: one is put into every place that there is for one, everything is made to succeed and to fail, and
//! then everything that Postrider has said, sent to its operator or written is searched for them.
//!
//! `secrets` plants and finds them, `stand_ins` are the counterparts that repeat what they got, `story` is what happens.
//! A secret may be found only where it is made and told once, or where `Told` says so.

mod secrets;
mod stand_ins;
mod story;

use crate::harness::{ADMIN_KEY, Setup, start, writes};

#[tokio::test]
async fn no_secret_is_told_with_a_log_of_texts() {
    story::check("text").await;
}

#[tokio::test]
async fn no_secret_is_told_with_a_log_of_objects() {
    story::check("json").await;
}

#[tokio::test]
async fn settings_that_are_wrong_are_told_without_their_secrets() {
    let check = async |name: &str, value: &str| {
        let setup = Setup::new().set("POSTRIDER_LOG", "trace").set(name, value);
        let (status, error) = setup.start_in_vain().await;
        assert!(!status.success() && error.contains(name), "{name}: {error}");
        let told = [setup.run(&["config", "check"]).await, setup.run(&["config", "dump"]).await];
        let doctor = setup.run(&["doctor", "--json"]).await;
        for said in [error].into_iter().chain(told.into_iter().chain([doctor]).map(|one| one.stdout + &one.stderr)) {
            assert!(!said.contains("canary"), "{name}: {said}");
        }
    };
    for url in ["canary", "http://u:canary@mail.test", "smtp://u:canary@mail.test", "smtps://canary@mail.test"] {
        check("POSTRIDER_SMTP__URL", url).await;
    }
    check("POSTRIDER_SMTP__URL", "smtps://u:canary%00@mail.test").await;
    check("POSTRIDER_SMTP__URL", "smtps://u:canary@mail.test:99999").await;
    check("POSTRIDER_OTEL__HEADERS", "canary").await;
    check("POSTRIDER_OTEL__HEADERS", "a b=canary").await;
    for url in
        ["mysql://u:canary@db.test/", "postgres://u:canary@db.test:99999/", "postgres://u:canary@db.test/?x=canary"]
    {
        check("POSTRIDER_DATABASE_URL", url).await;
    }
    check("POSTRIDER_ADMIN_KEY", "canary\u{1}").await;
}

/// Reading is not written down: a body that is refused is repeated in no answer, whatever is wrong with it.
#[tokio::test]
async fn what_is_refused_is_not_repeated() {
    let (server, receiver) = start().await;
    let channel = server.client.webhook(&receiver.url("/"), serde_json::json!({})).await.id;
    for (method, path, body) in writes(channel) {
        for wrong in secrets::misplaced(&body, "canary") {
            let answer = server.client.send(method.clone(), &path, &[], wrong.clone()).await;
            if answer.status.is_client_error() {
                let problem = answer.problem(answer.status.as_u16());
                assert!(!answer.text().contains("canary"), "{method} {path} {wrong}: {problem:?}");
            }
            assert!(!answer.status.is_server_error(), "{method} {path} {wrong}: {}", answer.text());
        }
    }
    for key in ["canary", "Bearer canary", "Basic canary", "Bearer  canary canary"] {
        let answer =
            server.client_with("").send(http::Method::GET, "/v1/channels", &[("authorization", key)], "").await;
        answer.problem(401);
        assert!(!answer.text().contains("canary"), "{}", answer.text());
    }
    assert!(!server.process.stderr.text().contains(ADMIN_KEY));
}
