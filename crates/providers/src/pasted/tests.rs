//! Every form of every provider, what is wrong with those that are not whole, and that no error repeats what it was
//! given.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::read;
use crate::{all, create};

fn check(url: &str, provider: &str, config: Value) {
    let (found, said) = read(url).unwrap_or_else(|message| panic!("{url}: {message}"));
    assert_eq!((found.spec().name, Value::Object(said)), (provider, config), "{url}");
}

#[test]
fn chats_are_read() {
    let hook = |url: &str| json!({"webhook_url": url});
    let slack = hook("https://hooks.slack.com/services/T00/B00/XYZ");
    check("slack://T00/B00/XYZ", "slack", slack.clone());
    check(" SLACK://bot@T00/B00/XYZ/?image=no ", "slack", slack);
    check("discord://1234/tok-en_1", "discord", hook("https://discord.com/api/webhooks/1234/tok-en_1"));
    check(
        "discord://Bot@1234/token/?tts=no&thread=42",
        "discord",
        hook("https://discord.com/api/webhooks/1234/token?thread_id=42"),
    );
    check(
        "gchat://SPACE/key-1/token%3D",
        "google_chat",
        hook("https://chat.googleapis.com/v1/spaces/SPACE/messages?key=key-1&token=token%3D"),
    );
    check(
        "msteams://acme/aa@bb/cc/dd/ee",
        "microsoft_teams",
        hook("https://acme.webhook.office.com/webhookb2/aa@bb/IncomingWebhook/cc/dd/ee"),
    );
    check(
        "msteams://aa@bb/cc/dd",
        "microsoft_teams",
        hook("https://outlook.office.com/webhook/aa@bb/IncomingWebhook/cc/dd"),
    );
    check(
        "workflows://prod-1.westeurope.logic.azure.com:443/wid/sig-1",
        "microsoft_teams",
        hook(
            "https://prod-1.westeurope.logic.azure.com/workflows/wid/triggers/manual/paths/invoke\
             ?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=sig-1",
        ),
    );
    check(
        "workflow://a.environment.api.powerplatform.com/wid/sig?pa=yes",
        "microsoft_teams",
        hook(
            "https://a.environment.api.powerplatform.com/powerautomate/automations/direct/workflows/wid/triggers/manual\
             /paths/invoke?api-version=1&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=sig",
        ),
    );
    check("tgram://123:AB-c/-1001", "telegram", json!({"bot_token": "123:AB-c", "chat_id": "-1001"}));
    check(
        "tgram://bot123:ABc/news:7/?format=markdown&mdv=v2",
        "telegram",
        json!({"bot_token": "123:ABc", "chat_id": "@news", "message_thread_id": "7", "parse_mode": "MarkdownV2"}),
    );
}

#[test]
fn webhooks_are_read() {
    check(
        "jsons://ann:p%40ss@example.com:8443/a/b?+X-Team=billing+2&-source=postrider&format=text",
        "webhook",
        json!({"url": "https://example.com:8443/a/b?source=postrider", "format": "standard",
               "headers": {"X-Team": "billing 2"}, "basic_user": "ann", "basic_password": "p@ss"}),
    );
    check("form://localhost", "webhook", json!({"url": "http://localhost/", "format": "form", "headers": {}}));
}

#[test]
fn mails_are_read() {
    check("mailto://ann@example.com", "email", json!({"to": ["ann@example.com"]}));
    check("mailtos://example.com?to=a@x.test,b@x.test", "email", json!({"to": ["a@x.test", "b@x.test"]}));
    check(
        "mailto://ann:secret@gmail.com/bob@example.com?name=Ann&reply=c@x.test",
        "email",
        json!({"to": ["bob@example.com"], "from": "Ann <ann@gmail.com>", "reply_to": "c@x.test",
               "smtp_host": "smtp.gmail.com", "smtp_tls": "starttls", "smtp_user": "ann@gmail.com",
               "smtp_password": "secret"}),
    );
    check(
        "mailtos://example.com:465?user=ann&pass=secret&smtp=mail.example.com&cc=b@x.test",
        "email",
        json!({"to": ["b@x.test"], "from": "ann@example.com", "smtp_host": "mail.example.com", "smtp_port": "465",
               "smtp_tls": "implicit", "smtp_user": "ann", "smtp_password": "secret"}),
    );
    check(
        "mailto://ann@example.com?smtp=10.0.0.1",
        "email",
        json!({"to": ["ann@example.com"], "from": "ann@example.com", "smtp_host": "10.0.0.1", "smtp_tls": "none"}),
    );
}

#[test]
fn what_is_not_whole_is_told_what_is_right() {
    let check = |url: &str, part: &str| {
        let message = read(url).map(|(provider, _)| provider.spec().name).unwrap_err();
        assert!(message.contains(part), "{url}: {message}");
    };
    check("", "slack://");
    check("pager://abc", "workflows://");
    check("slack:T00/B00/X", "must begin with one of");
    check("https://hooks.slack.com/services/T/B/X", "which provider");
    check("slack://T00/B00", "slack://TOKEN_A");
    check("slack://T00/B00/X/%23general", "its own channel");
    check("slack://xoxb-1/x", "incoming webhook");
    check("discord://name/token", "Discord channel");
    check("discord://1234", "two parts");
    check("tgram://123:abc", "one chat");
    check("tgram://123:abc/1/2", "several chats");
    check("tgram://nonsense/1", "a bot's token");
    check("gchat://space/key", "three parts");
    check("msteams://team/a/b", "three tokens");
    check("workflows://host", "a signature");
    check("json://", "name a host");
    check("json://example.com?method=GET", "POST");
    check("form://example.com?:a=b", "body_template");
    check("mailto://", "E-mail channel");
    check("mailto://:secret@example.com?to=a@x.test", "no user");
    check("json://exam\nple.com", "single line");
    check(&format!("json://example.com/{}", "x".repeat(3000)), "2048");
}

/// A scheme, whole or nearly so, and anything after it.
fn urls() -> impl Strategy<Value = String> {
    let schemes: Vec<_> = all().iter().flat_map(|one| one.pasted()).flat_map(|form| form.schemes).copied().collect();
    let parts = prop::collection::vec("[A-Za-z0-9_%@:?&=+#./ -]{0,12}", 0..6);
    (prop::sample::select(schemes), parts).prop_map(|(scheme, parts)| format!("{scheme}://{}", parts.join("/")))
}

proptest! {
    #[test]
    fn whatever_is_pasted_gives_a_config_that_is_taken_or_an_error(url in urls()) {
        if let Ok((provider, config)) = read(&url) {
            prop_assert!(create(provider, &config).is_ok());
        }
    }

    #[test]
    fn anything_at_all_is_answered(text in ".{0,200}") {
        let _ = read(&text);
    }

    #[test]
    fn no_error_repeats_a_secret(secret in "Zq[0-9a-f]{16}", before in "[a-z]{1,3}", url in urls()) {
        for place in [format!("{url}/{secret}/{before}"), url.replacen("://", &format!("://{before}:{secret}@"), 1)] {
            if let Err(message) = read(&place) {
                prop_assert!(!message.contains(&secret), "{message}");
            }
        }
    }
}
