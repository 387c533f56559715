//! Chat providers, end to end: the real binary, and a stand-in for each service that refuses what the service would.

mod stand_in;

use serde_json::{Value, json};

use self::stand_in::{SERVICES, Service, StandIn};
use crate::harness::{Reply, Setup};

/// A server whose operator has this service at the stand-in, and nothing else that may be reached.
async fn start(service: &Service, stand_in: &StandIn) -> crate::harness::Server {
    setup(service, stand_in).start().await
}

fn setup(service: &Service, stand_in: &StandIn) -> Setup {
    let setting = format!("POSTRIDER_PROVIDERS__{}__BASE_URL", service.provider.to_uppercase());
    let setup = Setup::new().set("POSTRIDER_EGRESS__ALLOW", "").set("POSTRIDER_LOG", "debug");
    setup.set(&setting, &stand_in.base_url())
}

fn channel(service: &Service) -> Value {
    json!({"name": "Chat", "provider": service.provider, "config": (service.config)()})
}

/// An event with more of everything than any message holds.
fn large() -> Value {
    let mut data = json!({"title": "Disk *full* <!channel> @everyone ".repeat(20), "message": "😀 \"_x_\" & ".repeat(1500),
        "url": "https://a.test/x"});
    for number in 0..60 {
        data[format!("field {number}")] = "<users/all> `v` ".repeat(200).into();
    }
    data
}

#[tokio::test]
async fn events_arrive_within_the_limits_of_each_service() {
    for service in SERVICES {
        let stand_in = StandIn::start(service).await;
        // At their rates the parts of the largest message take a minute.
        let setup = setup(service, &stand_in).set("POSTRIDER_DELIVERY__PROVIDER_RATES", "false");
        let server = setup.start().await;
        server.client.create_channel(&channel(service)).await;
        for data in [json!({}), json!({"title": "Disk full", "message": "96 %", "status": "resolved"}), large()] {
            let event = json!({"type": "disk.full", "severity": "critical", "data": data});
            let delivery = server.client.accept(&event).await.deliveries[0].id;
            server.client.delivery_once(delivery, "sent").await;
            for attempt in server.client.attempts(delivery).await {
                assert_eq!(attempt.status, "delivered", "{}: {attempt:?}", service.provider);
            }
        }
        stand_in.check();
    }
}

#[tokio::test]
async fn a_throttled_message_waits_as_long_as_the_service_says_and_arrives() {
    for service in SERVICES {
        let stand_in = StandIn::start(service).await;
        stand_in.answer((service.throttled)());
        let server = start(service, &stand_in).await;
        server.client.create_channel(&channel(service)).await;
        let delivery = server.client.accept_one("a", json!({"title": "Late"})).await;
        if service.waits_long {
            let waiting = server.client.delivery_once(delivery, "retrying").await;
            assert_eq!(waiting.attempts, 0, "{}: throttling burns no attempt", service.provider);
            continue;
        }
        server.client.delivery_once(delivery, "sent").await;
        let seen: Vec<_> = server.client.attempts(delivery).await.into_iter().map(|attempt| attempt.status).collect();
        assert_eq!(seen, ["throttled", "delivered"], "{}", service.provider);
    }
}

#[tokio::test]
async fn a_refusal_for_good_pauses_the_channel_until_its_config_is_mended() {
    for service in SERVICES {
        let stand_in = StandIn::start(service).await;
        let (reply, part) = (service.refused)();
        stand_in.answer(reply);
        let server = start(service, &stand_in).await;
        let id = server.client.create_channel(&channel(service)).await.id;
        let delivery = server.client.accept_one("a", json!({"title": "Held"})).await;

        let held = server.client.delivery_once(delivery, "held").await;

        assert!(held.reason.as_deref().unwrap().contains(part), "{}: {held:?}", service.provider);
        let mended: Value = (service.config)();
        server.client.patch_channel(id, &json!({"config": mended})).await;
        server.client.delivery_once(delivery, "sent").await;
        stand_in.check();

        // Neither answers nor the log show what the config holds.
        let shown = [
            server.client.get("/v1/attempts").await.text(),
            server.client.get(&format!("/v1/channels/{id}")).await.text(),
            server.process.stderr.text(),
        ];
        assert!(shown.iter().all(|text| !text.contains("s3cret")), "{}: {shown:?}", service.provider);
    }
}

#[tokio::test]
async fn a_second_try_goes_on_at_the_part_that_failed() {
    let service = &SERVICES[1];
    let stand_in = StandIn::start(service).await;
    stand_in.answer((service.accepted)());
    stand_in.answer(Reply::status(502));
    let server = start(service, &stand_in).await;
    let mut channel = channel(service);
    channel["body_template"] = "{{ text }}".into();
    server.client.create_channel(&channel).await;
    let text = format!("{} {} {}", "a".repeat(1990), "b".repeat(1990), "c".repeat(1990));
    let delivery = server.client.accept_one("a", json!({"text": text})).await;

    server.client.delivery_once(delivery, "sent").await;

    let firsts: Vec<char> =
        stand_in.bodies().iter().map(|body| body["content"].as_str().unwrap().chars().next().unwrap()).collect();
    assert_eq!(firsts, ['a', 'b', 'b', 'c']);
}

