//! Secrets are in clear for those who may write, and masked for others; a mask that comes back changes nothing.

use serde_json::{Value, json};

use super::{Data, HANDLERS, Handler, List, Site, path};

const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0";
const SLACK: &str = "https://hooks.slack.com/services/T00000000/B00000000/abcdefghijklmnopqrstuvwx";

#[tokio::test]
async fn a_mask_that_comes_back_means_unchanged() {
    let site = Site::start().await;
    let reader = site.client_for(&["channels:read"]).await;
    let keys = [
        ("x_consumer_key", "ck1"),
        ("x_consumer_secret", "cs1"),
        ("x_access_token", "at1"),
        ("x_access_token_secret", "as1"),
    ];
    let handlers: [(Vec<(&str, &str)>, Value); 4] = [
        (
            vec![("type", "telegram"), ("telegram", TOKEN), ("telegram_chat_id", "7")],
            json!({"telegram": "********", "telegram_chat_id": "7"}),
        ),
        (vec![("type", "slack"), ("slack", SLACK)], json!({"slack": "https://hooks.slack.com/********"})),
        (
            vec![("type", "webhook"), ("webhook", "https://ann:secret@example.com/")],
            json!({"webhook": "https://ann:********@example.com/"}),
        ),
        (
            [vec![("type", "x")], keys.to_vec()].concat(),
            Value::Object(keys.iter().map(|(key, _)| ((*key).to_owned(), "********".into())).collect()),
        ),
    ];
    for (fields, masked) in handlers {
        let id = site.create(&[vec![("name", "N")], fields].concat()).await;
        let clear = site.handler(id).await.settings;
        let shown: Data<Handler> = reader.get(&path(id)).await.read(200);
        assert_eq!(Value::from(shown.data.settings.clone()), masked);
        let listed: List = reader.get(HANDLERS).await.read(200);
        assert_eq!(listed.data[0], shown.data);
        let back: Vec<(&str, &str)> =
            shown.data.settings.iter().map(|(key, text)| (key.as_str(), text.as_str().unwrap())).collect();
        site.update(id, &back).await;
        assert_eq!(site.handler(id).await.settings, clear);
        // The native API never shows them.
        let text = site.client.get(&format!("/v1/channels/{id}")).await.text();
        for secret in [TOKEN, "abcdefghijklmnopqrstuvwx", "ann:secret", "cs1"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}

/// The order of the keys of an object is that of the documentation's table.
#[tokio::test]
async fn settings_stand_in_the_order_of_their_type() {
    let site = Site::start().await;
    let fields = [
        ("name", "N"),
        ("type", "x"),
        ("x_access_token_secret", "d"),
        ("x_access_token", "c"),
        ("x_consumer_secret", "b"),
        ("x_consumer_key", "a"),
    ];
    let id = site.create(&fields).await;
    let text = site.client.get(&path(id)).await.text();
    let expected =
        r#""settings":{"x_consumer_key":"a","x_consumer_secret":"b","x_access_token":"c","x_access_token_secret":"d"}"#;
    assert!(text.contains(expected), "{text}");
}
