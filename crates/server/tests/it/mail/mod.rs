//! E-mail, end to end: the real binary and a real mail server with STARTTLS and AUTH.

pub(crate) mod harness;

use serde_json::{Value, json};

use self::harness::{MailServer, PASSWORD, USER, header, sender};
use crate::harness::{Client, Setup};

async fn channel(client: &Client, config: Value) -> i64 {
    client.create_channel(&json!({"name": "Mail", "provider": "email", "config": config})).await.id
}

#[tokio::test]
async fn each_recipient_gets_one_mail_over_tls() {
    let mut mail = MailServer::start();
    let server = mail.settings(Setup::new()).start().await;
    let to = "ann@a.test, Bob <bob@b.test>";
    channel(&server.client, json!({"to": to, "unsubscribe_url": "https://x.test/u"})).await;
    let delivery = server.client.accept_one("invoice.paid", json!({"title": "Paid", "message": "Thanks"})).await;

    server.client.delivery_once(delivery, "sent").await;

    let mails = mail.mails(2).await;
    assert_eq!(
        mails.iter().map(|mail| &mail["to"]).collect::<Vec<_>>(),
        [&json!(["ann@a.test"]), &json!(["bob@b.test"])]
    );
    for one in &mails {
        assert_eq!((&one["sender"], &one["tls"]), (&json!("ops@operator.test"), &json!(true)));
        assert_eq!(header(one, "Subject"), "Paid");
        assert_eq!(header(one, "Auto-Submitted"), "auto-generated");
        assert_eq!(header(one, "List-Unsubscribe"), "<https://x.test/u>");
    }
    assert_eq!(mail.all("login").len(), 1, "one connection carries both");
    let attempts = server.client.attempts(delivery).await;
    assert_eq!(attempts.len(), 2);
    for one in attempts {
        assert_eq!((one.status.as_str(), one.code), ("delivered", Some(250)));
    }
}

#[tokio::test]
async fn a_refused_recipient_does_not_stop_the_others() {
    let mut mail = MailServer::start();
    let server = mail.settings(Setup::new()).start().await;
    channel(&server.client, json!({"to": ["fail-550@a.test", "once-450@a.test", "ann@a.test"]})).await;
    let delivery = server.client.accept_one("a", json!({})).await;

    let dead = server.client.delivery_once(delivery, "dead").await;

    let reason = dead.reason.unwrap();
    assert!(reason.starts_with("1 of 3 failed for good") && reason.contains("5.1.1 no such user"), "{reason}");
    let mut to: Vec<_> = mail.mails(2).await.iter().map(|mail| mail["to"][0].as_str().unwrap().to_owned()).collect();
    to.sort();
    assert_eq!(to, ["ann@a.test", "once-450@a.test"], "each once, though there were two tries");
}

#[tokio::test]
async fn a_permanent_refusal_is_not_tried_again_and_a_transient_one_is() {
    let mut mail = MailServer::start();
    let server = mail.settings(Setup::new()).start().await;
    let refused = channel(&server.client, json!({"to": "fail-550@a.test"})).await;
    let greylisted = channel(&server.client, json!({"to": "once-450@a.test"})).await;
    let send = async |channel: i64, status: &str| {
        let accepted = server.client.accept(&json!({"type": "a", "data": {}, "channels": [channel]})).await;
        let delivery = accepted.deliveries[0].id;
        server.client.delivery_once(delivery, status).await;
        let attempts = server.client.attempts(delivery).await;
        attempts.iter().map(|one| (one.status.clone(), one.code)).collect::<Vec<_>>()
    };
    assert_eq!(send(refused, "dead").await, [("rejected".to_owned(), Some(550))]);
    let expected = [("failed".to_owned(), Some(450)), ("delivered".to_owned(), Some(250))];
    assert_eq!(send(greylisted, "sent").await, expected);
    assert_eq!(mail.mails(1).await.len(), 1);
}

