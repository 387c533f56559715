//! Configuration in SQL. The order of functions is that of the trait.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use domain::breaker::Trip;
use domain::channel::{Channel, Pause, shard_of};
use domain::event_type::{EventType, KeptEventType};
use domain::routing::{ConfigVersion, Subscription};
use domain::tenant::{Key, Tenant};
use domain::{ChannelId, DeliveryId, KeyId, ReasonCode, SubscriptionId, TenantId, Timestamp};
use tokio_postgres::{Error, Row};

use super::channel_rows::{CHANNEL_COLUMNS, SealedChannel, read_channel};
use super::statements::{Connection, execute, from_postgres, query, query_one, query_opt, text};
use super::steering::SealedSettings;
use super::subscriptions::{SUBSCRIPTION_COLUMNS, read_subscription};
use super::tx::{Tx, next};
use super::{PostgresStore, event_types, keys, reconfigure, steering, tenants};
use crate::directory::{
    Changed, ChannelChange, ChannelWithRoutes, ConfigChange, Directory, NewChannel, NewKey, NewRoute, NewTenant,
    Snapshot, Steered, SteeringChange,
};
use crate::settings::{
    as_ms, breaker_json, digest_json, rate_limit_json, read_code, read_providers, read_quotas, retry_json,
    tenant_patch_json,
};
use crate::{StoreError, Vault};

#[async_trait]
impl Directory for PostgresStore {
    async fn load(&self) -> Result<Snapshot, StoreError> {
        let loaded = self.read(|connection| Box::pin(load(connection))).await?;
        loaded.open(&self.vault)
    }

    async fn put_tenant(&self, tenant: NewTenant, now: Timestamp) -> Result<Tenant, StoreError> {
        self.write(1, async move |tx| put_tenant(tx, &tenant, now).await.map_err(from_postgres)).await
    }

    async fn suspend_tenant(&self, tenant: TenantId, now: Timestamp) -> Result<Option<Tenant>, StoreError> {
        self.write(1, async move |tx| tenants::suspend(tx, tenant, now).await.map_err(from_postgres)).await
    }

    async fn resume_tenant(&self, tenant: TenantId) -> Result<Option<Tenant>, StoreError> {
        self.write(1, async move |tx| tenants::resume(tx, tenant).await.map_err(from_postgres)).await
    }

    async fn delete_tenant(&self, tenant: TenantId, now: Timestamp) -> Result<bool, StoreError> {
        self.write(1, async move |tx| tenants::delete(tx, tenant, now).await.map_err(from_postgres)).await
    }

    async fn create_key(&self, key: NewKey, now: Timestamp) -> Result<Option<Key>, StoreError> {
        self.write(1, async move |tx| keys::create(tx, &key, now).await.map_err(from_postgres)).await
    }

    async fn revoke_key(&self, tenant: Option<TenantId>, key: KeyId, now: Timestamp) -> Result<bool, StoreError> {
        self.write(1, async move |tx| keys::revoke(tx, tenant, key, now).await.map_err(from_postgres)).await
    }

    async fn create_channel(&self, channel: NewChannel, now: Timestamp) -> Result<ChannelWithRoutes, StoreError> {
        let vault = Arc::clone(&self.vault);
        self.write(2, async move |tx| create_channel(tx, &vault, &channel, now).await.map_err(from_postgres)).await
    }

    async fn update_channel(&self, change: ChannelChange, now: Timestamp) -> Result<Option<Changed>, StoreError> {
        let vault = Arc::clone(&self.vault);
        self.write(3, async move |tx| update_channel(tx, &vault, &change, now).await).await
    }

    async fn delete_channel(
        &self,
        tenant: TenantId,
        channel: ChannelId,
        now: Timestamp,
    ) -> Result<Option<Changed>, StoreError> {
        let vault = Arc::clone(&self.vault);
        self.write(3, async move |tx| delete_channel(tx, &vault, tenant, channel, now).await).await
    }

    async fn pause_channel(&self, channel: ChannelId, pause: Pause) -> Result<bool, StoreError> {
        self.write(1, async move |tx| pause_channel(tx, channel, &pause).await.map_err(from_postgres)).await
    }

