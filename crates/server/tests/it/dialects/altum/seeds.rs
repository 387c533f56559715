//! Every request of the original's documentation, by the real curl, against its samples.

use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};

use super::{HANDLERS, Site, errors, post_form, setup};

/// One site's page.
struct Page {
    site: &'static str,
    host: &'static str,
}

const PAGES: [Page; 2] =
    [Page { site: "prouvia", host: "https://prouvia.com" }, Page { site: "bitpeak", host: "https://bitpeak.ru" }];

/// What curl got: the status, the content type and the body.
#[derive(Debug)]
struct Got {
    status: u16,
    content_type: String,
    body: String,
}

impl Page {
    fn read(&self, name: &str) -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/dialects/altum/fixtures").join(self.site);
        std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn parameters(&self) -> Value {
        serde_json::from_str(&self.read("parameters.json")).expect("JSON")
    }

    /// A server with a tenant that may have what the page lists.
    async fn start(&self) -> Site {
        let tenant = json!({"name": self.site, "providers": self.parameters()["types"]});
        Site::of_tenant(setup().start().await, &tenant).await
    }

    /// Runs a command of the page.
    fn curl(&self, site: &Site, command: &str, id: i64) -> Got {
        let script = self.read(&format!("{command}.sh"));
        let here = format!("http://{}", site.server.address);
        let script = script.replace(self.host, &here).replace("{api_key}", &site.key);
        let script = script.replace("{notification_handler_id}", &id.to_string());
        let told = "\\n%{http_code} %{content_type}";
        let script = format!("{} --silent --show-error --write-out '{told}'", script.trim_end());
        let output = Command::new("sh").args(["-c", &script]).output().expect("a shell");
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("text");
        let (body, told) = text.rsplit_once('\n').expect("what curl was asked to tell");
        let (status, content_type) = told.split_once(' ').expect("a status and a content type");
        Got { status: status.parse().expect("a status"), content_type: content_type.to_owned(), body: body.to_owned() }
    }

    /// A sample as this server should give it: from its own address, and at this time.
    fn sample(&self, site: &Site, name: &str, datetime: &str) -> String {
        let sample = self.read(&format!("{name}.json"));
        let value: Value = serde_json::from_str(&sample).expect("JSON");
        let shown = [&value["data"]["datetime"], &value["data"][0]["datetime"]].into_iter().find_map(Value::as_str);
        let sample = sample.replace(shown.unwrap_or("never"), datetime);
        compact(&sample.replace(self.host, &format!("http://{}", site.server.address)))
    }
}

/// JSON without spaces between its tokens, its keys in the order that they have.
fn compact(json: &str) -> String {
    let mut is_text = false;
    let mut out = String::new();
    for character in json.chars() {
        is_text ^= character == '"';
        if is_text || !character.is_whitespace() {
            out.push(character);
        }
    }
    out
}

#[tokio::test]
async fn what_is_listed_and_shown_is_the_sample_to_the_byte() {
    for page in PAGES {
        let site = page.start().await;
        let id = site.create(&[("name", "Work email"), ("type", "email"), ("email", "hey@example.com")]).await;
        assert_eq!(id, 1, "the page shows the first handler");
        let datetime = site.handler(id).await.datetime;
        for command in ["list", "show"] {
            let got = page.curl(&site, command, id);
            assert_eq!((got.status, got.content_type.as_str()), (200, "application/json"), "{got:?}");
            assert_eq!(got.body, page.sample(&site, command, &datetime), "{} {command}", page.site);
        }
    }
}

