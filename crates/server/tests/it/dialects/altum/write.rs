//! Handlers made and changed.

use serde_json::{Value, json};

use super::{HANDLERS, Site, errors, path, post_form};

const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0";
const OTHER_TOKEN: &str = "220201543:BBHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1";
const SLACK: &str = "https://hooks.slack.com/services/T00000000/B00000000/abcdefghijklmnopqrstuvwx";

impl Site {
    async fn settings(&self, id: i64) -> Value {
        self.handler(id).await.settings.into()
    }
}

#[tokio::test]
async fn an_absent_field_stays_as_it_is() {
    let site = Site::start().await;
    let bot = [("name", "Bot"), ("type", "telegram"), ("telegram", TOKEN), ("telegram_chat_id", "-100123")];
    let id = site.create(&bot).await;
    site.update(id, &[("telegram_chat_id", "@there")]).await;
    assert_eq!(site.settings(id).await, json!({"telegram": TOKEN, "telegram_chat_id": "@there"}));
    site.update(id, &[("type", "telegram"), ("telegram", OTHER_TOKEN)]).await;
    assert_eq!(site.settings(id).await, json!({"telegram": OTHER_TOKEN, "telegram_chat_id": "@there"}));
    site.update(id, &[("name", "Robot"), ("slack", SLACK), ("nonsense", "x")]).await;
    let handler = site.handler(id).await;
    assert_eq!((handler.name.as_str(), handler.r#type.as_str()), ("Robot", "telegram"));
    assert_eq!(Value::from(handler.settings), json!({"telegram": OTHER_TOKEN, "telegram_chat_id": "@there"}));
    site.update(id, &[]).await;
}

#[tokio::test]
async fn another_type_begins_anew() {
    let site = Site::start().await;
    let id = site.create(&[("name", "N"), ("type", "slack"), ("slack", SLACK)]).await;
    for form in [vec![("type", "telegram")], vec![("type", "telegram"), ("telegram", TOKEN)]] {
        let told = errors(&post_form(&site.client, &path(id), &form).await, 400);
        assert!(told.iter().any(|title| title.starts_with("telegram_chat_id: ")), "{told:?}");
    }
    assert_eq!(site.settings(id).await, json!({"slack": SLACK}), "nothing is half done");
    site.update(id, &[("type", "telegram"), ("telegram", TOKEN), ("telegram_chat_id", "7")]).await;
    let handler = site.handler(id).await;
    assert_eq!((handler.id, handler.r#type.as_str()), (id, "telegram"));
    assert_eq!(Value::from(handler.settings), json!({"telegram": TOKEN, "telegram_chat_id": "7"}));
    site.update(id, &[("type", "internal_notification"), ("internal_notification", "1")]).await;
    assert_eq!(site.settings(id).await, json!({}));
    site.update(id, &[("type", "webhook"), ("webhook", "https://example.com/h")]).await;
    let channel = site.client.channel(id).await;
    assert_eq!((channel.provider.as_str(), &channel.config["format"]), ("webhook", &json!("form")));
    assert_eq!(channel.config.get("secret"), None, "receivers of forms check no signatures");
}

#[tokio::test]
async fn what_is_on_and_off_is_understood() {
    let site = Site::start().await;
    for (text, expected) in [
        ("1", true),
        ("0", false),
        ("true", true),
        ("False", false),
        ("ON", true),
        ("off", false),
        ("yes", true),
        ("No", false),
        ("", false),
    ] {
        let form = [("name", "N"), ("type", "internal_notification"), ("is_enabled", text)];
        let id = site.create(&form).await;
        assert_eq!(site.handler(id).await.is_enabled, expected, "{text:?}");
        site.update(id, &[("is_enabled", if expected { "0" } else { "1" })]).await;
        site.update(id, &[("is_enabled", text)]).await;
        assert_eq!(site.handler(id).await.is_enabled, expected, "{text:?}");
        site.update(id, &[("name", "M")]).await;
        assert_eq!(site.handler(id).await.is_enabled, expected, "absent");
    }
    for text in ["2", "-1", "enabled", " 1", "ja"] {
        let form = [("name", "N"), ("type", "internal_notification"), ("is_enabled", text)];
        let told = errors(&post_form(&site.client, HANDLERS, &form).await, 400);
        assert!(told[0].starts_with("is_enabled: "), "{told:?}");
    }
}

#[tokio::test]
async fn times_are_those_of_making_and_changing() {
    let site = Site::start().await;
    let id = site.create_named("N").await;
    let made = site.handler(id).await;
    assert_eq!(made.last_datetime, None);
    let is_time = |text: &str| format!("{}Z", text.replace(' ', "T")).parse::<jiff::Timestamp>().is_ok();
    assert!(is_time(&made.datetime) && made.datetime.len() == 19, "{}", made.datetime);
    let in_v1 = site.client.channel(id).await.created_at;
    assert_eq!(made.datetime, in_v1[..19].replace('T', " "));
    site.update(id, &[("name", "M")]).await;
    let changed = site.handler(id).await;
    assert_eq!(changed.datetime, made.datetime);
    let in_v1 = site.client.channel(id).await.updated_at.expect("it was changed");
    assert_eq!(changed.last_datetime, Some(in_v1[..19].replace('T', " ")));
}

/// A webhook's credentials are a part of its URL here, and go nowhere else.
#[tokio::test]
async fn credentials_stay_with_their_address() {
    let site = Site::start().await;
    let url = "https://ann:s%3Acret@example.com/hook?a=b";
    let id = site.create(&[("name", "N"), ("type", "webhook"), ("webhook", url)]).await;
    assert_eq!(site.settings(id).await, json!({"webhook": url}));
    let channel = site.client.channel(id).await;
    assert_eq!(
        (&channel.config["url"], &channel.config["basic_user"]),
        (&json!("https://example.com/hook?a=b"), &json!("ann"))
    );
    site.update(id, &[("webhook", url), ("name", "M")]).await;
    assert_eq!(site.settings(id).await, json!({"webhook": url}));
    site.update(id, &[("webhook", "https://elsewhere.example.com/")]).await;
    assert_eq!(site.settings(id).await, json!({"webhook": "https://elsewhere.example.com/"}));
    let channel = site.client.channel(id).await;
    assert!(channel.config.get("basic_user").is_none() && channel.config.get("basic_password").is_none());
    assert_eq!(channel.config["format"], "form", "it stays what it was made as");
}

#[tokio::test]
async fn what_was_made_elsewhere_keeps_its_form() {
    let site = Site::start().await;
    let made =
        site.client.webhook("https://example.com/a", json!({"body_template": "x", "event_types": ["a.*"]})).await;
    site.update(made.id, &[("webhook", "https://example.com/b"), ("name", "B")]).await;
    let changed = site.client.channel(made.id).await;
    assert_eq!((changed.name.as_str(), &changed.config["url"]), ("B", &json!("https://example.com/b")));
    assert_eq!((&changed.config["format"], changed.dialect.as_deref()), (&json!("standard"), None));
    assert_eq!((changed.event_types, changed.body_template), (made.event_types, made.body_template));
}
