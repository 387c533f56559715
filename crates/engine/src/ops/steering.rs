//! Settings of dialects that steer channels: a tenant sets a few words, and channels follow from them.
//!
//! What the words are and which channels they mean is the dialect's own ([`Steering`]); here they are kept and carried
//! out, all of a change or nothing. The channels that follow are *managed*: nobody changes them but by the settings.
//!
//! A tenant that has set nothing has the dialect's defaults, and no channels until the first event that they are for:
//! whoever has no business with the dialect never meets it.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::channel::ChannelSettings;
use domain::tenant::Tenant;
use domain::{ChannelId, ReasonCode, Secret, TenantId};
use providers::Config;
use serde_json::{Map, Value};
use store::directory::{ChannelChange, DialectSettings, NewChannel, SteeringChange};

use super::channel_edit::{check_routes, find_provider};
use super::channels::routes_of;
use super::{Engine, OpsError};
use crate::accept::EventIn;
use crate::registry::LiveChannel;

/// A dialect whose settings steer channels. Pure: the same arguments give the same channels.
pub trait Steering: Send + Sync {
    fn dialect(&self) -> &'static str;

    /// Whether its channels are for events of this type.
    fn is_for(&self, event_type: &str) -> bool;

    /// What holds for a tenant that has set nothing.
    fn defaults(&self) -> Map<String, Value>;

    /// The channels that follow from a tenant's settings: at most one of each provider.
    fn channels(&self, tenant: &Tenant, settings: &Map<String, Value>) -> Vec<SteeredChannel>;
}

/// A channel as settings want it.
#[derive(Debug)]
pub struct SteeredChannel {
    pub provider: &'static str,
    pub name: String,
    /// Of one that is not active, not checked: it may lack what it would need.
    pub config: Map<String, Value>,
    pub is_active: bool,
    pub event_types: Vec<String>,
    pub subject_template: Option<String>,
    pub body_template: Option<String>,
}

/// Why settings are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Their owner set them: what Postrider had paused goes on.
    Owner,
    /// Something else that they depend on has changed.
    Surroundings,
}

impl Engine {
    /// What a tenant has set in a dialect, or the defaults. Holds secrets.
    pub fn dialect_settings(&self, tenant: TenantId, dialect: &str) -> Result<Map<String, Value>, OpsError> {
        self.check_tenant(tenant)?;
        let steering = self.steering_of(dialect)?;
        match self.registry.dialect_settings(tenant, dialect) {
            None => Ok(steering.defaults()),
            Some(kept) => serde_json::from_str(kept.reveal())
                .map_err(|_| OpsError::Internal(format!("the {dialect} settings of tenant {tenant} cannot be read"))),
        }
    }

    /// Replaces those settings that `patch` names, and gives all of them. The channels follow in the same transaction.
    pub async fn change_dialect_settings(
        &self,
        tenant: TenantId,
        dialect: &str,
        patch: Map<String, Value>,
    ) -> Result<Map<String, Value>, OpsError> {
        let steering = self.steering_of(dialect)?;
        let _changing = self.changing.lock().await;
        let mut settings = self.dialect_settings(tenant, dialect)?;
        settings.extend(patch);
        self.steer(&*steering, tenant, &settings, Cause::Owner).await?;
        Ok(settings)
    }

    /// Carries out every tenant's settings again, after the operator's own have changed. Writes only what differs.
    pub async fn steer_all_anew(&self) -> Result<(), OpsError> {
        let _changing = self.changing.lock().await;
        for steering in &self.steering {
            for tenant in self.registry.tenants_with_settings(steering.dialect()) {
                self.steer_anew(tenant).await?;
            }
        }
        Ok(())
    }

    /// The same for one tenant. Only while configuration is locked.
    pub(super) async fn steer_anew(&self, tenant: TenantId) -> Result<(), OpsError> {
        for steering in self.steering.clone() {
            if self.registry.dialect_settings(tenant, steering.dialect()).is_some() {
                let settings = self.dialect_settings(tenant, steering.dialect())?;
                self.steer(&*steering, tenant, &settings, Cause::Surroundings).await?;
            }
        }
        Ok(())
    }

