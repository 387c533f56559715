//! Channels: made, changed, shown, deleted. How they are tested is in `channel_test`.

use std::sync::Arc;

use domain::channel::{ChannelSettings, shard_of};
use domain::schedule::Schedule;
use domain::{ChannelId, ReasonCode, Secret, TenantId};
use providers::Config;
use serde_json::{Map, Value};
use store::StoreError;
use store::directory::{Changed, ChannelChange};
use store::queue::Cancellation;

use super::channel_edit::{
    ChannelEdit, WireConfig, apply, check_format, check_routes, find_provider, shard_of_credential,
};
use super::{ChannelFilter, Engine, OpsError, check_name};
use crate::dispatch::Input;
use crate::registry::LiveChannel;

/// The most channels of one tenant.
const CHANNELS_MAX: usize = 100_000;

/// A channel to be made.
#[derive(Debug)]
pub struct NewChannel {
    pub name: String,
    pub provider: String,
    pub config: Map<String, Value>,
    /// Everything else; a config in it is passed over.
    pub edit: ChannelEdit,
    /// Which face makes it; `None` for the native API.
    pub dialect: Option<String>,
    /// Made and steered by settings of that face.
    pub is_managed: bool,
}

/// How many channels of some kind a tenant may have.
#[derive(Debug)]
pub struct ChannelCap {
    pub of: ChannelFilter,
    pub max: usize,
}

/// A channel as its owner sees it: secrets masked, except those just generated.
#[derive(Debug)]
pub struct ChannelShown {
    pub live: Arc<LiveChannel>,
    pub config: Map<String, Value>,
    /// What its owner should know of its templates.
    pub warnings: Vec<String>,
}

impl Engine {
    pub fn channel(&self, tenant: TenantId, channel: ChannelId) -> Result<ChannelShown, OpsError> {
        Ok(self.show(self.live_channel(tenant, channel)?))
    }

    /// A schedule that a face gives its channels, in the proportion in which the operator has the default ones. It is
    /// stored with the channel: what the operator decides later leaves it as it is.
    pub fn in_proportion(&self, schedule: Schedule) -> Schedule {
        self.registry.in_proportion(schedule)
    }

    /// Makes a channel. A signing secret that was generated is shown in the answer, this once.
    pub async fn create_channel(&self, tenant: TenantId, new: NewChannel) -> Result<ChannelShown, OpsError> {
        self.create_channel_within(tenant, new, None).await
    }

    /// The same, unless the tenant has as many channels of its kind as a face lets it have.
    pub async fn create_channel_within(
        &self,
        tenant: TenantId,
        new: NewChannel,
        cap: Option<&ChannelCap>,
    ) -> Result<ChannelShown, OpsError> {
        check_name(&new.name)?;
        let provider = find_provider(&new.provider)?;
        self.check_provider(tenant, &new.provider)?;
        let mut config = providers::create(provider, &new.config).map_err(OpsError::Invalid)?;
        let mut entropy = [0; 32];
        self.entropy.fill(&mut entropy);
        let generated = provider.complete(&mut config, entropy);
        provider.check_operator(&config, &self.registry.operator).map_err(OpsError::Invalid)?;
        let mut settings = ChannelSettings::new(new.name, new.provider, Secret::new(config.to_json()));
        settings.dialect = new.dialect;
        settings.is_managed = new.is_managed;
        apply(&mut settings, &new.edit)?;
        check_format(&config, &settings)?;
        settings.wire_config = new.edit.wire_config.map(WireConfig::seal);
        let patterns = new.edit.event_types.unwrap_or_else(|| vec!["*".to_owned()]);
        let routes = check_routes(&patterns, new.edit.filter.flatten().as_deref())?;
        if self.registry.channels_count(tenant) >= CHANNELS_MAX {
            return Err(OpsError::Conflict(format!("there are {CHANNELS_MAX} channels already")));
        }
        let shard = shard_of_credential(provider, &config);
        settings.shard = shard.unwrap_or_default();
        let new = store::directory::NewChannel { tenant, settings, derives_shard: shard.is_none(), routes };
        let _changing = self.changing.lock().await;
        self.check_tenant(tenant)?;
        self.check_channels_quota(tenant)?;
        if let Some(cap) = cap
            && self.count_channels(tenant, &cap.of, cap.max) >= cap.max
        {
            return Err(OpsError::Conflict(format!("there are {} of this kind already; delete one first", cap.max)));
        }
        let made = match self.store.create_channel(new, self.clock.now()).await {
            Ok(made) => made,
            Err(error) => {
                self.take_from_store(None).await;
                return Err(error.into());
            }
        };
        let live = self.registry.put_channel(made)?;
        let mut shown = self.show(live);
        for key in generated {
            let value = shown.live.config.text(key).map(Value::from);
            shown.config.extend(value.map(|value| (key.to_owned(), value)));
        }
        Ok(shown)
    }

