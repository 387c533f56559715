//! Between webhooks as Thulium has them and channels.

use domain::{ChannelId, TenantId};
use engine::Engine;
use engine::ops::{ChannelCap, ChannelEdit, ChannelFilter, ChannelShown, ConfigEdit, EVENT_TYPES_MAX, NewChannel};
use providers::FieldError;
use providers::webhook::THULIUM_NAME;
use providers::webhook::thulium::{action, event_type};
use serde_json::{Map, Value};
use url::Url;

use super::error::{Fault, FieldFault};
use super::wire::{WebhookIn, WebhookOut};

const PROVIDER: &str = "webhook";
const FORMAT: &str = "format";

/// Fields of the config, and what they are called here.
const NAMES: [(&str, &str); 3] =
    [("url", "subscription_url"), ("basic_user", "http_auth_user"), ("basic_password", "http_auth_password")];

/// The most webhooks that may be made here for one tenant: the vendor's list has no pages.
const WEBHOOKS_MAX: usize = 1000;

/// An action's name has 2 to 64 characters.
const ACTION_CHARS_MAX: usize = 64;

/// The channels that are webhooks here, whichever face made them.
pub(super) fn webhooks() -> ChannelFilter {
    ChannelFilter {
        provider: Some(PROVIDER.to_owned()),
        config: Some((FORMAT, THULIUM_NAME)),
        hides_managed: true,
        ..ChannelFilter::default()
    }
}

pub(super) fn cap() -> ChannelCap {
    ChannelCap { of: webhooks(), max: WEBHOOKS_MAX }
}

/// The webhook of this id.
pub(super) fn webhook(engine: &Engine, tenant: TenantId, id: ChannelId) -> Result<ChannelShown, Fault> {
    let shown = engine.channel(tenant, id)?;
    let settings = &shown.live.channel.settings;
    let is_webhook =
        settings.provider == PROVIDER && shown.live.config.text(FORMAT) == Some(THULIUM_NAME) && !settings.is_managed;
    if is_webhook { Ok(shown) } else { Err(Fault::not_found()) }
}

/// A channel as a webhook; who may not change the password sees that there is one.
pub(super) fn shown(channel: &ChannelShown, in_clear: bool) -> WebhookOut {
    let config = if in_clear { channel.clear_config() } else { channel.config.clone() };
    let text = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (patterns, _) = channel.routes();
    WebhookOut {
        id: channel.live.channel.id.0,
        actions: patterns.iter().map(|pattern| action(pattern)).collect(),
        subscription_url: text("url"),
        http_auth_user: text("basic_user"),
        http_auth_password: text("basic_password"),
    }
}

pub(super) fn new_channel(webhook: WebhookIn) -> Result<NewChannel, Fault> {
    let event_types = event_types(&webhook.actions, &[])?;
    let host = Url::parse(&webhook.subscription_url).ok().and_then(|url| url.host_str().map(ToOwned::to_owned));
    let name: String = host.as_deref().unwrap_or("webhook").chars().take(domain::channel::NAME_CHARS_MAX).collect();
    let mut config = config(webhook);
    config.insert(FORMAT.to_owned(), THULIUM_NAME.into());
    Ok(NewChannel {
        name,
        provider: PROVIDER.to_owned(),
        config,
        edit: ChannelEdit { event_types: Some(event_types), ..ChannelEdit::default() },
        dialect: Some("thulium".to_owned()),
        is_managed: false,
    })
}

pub(super) fn edit(webhook: WebhookIn, before: &ChannelShown) -> Result<ChannelEdit, Fault> {
    let event_types = event_types(&webhook.actions, &before.routes().0)?;
    let config = ConfigEdit::Patch(config(webhook));
    Ok(ChannelEdit { config: Some(config), event_types: Some(event_types), ..ChannelEdit::default() })
}