    async fn trip_channel(&self, channel: ChannelId, trip: Option<Trip>) -> Result<(), StoreError> {
        self.write(1, async move |tx| trip_channel(tx, channel, trip.as_ref()).await.map_err(from_postgres)).await
    }

    async fn tripped_channels(&self) -> Result<Vec<(ChannelId, Trip)>, StoreError> {
        self.read(|connection| Box::pin(tripped_channels(connection))).await
    }

    async fn replace_config(&self, change: ConfigChange, now: Timestamp) -> Result<bool, StoreError> {
        let vault = Arc::clone(&self.vault);
        self.write(1, async move |tx| reconfigure::replace_config(tx, &vault, &change, now).await).await
    }

    async fn add_subscription(
        &self,
        tenant: TenantId,
        channel: ChannelId,
        route: NewRoute,
    ) -> Result<Option<ChannelWithRoutes>, StoreError> {
        let vault = Arc::clone(&self.vault);
        self.write(2, async move |tx| add_subscription(tx, &vault, tenant, channel, &route).await).await
    }

    async fn end_subscription(
        &self,
        tenant: TenantId,
        subscription: SubscriptionId,
    ) -> Result<Option<ChannelWithRoutes>, StoreError> {
        let vault = Arc::clone(&self.vault);
        self.write(2, async move |tx| end_subscription(tx, &vault, tenant, subscription).await).await
    }

    async fn put_event_type(
        &self,
        tenant: TenantId,
        event_type: EventType,
        now: Timestamp,
    ) -> Result<KeptEventType, StoreError> {
        self.write(1, async move |tx| event_types::put(tx, tenant, &event_type, now).await.map_err(from_postgres)).await
    }

    async fn put_dialect_settings(&self, change: SteeringChange, now: Timestamp) -> Result<Steered, StoreError> {
        let vault = Arc::clone(&self.vault);
        self.write(8, async move |tx| steering::put(tx, &vault, &change, now).await).await
    }

    async fn delete_event_type(&self, tenant: TenantId, name: String) -> Result<bool, StoreError> {
        self.write(1, async move |tx| event_types::delete(tx, tenant, &name).await.map_err(from_postgres)).await
    }
}

/// Everything, the configs still sealed.
struct Loaded {
    snapshot: Snapshot,
    channels: Vec<SealedChannel>,
    subscriptions: Vec<Subscription>,
    settings: Vec<SealedSettings>,
}

impl Loaded {
    fn open(self, vault: &Vault) -> Result<Snapshot, StoreError> {
        let Self { mut snapshot, channels, subscriptions, settings } = self;
        let config_version = snapshot.config_version;
        let mut by_channel: BTreeMap<ChannelId, Vec<Subscription>> = BTreeMap::new();
        for subscription in subscriptions {
            by_channel.entry(subscription.channel).or_default().push(subscription);
        }
        for sealed in channels {
            let channel = sealed.open(vault)?;
            let subscriptions = by_channel.remove(&channel.id).unwrap_or_default();
            snapshot.channels.push(ChannelWithRoutes { channel, subscriptions, config_version });
        }
        snapshot.dialect_settings = settings.into_iter().map(|sealed| sealed.open(vault)).collect::<Result<_, _>>()?;
        Ok(snapshot)
    }
}

async fn load(connection: &Connection) -> Result<Loaded, Error> {
    let row = query_one(connection, "SELECT config_version, instance FROM sequences", &[]).await?;
    let snapshot = Snapshot {
        config_version: ConfigVersion(row.try_get(0)?),
        instance: row.try_get(1)?,
        tenants: all_tenants(connection).await?,
        keys: keys::all(connection).await?,
        channels: Vec::new(),
        event_types: event_types::all(connection).await?,
        dialect_settings: Vec::new(),
    };
    let channels = all_channels(connection).await?;
    let (subscriptions, settings) = (all_subscriptions(connection).await?, steering::all(connection).await?);
    Ok(Loaded { snapshot, channels, subscriptions, settings })
}

async fn all_tenants(connection: &Connection) -> Result<Vec<Tenant>, Error> {
    let sql = format!("SELECT {TENANT_COLUMNS} FROM tenants WHERE deleted_at IS NULL ORDER BY id");
    query(connection, &sql, &[]).await?.iter().map(read_tenant).collect()
}

