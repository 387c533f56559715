//! The settings on the wire, and how a change of them is read.

use providers::Provider;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::error::Fault;

pub(super) const EMAIL_ON_COMPLETE: &str = "emailOnComplete";
pub(super) const EMAIL_ON_FAIL: &str = "emailOnFail";
pub(super) const TEAMS_WEBHOOK_URL: &str = "teamsWebhookUrl";
pub(super) const TEAMS_ON_COMPLETE: &str = "teamsOnComplete";
pub(super) const TEAMS_ON_FAIL: &str = "teamsOnFail";

pub(super) const TEAMS_PROVIDER: &str = "microsoft_teams";
const WEBHOOK_URL: &str = "webhook_url";

const FLAGS: [&str; 4] = [EMAIL_ON_COMPLETE, EMAIL_ON_FAIL, TEAMS_ON_COMPLETE, TEAMS_ON_FAIL];

/// The settings as they are shown: these keys and no more.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the wire has four")]
#[schema(as = AetherNotifications)]
pub(super) struct SettingsOut {
    email_on_complete: bool,
    email_on_fail: bool,
    /// Masked for keys that may not change it.
    teams_webhook_url: Option<String>,
    teams_on_complete: bool,
    teams_on_fail: bool,
}

/// An answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AetherNotificationsAnswer)]
pub(super) struct AnswerOut {
    success: bool,
    data: SettingsOut,
}

/// What a change may name.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the document: absent and null are told apart when it is read")]
#[expect(clippy::struct_excessive_bools, reason = "the wire has four")]
#[schema(as = AetherNotificationsPatch, rename_all = "camelCase")]
pub(super) struct SettingsPatch {
    #[schema(required = false)]
    email_on_complete: bool,
    #[schema(required = false)]
    email_on_fail: bool,
    /// Any absolute https URL. Null or an empty text: none.
    #[schema(required = false)]
    teams_webhook_url: Option<String>,
    #[schema(required = false)]
    teams_on_complete: bool,
    #[schema(required = false)]
    teams_on_fail: bool,
}

/// The settings of a tenant that has set nothing.
pub(super) fn settings(mails: bool) -> Map<String, Value> {
    let fields = json!({EMAIL_ON_COMPLETE: mails, EMAIL_ON_FAIL: mails, TEAMS_WEBHOOK_URL: null,
        TEAMS_ON_COMPLETE: false, TEAMS_ON_FAIL: false});
    let Value::Object(fields) = fields else { unreachable!("an object") };
    fields
}

/// The settings for a caller.
pub(super) fn shown(settings: &Map<String, Value>, in_clear: bool) -> AnswerOut {
    let flag = |name: &str| settings[name] == true;
    let url = settings[TEAMS_WEBHOOK_URL].as_str();
    let data = SettingsOut {
        email_on_complete: flag(EMAIL_ON_COMPLETE),
        email_on_fail: flag(EMAIL_ON_FAIL),
        teams_webhook_url: url.map(|url| if in_clear { url.to_owned() } else { masked(url) }),
        teams_on_complete: flag(TEAMS_ON_COMPLETE),
        teams_on_fail: flag(TEAMS_ON_FAIL),
    };
    AnswerOut { success: true, data }
}

pub(super) fn teams_config(url: &str) -> Map<String, Value> {
    Map::from_iter([(WEBHOOK_URL.to_owned(), url.into())])
}

/// Reads a change: what it names, as it is to be kept. Absent is not null. Errors name every field that is wrong; keys
/// that nobody knows are passed over. A masked URL that comes back says that it is unchanged.
pub(super) fn read(bytes: &[u8], before: &Map<String, Value>) -> Result<Map<String, Value>, Fault> {
    let body: Value =
        serde_json::from_slice(bytes).map_err(|error| Fault::invalid(format!("The body is not JSON: {error}")))?;
    let Value::Object(mut given) = body else {
        return Err(Fault::invalid("The body must be a JSON object"));
    };
    let mut patch = Map::new();
    let mut errors = Map::new();
    for name in FLAGS {
        match given.remove(name) {
            Some(flag @ Value::Bool(_)) => drop(patch.insert(name.to_owned(), flag)),
            Some(_) => drop(errors.insert(name.to_owned(), "must be true or false".into())),
            None => {}
        }
    }
    match given.remove(TEAMS_WEBHOOK_URL) {
        None => {}
        Some(Value::Null) => drop(patch.insert(TEAMS_WEBHOOK_URL.to_owned(), Value::Null)),
        Some(Value::String(url)) if url.is_empty() => drop(patch.insert(TEAMS_WEBHOOK_URL.to_owned(), Value::Null)),
        Some(Value::String(url)) if before[TEAMS_WEBHOOK_URL].as_str().is_some_and(|kept| masked(kept) == url) => {}
        Some(Value::String(url)) => match check_url(&url) {
            Ok(()) => drop(patch.insert(TEAMS_WEBHOOK_URL.to_owned(), url.into())),
            Err(message) => drop(errors.insert(TEAMS_WEBHOOK_URL.to_owned(), message.into())),
        },
        Some(_) => drop(errors.insert(TEAMS_WEBHOOK_URL.to_owned(), "must be a URL or null".into())),
    }
    if errors.is_empty() { Ok(patch) } else { Err(Fault::invalid_fields(errors)) }
}

fn teams() -> &'static dyn Provider {
    providers::find(TEAMS_PROVIDER).expect("Teams is among the providers")
}

fn check_url(url: &str) -> Result<(), String> {
    let made = providers::create(teams(), &teams_config(url));
    made.map(drop).map_err(|errors| errors.into_iter().map(|error| error.message).collect::<Vec<_>>().join("; "))
}

/// As the native API shows it.
fn masked(url: &str) -> String {
    let config = providers::create(teams(), &teams_config(url));
    let shown = config.ok().and_then(|config| providers::masked(teams(), &config).remove(WEBHOOK_URL));
    shown.and_then(|shown| shown.as_str().map(ToOwned::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn absent_is_not_null() {
        let check = |body: &str, expected: Value| {
            let patch = read(body.as_bytes(), &settings(true)).unwrap();
            assert_eq!(Value::from(patch), expected, "{body}");
        };
        check("{}", json!({}));
        check(r#"{"emailOnFail": false, "other": 1}"#, json!({"emailOnFail": false}));
        check(r#"{"teamsWebhookUrl": null}"#, json!({"teamsWebhookUrl": null}));
        check(r#"{"teamsWebhookUrl": ""}"#, json!({"teamsWebhookUrl": null}));
        let url = json!({"teamsWebhookUrl": "https://outlook.office.com/webhook/..."});
        check(&url.to_string(), url);
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(read(&bytes, &settings(true)));
        }

        /// What is taken names known settings only, each of its kind.
        #[test]
        fn what_is_taken_is_of_its_kind(name in "(email|teams)On(Complete|Fail)|teamsWebhookUrl|.{0,9}", value in r#"true|false|null|0|"https://[a-z.:/]{0,20}"|"[a-z]{0,5}"|\[\]"#) {
            let body = format!("{{{}:{value}}}", Value::from(name.as_str()));
            if let Ok(patch) = read(body.as_bytes(), &settings(true)) {
                for (name, value) in patch {
                    let is_right = if name == TEAMS_WEBHOOK_URL { value.is_null() || value.is_string() } else { value.is_boolean() };
                    prop_assert!(is_right, "{name}: {value}");
                }
            }
        }
    }
}
