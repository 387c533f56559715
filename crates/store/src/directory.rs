//! Configuration: tenants, keys, channels and their subscriptions.

use std::sync::Arc;

use async_trait::async_trait;
use domain::breaker::Trip;
use domain::channel::{Channel, ChannelSettings, Pause};
use domain::event_type::{EventType, KeptEventType};
use domain::quotas::Quotas;
use domain::routing::{ConfigVersion, Pattern, Subscription};
use domain::tenant::{Key, KeyHash, Scope, Tenant};
use domain::{ChannelId, DeliveryId, KeyId, Secret, SubscriptionId, TenantId, Timestamp};

use crate::StoreError;

/// Keeps what owners configure. Every change raises the [`ConfigVersion`].
#[async_trait]
pub trait Directory: Send + Sync {
    /// Everything that is not deleted, for the routing table in memory.
    async fn load(&self) -> Result<Snapshot, StoreError>;

    /// Makes a tenant, or gives the one with this slug a new name, address and list of providers.
    async fn put_tenant(&self, tenant: NewTenant, now: Timestamp) -> Result<Tenant, StoreError>;

    /// Suspends a tenant; one that is suspended stays so since when it was. `None` when there is none.
    async fn suspend_tenant(&self, tenant: TenantId, now: Timestamp) -> Result<Option<Tenant>, StoreError>;

    /// Ends the suspension of a tenant. `None` when there is none.
    async fn resume_tenant(&self, tenant: TenantId) -> Result<Option<Tenant>, StoreError>;

    /// Deletes a tenant: nothing of it is loaded any more, its slug and its keys' secrets may be used anew, and no event
    /// is accepted for it. What it has left is erased by [`Queue::purge_slice`](crate::Queue::purge_slice). Returns
    /// whether there was one.
    async fn delete_tenant(&self, tenant: TenantId, now: Timestamp) -> Result<bool, StoreError>;

    /// Makes a key. `None` when its secret is in use already.
    async fn create_key(&self, key: NewKey, now: Timestamp) -> Result<Option<Key>, StoreError>;

    /// Revokes a key of a tenant (`None`: a platform key). Returns whether there was one.
    async fn revoke_key(&self, tenant: Option<TenantId>, key: KeyId, now: Timestamp) -> Result<bool, StoreError>;

    /// Makes a channel with its subscriptions. The shard in the settings is taken as it is; `None` derives it from
    /// the new id.
    async fn create_channel(&self, channel: NewChannel, now: Timestamp) -> Result<ChannelWithRoutes, StoreError>;

    /// Changes a channel. `routes` replaces its subscriptions. `None` when the tenant has no such channel.
    async fn update_channel(&self, change: ChannelChange, now: Timestamp) -> Result<Option<Changed>, StoreError>;

    /// Deletes a channel, ends its subscriptions and orders what waits cancelled. `None` when there is none.
    async fn delete_channel(
        &self,
        tenant: TenantId,
        channel: ChannelId,
        now: Timestamp,
    ) -> Result<Option<Changed>, StoreError>;

    /// Pauses a channel for a reason. Returns whether it was running.
    async fn pause_channel(&self, channel: ChannelId, pause: Pause) -> Result<bool, StoreError>;

    /// Writes down that the breaker of a channel is open, or no longer; a change of the channel closes it as well.
    async fn trip_channel(&self, channel: ChannelId, trip: Option<Trip>) -> Result<(), StoreError>;

    /// The channels whose breakers were open, in order of id. When they may probe is not kept: at once.
    async fn tripped_channels(&self) -> Result<Vec<(ChannelId, Trip)>, StoreError>;

    /// Gives a channel another config if it still has the one before, and drops its words in a dialect. Returns whether it
    /// did.
    async fn replace_config(&self, change: ConfigChange, now: Timestamp) -> Result<bool, StoreError>;

    /// Begins a subscription of a channel, beside those that it has. `None` when the tenant has no such channel.
    async fn add_subscription(
        &self,
        tenant: TenantId,
        channel: ChannelId,
        route: NewRoute,
    ) -> Result<Option<ChannelWithRoutes>, StoreError>;

    /// Ends a subscription; the channel keeps its others. `None` when the tenant has no such subscription.
    async fn end_subscription(
        &self,
        tenant: TenantId,
        subscription: SubscriptionId,
    ) -> Result<Option<ChannelWithRoutes>, StoreError>;