    /// Changes a channel. Switching it off cancels what waits; a new config, or switching it on, ends a pause.
    pub async fn update_channel(
        &self,
        tenant: TenantId,
        channel: ChannelId,
        mut edit: ChannelEdit,
    ) -> Result<ChannelShown, OpsError> {
        let _changing = self.changing.lock().await;
        let live = self.own_channel(tenant, channel)?;
        let now = self.clock.now();
        let before = &live.channel.settings;
        let mut settings = before.clone();
        let mut config =
            Config::parse(before.config.reveal()).map_err(|error| OpsError::Internal(error.to_string()))?;
        let has_config = edit.config.is_some();
        if let Some(change) = edit.config.take() {
            let mut entropy = [0; 32];
            self.entropy.fill(&mut entropy);
            let (provider, changed) =
                change.applied(live.provider.0, &config, &self.registry.operator, (entropy, now))?;
            let name = provider.spec().name;
            if name != before.provider {
                self.check_provider(tenant, name)?;
            }
            name.clone_into(&mut settings.provider);
            settings.config = Secret::new(changed.to_json());
            settings.wire_config = edit.wire_config.take().map(WireConfig::seal);
            let own = || shard_of(&channel.0.to_be_bytes());
            settings.shard = shard_of_credential(provider, &changed).unwrap_or_else(own);
            config = changed;
        }
        apply(&mut settings, &edit)?;
        check_format(&config, &settings)?;
        let routes = if edit.event_types.is_some() || edit.filter.is_some() {
            let (patterns, filter) = routes_of(&live);
            let patterns = edit.event_types.unwrap_or(patterns);
            let filter = edit.filter.unwrap_or(filter);
            Some(check_routes(&patterns, filter.as_deref())?)
        } else {
            None
        };
        let is_switched_off = before.is_active && !settings.is_active;
        let change = ChannelChange {
            tenant,
            channel,
            resumes: has_config || edit.is_active == Some(true),
            cancels: is_switched_off.then(|| "the channel was switched off".to_owned()),
            settings,
            routes,
        };
        let changed = self.store.update_channel(change, now).await;
        let changed = self.or_take_from_store(channel, changed).await?.ok_or_else(|| OpsError::no_channel(channel))?;
        let live = self.registry.put_channel(changed.after.clone())?;
        self.tell_dispatch(channel, &changed, ReasonCode::ChannelSwitchedOff, "the channel was switched off");
        Ok(self.show(live))
    }

    /// Deletes a channel; what waits is cancelled, history stays.
    pub async fn delete_channel(&self, tenant: TenantId, channel: ChannelId) -> Result<(), OpsError> {
        let _changing = self.changing.lock().await;
        self.own_channel(tenant, channel)?;
        let changed = self.store.delete_channel(tenant, channel, self.clock.now()).await;
        let changed = self.or_take_from_store(channel, changed).await?.ok_or_else(|| OpsError::no_channel(channel))?;
        self.registry.remove_channel(channel, changed.after.config_version);
        self.tell_dispatch(channel, &changed, ReasonCode::ChannelDeleted, "the channel was deleted");
        Ok(())
    }