/// Credentials that are absent are left as they are, and a password does not outlive its user.
fn config(webhook: WebhookIn) -> Map<String, Value> {
    let WebhookIn { subscription_url, http_auth_user, mut http_auth_password, .. } = webhook;
    if http_auth_user.as_deref() == Some("") && http_auth_password.is_none() {
        http_auth_password = Some(String::new());
    }
    let fields = [Some(subscription_url), http_auth_user, http_auth_password];
    let pairs = NAMES.iter().zip(fields);
    pairs.filter_map(|((key, _), value)| Some(((*key).to_owned(), Value::from(value?)))).collect()
}

/// The event types of actions. One that the webhook shows already stays what it is: another face may have given it a
/// pattern that no action says.
fn event_types(actions: &[String], before: &[String]) -> Result<Vec<String>, Fault> {
    if actions.len() > EVENT_TYPES_MAX {
        let english = format!("may hold at most {EVENT_TYPES_MAX} names");
        let polish = format!("może zawierać najwyżej {EVENT_TYPES_MAX} nazw");
        return Err(Fault::invalid(vec![FieldFault::new("actions", english, polish)]));
    }
    let type_of = |name: &String| match before.iter().find(|pattern| action(pattern) == *name) {
        Some(pattern) => Ok(pattern.clone()),
        None if is_action(name) => Ok(event_type(name)),
        None => Err(no_action()),
    };
    let types: Result<Vec<_>, FieldFault> = actions.iter().map(type_of).collect();
    types.map_err(|fault| Fault::invalid(vec![fault]))
}

fn no_action() -> FieldFault {
    let english = "must hold names of 2 to 64 of A-Z, 0-9 and '_' that begin with a letter";
    let polish = "musi zawierać nazwy z 2 do 64 znaków A-Z, 0-9 i '_', zaczynające się literą";
    FieldFault::new("actions", english, polish)
}

fn is_action(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    (2..=ACTION_CHARS_MAX).contains(&name.len())
        && name.bytes().all(is_plain)
        && name.starts_with(|first: char| first.is_ascii_uppercase())
}

/// An error of the engine, by the name that its field has here.
pub(super) fn named_here(mut error: FieldError) -> FieldError {
    let key = error.field.strip_prefix("config.").unwrap_or(&error.field);
    let name = NAMES.iter().find(|(ours, _)| *ours == key).map_or(key, |(_, name)| *name);
    error.field = name.to_owned();
    // The one message that names another field.
    error.message = error.message.replace(NAMES[2].0, NAMES[2].1);
    error
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::wire;
    use super::*;

    #[test]
    fn what_another_face_subscribed_stays_what_it_is() {
        let before = ["*", "billing.invoice.paid", "chat.*"].map(ToOwned::to_owned);
        let shown: Vec<String> = before.iter().map(|pattern| action(pattern)).collect();
        assert_eq!(shown, ["*", "BILLING_INVOICE_PAID", "CHAT_*"]);
        assert_eq!(event_types(&shown, &before).unwrap(), before);
        assert_eq!(event_types(&["BILLING_INVOICE_PAID".to_owned()], &[]).unwrap(), ["billing.invoice_paid"]);
        assert!(event_types(&shown, &[]).is_err());
    }

    proptest! {
        /// Whatever arrives is a webhook or a refusal, and what is taken makes a channel or a refusal.
        #[test]
        fn any_body_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(wire::read(&bytes).map(new_channel));
        }

        #[test]
        fn any_fields_are_read_or_refused(
            actions in prop::collection::vec("[A-Z_0-9a-z*.]{0,70}", 0..4),
            url in "(https?://)?[a-z0-9.:@/%\\\\]{0,30}",
            user in prop::option::of(".{0,10}"),
        ) {
            let body = serde_json::json!({"actions": actions, "subscription_url": url, "http_auth_user": user});
            if let Ok(new) = wire::read(body.to_string().as_bytes()).and_then(new_channel) {
                let types = new.edit.event_types.unwrap();
                prop_assert!(types.iter().all(|name| domain::routing::Pattern::parse(name).is_ok()), "{types:?}");
                // Each is an action again.
                prop_assert!(types.iter().all(|name| actions.contains(&action(name))), "{types:?}");
            }
        }
    }
}