async fn all_channels(connection: &Connection) -> Result<Vec<SealedChannel>, Error> {
    // Those of a deleted tenant are there until they are erased.
    let sql = format!(
        "SELECT {CHANNEL_COLUMNS} FROM channels
         WHERE deleted_at IS NULL AND tenant_id NOT IN (SELECT id FROM tenants WHERE deleted_at IS NOT NULL)
         ORDER BY id"
    );
    query(connection, &sql, &[]).await?.iter().map(read_channel).collect()
}

async fn all_subscriptions(connection: &Connection) -> Result<Vec<Subscription>, Error> {
    let sql =
        format!("SELECT {SUBSCRIPTION_COLUMNS} FROM subscriptions WHERE valid_to IS NULL ORDER BY channel_id, id");
    query(connection, &sql, &[]).await?.iter().map(read_subscription).collect()
}

async fn put_tenant(tx: &mut Tx, tenant: &NewTenant, now: Timestamp) -> Result<Tenant, Error> {
    let (slug, name, email) = (text(&tenant.slug), text(&tenant.name), tenant.email.as_deref().map(text));
    let settings = tenant_patch_json(tenant);
    // A merge patch: null removes, and other settings stay as they are.
    let sql = "UPDATE tenants
               SET name = $2, email = $3, settings = jsonb_strip_nulls(settings::jsonb || $4::text::jsonb)::text,
                   updated_at = $5
               WHERE slug = $1 AND deleted_at IS NULL";
    if execute(&tx.connection, sql, &[&slug, &name, &email, &settings, &now.as_ms()]).await? == 0 {
        let sql = "INSERT INTO tenants (id, slug, name, email, settings, created_at)
                   VALUES ($1, $2, $3, $4, jsonb_strip_nulls($5::text::jsonb)::text, $6)";
        let id = next(&mut tx.sequences.tenant);
        execute(&tx.connection, sql, &[&id, &slug, &name, &email, &settings, &now.as_ms()]).await?;
    }
    tx.sequences.config_version += 1;
    let sql = format!("SELECT {TENANT_COLUMNS} FROM tenants WHERE slug = $1 AND deleted_at IS NULL");
    read_tenant(&query_one(&tx.connection, &sql, &[&slug]).await?)
}

pub(super) const TENANT_COLUMNS: &str = "id, slug, name, email, created_at, updated_at, suspended_at, settings";

pub(super) fn read_tenant(row: &Row) -> Result<Tenant, Error> {
    Ok(Tenant {
        id: TenantId(row.try_get(0)?),
        slug: row.try_get(1)?,
        name: row.try_get(2)?,
        email: row.try_get(3)?,
        created_at: Timestamp::from_ms(row.try_get(4)?),
        updated_at: row.try_get::<_, Option<i64>>(5)?.map(Timestamp::from_ms),
        suspended_at: row.try_get::<_, Option<i64>>(6)?.map(Timestamp::from_ms),
        providers: read_providers(row.try_get(7)?),
        quotas: read_quotas(row.try_get(7)?),
    })
}