    /// That the platform allows the tenant this provider.
    fn check_provider(&self, tenant: TenantId, provider: &str) -> Result<(), OpsError> {
        match self.registry.tenant_with(tenant) {
            Some(refusing) if !refusing.may_have(provider) => {
                let allowed = refusing.providers.unwrap_or_default().join(", ");
                let message = format!("is not one that the platform allows this tenant, which may have {allowed}");
                Err(OpsError::invalid("provider", message))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn show(&self, live: Arc<LiveChannel>) -> ChannelShown {
        let warnings = self.warnings(live.channel.tenant, &live);
        ChannelShown { config: providers::masked(live.provider.0, &live.config), live, warnings }
    }

    /// What a change of a channel came to; when it failed, the registry takes from the store what became of it.
    pub(super) async fn or_take_from_store<T>(
        &self,
        channel: ChannelId,
        changed: Result<T, StoreError>,
    ) -> Result<T, OpsError> {
        if changed.is_err() {
            self.take_from_store(Some(channel)).await;
        }
        Ok(changed?)
    }

    /// After a change that failed: it may have been done and only the answer lost, so the registry takes from the store
    /// what became of the channel, or which channels it does not know. When the store cannot be read either, it is left
    /// as it was until the next change or start.
    pub(super) async fn take_from_store(&self, changed: Option<ChannelId>) {
        let (Ok(snapshot), Ok(orders)) = (self.store.load().await, self.store.cancellations().await) else { return };
        let is_there = |id| snapshot.channels.iter().any(|stored| stored.channel.id == id);
        if let Some(gone) = changed.filter(|id| !is_there(*id)) {
            self.registry.remove_channel(gone, snapshot.config_version);
            self.dispatch.input(Input::ChannelChanged(gone));
        }
        for mut stored in snapshot.channels {
            let id = stored.channel.id;
            // A change that was not made has ended no pause, and one that dispatch has made may not be written down yet.
            let unchanged =
                self.registry.channel(id).filter(|live| live.channel.updated_at == stored.channel.updated_at);
            let unsaved = unchanged.and_then(|live| live.channel.pause.clone());
            stored.channel.pause = stored.channel.pause.or(unsaved);
            if (Some(id) == changed || self.registry.channel(id).is_none()) && self.registry.put_channel(stored).is_ok()
            {
                self.dispatch.input(Input::ChannelChanged(id));
            }
        }
        for order in orders.into_iter().filter(|order| Some(order.channel) == changed) {
            self.dispatch.input(Input::Cancelled(order));
        }
    }

    pub(super) fn tell_dispatch(&self, channel: ChannelId, changed: &Changed, code: ReasonCode, reason: &str) {
        self.dispatch.input(Input::ChannelChanged(channel));
        if let Some(up_to) = changed.cancelled_up_to {
            let order = Cancellation { channel, up_to, code, reason: reason.to_owned() };
            self.dispatch.input(Input::Cancelled(order));
        }
    }
}

/// The patterns and the filter of a channel's subscriptions, as the shorthand `event_types` and `filter` says them. A
/// filter that not all of them share is none of the shorthand.
pub(crate) fn routes_of(live: &LiveChannel) -> (Vec<String>, Option<String>) {
    let patterns = live.subscriptions.iter().map(|one| one.pattern.to_string()).collect();
    let first = live.subscriptions.first().and_then(|one| one.filter.as_deref());
    let is_shared = live.subscriptions.iter().all(|one| one.filter.as_deref() == first);
    (patterns, first.filter(|_| is_shared).map(ToOwned::to_owned))
}

impl ChannelShown {
    /// The config with its secrets in clear, for callers that may change them.
    pub fn clear_config(&self) -> Map<String, Value> {
        providers::clear(self.live.provider.0, &self.live.config)
    }

    /// The config as this dialect was given it, unless it was changed in other words since. Holds secrets.
    pub fn wire_config(&self, dialect: &str) -> Option<Map<String, Value>> {
        let kept = self.live.channel.settings.wire_config.as_ref();
        kept.and_then(|kept| WireConfig::opened(kept, dialect))
    }

    /// The shorthand of its subscriptions: patterns, and the filter that they share.
    pub fn routes(&self) -> (Vec<String>, Option<String>) {
        routes_of(&self.live)
    }
}