#[tokio::test]
async fn what_is_made_changed_and_deleted_answers_as_the_page_says() {
    for page in PAGES {
        let site = page.start().await;
        let made = page.curl(&site, "create", 0);
        assert_eq!((made.status, made.content_type.as_str()), (201, "application/json"), "{made:?}");
        assert_eq!(made.body, page.sample(&site, "create", ""));
        let handler = site.handler(1).await;
        assert_eq!((handler.name.as_str(), handler.r#type.as_str()), ("Example", "email"));
        assert_eq!(Value::from(handler.settings), json!({"email": "hello@example.com"}));
        assert!(handler.is_enabled && handler.last_datetime.is_none());

        site.update(1, &[("is_enabled", "0")]).await;
        let changed = page.curl(&site, "update", 1);
        assert_eq!((changed.status, changed.content_type.as_str()), (200, "application/json"), "{changed:?}");
        assert_eq!(changed.body, page.sample(&site, "update", ""));
        let handler = site.handler(1).await;
        assert_eq!((handler.name.as_str(), handler.is_enabled), ("Example new name", true));
        assert_eq!(Value::from(handler.settings), json!({"email": "hello@example.com"}), "absent stays");
        let changed_at = handler.last_datetime.expect("it was changed");
        assert!(changed_at.len() == 19 && changed_at >= handler.datetime, "{changed_at}");

        let deleted = page.curl(&site, "delete", 1);
        assert_eq!((deleted.status, deleted.content_type.as_str()), (200, "application/json"), "{deleted:?}");
        assert_eq!(deleted.body, "");
        assert_eq!(page.curl(&site, "show", 1).status, 404);
        assert_eq!(page.curl(&site, "delete", 1).status, 404);
        assert_eq!(site.list("").await.meta.total, 0);
    }
}

/// A good value for every field of the page.
fn value_of(field: &str) -> &'static str {
    let (provider, key) = match field {
        "email" => return "ann@example.com",
        "webhook" => ("webhook", "url"),
        "telegram" => ("telegram", "bot_token"),
        "telegram_chat_id" => ("telegram", "chat_id"),
        x if x.starts_with("x_") => ("x", &x[2..]),
        chat => (chat, "webhook_url"),
    };
    providers::find(provider).and_then(|provider| provider.spec().field(key)).expect("a field").example
}

#[tokio::test]
async fn every_type_of_the_page_is_taken_with_its_fields_and_no_other() {
    for page in PAGES {
        let site = page.start().await;
        let parameters = page.parameters();
        let allowed: Vec<&str> = parameters["types"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        for kind in allowed.iter().copied() {
            let fields: Vec<&str> =
                parameters["fields"][kind].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let mut form = vec![("name", "N"), ("type", kind)];
            // What is of another type is passed over.
            form.extend(
                ["email", "slack", "telegram"]
                    .iter()
                    .filter(|other| !fields.contains(other))
                    .map(|other| (*other, "x")),
            );
            form.extend(fields.iter().map(|field| (*field, value_of(field))));
            let handler = site.handler(site.create(&form).await).await;
            let expected: Map<String, Value> =
                fields.iter().map(|field| ((*field).to_owned(), value_of(field).into())).collect();
            assert_eq!((handler.r#type.as_str(), handler.settings), (kind, expected));
            for missing in &fields {
                let form: Vec<_> = form.iter().copied().filter(|(field, _)| field != missing).collect();
                let told = errors(&post_form(&site.client, HANDLERS, &form).await, 400);
                assert!(told.iter().any(|title| title.starts_with(&format!("{missing}: "))), "{kind}: {told:?}");
            }
        }
        let others = ["x", "google_chat", "internal_notification", "twilio", "pigeon"];
        for kind in others.into_iter().filter(|kind| !allowed.contains(kind)) {
            let mut form = vec![("name", "N"), ("type", kind), ("google_chat", value_of("google_chat"))];
            let keys = ["x_consumer_key", "x_consumer_secret", "x_access_token", "x_access_token_secret"];
            form.extend(keys.map(|field| (field, value_of(field))));
            let told = errors(&post_form(&site.client, HANDLERS, &form).await, 400);
            assert!(told[0].starts_with("type: "), "{} {kind}: {told:?}", page.site);
            // Nor does a handler become one.
            let first = site.list("?order_type=ASC").await.data[0].id;
            errors(&post_form(&site.client, &super::path(first), &form).await, 400);
        }
        assert_eq!(site.list("").await.meta.total, allowed.len() as u64);
    }
}

#[tokio::test]
async fn pages_have_the_sizes_of_the_page() {
    let page = &PAGES[0];
    let site = page.start().await;
    for size in page.parameters()["results_per_page"].as_array().unwrap() {
        assert_eq!(json!(site.list(&format!("?results_per_page={size}")).await.meta.results_per_page), *size);
    }
}

#[test]
fn compact_leaves_texts_alone() {
    assert_eq!(compact("{\n \"a b\": [1, null]\n}\n"), "{\"a b\":[1,null]}");
}