pub(super) async fn create_channel(
    tx: &mut Tx,
    vault: &Vault,
    new: &NewChannel,
    now: Timestamp,
) -> Result<ChannelWithRoutes, Error> {
    let id = ChannelId(next(&mut tx.sequences.channel));
    let mut settings = new.settings.clone();
    if new.derives_shard {
        settings.shard = shard_of(&id.0.to_be_bytes());
    }
    execute(
        &tx.connection,
        "INSERT INTO channels (id, tenant_id, name, provider, config, dialect, is_active, subject_template,
                               body_template, retry, time_to_live_ms, concurrency, shard, created_at,
                               rate_limit, digest, is_fifo, on_unknown, wire_config, is_managed, breaker)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)",
        &[
            &id.0,
            &new.tenant.0,
            &text(&settings.name),
            &text(&settings.provider),
            &vault.seal(new.tenant, id, &settings.config),
            &settings.dialect.as_deref().map(text),
            &settings.is_active,
            &settings.subject_template.as_deref().map(text),
            &settings.body_template.as_deref().map(text),
            &settings.retry.as_ref().map(retry_json),
            &settings.time_to_live.map(as_ms),
            &i64::from(settings.concurrency),
            &i64::from(settings.shard),
            &now.as_ms(),
            &settings.rate_limit.as_ref().map(rate_limit_json),
            &settings.digest.as_ref().map(digest_json),
            &settings.is_fifo,
            &settings.on_unknown.name(),
            &settings.wire_config.as_ref().map(|config| vault.seal(new.tenant, id, config)),
            &settings.is_managed,
            &settings.breaker.as_ref().map(breaker_json),
        ],
    )
    .await?;
    tx.sequences.config_version += 1;
    let config_version = ConfigVersion(tx.sequences.config_version);
    let subscriptions = insert_routes(tx, new.tenant, id, &new.routes, config_version).await?;
    let channel =
        Channel { id, tenant: new.tenant, settings, pause: None, created_at: now, updated_at: None, deleted_at: None };
    Ok(ChannelWithRoutes { channel, subscriptions, config_version })
}

async fn insert_routes(
    tx: &mut Tx,
    tenant: TenantId,
    channel: ChannelId,
    routes: &[NewRoute],
    valid_from: ConfigVersion,
) -> Result<Vec<Subscription>, Error> {
    let mut subscriptions = Vec::with_capacity(routes.len());
    for route in routes {
        let id = SubscriptionId(next(&mut tx.sequences.subscription));
        let NewRoute { pattern, filter } = route.clone();
        subscriptions.push(Subscription { id, channel, pattern, filter, valid_from, valid_to: None });
    }
    let ids: Vec<_> = subscriptions.iter().map(|one| one.id.0).collect();
    let patterns: Vec<_> = subscriptions.iter().map(|one| one.pattern.to_string()).collect();
    let filters: Vec<_> = subscriptions.iter().map(|one| one.filter.as_deref().map(text)).collect();
    let sql = "INSERT INTO subscriptions (id, tenant_id, channel_id, pattern, filter, valid_from)
               SELECT id, $4, $5, pattern, filter, $6
               FROM unnest($1::bigint[], $2::text[], $3::text[]) AS new (id, pattern, filter)";
    execute(&tx.connection, sql, &[&ids, &patterns, &filters, &tenant.0, &channel.0, &valid_from.0]).await?;
    Ok(subscriptions)
}

pub(super) async fn update_channel(
    tx: &mut Tx,
    vault: &Vault,
    change: &ChannelChange,
    now: Timestamp,
) -> Result<Option<Changed>, StoreError> {
    let (tenant, channel) = (change.tenant, change.channel);
    if !write_settings(tx, vault, change, now).await.map_err(from_postgres)? {
        return Ok(None);
    }
    tx.sequences.config_version += 1;
    if let Some(routes) = &change.routes {
        end_routes(tx, channel).await.map_err(from_postgres)?;
        let version = ConfigVersion(tx.sequences.config_version);
        insert_routes(tx, tenant, channel, routes, version).await.map_err(from_postgres)?;
    }
    let cancelled_up_to = match &change.cancels {
        Some(reason) => Some(
            order_cancellation(tx, tenant, channel, (ReasonCode::ChannelSwitchedOff, reason), now)
                .await
                .map_err(from_postgres)?,
        ),
        None => None,
    };
    changed(tx, vault, channel, cancelled_up_to).await
}