    /// Describes an event type, or describes it anew.
    async fn put_event_type(
        &self,
        tenant: TenantId,
        event_type: EventType,
        now: Timestamp,
    ) -> Result<KeptEventType, StoreError>;

    /// Keeps what a tenant has set in a dialect, and makes, changes and deletes the channels that it steers: all of it or
    /// nothing. A channel to be changed or deleted that the tenant does not have is passed over.
    async fn put_dialect_settings(&self, change: SteeringChange, now: Timestamp) -> Result<Steered, StoreError>;

    /// Forgets the description of an event type. Returns whether there was one.
    async fn delete_event_type(&self, tenant: TenantId, name: String) -> Result<bool, StoreError>;
}

/// Everything that routing needs.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub config_version: ConfigVersion,
    /// This database's own name: part of every id on the wire, so that ids of two databases never collide.
    pub instance: String,
    pub tenants: Vec<Tenant>,
    pub keys: Vec<Key>,
    pub channels: Vec<ChannelWithRoutes>,
    /// In order of tenant and name.
    pub event_types: Vec<KeptEventType>,
    /// In order of tenant and dialect.
    pub dialect_settings: Vec<DialectSettings>,
}

/// What a tenant has set in a dialect whose settings steer channels.
#[derive(Clone, Debug)]
pub struct DialectSettings {
    pub tenant: TenantId,
    pub dialect: String,
    /// A JSON object in the dialect's words. Encrypted at rest, never logged.
    pub settings: Secret,
}

/// New settings of a dialect, and what becomes of the tenant's channels.
#[derive(Clone, Debug)]
pub struct SteeringChange {
    pub settings: DialectSettings,
    pub makes: Vec<NewChannel>,
    pub changes: Vec<ChannelChange>,
    pub deletes: Vec<ChannelId>,
}

/// The channels after a change of settings.
#[derive(Clone, Debug, Default)]
pub struct Steered {
    pub made: Vec<ChannelWithRoutes>,
    pub changed: Vec<Changed>,
    pub deleted: Vec<Changed>,
}

/// A channel and its valid subscriptions.
#[derive(Clone, Debug)]
pub struct ChannelWithRoutes {
    pub channel: Channel,
    pub subscriptions: Vec<Subscription>,
    /// The version that this is the state of.
    pub config_version: ConfigVersion,
}

#[derive(Clone, Debug)]
pub struct NewTenant {
    pub slug: String,
    pub name: String,
    pub email: Option<String>,
    /// Those that its channels may have; `None`: every one that there is.
    pub providers: Option<Vec<String>>,
    pub quotas: Quotas,
}

#[derive(Clone, Debug)]
pub struct NewKey {
    pub tenant: Option<TenantId>,
    pub name: String,
    pub hash: KeyHash,
    pub prefix: String,
    pub username: Option<String>,
    pub scopes: Vec<Scope>,
    pub expires_at: Option<Timestamp>,
}

/// What brings events to a channel, as its owner says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRoute {
    pub pattern: Pattern,
    pub filter: Option<Arc<str>>,
}

#[derive(Clone, Debug)]
pub struct NewChannel {
    pub tenant: TenantId,
    pub settings: ChannelSettings,
    pub derives_shard: bool,
    pub routes: Vec<NewRoute>,
}

/// A change of a channel: its whole new settings.
#[derive(Clone, Debug)]
pub struct ChannelChange {
    pub tenant: TenantId,
    pub channel: ChannelId,
    pub settings: ChannelSettings,
    /// `None` leaves the subscriptions as they are.
    pub routes: Option<Vec<NewRoute>>,
    /// Ends a pause.
    pub resumes: bool,
    /// Orders what waits cancelled, for this reason.
    pub cancels: Option<String>,
}

/// A change of a channel's config that its owner did not ask for.
#[derive(Clone, Debug)]
pub struct ConfigChange {
    pub tenant: TenantId,
    pub channel: ChannelId,
    pub before: Secret,
    pub after: Secret,
}

/// A channel after its change.
#[derive(Clone, Debug)]
pub struct Changed {
    pub after: ChannelWithRoutes,
    /// What waits at or below is cancelled.
    pub cancelled_up_to: Option<DeliveryId>,
}