#[tokio::test]
async fn a_telegram_group_that_moves_is_followed() {
    let service = SERVICES.iter().find(|service| service.provider == "telegram").unwrap();
    let stand_in = StandIn::start(service).await;
    let body = r#"{"ok": false, "description": "Bad Request: group chat was upgraded to a supergroup chat",
        "parameters": {"migrate_to_chat_id": -1001}}"#;
    stand_in.answer(Reply::status(400).body(body));
    let setup = setup(service, &stand_in);
    let server = setup.start().await;
    let mut channel = channel(service);
    channel["config"]["chat_id"] = "-5".into();
    let id = server.client.create_channel(&channel).await.id;
    let delivery = server.client.accept_one("a", json!({"title": "Moved"})).await;

    let sent = server.client.delivery_once(delivery, "sent").await;

    assert_eq!(sent.attempts, 1, "the move burns none");
    let chats: Vec<_> = stand_in.bodies().iter().map(|body| body["chat_id"].clone()).collect();
    assert_eq!(chats, [json!(-5), json!(-1001)]);
    assert_eq!(server.client.channel(id).await.config["chat_id"], "-1001");
    let seen: Vec<_> = server.client.attempts(delivery).await.into_iter().map(|attempt| attempt.status).collect();
    assert_eq!(seen, ["rejected", "delivered"]);
    // It is written down: the next message goes there at once, also from another process.
    assert!(server.stop().await.success());
    let server = setup.start().await;
    let next = server.client.accept_one("a", json!({"title": "There"})).await;
    server.client.delivery_once(next, "sent").await;
    assert_eq!(stand_in.bodies()[2]["chat_id"], -1001);
}

#[tokio::test]
async fn what_x_has_after_a_try_without_answer_is_delivered() {
    let service = SERVICES.iter().find(|service| service.provider == "x").unwrap();
    let stand_in = StandIn::start(service).await;
    let duplicate = r#"{"detail": "You are not allowed to create a Tweet with duplicate content."}"#;
    stand_in.answer(Reply::close());
    stand_in.answer(Reply::status(403).body(duplicate));
    let server = start(service, &stand_in).await;
    server.client.create_channel(&channel(service)).await;
    let delivery = server.client.accept_one("a", json!({"title": "Once"})).await;

    let sent = server.client.delivery_once(delivery, "sent").await;

    assert!(sent.reason.as_deref().unwrap_or_default().contains("an earlier try"), "{sent:?}");
    let seen: Vec<_> = server.client.attempts(delivery).await.into_iter().map(|attempt| attempt.status).collect();
    assert_eq!(seen, ["unknown", "delivered"]);
    // Without such a try it is another message with the same text.
    stand_in.answer(Reply::status(403).body(duplicate));
    let other = server.client.accept_one("a", json!({"title": "Once"})).await;
    server.client.delivery_once(other, "dead").await;
}

#[tokio::test]
async fn a_refused_credential_pauses_every_channel_that_uses_it() {
    let service = SERVICES.iter().find(|service| service.provider == "telegram").unwrap();
    let stand_in = StandIn::start(service).await;
    stand_in.answer(Reply::status(401).body(r#"{"ok": false, "description": "Unauthorized"}"#));
    let server = start(service, &stand_in).await;
    let mut mine = channel(service);
    mine["event_types"] = json!(["a"]);
    let first = server.client.create_channel(&mine).await.id;
    mine["event_types"] = json!(["b"]);
    let second = server.client.create_channel(&mine).await.id;
    let mut other = mine.clone();
    other["config"]["bot_token"] = "124:another-another".into();
    let third = server.client.create_channel(&other).await.id;
    let held = server.client.accept_one("a", json!({})).await;
    server.client.delivery_once(held, "held").await;

    let reason = |channel: crate::harness::Channel| channel.paused.map(|paused| paused.reason);

    assert!(reason(server.client.channel(first).await).unwrap().contains("Unauthorized"));
    assert!(reason(server.client.channel(second).await).unwrap().contains("another channel with the same credential"));
    assert_eq!(reason(server.client.channel(third).await), None);
}

#[tokio::test]
async fn values_in_templates_are_escaped_for_the_service() {
    let check = async |provider: &str, more: Value, template: &str, part: &str| {
        let service = SERVICES.iter().find(|service| service.provider == provider).unwrap();
        let stand_in = StandIn::start(service).await;
        let server = start(service, &stand_in).await;
        let mut channel = channel(service);
        channel["body_template"] = template.into();
        for (key, value) in more.as_object().unwrap() {
            channel["config"][key] = value.clone();
        }
        server.client.create_channel(&channel).await;
        let event = json!({"type": "a", "severity": "critical", "data": {"name": "<!channel> *x* @ann"}});
        let delivery = server.client.accept(&event).await.deliveries[0].id;
        server.client.delivery_once(delivery, "sent").await;
        let body = stand_in.bodies()[0].to_string();
        assert!(body.contains(part), "{provider}: {body}");
    };
    check("slack", json!({}), "*{{ name }}*", "*&lt;!channel&gt; *\u{200b}x*\u{200b} @ann*").await;
    check("discord", json!({}), "**{{ name }}**", r"**\\<!channel\\> \\*x\\* @").await;
    check("telegram", json!({}), "*{{ event.severity }}*", r#"[{"length":8,"offset":0,"type":"bold"}]"#).await;
    check("telegram", json!({"parse_mode": "HTML"}), "<b>{{ name }}</b>", r#""text":"<!channel> *x* @ann""#).await;
    check("google_chat", json!({}), "*{{ name }}*", "*<\u{200b}!channel> *\u{200b}x*\u{200b} @ann*").await;
    check(
        "microsoft_teams",
        json!({}),
        "**{{ name }}**",
        r"<\u{200b}!channel".replace(r"\u{200b}", "\u{200b}").as_str(),
    )
    .await;
    check("x", json!({}), "{{ name }}", "<!channel> *x* @\u{200b}ann").await;
}