    /// Makes the channels of tenants that have set nothing, before the first events that they are for are routed.
    pub(super) async fn begin_steering(&self, events: &[EventIn]) -> Result<(), OpsError> {
        for steering in &self.steering {
            for event in events.iter().filter(|event| steering.is_for(&event.event_type)) {
                let (tenant, dialect) = (event.tenant, steering.dialect());
                let has_set = || self.registry.dialect_settings(tenant, dialect).is_some();
                if has_set() || !self.registry.has_tenant(tenant) || self.registry.is_suspended(tenant) {
                    continue;
                }
                let _changing = self.changing.lock().await;
                // Another event may have been first.
                if !has_set() {
                    let defaults = steering.defaults();
                    // Boxed, so that what this seldom needs is no part of every request.
                    Box::pin(self.steer(&**steering, tenant, &defaults, Cause::Surroundings)).await?;
                }
            }
        }
        Ok(())
    }

    /// A channel that its tenant may change: none that settings steer.
    pub(super) fn own_channel(&self, tenant: TenantId, channel: ChannelId) -> Result<Arc<LiveChannel>, OpsError> {
        let live = self.live_channel(tenant, channel)?;
        let settings = &live.channel.settings;
        if settings.is_managed {
            let dialect = settings.dialect.as_deref().unwrap_or_default();
            let message =
                format!("channel {channel} follows from the tenant's {dialect} settings: change those instead");
            return Err(OpsError::Conflict(message));
        }
        Ok(live)
    }

    fn steering_of(&self, dialect: &str) -> Result<Arc<dyn Steering>, OpsError> {
        let found = self.steering.iter().find(|steering| steering.dialect() == dialect);
        found.cloned().ok_or_else(|| OpsError::NotFound(format!("dialect {dialect} with settings")))
    }

    async fn steer(
        &self,
        steering: &dyn Steering,
        tenant: TenantId,
        settings: &Map<String, Value>,
        cause: Cause,
    ) -> Result<(), OpsError> {
        let dialect = steering.dialect();
        let owner = self.registry.tenant_of(tenant).ok_or_else(|| OpsError::NotFound(format!("tenant {tenant}")))?;
        let mut present = self.steered_channels(tenant, dialect);
        let set = DialectSettings {
            tenant,
            dialect: dialect.to_owned(),
            settings: Secret::new(Value::from(settings.clone()).to_string()),
        };
        let mut change =
            SteeringChange { settings: set.clone(), makes: Vec::new(), changes: Vec::new(), deletes: Vec::new() };
        for mut wanted in steering.channels(&owner, settings) {
            let before = present.remove(wanted.provider);
            // What the platform does not let a tenant have is not had by another way. What there is already stays.
            let is_had = before.as_ref().is_some_and(|live| live.channel.settings.is_active);
            wanted.is_active &= is_had || owner.may_have(wanted.provider);
            match before {
                None => change.makes.push(made(tenant, dialect, wanted)?),
                Some(live) => change.changes.extend(changed(&live, wanted, cause)?),
            }
        }
        change.deletes = present.values().map(|live| live.channel.id).collect();
        let touched: Vec<ChannelId> =
            change.changes.iter().map(|one| one.channel).chain(change.deletes.iter().copied()).collect();
        let is_kept = self.registry.dialect_settings(tenant, dialect).is_some_and(|kept| kept == set.settings);
        if is_kept && touched.is_empty() && change.makes.is_empty() {
            return Ok(());
        }
        let steered = match self.store.put_dialect_settings(change, self.clock.now()).await {
            Ok(steered) => steered,
            Err(error) => {
                self.settings_from_store(tenant, dialect, &touched).await;
                return Err(error.into());
            }
        };
        self.registry.put_dialect_settings(set);
        for made in steered.made {
            self.registry.put_channel(made)?;
        }
        for changed in steered.changed {
            let channel = changed.after.channel.id;
            self.registry.put_channel(changed.after.clone())?;
            self.tell_dispatch(channel, &changed, ReasonCode::ChannelSwitchedOff, SWITCHED_OFF);
        }
        for deleted in steered.deleted {
            let channel = deleted.after.channel.id;
            self.registry.remove_channel(channel, deleted.after.config_version);
            self.tell_dispatch(channel, &deleted, ReasonCode::ChannelDeleted, "the channel was deleted");
        }
        Ok(())
    }

