//! What is put into the fields: at first, and by the edits.

use serde_json::{Value, json};

use super::Face::{self, Altum, Lenz, Thulium, V1};

/// Which provider's channel shows a field best.
pub(super) fn provider_of(field: &str) -> &'static str {
    let of_mail = ["config.to", "config.from", "config.reply_to", "subject_template"];
    match field {
        _ if of_mail.contains(&field) => "email",
        _ if field.starts_with("config.smtp_") || field.starts_with("config.unsubscribe_") => "email",
        "config.webhook_url" => "microsoft_teams",
        _ => "webhook",
    }
}

/// A patch of v1 that fills every field of a channel with something that no face would put there by itself.
pub(super) fn filled(provider: &str) -> Value {
    let mut patch = json!({
        "event_types": ["chat.agent_assigned"],
        "filter": "queue > 3",
        "retry": {"delays_seconds": [7, 70]},
        "time_to_live_seconds": 4321,
        "concurrency": 3,
        "breaker": {"failures": 17},
        "rate_limit": {"count": 11, "per": "minute", "burst": 2},
        "digest": {"window_seconds": 33, "max_items": 44},
        "on_unknown": "give_up",
    });
    match provider {
        "webhook" => {
            patch["body_template"] = r#"{"text": "Body"}"#.into();
            patch["config"] = json!({"format": "thulium", "basic_user": "ann", "basic_password": "hidden-1",
                "headers": {"x-team": "red"}, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"});
        }
        "email" => {
            patch["config"] = json!({"from": "us@example.com", "reply_to": "support@example.com",
                "unsubscribe_url": "https://example.com/u/{signature}", "unsubscribe_secret": "hidden-1",
                "smtp_host": "mail.example.com", "smtp_port": 2525, "smtp_tls": "starttls", "smtp_user": "ann",
                "smtp_password": "hidden-1"});
            patch["subject_template"] = "Subject".into();
            patch["body_template"] = "<p>Body</p>".into();
        }
        _ => {}
    }
    patch
}

type Sample = (Face, &'static str, fn() -> Value);

/// What each editable thing is set to.
pub(super) const SAMPLES: &[Sample] = &[
    (V1, "name", || json!("Renamed")),
    (V1, "config.url", || json!("https://example.com/other")),
    (V1, "config.basic_user", || json!("bob")),
    (V1, "config.basic_password", || json!("hidden-2")),
    (V1, "config.format", || json!("form")),
    (V1, "config.headers", || json!({"x-team": "blue"})),
    (V1, "config.secret", || json!("whsec_AAKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")),
    (V1, "config.to", || json!(["bob@example.com"])),
    (V1, "config.from", || json!("them@example.com")),
    (V1, "config.unsubscribe_url", || json!("https://example.com/v/{signature}")),
    (V1, "config.unsubscribe_secret", || json!("hidden-2")),
    (V1, "config.smtp_host", || json!("mx.example.com")),
    (V1, "config.smtp_port", || json!(2526)),
    (V1, "config.smtp_tls", || json!("implicit")),
    (V1, "config.smtp_user", || json!("bob")),
    (V1, "config.smtp_password", || json!("hidden-2")),
    (V1, "config.reply_to", || json!("help@example.com")),
    (V1, "config.webhook_url", || json!("https://other.test/teams")),
    (V1, "is_active", || json!(false)),
    (V1, "event_types", || json!(["invoice.paid"])),
    (V1, "filter", || json!("queue > 4")),
    (V1, "subject_template", || json!("Another")),
    (V1, "body_template", || json!(r#"{"text": "Another"}"#)),
    (V1, "retry", || json!({"delays_seconds": [9]})),
    (V1, "time_to_live_seconds", || json!(999)),
    (V1, "concurrency", || json!(2)),
    (V1, "breaker", || json!({"failures": 5})),
    (V1, "rate_limit", || json!({"count": 5, "per": "second"})),
    (V1, "digest", || json!({"window_seconds": 5, "max_items": 6})),
    (V1, "fifo", || json!(true)),
    (V1, "on_unknown", || json!("retry")),
    (Altum, "name", || json!("Renamed")),
    (Altum, "type", || json!({"type": "discord", "discord": "https://discord.com/api/webhooks/1/abc"})),
    (Altum, "settings.webhook", || json!("https://bob:hidden-2@example.com/other")),
    (Altum, "settings.email", || json!("bob@example.com")),
    (Altum, "settings.microsoft_teams", || json!("https://other.test/teams")),
    (Altum, "is_enabled", || json!("0")),
    (Thulium, "subscription_url", || json!("https://example.com/other")),
    (Thulium, "http_auth_user", || json!("bob")),
    (Thulium, "http_auth_password", || json!("hidden-2")),
    (Thulium, "actions", || json!(["PING"])),
    (Lenz, "name", || json!("Renamed")),
    (
        Lenz,
        "provider",
        || json!({"provider": "discord", "config": {"webhook_url": "https://discord.com/api/webhooks/1/abc"}}),
    ),
    (Lenz, "config.url", || json!("https://example.com/other")),
    (Lenz, "config.headers", || json!({"x-team": "blue"})),
    (Lenz, "config.secret", || json!("whsec_AAKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")),
    (Lenz, "config.to", || json!(["bob@example.com"])),
    (Lenz, "config.from", || json!("them@example.com")),
    (Lenz, "config.smtp_host", || json!("mx.example.com")),
    (Lenz, "config.smtp_port", || json!(2526)),
    (Lenz, "config.username", || json!("bob")),
    (Lenz, "config.password", || json!("hidden-2")),
    (Lenz, "is_active", || json!(false)),
    (Lenz, "subject_template", || json!("Another")),
    (Lenz, "body_template", || json!(r#"{"text": "Another"}"#)),
    (Lenz, "rate_limit", || json!(5)),
    (Lenz, "batch_enabled", || json!(false)),
    (Lenz, "batch_window_seconds", || json!(5)),
    (Lenz, "batch_max_size", || json!(6)),
];
