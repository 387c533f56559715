//! The registry: configuration in memory, so that the way of an event reads no database.
//!
//! It holds what [`store::directory`] keeps, made ready for use: configs parsed, filters and templates compiled,
//! subscriptions indexed. Every change goes to the store first and then here (see `ops`). In which orders channels
//! are walked is in `channels`, why their deliveries are held in `hold`.

mod channels;
mod hold;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use domain::breaker::Trip;
use domain::channel::{Channel, DigestRule, Pause};
use domain::event::NewEvent;
use domain::event_type::KeptEventType;
use domain::lane::{LaneRules, Metering};
use domain::quotas::Quotas;
use domain::routing::{ConfigVersion, Routes, Subscription};
use domain::schedule::Schedule;
use domain::tenant::{Key, KeyHash, Tenant};
use domain::{ChannelId, KeyId, ScopeId, Secret, TenantId};
use providers::{Config, Operator, Provider, Scopes};
use store::directory::{ChannelWithRoutes, DialectSettings, Snapshot};

use self::channels::Channels;
pub(crate) use self::channels::{Listed, TenantChannels};
pub(crate) use self::hold::Suspension;
pub use self::hold::{Hold, TripState};
use crate::accept::filter::{self, Context, Filter};
use crate::render::Templates;
use crate::settings::{Retention, Settings};

/// A channel ready for use.
#[derive(Debug)]
pub struct LiveChannel {
    pub channel: Channel,
    pub provider: ProviderRef,
    /// Shared with every attempt's records.
    pub provider_name: Arc<str>,
    pub config: Config,
    pub templates: Templates,
    /// How its deliveries are merged; `None` when each is a message of its own.
    pub digest: Option<LiveDigest>,
    pub schedule: Schedule,
    pub time_to_live: Duration,
    /// Deliveries that are held while it fails or is paused.
    pub held_max: u64,
    /// How old these may get; `None`: as old as they live.
    pub held_for: Option<Duration>,
    pub subscriptions: Vec<Subscription>,
    /// What it shares with other channels, and the provider's rates.
    pub scopes: Scopes,
    pub(crate) trip: Arc<TripState>,
    pub(crate) suspension: Arc<Suspension>,
    /// It was made since this process started.
    pub(crate) is_new: bool,
}

/// A digest rule ready for use.
#[derive(Debug)]
pub struct LiveDigest {
    pub rule: DigestRule,
    group_by: Option<Filter>,
}

impl LiveDigest {
    /// `None` for a rule that merges nothing.
    fn new(rule: &DigestRule) -> Option<Self> {
        let group_by = rule.group_by.as_deref().map(Filter::compile_stored);
        rule.merges().then(|| Self { rule: rule.clone(), group_by })
    }

    /// What an event must have in common with others to be merged with them.
    pub(crate) fn key(&self, event: &NewEvent) -> String {
        self.group_by.as_ref().map_or_else(String::new, |filter| filter::value(filter, &Context::of(event)))
    }
}

/// A provider, with a `Debug` that says which.
#[derive(Clone, Copy)]
pub struct ProviderRef(pub &'static dyn Provider);

impl std::fmt::Debug for ProviderRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.spec().name)
    }
}

/// Why a stored channel cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("channel {0}: this Postrider has no provider {1}; run the version that made it")]
    UnknownProvider(ChannelId, String),
    #[error("channel {0}: {1}")]
    Config(ChannelId, providers::config::UnreadableConfig),
}

impl LiveChannel {
    /// Whether its deliveries are held, and why.
    pub fn held(&self) -> Option<Hold> {
        let suspended = self.suspension.since().map(Hold::Suspended);
        suspended.or_else(|| self.channel.pause.clone().map(Hold::Paused))
    }

    /// Why its deliveries wait, for people: also that its breaker is open, which holds them for a while.
    pub fn holding(&self) -> Option<Hold> {
        self.held().or_else(|| self.tripped().map(Hold::Tripped))
    }

    /// That its breaker is open.
    pub fn tripped(&self) -> Option<Trip> {
        self.trip.get()
    }

    /// Whether a rate counts what is sent to it.
    pub fn is_metered(&self) -> bool {
        !self.scopes.rates.is_empty() || self.channel.settings.rate_limit.is_some()
    }

