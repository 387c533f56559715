//! Stand-ins for the services: each takes what its service takes and no more. What is refused is told when the test asks,
//! by [`StandIn::check`].

use serde_json::{Value, json};

use crate::harness::{Received, Receiver, Reply};

/// What is known of a service.
pub(super) struct Service {
    pub(super) provider: &'static str,
    pub(super) config: fn() -> Value,
    /// Where its messages arrive, with the query.
    path: &'static str,
    pub(super) accepted: fn() -> Reply,
    pub(super) throttled: fn() -> Reply,
    /// Whether that wait is longer than a test's.
    pub(super) waits_long: bool,
    /// A refusal of everything, and a part of the reason that the owner reads.
    pub(super) refused: fn() -> (Reply, &'static str),
    /// What is wrong with a message.
    fault: fn(&Received, &Value) -> Option<&'static str>,
}

pub(super) const SERVICES: &[Service] = &[
    Service {
        provider: "slack",
        config: || json!({"webhook_url": "https://hooks.slack.com/services/T1/B1/s3cret-s3cret-s3cret"}),
        path: "/services/T1/B1/s3cret-s3cret-s3cret",
        accepted: || Reply::status(200).body("ok"),
        throttled: || Reply::status(429).header("retry-after", "1"),
        waits_long: false,
        refused: || (Reply::status(404).body("no_service"), "no_service"),
        fault: |_, body| {
            let blocks = body["attachments"][0]["blocks"].as_array().cloned().unwrap_or_default();
            let texts = blocks.iter().map(|block| &block["text"]["text"]);
            let fields = blocks.iter().flat_map(|block| block["fields"].as_array().cloned().unwrap_or_default());
            let is_long = fields.into_iter().any(|field| chars(&field["text"]) > 2000);
            first(&[
                (chars(&body["text"]) == 0, "no_text"),
                (chars(&body["text"]) > 4000, "text is too long"),
                (blocks.len() > 50, "too many blocks"),
                (texts.into_iter().any(|text| chars(text) > 3000) || is_long, "invalid_blocks"),
                (body.to_string().contains("<!"), "a mention"),
            ])
        },
    },
    Service {
        provider: "discord",
        config: || json!({"webhook_url": "https://discord.com/api/webhooks/1/s3cret-s3cret-s3cret?thread_id=5"}),
        path: "/api/webhooks/1/s3cret-s3cret-s3cret?thread_id=5&wait=true",
        accepted: || Reply::status(200).body(r#"{"id": "77"}"#),
        throttled: || Reply::status(429).body(r#"{"message": "slow", "retry_after": 0.05, "global": false}"#),
        waits_long: false,
        refused: || (Reply::status(404).body(r#"{"message": "Unknown Webhook", "code": 10015}"#), "Unknown Webhook"),
        fault: |_, body| {
            let embed = &body["embeds"][0];
            let fields = embed["fields"].as_array().cloned().unwrap_or_default();
            let of_fields: usize = fields.iter().map(|field| chars(&field["name"]) + chars(&field["value"])).sum();
            let all =
                chars(&embed["title"]) + chars(&embed["description"]) + chars(&embed["footer"]["text"]) + of_fields;
            let is_wrong = |field: &Value| chars(&field["name"]) > 256 || !(1..=1024).contains(&chars(&field["value"]));
            first(&[
                (body["allowed_mentions"] != json!({"parse": []}), "mentions"),
                (embed.is_null() && chars(&body["content"]) == 0, "empty"),
                (chars(&body["content"]) > 2000, "content"),
                (chars(&embed["title"]) > 256 || chars(&embed["description"]) > 4096, "embed"),
                (fields.len() > 25 || fields.iter().any(is_wrong), "fields"),
                (all > 6000, "embed size"),
            ])
        },
    },
    Service {
        provider: "telegram",
        config: || json!({"bot_token": "123:s3cret-s3cret-s3cret", "chat_id": -1001}),
        path: "/bot123:s3cret-s3cret-s3cret/sendMessage",
        accepted: || Reply::status(200).body(r#"{"ok": true, "result": {"message_id": 7}}"#),
        throttled: || {
            let body = r#"{"ok": false, "description": "Too Many Requests", "parameters": {"retry_after": 1}}"#;
            Reply::status(429).body(body)
        },
        waits_long: false,
        refused: || {
            let body = r#"{"ok": false, "description": "Forbidden: bot was kicked from the group chat"}"#;
            (Reply::status(403).body(body), "kicked")
        },
        fault: |_, body| {
            let text = body["text"].as_str().unwrap_or_default();
            let size = text.encode_utf16().count();
            let entities = body["entities"].as_array().cloned().unwrap_or_default();
            let end =
                |entity: &Value| entity["offset"].as_u64().unwrap_or(9999) + entity["length"].as_u64().unwrap_or(9999);
            first(&[
                (body["chat_id"] != json!(-1001), "chat not found"),
                (!(1..=4096).contains(&size), "message is too long or empty"),
                (entities.len() > 100, "too many entities"),
                (entities.iter().any(|entity| end(entity) > size as u64), "entity beyond the end"),
            ])
        },
    },
    Service {
        provider: "microsoft_teams",
        config: || {
            let url = "https://prod-1.westeurope.logic.azure.com/workflows/a/triggers/manual/paths/invoke\
                       ?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=s3cret-s3cret-s3cret";
            json!({"webhook_url": url})
        },
        path: "/workflows/a/triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0\
               &sig=s3cret-s3cret-s3cret",
        accepted: || Reply::status(202),
        throttled: || Reply::status(429).header("retry-after", "1"),
        waits_long: false,
        refused: || {
            let body = r#"{"error": {"code": "WorkflowTriggerIsNotEnabled", "message": "The trigger is off."}}"#;
            (Reply::status(400).body(body), "The trigger is off")
        },
        fault: |received, body| {
            let attachment = &body["attachments"][0];
            first(&[
                (received.body.len() > 14_000, "too large"),
                (attachment.get("contentUrl") != Some(&Value::Null), "TriggerInputSchemaMismatch"),
                (attachment["content"]["version"] != json!("1.4"), "version"),
            ])
        },
    },
    Service {
        provider: "google_chat",
        config: || {
            let url =
                "https://chat.googleapis.com/v1/spaces/A/messages?key=s3cret-s3cret-key&token=s3cret-s3cret-token";
            json!({"webhook_url": url})
        },
        path: "/v1/spaces/A/messages?key=s3cret-s3cret-key&token=s3cret-s3cret-token&requestId=",
        accepted: || Reply::status(200).body(r#"{"name": "spaces/A/messages/B"}"#),
        throttled: || Reply::status(429).body(r#"{"error": {"status": "RESOURCE_EXHAUSTED", "message": "Quota"}}"#),
        waits_long: false,
        refused: || (Reply::status(403).body(r#"{"error": {"message": "Webhooks are disabled"}}"#), "disabled"),
        fault: |received, body| {
            first(&[
                (received.body.len() > 32_000, "too large"),
                (chars(&body["text"]) > 4096, "text"),
                (body["text"].is_null() && body["cardsV2"].is_null(), "empty"),
                (body.to_string().contains("<users/"), "a mention"),
            ])
        },
    },
    Service {
        provider: "x",
        config: || {
            json!({"consumer_key": "s3cret-consumer", "consumer_secret": "s3cret-a", "access_token": "s3cret-token",
                "access_token_secret": "s3cret-b"})
        },
        path: "/2/tweets",
        accepted: || Reply::status(201).body(r#"{"data": {"id": "1445880548472328192"}}"#),
        throttled: || {
            let reset = crate::harness::now_seconds() + 600;
            Reply::status(429).header("x-rate-limit-reset", reset.to_string())
        },
        waits_long: true,
        refused: || (Reply::status(401).body(r#"{"title": "Unauthorized"}"#), "clock"),
        fault: |received, body| {
            let header = received.header("authorization").unwrap_or_default();
            let text = body["text"].as_str().unwrap_or_default();
            let weight: usize = text.chars().map(|c| if u32::from(c) < 4352 { 1 } else { 2 }).sum();
            first(&[
                (!header.starts_with("OAuth ") || !header.contains("oauth_signature="), "401"),
                // Breaks and ellipses weigh one.
                (text.is_empty() || weight > 280 + text.matches(['\u{200b}', '…']).count(), "too long"),
            ])
        },
    },
];

fn chars(value: &Value) -> usize {
    value.as_str().map_or(0, |text| text.chars().count())
}

fn first(faults: &[(bool, &'static str)]) -> Option<&'static str> {
    faults.iter().find(|(is_so, _)| *is_so).map(|(_, fault)| *fault)
}

/// A running one.
pub(super) struct StandIn {
    service: &'static Service,
    receiver: Receiver,
    /// Where messages arrive, without the query.
    path: &'static str,
}

impl StandIn {
    /// Takes everything until a script says otherwise.
    pub(super) async fn start(service: &'static Service) -> Self {
        let receiver = Receiver::start().await;
        let path = service.path.split('?').next().unwrap_or_default();
        receiver.always(path, (service.accepted)());
        Self { service, receiver, path }
    }

    pub(super) fn base_url(&self) -> String {
        self.receiver.url("")
    }

    /// Answers the next request so.
    pub(super) fn answer(&self, reply: Reply) {
        self.receiver.script(self.path, [reply]);
    }

    pub(super) fn bodies(&self) -> Vec<Value> {
        self.receiver.received(self.path).iter().map(Received::json).collect()
    }

    /// Fails when there was nothing, or something that the service would have refused.
    pub(super) fn check(&self) {
        let all = self.receiver.received(self.path);
        assert!(!all.is_empty(), "{}", self.service.provider);
        for received in all {
            let target = &received.target;
            assert!(target.starts_with(self.service.path), "{}: {target}", self.service.provider);
            let kind = received.header("content-type").unwrap_or_default();
            assert!(kind.starts_with("application/json"), "{kind}");
            let body = received.json();
            let fault = (self.service.fault)(&received, &body);
            assert_eq!(fault, None, "{}: {body}", self.service.provider);
        }
    }
}
