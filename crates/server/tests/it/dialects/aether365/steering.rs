//! The settings steer real deliveries: mail to the tenant's address, messages to Teams.

use serde_json::{Value, json};

use super::{Aether, PATH};
use crate::harness::{Accepted, Channel, Page, Receiver, Reply, Setup};
use crate::mail::harness::{MailServer, header};

/// An operator with a mail server, a sender and a Teams of their own.
fn setup(mail: &MailServer, teams: &Receiver) -> Setup {
    teams.always("/hook", Reply::status(200).body("1"));
    Setup::new()
        .set("POSTRIDER_SMTP__URL", &format!("smtp://127.0.0.1:{}", mail.port))
        .set("POSTRIDER_SMTP__FROM", "Aether365 <noreply@aether365.test>")
        .set("POSTRIDER_PROVIDERS__MICROSOFT_TEAMS__BASE_URL", &teams.url(""))
        .set("POSTRIDER_SERVER__PUBLIC_URL", "https://post.test")
}

fn scan(event_type: &str) -> Value {
    json!({"type": event_type, "data": {"id": "scan_1", "scan_type": "compliance", "completed_at": "2026-05-04T03:02:01Z",
        "score": 87, "pass_count": 120, "fail_count": 17, "skip_count": 3, "url": "https://app.aether365.test/scans/1",
        "failures_by_severity": {"critical": 1, "high": 2, "medium": 5, "low": 9}}})
}

impl Aether {
    /// How many deliveries an event makes, each sent.
    async fn sent(&self, event_type: &str) -> usize {
        let accepted = self.client.accept(&scan(event_type)).await;
        for made in &accepted.deliveries {
            self.client.delivery_once(made.id, "sent").await;
        }
        accepted.deliveries.len()
    }

    async fn channels(&self) -> Vec<Channel> {
        self.client.get("/v1/channels").await.read::<Page<Channel>>(200).data
    }
}

#[tokio::test]
async fn a_new_tenant_gets_mail_without_setting_anything() {
    let (mut mail, teams) = (MailServer::start_plain(), Receiver::start().await);
    let aether = Aether::start(setup(&mail, &teams)).await;
    assert!(aether.channels().await.is_empty(), "whoever never sends a scan has no channel of this");
    assert!(aether.client.accept(&json!({"type": "invoice.paid", "data": {}})).await.deliveries.is_empty());
    assert!(aether.channels().await.is_empty());

    assert_eq!(aether.sent("scan.completed").await, 1);

    let one = mail.mails(1).await.remove(0);
    assert_eq!((&one["to"], &one["sender"]), (&json!(["owner@acme.test"]), &json!("noreply@aether365.test")));
    assert_eq!(header(&one, "Subject"), "Compliance scan completed: Acme <Ltd>");
    let content = one["content"].as_str().unwrap().replace("=\r\n", "").replace("=\n", "").replace("=3D", "=");
    for part in [
        "Compliance scan completed",
        "Acme &lt;Ltd&gt;",
        "2026-05-04T03:02:01Z",
        "<b>87</b>",
        "120",
        "17",
        "Critical",
        "https://app.aether365.test/scans/1",
        "https://post.test/u/",
        "text/plain",
        "text/html",
    ] {
        assert!(content.contains(part), "{part}: {content}");
    }
    assert!(header(&one, "List-Unsubscribe").starts_with("<https://post.test/u/"));
    assert_eq!(header(&one, "List-Unsubscribe-Post"), "List-Unsubscribe=One-Click");

    assert_eq!(aether.sent("scan.failed").await, 1);
    assert_eq!(header(&mail.mails(2).await[1], "Subject"), "Compliance scan failed: Acme <Ltd>");
    assert_eq!(aether.get().await, super::defaults(), "what held by default is what is set");
}