    /// What its lane keeps to.
    pub(crate) fn lane_rules(&self) -> LaneRules {
        let Channel { tenant, ref settings, .. } = self.channel;
        let scopes = [self.scopes.place, self.scopes.credential, self.scopes.provider];
        let metering = Metering {
            rate_limit: settings.rate_limit,
            rates: self.scopes.rates.clone(),
            scopes: scopes.into_iter().flatten().collect(),
            is_new: self.is_new,
        };
        LaneRules { tenant, concurrency: settings.concurrency, is_fifo: settings.is_fifo, metering }
    }

    fn new(
        stored: ChannelWithRoutes,
        settings: &Settings,
        suspension: Arc<Suspension>,
        trip: Arc<TripState>,
    ) -> Result<Self, RegistryError> {
        let ChannelWithRoutes { channel, subscriptions, .. } = stored;
        let provider = providers::find(&channel.settings.provider)
            .ok_or_else(|| RegistryError::UnknownProvider(channel.id, channel.settings.provider.clone()))?;
        let spec = provider.spec();
        let config = Config::parse(channel.settings.config.reveal())
            .map_err(|error| RegistryError::Config(channel.id, error))?;
        let breaker = channel.settings.breaker.unwrap_or_default();
        let mut scopes = Scopes::of(provider, &config);
        if !settings.keeps_provider_rates {
            scopes.rates.clear();
        }
        Ok(Self {
            scopes,
            trip,
            provider: ProviderRef(provider),
            provider_name: spec.name.into(),
            templates: Templates::compile(&channel.settings, provider.markup(&config)),
            digest: channel.settings.digest.as_ref().filter(|_| provider.merges(&config)).and_then(LiveDigest::new),
            config,
            schedule: channel.settings.retry.clone().unwrap_or_else(|| settings.default_schedule(spec)),
            time_to_live: channel.settings.time_to_live.unwrap_or(spec.time_to_live),
            held_max: u64::from(breaker.held_max.unwrap_or(settings.held_max)),
            held_for: breaker.held_for.or(settings.held_for),
            channel,
            subscriptions,
            suspension,
            is_new: false,
        })
    }
}

/// The routes of a tenant with their filters compiled.
#[derive(Debug, Default)]
pub struct TenantRoutes {
    pub routes: Routes,
    pub filters: Vec<Filter>,
}

#[derive(Default)]
struct State {
    config_version: ConfigVersion,
    tenants: BTreeMap<TenantId, Tenant>,
    slugs: BTreeMap<String, TenantId>,
    suspensions: BTreeMap<TenantId, Arc<Suspension>>,
    keys: BTreeMap<KeyHash, Arc<Key>>,
    channels: Channels,
    event_types: BTreeMap<(TenantId, String), Arc<KeptEventType>>,
    dialect_settings: BTreeMap<(TenantId, String), Secret>,
    /// Made when first asked for after a change: a thousand changes in a row index nothing.
    routes: BTreeMap<TenantId, Arc<TenantRoutes>>,
}

impl State {
    fn put_tenant(&mut self, tenant: Tenant) {
        self.suspension(tenant.id).set(tenant.suspended_at);
        self.slugs.insert(tenant.slug.clone(), tenant.id);
        self.tenants.insert(tenant.id, tenant);
    }

    fn suspension(&mut self, tenant: TenantId) -> Arc<Suspension> {
        Arc::clone(self.suspensions.entry(tenant).or_default())
    }
}

/// Configuration in memory.
pub struct Registry {
    /// This database's own name: part of every id on the wire.
    pub instance: String,
    /// What providers plan by besides a channel's config.
    pub operator: Operator,
    settings: Settings,
    /// The newest channel of all that there were when this process started.
    newest_at_start: Option<ChannelId>,
    state: RwLock<State>,
}

impl Registry {
    /// Knows nobody, as on a new database.
    #[cfg(test)]
    pub(crate) fn of_nothing() -> Self {
        let snapshot = Snapshot {
            config_version: ConfigVersion::default(),
            instance: "db".to_owned(),
            tenants: Vec::new(),
            keys: Vec::new(),
            channels: Vec::new(),
            event_types: Vec::new(),
            dialect_settings: Vec::new(),
        };
        Self::new(snapshot, Settings::default(), Operator::default()).expect("nothing in it can be wrong")
    }