#[tokio::test]
async fn a_lost_answer_is_unknown_and_the_same_mail_is_sent_again() {
    let mut mail = MailServer::start();
    let server = mail.settings(Setup::new()).start().await;
    channel(&server.client, json!({"to": "lost@a.test"})).await;
    let delivery = server.client.accept_one("a", json!({})).await;

    server.client.delivery_once(delivery, "sent").await;

    let attempts = server.client.attempts(delivery).await;
    assert_eq!(attempts.iter().map(|one| one.status.as_str()).collect::<Vec<_>>(), ["unknown", "delivered"]);
    let ids: Vec<_> = mail.mails(2).await.iter().map(|mail| header(mail, "Message-ID")).collect();
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn a_wrong_password_pauses_the_channel_and_is_shown_nowhere() {
    let mail = MailServer::start();
    let server = mail.trusted(Setup::new().set("POSTRIDER_LOG", "debug")).start().await;
    let wrong = "hunter2-is-not-it";
    let config = json!({"to": "ann@a.test", "smtp_host": "localhost", "smtp_port": mail.port, "smtp_user": USER,
        "smtp_password": wrong});
    let id = channel(&server.client, config).await;
    let delivery = server.client.accept_one("a", json!({})).await;

    let held = server.client.delivery_once(delivery, "held").await;

    assert!(held.reason.as_deref().unwrap().contains("login refused: 535"), "{held:?}");
    assert_eq!(mail.all("login")[0]["tls"], json!(true));
    let shown = [
        server.client.get("/v1/attempts").await.text(),
        server.client.get(&format!("/v1/channels/{id}")).await.text(),
        server.process.stderr.text(),
    ];
    assert!(shown.iter().all(|text| !text.contains(wrong)), "{shown:?}");

    // The right one ends the pause.
    server.client.patch_channel(id, &json!({"config": {"smtp_password": PASSWORD}})).await;
    server.client.delivery_once(delivery, "sent").await;
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_refused_before_the_password() {
    let mail = MailServer::start();
    let url = format!("smtp+starttls://{USER}:{PASSWORD}@localhost:{}", mail.port);
    let server = sender(Setup::new().set("POSTRIDER_SMTP__URL", &url)).start().await;
    channel(&server.client, json!({"to": "ann@a.test"})).await;
    let delivery = server.client.accept_one("a", json!({})).await;
    let held = server.client.delivery_once(delivery, "held").await;
    assert!(held.reason.unwrap().contains("certificate not valid"));
    assert!(mail.all("login").is_empty() && mail.all("mail").is_empty());
}

#[tokio::test]
async fn a_channels_own_server_is_guarded() {
    let mail = MailServer::start();
    let setup = Setup::new().set("POSTRIDER_EGRESS__ALLOW", "");
    let server = mail.settings(setup).start().await;
    let own = json!({"to": "ann@a.test", "smtp_host": "127.0.0.1", "smtp_port": mail.port, "smtp_tls": "none"});
    let guarded = channel(&server.client, own).await;
    let operators = channel(&server.client, json!({"to": "ann@a.test"})).await;
    let accepted = server.client.accept(&json!({"type": "a", "data": {}, "channels": [guarded, operators]})).await;
    let of = |channel: i64| accepted.deliveries.iter().find(|one| one.channel_id == channel).unwrap().id;

    let held = server.client.delivery_once(of(guarded), "held").await;
    server.client.delivery_once(of(operators), "sent").await;

    assert!(held.reason.unwrap().contains("POSTRIDER_EGRESS__ALLOW"));
    assert_eq!(mail.all("mail").len(), 1, "only the operator's own is trusted");
}

#[tokio::test]
async fn without_any_mail_server_a_channel_is_refused() {
    let server = Setup::new().start().await;
    let channel = json!({"name": "Mail", "provider": "email", "config": {"to": "ann@a.test"}});
    let problem = server.client.post("/v1/channels", &channel).await;
    let text = problem.text();
    problem.problem(422);
    for part in ["config.smtp_host", "POSTRIDER_SMTP__URL", "config.from", "POSTRIDER_SMTP__FROM"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn templates_make_html_and_subject() {
    let mut mail = MailServer::start();
    let server = mail.settings(Setup::new()).start().await;
    let channel = json!({"name": "Mail", "provider": "email", "config": {"to": "ann@a.test"},
        "subject_template": "Hi {{ name }}", "body_template": "<p>Dear {{ name }}</p>"});
    server.client.create_channel(&channel).await;
    let delivery = server.client.accept_one("a", json!({"name": "<Ann>\r\nBcc: eve@e.test"})).await;
    server.client.delivery_once(delivery, "sent").await;
    let one = mail.mails(1).await.remove(0);
    assert_eq!(header(&one, "Subject"), "Hi <Ann>  Bcc: eve@e.test");
    let content = one["content"].as_str().unwrap();
    assert!(content.contains("<p>Dear &lt;Ann&gt;"), "{content}");
    let head = content.lines().take_while(|line| !line.is_empty());
    assert_eq!(head.filter(|line| line.starts_with("Bcc")).count(), 0, "{content}");
}
