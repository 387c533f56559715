//! What follows from a tenant's settings: up to two channels, with messages about scans that are built in.

use std::sync::Arc;

use domain::TenantId;
use domain::tenant::Tenant;
use engine::ops::{SteeredChannel, Steering};
use serde_json::{Map, Value, json};

use super::links::Links;
use super::{DIALECT, wire};

/// A scan went through.
pub(super) const COMPLETED: &str = "scan.completed";

/// A scan did not.
pub(super) const FAILED: &str = "scan.failed";

/// The settings as what they steer.
pub(crate) struct Notices {
    links: Arc<Links>,
    /// Whether a tenant that has set nothing gets mail.
    mails_by_default: bool,
}

impl Notices {
    pub(crate) fn new(links: Arc<Links>, mails_by_default: bool) -> Self {
        Self { links, mails_by_default }
    }
}

impl Steering for Notices {
    fn dialect(&self) -> &'static str {
        DIALECT
    }

    fn is_for(&self, event_type: &str) -> bool {
        matches!(event_type, COMPLETED | FAILED)
    }

    fn defaults(&self) -> Map<String, Value> {
        wire::settings(self.mails_by_default)
    }

    /// Mail has a channel also where the tenant has no address: switched off, so that events have a verdict.
    fn channels(&self, tenant: &Tenant, settings: &Map<String, Value>) -> Vec<SteeredChannel> {
        let mail = SteeredChannel {
            provider: "email",
            name: "Aether365: mail about scans".to_owned(),
            config: tenant.email.as_deref().map(|email| self.mail_config(tenant.id, email)).unwrap_or_default(),
            is_active: tenant.email.is_some(),
            event_types: event_types(settings, [wire::EMAIL_ON_COMPLETE, wire::EMAIL_ON_FAIL]),
            subject_template: Some(message(include_str!("messages/subject.txt").trim_end(), tenant)),
            body_template: Some(self.mail(tenant)),
        };
        let teams = settings[wire::TEAMS_WEBHOOK_URL].as_str().map(|url| SteeredChannel {
            provider: wire::TEAMS_PROVIDER,
            name: "Aether365: Teams messages about scans".to_owned(),
            config: wire::teams_config(url),
            is_active: true,
            event_types: event_types(settings, [wire::TEAMS_ON_COMPLETE, wire::TEAMS_ON_FAIL]),
            subject_template: None,
            body_template: Some(message(include_str!("messages/teams.txt"), tenant)),
        });
        [mail].into_iter().chain(teams).collect()
    }
}

impl Notices {
    fn mail_config(&self, tenant: TenantId, email: &str) -> Map<String, Value> {
        let unsubscribe =
            [("unsubscribe_url", self.links.pattern(tenant)), ("unsubscribe_secret", self.links.secret(tenant))];
        let unsubscribe = unsubscribe.map(|(key, text)| (key.to_owned(), text.into()));
        unsubscribe.into_iter().chain([("to".to_owned(), json!([email]))]).collect()
    }

    /// The mail, with the link that its header has.
    fn mail(&self, tenant: &Tenant) -> String {
        let link = |event_type| self.links.unsubscribe(tenant.id, event_type);
        let template = include_str!("messages/mail.html");
        let template = template.replace("@unsubscribe_completed@", &link(COMPLETED));
        message(&template.replace("@unsubscribe_failed@", &link(FAILED)), tenant)
    }
}

/// What the flags for completed and failed scans let through.
fn event_types(settings: &Map<String, Value>, [completed, failed]: [&str; 2]) -> Vec<String> {
    let flags = [(completed, COMPLETED), (failed, FAILED)];
    let wanted = flags.into_iter().filter(|(flag, _)| settings[*flag] == true);
    wanted.map(|(_, event_type)| event_type.to_owned()).collect()
}

/// A built-in message of one tenant. Its name is put in as a text of the template's own language, so nothing in it is
/// taken for a tag, and it is escaped like every value.
fn message(template: &str, tenant: &Tenant) -> String {
    let name = Value::from(tenant.name.as_str()).to_string();
    template.replace("\"@tenant@\"", &name)
}

#[cfg(test)]
mod tests {
    use domain::Timestamp;

    use super::*;

    fn tenant(email: Option<&str>) -> Tenant {
        Tenant {
            id: TenantId(3),
            slug: "acme".to_owned(),
            name: r#"A "{{ x }}" @unsubscribe_failed@ \ B"#.to_owned(),
            email: email.map(ToOwned::to_owned),
            providers: None,
            quotas: domain::quotas::Quotas::default(),
            suspended_at: None,
            created_at: Timestamp::from_ms(0),
            updated_at: None,
        }
    }

    #[test]
    fn channels_follow_from_the_settings() {
        let notices = Notices::new(Arc::new(Links::new([1; 32], "https://post.test")), true);
        let check = |email: Option<&str>, changes: Value, expected: &[(&str, bool, &[&str])]| {
            let mut settings = notices.defaults();
            settings.extend(changes.as_object().unwrap().clone());
            let channels = notices.channels(&tenant(email), &settings);
            let found: Vec<_> = channels
                .iter()
                .map(|one| {
                    let types: Vec<_> = one.event_types.iter().map(String::as_str).collect();
                    (one.provider, one.is_active, types)
                })
                .collect();
            let expected: Vec<_> = expected.iter().map(|(name, is, types)| (*name, *is, types.to_vec())).collect();
            assert_eq!(found, expected, "{email:?} {changes}");
        };
        let (both, none): (&[&str], &[&str]) = (&[COMPLETED, FAILED], &[]);
        check(Some("a@x.test"), json!({}), &[("email", true, both)]);
        check(None, json!({}), &[("email", false, both)]);
        check(Some("a@x.test"), json!({"emailOnComplete": false}), &[("email", true, &[FAILED])]);
        let url = json!({"teamsWebhookUrl": "https://x.test/", "emailOnComplete": false, "emailOnFail": false});
        check(Some("a@x.test"), url, &[("email", true, none), ("microsoft_teams", true, none)]);
        let url = json!({"teamsWebhookUrl": "https://x.test/", "teamsOnFail": true});
        check(None, url, &[("email", false, both), ("microsoft_teams", true, &[FAILED])]);
    }
}