    pub fn new(snapshot: Snapshot, settings: Settings, operator: Operator) -> Result<Self, RegistryError> {
        let mut state = State { config_version: snapshot.config_version, ..State::default() };
        for tenant in snapshot.tenants {
            state.put_tenant(tenant);
        }
        state.keys = snapshot.keys.into_iter().map(|key| (key.hash, Arc::new(key))).collect();
        for kept in snapshot.event_types {
            state.event_types.insert((kept.tenant, kept.event_type.name.clone()), Arc::new(kept));
        }
        for set in snapshot.dialect_settings {
            state.dialect_settings.insert((set.tenant, set.dialect), set.settings);
        }
        let newest_at_start = snapshot.channels.iter().map(|stored| stored.channel.id).max();
        for stored in snapshot.channels {
            let suspension = state.suspension(stored.channel.tenant);
            let live = LiveChannel::new(stored, &settings, suspension, Arc::default())?;
            state.channels.put(Arc::new(live));
        }
        Ok(Self { instance: snapshot.instance, operator, settings, newest_at_start, state: RwLock::new(state) })
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long history is kept.
    pub(crate) const fn retention(&self) -> &Retention {
        &self.settings.retention
    }

    pub fn config_version(&self) -> ConfigVersion {
        self.read().config_version
    }

    pub fn key(&self, hash: &KeyHash) -> Option<Arc<Key>> {
        self.read().keys.get(hash).cloned()
    }

    /// The keys of a tenant (`None`: the platform's), in order of id.
    pub fn keys_of(&self, tenant: Option<TenantId>) -> Vec<Arc<Key>> {
        let state = self.read();
        let mine: BTreeMap<KeyId, &Arc<Key>> =
            state.keys.values().filter(|key| key.tenant == tenant).map(|key| (key.id, key)).collect();
        mine.into_values().cloned().collect()
    }

    pub(crate) fn tenant_of(&self, tenant: TenantId) -> Option<Tenant> {
        self.read().tenants.get(&tenant).cloned()
    }

    pub fn tenant(&self, slug: &str) -> Option<Tenant> {
        let state = self.read();
        state.tenants.get(state.slugs.get(slug)?).cloned()
    }

    /// The tenant with this id.
    pub(crate) fn tenant_with(&self, id: TenantId) -> Option<Tenant> {
        self.read().tenants.get(&id).cloned()
    }

    /// Tenants in order of id, those above `after` that `passes` lets through.
    pub fn tenants_that(&self, after: TenantId, rows_max: usize, passes: impl Fn(&Tenant) -> bool) -> Vec<Tenant> {
        let above = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        let state = self.read();
        let wanted = state.tenants.range(above).map(|(_, tenant)| tenant).filter(|tenant| passes(tenant));
        wanted.take(rows_max).cloned().collect()
    }

    /// Whether there is such a tenant.
    pub fn has_tenant(&self, tenant: TenantId) -> bool {
        self.read().tenants.contains_key(&tenant)
    }

    /// Whether a tenant is suspended.
    pub fn is_suspended(&self, tenant: TenantId) -> bool {
        self.read().tenants.get(&tenant).is_some_and(|tenant| tenant.suspended_at.is_some())
    }

    /// A channel of any tenant: for dispatch.
    pub fn channel(&self, channel: ChannelId) -> Option<Arc<LiveChannel>> {
        self.read().channels.get(channel).cloned()
    }

    /// A channel of this tenant.
    pub fn channel_of(&self, tenant: TenantId, channel: ChannelId) -> Option<Arc<LiveChannel>> {
        self.channel(channel).filter(|live| live.channel.tenant == tenant)
    }

    /// The channels that are paused.
    pub fn paused(&self) -> BTreeSet<ChannelId> {
        let state = self.read();
        state.channels.iter().filter(|live| live.channel.pause.is_some()).map(|live| live.channel.id).collect()
    }

    /// The channels whose breakers are open.
    pub fn tripped(&self) -> BTreeSet<ChannelId> {
        let state = self.read();
        state.channels.iter().filter(|live| live.tripped().is_some()).map(|live| live.channel.id).collect()
    }

    /// Calls `look` with a look-up of this tenant's channels, all of one moment.
    pub fn with_channels<T>(
        &self,
        tenant: TenantId,
        look: impl FnOnce(&dyn Fn(ChannelId) -> Option<Arc<LiveChannel>>) -> T,
    ) -> T {
        let state = self.read();
        look(&|channel| state.channels.get(channel).filter(|live| live.channel.tenant == tenant).cloned())
    }

    /// Calls `look` with the channels of a tenant, all of one moment; `None` when it has none. Nothing changes while it
    /// looks, and events wait for a change: it has to be quick.
    pub(crate) fn of_tenant<T>(&self, tenant: TenantId, look: impl FnOnce(&TenantChannels) -> T) -> Option<T> {
        self.read().channels.of_tenant(tenant).map(look)
    }

    /// The quotas of a tenant: its own, and those that are in force.
    pub(crate) fn quotas(&self, tenant: TenantId) -> (Quotas, Quotas) {
        let own = self.read().tenants.get(&tenant).map(|tenant| tenant.quotas).unwrap_or_default();
        (own, own.or(self.settings.quotas))
    }

    pub(crate) fn channels_count(&self, tenant: TenantId) -> usize {
        self.of_tenant(tenant, TenantChannels::len).unwrap_or_default()
    }

    /// Channels of a tenant in order of id, those above `after`.
    pub fn channels(&self, tenant: TenantId, after: ChannelId, rows_max: usize) -> Vec<Arc<LiveChannel>> {
        self.channels_that(tenant, after, rows_max, |_| true)
    }

    /// The same, only those that `passes` lets through.
    pub fn channels_that(
        &self,
        tenant: TenantId,
        after: ChannelId,
        rows_max: usize,
        passes: impl Fn(&LiveChannel) -> bool,
    ) -> Vec<Arc<LiveChannel>> {
        let look = |channels: &TenantChannels| {
            let passing = channels.above(after).map(|listed| &listed.live).filter(|live| passes(live));
            passing.take(rows_max).cloned().collect()
        };
        self.of_tenant(tenant, look).unwrap_or_default()
    }

    /// The routes of a tenant and the version that they are of.
    pub fn routes(&self, tenant: TenantId) -> (Arc<TenantRoutes>, ConfigVersion) {
        {
            let state = self.read();
            if let Some(routes) = state.routes.get(&tenant) {
                return (Arc::clone(routes), state.config_version);
            }
        }
        let mut state = self.write();
        let listed = state.channels.of_tenant(tenant).into_iter().flat_map(TenantChannels::by_id);
        let routes = Routes::new(listed.flat_map(|listed| &listed.live.subscriptions));
        // They were checked when they were saved; one that no longer compiles rejects, and says so in its verdict.
        let filters = routes.filters().iter().map(|text| Filter::compile_stored(text)).collect();
        let routes = Arc::new(TenantRoutes { routes, filters });
        state.routes.insert(tenant, Arc::clone(&routes));
        (routes, state.config_version)
    }

    /// The event types that a tenant has described, in order of name.
    pub(crate) fn event_types(&self, tenant: TenantId) -> Vec<Arc<KeptEventType>> {
        let state = self.read();
        let from = state.event_types.range((tenant, String::new())..);
        from.take_while(|((of, _), _)| *of == tenant).map(|(_, kept)| Arc::clone(kept)).collect()
    }

    pub(crate) fn put_event_type(&self, kept: KeptEventType) {
        self.write().event_types.insert((kept.tenant, kept.event_type.name.clone()), Arc::new(kept));
    }

    pub(crate) fn remove_event_type(&self, tenant: TenantId, name: &str) {
        self.write().event_types.remove(&(tenant, name.to_owned()));
    }

    /// What a tenant has set in a dialect; `None` when it has set nothing.
    pub(crate) fn dialect_settings(&self, tenant: TenantId, dialect: &str) -> Option<Secret> {
        self.read().dialect_settings.get(&(tenant, dialect.to_owned())).cloned()
    }

    /// The tenants that have set something in a dialect.
    pub(crate) fn tenants_with_settings(&self, dialect: &str) -> Vec<TenantId> {
        let state = self.read();
        state.dialect_settings.keys().filter(|(_, of)| of == dialect).map(|(tenant, _)| *tenant).collect()
    }

    pub(crate) fn put_dialect_settings(&self, set: DialectSettings) {
        self.write().dialect_settings.insert((set.tenant, set.dialect), set.settings);
    }

    pub(crate) fn in_proportion(&self, schedule: Schedule) -> Schedule {
        self.settings.in_proportion(schedule)
    }

    /// A channel that nobody has saved: for a preview.
    pub(crate) fn unsaved(&self, channel: Channel) -> Result<LiveChannel, RegistryError> {
        let config_version = self.config_version();
        let stored = ChannelWithRoutes { channel, subscriptions: Vec::new(), config_version };
        LiveChannel::new(stored, &self.settings, Arc::default(), Arc::default())
    }

    /// Takes a tenant as it is now; that it is suspended holds for all of its channels at once.
    pub(crate) fn put_tenant(&self, tenant: Tenant) {
        self.write().put_tenant(tenant);
    }

    /// Forgets a tenant with everything that is its own. Gives the channels that it had.
    pub(crate) fn remove_tenant(&self, tenant: TenantId) -> Vec<ChannelId> {
        let mut state = self.write();
        if let Some(gone) = state.tenants.remove(&tenant) {
            state.slugs.remove(&gone.slug);
        }
        state.suspensions.remove(&tenant);
        state.keys.retain(|_, key| key.tenant != Some(tenant));
        state.routes.remove(&tenant);
        state.event_types.retain(|(of, _), _| *of != tenant);
        state.dialect_settings.retain(|(of, _), _| *of != tenant);
        state.channels.remove_tenant(tenant)
    }

    pub(crate) fn put_key(&self, key: Key) {
        self.write().keys.insert(key.hash, Arc::new(key));
    }

    pub(crate) fn remove_key(&self, key: KeyId) {
        self.write().keys.retain(|_, held| held.id != key);
    }

    pub(crate) fn put_channel(&self, stored: ChannelWithRoutes) -> Result<Arc<LiveChannel>, RegistryError> {
        let version = stored.config_version;
        let suspension = self.write().suspension(stored.channel.tenant);
        let trip = self.channel(stored.channel.id).map(|live| Arc::clone(&live.trip)).unwrap_or_default();
        let is_new = Some(stored.channel.id) > self.newest_at_start;
        let live = Arc::new(LiveChannel { is_new, ..LiveChannel::new(stored, &self.settings, suspension, trip)? });
        let mut state = self.write();
        state.channels.put(Arc::clone(&live));
        state.routes.remove(&live.channel.tenant);
        state.config_version = state.config_version.max(version);
        Ok(live)
    }

    pub(crate) fn remove_channel(&self, channel: ChannelId, version: ConfigVersion) {
        let mut state = self.write();
        let Some(live) = state.channels.remove(channel) else { return };
        state.routes.remove(&live.channel.tenant);
        state.config_version = state.config_version.max(version);
    }

    /// Pauses a channel, unless it was changed or paused since `used` was taken from here. Returns whether it did.
    pub(crate) fn pause(&self, used: &Arc<LiveChannel>, pause: Pause) -> bool {
        self.replace(used, |channel| channel.pause = Some(pause))
    }

    /// Gives a channel another config, unless it was changed or paused since `used` was taken from here. Its words in a
    /// dialect are dropped. Returns whether it did.
    pub(crate) fn reconfigure(&self, used: &Arc<LiveChannel>, config: &Config) -> bool {
        self.replace(used, |channel| {
            channel.settings.config = Secret::new(config.to_json());
            channel.settings.wire_config = None;
        })
    }

    /// Every running channel with this credential.
    pub(crate) fn running_with_credential(&self, credential: ScopeId) -> Vec<Arc<LiveChannel>> {
        let state = self.read();
        let running = state.channels.iter().filter(|live| live.channel.pause.is_none());
        running.filter(|live| live.scopes.credential == Some(credential)).cloned().collect()
    }

    /// Every channel with this credential.
    pub(crate) fn with_credential(&self, credential: ScopeId) -> Vec<ChannelId> {
        let state = self.read();
        let with = state.channels.iter().filter(|live| live.scopes.credential == Some(credential));
        with.map(|live| live.channel.id).collect()
    }

    fn replace(&self, used: &Arc<LiveChannel>, change: impl FnOnce(&mut Channel)) -> bool {
        let mut state = self.write();
        if !state.channels.get(used.channel.id).is_some_and(|live| Arc::ptr_eq(live, used)) {
            return false;
        }
        let mut channel = used.channel.clone();
        change(&mut channel);
        let stored = ChannelWithRoutes {
            channel,
            subscriptions: used.subscriptions.clone(),
            config_version: state.config_version,
        };
        let suspension = Arc::clone(&used.suspension);
        let trip = Arc::clone(&used.trip);
        let Ok(changed) = LiveChannel::new(stored, &self.settings, suspension, trip) else { return false };
        state.channels.put(Arc::new(LiveChannel { is_new: used.is_new, ..changed }));
        true
    }
}