async fn write_settings(tx: &Tx, vault: &Vault, change: &ChannelChange, now: Timestamp) -> Result<bool, Error> {
    let settings = &change.settings;
    let updated = execute(
        &tx.connection,
        "UPDATE channels
         SET name = $3, provider = $4, config = $5, is_active = $6, subject_template = $7, body_template = $8,
             retry = $9, time_to_live_ms = $10, concurrency = $11, dialect = $12, shard = $13, updated_at = $14,
             pause_reason = CASE WHEN $15 THEN NULL ELSE pause_reason END,
             paused_at = CASE WHEN $15 THEN NULL ELSE paused_at END,
             pause_code = CASE WHEN $15 THEN NULL ELSE pause_code END,
             tripped_at = NULL, trip_code = NULL, trip_reason = NULL,
             rate_limit = $16, digest = $17, is_fifo = $18, on_unknown = $19, wire_config = $20, is_managed = $21,
             breaker = $22
         WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL",
        &[
            &change.tenant.0,
            &change.channel.0,
            &text(&settings.name),
            &text(&settings.provider),
            &vault.seal(change.tenant, change.channel, &settings.config),
            &settings.is_active,
            &settings.subject_template.as_deref().map(text),
            &settings.body_template.as_deref().map(text),
            &settings.retry.as_ref().map(retry_json),
            &settings.time_to_live.map(as_ms),
            &i64::from(settings.concurrency),
            &settings.dialect.as_deref().map(text),
            &i64::from(settings.shard),
            &now.as_ms(),
            &change.resumes,
            &settings.rate_limit.as_ref().map(rate_limit_json),
            &settings.digest.as_ref().map(digest_json),
            &settings.is_fifo,
            &settings.on_unknown.name(),
            &settings.wire_config.as_ref().map(|config| vault.seal(change.tenant, change.channel, config)),
            &settings.is_managed,
            &settings.breaker.as_ref().map(breaker_json),
        ],
    )
    .await?;
    Ok(updated > 0)
}

async fn end_routes(tx: &Tx, channel: ChannelId) -> Result<(), Error> {
    let sql = "UPDATE subscriptions SET valid_to = $2 WHERE channel_id = $1 AND valid_to IS NULL";
    execute(&tx.connection, sql, &[&channel.0, &tx.sequences.config_version]).await.map(drop)
}

/// Orders everything that waits for a channel now cancelled; an older order is widened.
async fn order_cancellation(
    tx: &Tx,
    tenant: TenantId,
    channel: ChannelId,
    (code, reason): (ReasonCode, &str),
    now: Timestamp,
) -> Result<DeliveryId, Error> {
    let up_to = tx.sequences.delivery - 1;
    execute(
        &tx.connection,
        "INSERT INTO cancellations (channel_id, tenant_id, up_to, reason, asked_at, reason_code)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (channel_id)
         DO UPDATE SET up_to = excluded.up_to, reason = excluded.reason, reason_code = excluded.reason_code,
                       asked_at = excluded.asked_at",
        &[&channel.0, &tenant.0, &up_to, &text(reason), &now.as_ms(), &code.name()],
    )
    .await?;
    Ok(DeliveryId(up_to))
}

async fn changed(
    tx: &Tx,
    vault: &Vault,
    channel: ChannelId,
    cancelled_up_to: Option<DeliveryId>,
) -> Result<Option<Changed>, StoreError> {
    Ok(Some(Changed { after: with_routes(tx, vault, channel).await?, cancelled_up_to }))
}

/// A channel as it is after a change.
async fn with_routes(tx: &Tx, vault: &Vault, channel: ChannelId) -> Result<ChannelWithRoutes, StoreError> {
    let (sealed, subscriptions) = sealed_with_routes(tx, channel).await.map_err(from_postgres)?;
    let config_version = ConfigVersion(tx.sequences.config_version);
    Ok(ChannelWithRoutes { channel: sealed.open(vault)?, subscriptions, config_version })
}

async fn sealed_with_routes(tx: &Tx, channel: ChannelId) -> Result<(SealedChannel, Vec<Subscription>), Error> {
    let sql = format!("SELECT {CHANNEL_COLUMNS} FROM channels WHERE id = $1");
    let sealed = read_channel(&query_one(&tx.connection, &sql, &[&channel.0]).await?)?;
    let sql = format!(
        "SELECT {SUBSCRIPTION_COLUMNS} FROM subscriptions WHERE channel_id = $1 AND valid_to IS NULL ORDER BY id"
    );
    let rows = query(&tx.connection, &sql, &[&channel.0]).await?;
    Ok((sealed, rows.iter().map(read_subscription).collect::<Result<_, _>>()?))
}