    /// The channels that settings of a dialect steer now, by provider.
    fn steered_channels(&self, tenant: TenantId, dialect: &str) -> BTreeMap<String, Arc<LiveChannel>> {
        let is_steered = |live: &LiveChannel| {
            live.channel.settings.is_managed && live.channel.settings.dialect.as_deref() == Some(dialect)
        };
        let found = self.registry.channels_that(tenant, ChannelId(0), usize::MAX, is_steered);
        found.into_iter().map(|live| (live.channel.settings.provider.clone(), live)).collect()
    }

    /// After a change that failed: it may have been made and only the answer lost.
    async fn settings_from_store(&self, tenant: TenantId, dialect: &str, touched: &[ChannelId]) {
        self.take_from_store(None).await;
        for channel in touched {
            self.take_from_store(Some(*channel)).await;
        }
        if let Ok(snapshot) = self.store.load().await {
            let mut set = snapshot.dialect_settings.into_iter();
            if let Some(kept) = set.find(|set| set.tenant == tenant && set.dialect == dialect) {
                self.registry.put_dialect_settings(kept);
            }
        }
    }
}

const SWITCHED_OFF: &str = "the channel was switched off";

/// The settings of a channel and what brings events to it, on the ground of what it was before.
fn settled(
    mut settings: ChannelSettings,
    wanted: SteeredChannel,
) -> Result<(ChannelSettings, Vec<store::directory::NewRoute>), OpsError> {
    let provider = find_provider(wanted.provider)?;
    let config = if wanted.is_active {
        providers::create(provider, &wanted.config).map_err(OpsError::Invalid)?
    } else {
        Config::default()
    };
    settings.config = Secret::new(config.to_json());
    settings.name = wanted.name;
    settings.is_active = wanted.is_active;
    settings.subject_template = wanted.subject_template;
    settings.body_template = wanted.body_template;
    Ok((settings, check_routes(&wanted.event_types, None)?))
}

fn made(tenant: TenantId, dialect: &str, wanted: SteeredChannel) -> Result<NewChannel, OpsError> {
    let mut settings = ChannelSettings::new(String::new(), wanted.provider.to_owned(), Secret::new("{}"));
    settings.dialect = Some(dialect.to_owned());
    settings.is_managed = true;
    let (settings, routes) = settled(settings, wanted)?;
    Ok(NewChannel { tenant, settings, derives_shard: true, routes })
}

/// What is to be changed of a channel; `None` when it is as it is wanted.
fn changed(live: &LiveChannel, wanted: SteeredChannel, cause: Cause) -> Result<Option<ChannelChange>, OpsError> {
    let before = &live.channel.settings;
    let patterns = wanted.event_types.clone();
    let (settings, routes) = settled(before.clone(), wanted)?;
    let has_config = settings.config != before.config;
    let has_routes = routes_of(live).0 != patterns;
    let resumes = has_config || (cause == Cause::Owner && live.channel.pause.is_some());
    let is_as_wanted = !has_config
        && !has_routes
        && !resumes
        && settings.name == before.name
        && settings.is_active == before.is_active
        && settings.subject_template == before.subject_template
        && settings.body_template == before.body_template;
    if is_as_wanted {
        return Ok(None);
    }
    Ok(Some(ChannelChange {
        tenant: live.channel.tenant,
        channel: live.channel.id,
        resumes,
        cancels: (before.is_active && !settings.is_active).then(|| SWITCHED_OFF.to_owned()),
        routes: has_routes.then_some(routes),
        settings,
    }))
}