#[tokio::test]
async fn the_four_flags_steer_what_is_sent() {
    let (mut mail, teams) = (MailServer::start_plain(), Receiver::start().await);
    let aether = Aether::start(setup(&mail, &teams)).await;
    let url = "https://outlook.office.com/hook";
    let (mut mails, mut messages) = (0, 0);
    for flags in 0..16 {
        let is_set = |bit: u32| flags & (1 << bit) != 0;
        let patch = json!({"emailOnComplete": is_set(0), "emailOnFail": is_set(1), "teamsWebhookUrl": url,
            "teamsOnComplete": is_set(2), "teamsOnFail": is_set(3)});
        let answer = aether.patch(patch.clone()).await;
        assert_eq!(answer["data"], patch);
        for (event_type, [by_mail, by_teams]) in
            [("scan.completed", [is_set(0), is_set(2)]), ("scan.failed", [is_set(1), is_set(3)])]
        {
            let expected = usize::from(by_mail) + usize::from(by_teams);
            assert_eq!(aether.sent(event_type).await, expected, "{patch} {event_type}");
            mails += usize::from(by_mail);
            messages += usize::from(by_teams);
            assert_eq!(
                (mail.mails(mails).await.len(), teams.count("/hook")),
                (mails, messages),
                "{patch} {event_type}"
            );
        }
    }
    let cards: Vec<Value> = teams.received("/hook").iter().map(crate::harness::Received::json).collect();
    let card = &cards[0]["attachments"][0];
    assert_eq!(card["contentType"], "application/vnd.microsoft.card.adaptive");
    let text = card["content"]["body"][0]["text"].as_str().unwrap();
    for part in [
        "Compliance scan completed",
        "87",
        "Passed 120, failed 17, skipped 3",
        "critical 1, high 2, medium 5, low 9",
        "[Open the results](https://app.aether365.test/scans/1)",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Without a URL nothing goes to Teams, whatever the flags say.
    aether.patch(json!({"teamsWebhookUrl": null})).await;
    assert_eq!(aether.sent("scan.failed").await, 1);
    assert_eq!(teams.count("/hook"), messages);
}

#[tokio::test]
async fn a_tenant_without_an_address_gets_a_verdict() {
    let (mut mail, teams) = (MailServer::start_plain(), Receiver::start().await);
    let aether = Aether::with_tenant(setup(&mail, &teams), json!({"name": "Acme"})).await;
    let accepted: Accepted = aether.client.accept(&scan("scan.completed")).await;
    let channel = aether.channels().await.remove(0);
    assert!(accepted.deliveries.is_empty());
    assert_eq!(accepted.reasons(), [(channel.id, "channel_inactive")]);

    // With an address, and with another, mail goes there.
    for (number, email) in ["first@acme.test", "second@acme.test"].into_iter().enumerate() {
        let tenant = json!({"name": "Acme", "email": email}).to_string();
        aether.server.client.send(http::Method::PUT, "/v1/tenants/acme", &[], tenant).await.read::<Value>(200);
        assert_eq!(aether.sent("scan.completed").await, 1);
        assert_eq!(mail.mails(number + 1).await[number]["to"], json!([email]));
    }
}

#[tokio::test]
async fn steered_channels_are_changed_by_their_settings_only() {
    let (mail, teams) = (MailServer::start_plain(), Receiver::start().await);
    let aether = Aether::start(setup(&mail, &teams)).await;
    aether.patch(json!({"teamsWebhookUrl": "https://teams.test/hook", "teamsOnFail": true})).await;
    let channels = aether.channels().await;
    let shown: Vec<_> =
        channels.iter().map(|one| (one.provider.as_str(), one.managed, one.dialect.as_deref())).collect();
    assert_eq!(shown, [("email", true, Some("aether365")), ("microsoft_teams", true, Some("aether365"))]);
    let client = &aether.client;
    for channel in &channels {
        let path = format!("/v1/channels/{}", channel.id);
        for refused in [
            client.patch(&path, &json!({"name": "Mine"})).await,
            client.patch(&path, &json!({"is_active": false})).await,
            client.delete(&path).await,
            client.post("/v1/subscriptions", &json!({"channel_id": channel.id, "event_type": "a"})).await,
        ] {
            assert!(refused.problem(409).detail.contains("aether365 settings"), "{}", refused.text());
        }
    }
    let subscriptions: Value = client.get("/v1/subscriptions").await.read(200);
    let first = subscriptions["data"][0]["id"].as_i64().unwrap();
    client.delete(&format!("/v1/subscriptions/{first}")).await.problem(409);
    assert_eq!(aether.channels().await, channels);
    assert_eq!(client.get("/api/webhooks").await.read::<Value>(200), json!([]), "no other dialect shows them");

    // Saying the same again changes nothing; without a URL there is one channel less.
    aether.patch(json!({"teamsOnFail": true})).await;
    assert_eq!(aether.channels().await, channels);
    aether.patch(json!({"teamsWebhookUrl": null})).await;
    assert_eq!(aether.channels().await, channels[..1]);
}

#[tokio::test]
async fn a_refused_teams_url_goes_on_when_it_is_set_again() {
    let (mail, teams) = (MailServer::start_plain(), Receiver::start().await);
    let aether = Aether::start(setup(&mail, &teams)).await;
    teams.script("/hook", [Reply::status(404)]);
    let set = json!({"emailOnFail": false, "teamsWebhookUrl": "https://outlook.office.com/hook", "teamsOnFail": true});
    aether.patch(set.clone()).await;
    let delivery = aether.client.accept(&scan("scan.failed")).await.deliveries[0].id;
    aether.client.delivery_once(delivery, "held").await;
    aether.patch(set).await;
    aether.client.delivery_once(delivery, "sent").await;
}

#[tokio::test]
async fn the_operator_may_leave_mail_off_by_default() {
    let (mail, teams) = (MailServer::start_plain(), Receiver::start().await);
    let setup = setup(&mail, &teams).set("POSTRIDER_AETHER365__MAILS_BY_DEFAULT", "false");
    let aether = Aether::start(setup).await;
    assert_eq!(aether.sent("scan.completed").await, 0);
    assert_eq!(aether.client.get(PATH).await.read::<Value>(200)["data"]["emailOnComplete"], false);
    aether.patch(json!({"emailOnComplete": true})).await;
    assert_eq!(aether.sent("scan.completed").await, 1);
}

/// Links in mails follow the operator's settings, also of channels that were made before.
#[tokio::test]
async fn links_follow_the_public_url() {
    let (mut mail, teams) = (MailServer::start_plain(), Receiver::start().await);
    let setup = setup(&mail, &teams);
    let aether = Aether::start(setup.clone()).await;
    aether.sent("scan.failed").await;
    let Aether { server, key, .. } = aether;
    server.stop().await;
    let server = setup.set("POSTRIDER_SERVER__PUBLIC_URL", "https://moved.test/base").start().await;
    let client = server.client_with(&key);
    let delivery = client.accept(&scan("scan.failed")).await.deliveries[0].id;
    client.delivery_once(delivery, "sent").await;
    assert!(header(&mail.mails(2).await[1], "List-Unsubscribe").starts_with("<https://moved.test/base/u/"));
}