pub(super) async fn delete_channel(
    tx: &mut Tx,
    vault: &Vault,
    tenant: TenantId,
    channel: ChannelId,
    now: Timestamp,
) -> Result<Option<Changed>, StoreError> {
    let sql = "UPDATE channels SET deleted_at = $3 WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL";
    let deleted = execute(&tx.connection, sql, &[&tenant.0, &channel.0, &now.as_ms()]).await.map_err(from_postgres)?;
    if deleted == 0 {
        return Ok(None);
    }
    tx.sequences.config_version += 1;
    end_routes(tx, channel).await.map_err(from_postgres)?;
    let up_to = order_cancellation(tx, tenant, channel, (ReasonCode::ChannelDeleted, "the channel was deleted"), now)
        .await
        .map_err(from_postgres)?;
    changed(tx, vault, channel, Some(up_to)).await
}

async fn pause_channel(tx: &mut Tx, channel: ChannelId, pause: &Pause) -> Result<bool, Error> {
    let sql = "UPDATE channels SET pause_reason = $2, paused_at = $3, pause_code = $4
               WHERE id = $1 AND pause_reason IS NULL AND deleted_at IS NULL";
    let (reason, since) = (text(&pause.reason), pause.since.as_ms());
    let paused = execute(&tx.connection, sql, &[&channel.0, &reason, &since, &pause.code.name()]).await?;
    tx.sequences.config_version += i64::from(paused > 0);
    Ok(paused > 0)
}

async fn trip_channel(tx: &Tx, channel: ChannelId, trip: Option<&Trip>) -> Result<(), Error> {
    let since = trip.map(|trip| trip.since.as_ms());
    let code = trip.map(|trip| trip.code.name());
    let reason = trip.map(|trip| text(&trip.reason));
    let sql = "UPDATE channels SET tripped_at = $2, trip_code = $3, trip_reason = $4
               WHERE id = $1 AND deleted_at IS NULL";
    execute(&tx.connection, sql, &[&channel.0, &since, &code, &reason]).await.map(drop)
}

async fn tripped_channels(connection: &Connection) -> Result<Vec<(ChannelId, Trip)>, Error> {
    let tripped = |row: &Row| {
        let since = Timestamp::from_ms(row.try_get(1)?);
        let code = read_code(row.try_get(2)?, ReasonCode::AnsweredWithFailure);
        Ok((ChannelId(row.try_get(0)?), Trip { code, reason: row.try_get(3)?, since, probe_at: since }))
    };
    let sql = "SELECT id, tripped_at, trip_code, COALESCE(trip_reason, '') FROM channels
               WHERE tripped_at IS NOT NULL AND deleted_at IS NULL
               ORDER BY id";
    query(connection, sql, &[]).await?.iter().map(tripped).collect()
}

async fn add_subscription(
    tx: &mut Tx,
    vault: &Vault,
    tenant: TenantId,
    channel: ChannelId,
    route: &NewRoute,
) -> Result<Option<ChannelWithRoutes>, StoreError> {
    let sql = "SELECT FROM channels WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL";
    if query_opt(&tx.connection, sql, &[&tenant.0, &channel.0]).await.map_err(from_postgres)?.is_none() {
        return Ok(None);
    }
    tx.sequences.config_version += 1;
    let version = ConfigVersion(tx.sequences.config_version);
    insert_routes(tx, tenant, channel, std::slice::from_ref(route), version).await.map_err(from_postgres)?;
    with_routes(tx, vault, channel).await.map(Some)
}

async fn end_subscription(
    tx: &mut Tx,
    vault: &Vault,
    tenant: TenantId,
    subscription: SubscriptionId,
) -> Result<Option<ChannelWithRoutes>, StoreError> {
    let sql = "UPDATE subscriptions SET valid_to = $3
               WHERE ctid = (SELECT ctid FROM subscriptions
                             WHERE id BETWEEN $1 AND $1 AND tenant_id = $2 AND valid_to IS NULL
                             ORDER BY id)
               RETURNING channel_id";
    let version = tx.sequences.config_version + 1;
    let ended = query_opt(&tx.connection, sql, &[&subscription.0, &tenant.0, &version]).await.map_err(from_postgres)?;
    let Some(row) = ended else { return Ok(None) };
    tx.sequences.config_version += 1;
    with_routes(tx, vault, ChannelId(row.try_get(0).map_err(from_postgres)?)).await.map(Some)
}
