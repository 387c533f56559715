//! `/u/{token}`: the link of a mail clears exactly its flag.

use http::Method;
use serde_json::{Value, json};

use super::{Aether, PATH};
use crate::harness::Setup;
use crate::mail::harness::{MailServer, header};

fn setup(mail: &MailServer) -> Setup {
    Setup::new()
        .set("POSTRIDER_SMTP__URL", &format!("smtp://127.0.0.1:{}", mail.port))
        .set("POSTRIDER_SMTP__FROM", "noreply@aether365.test")
        .set("POSTRIDER_SERVER__PUBLIC_URL", "https://post.test")
}

/// The path of a mail's link.
fn path(mail: &Value) -> String {
    let link = header(mail, "List-Unsubscribe");
    link.strip_prefix("<https://post.test").and_then(|rest| rest.strip_suffix('>')).expect("a link").to_owned()
}

#[tokio::test]
async fn one_click_ends_mails_of_one_kind() {
    let mut mail = MailServer::start_plain();
    let aether = Aether::start(setup(&mail)).await;
    for event_type in ["scan.completed", "scan.failed"] {
        let delivery = aether.client.accept_one(event_type, json!({})).await;
        aether.client.delivery_once(delivery, "sent").await;
    }
    let mails = mail.mails(2).await;
    let stranger = aether.server.client_with("");
    let form = [("content-type", "application/x-www-form-urlencoded")];

    // Looking at the page changes nothing.
    let page = stranger.get(&path(&mails[0])).await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.text().contains("scans that complete") && page.text().contains("<form method=\"post\">"));
    assert!(page.header("content-security-policy").is_some());
    assert_eq!(aether.get().await, super::defaults());

    // What a mail program sends (RFC 8058); a second time does no harm.
    for _ in 0..2 {
        let done = stranger.send(Method::POST, &path(&mails[0]), &form, "List-Unsubscribe=One-Click").await;
        assert_eq!(done.status.as_u16(), 200);
        assert!(done.text().contains("no more mails about scans that complete"));
        let mut expected = super::defaults();
        expected["data"]["emailOnComplete"] = false.into();
        assert_eq!(aether.get().await, expected);
    }
    assert!(aether.client.accept(&json!({"type": "scan.completed", "data": {}})).await.deliveries.is_empty());
    aether.client.accept_one("scan.failed", json!({})).await;

    // The button of the page sends nothing.
    assert_eq!(stranger.send(Method::POST, &path(&mails[1]), &form, "").await.status.as_u16(), 200);
    assert_eq!(aether.client.get(PATH).await.read::<Value>(200)["data"]["emailOnFail"], false);
}

#[tokio::test]
async fn a_link_that_nobody_made_does_nothing() {
    let mut mail = MailServer::start_plain();
    let aether = Aether::start(setup(&mail)).await;
    aether.client.accept_one("scan.failed", json!({})).await;
    let good = path(&mail.mails(1).await[0]);
    let stranger = aether.server.client_with("");
    let (before, signature) = good.rsplit_once('.').unwrap();
    let tenant = before.strip_suffix(".scan.failed").unwrap();
    // The link of one flag is not that of the other with another type in it.
    let [other_flag, other_type, other_tenant] =
        [format!("{tenant}.scan.completed"), format!("{tenant}.invoice.paid"), "/u/1.scan.failed".to_owned()]
            .map(|start| format!("{start}.{signature}"));
    assert_ne!(other_tenant, good);
    for wrong in ["/u/x", "/u/x.scan.failed", &other_flag, &other_type, &other_tenant, before, &good[..good.len() - 1]]
    {
        for method in [Method::GET, Method::POST] {
            let answer = stranger.send(method, wrong, &[], "").await;
            assert_eq!(answer.status.as_u16(), 404, "{wrong}");
            assert!(answer.text().contains("not valid"));
        }
    }
    assert_eq!(aether.get().await, super::defaults());
    // A link dies with its tenant.
    aether.server.client.delete("/v1/tenants/acme").await;
    assert_eq!(stranger.send(Method::POST, &good, &[], "").await.status.as_u16(), 404);
}
