//! Configuration in SQL. The order of functions is that of the trait.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use domain::breaker::Trip;
use domain::channel::{Channel, Pause, shard_of};
use domain::event_type::{EventType, KeptEventType};
use domain::routing::{ConfigVersion, Pattern, Subscription};
use domain::tenant::{Key, Tenant};
use domain::{ChannelId, DeliveryId, KeyId, ReasonCode, SubscriptionId, TenantId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::channel_rows::{CHANNEL_COLUMNS, SealedChannel, read_channel};
use super::tx::{Tx, next};
use super::{SqliteStore, event_types, from_sqlite, keys, reconfigure, steering, tenants};
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
impl Directory for SqliteStore {
    async fn load(&self) -> Result<Snapshot, StoreError> {
        let vault = Arc::clone(&self.vault);
        self.read(move |connection| load(connection, &vault)).await
    }

    async fn put_tenant(&self, tenant: NewTenant, now: Timestamp) -> Result<Tenant, StoreError> {
        self.write(1, move |tx| put_tenant(tx, &tenant, now).map_err(from_sqlite)).await
    }

    async fn suspend_tenant(&self, tenant: TenantId, now: Timestamp) -> Result<Option<Tenant>, StoreError> {
        self.write(1, move |tx| tenants::suspend(tx, tenant, now).map_err(from_sqlite)).await
    }

    async fn resume_tenant(&self, tenant: TenantId) -> Result<Option<Tenant>, StoreError> {
        self.write(1, move |tx| tenants::resume(tx, tenant).map_err(from_sqlite)).await
    }

    async fn delete_tenant(&self, tenant: TenantId, now: Timestamp) -> Result<bool, StoreError> {
        self.write(1, move |tx| tenants::delete(tx, tenant, now).map_err(from_sqlite)).await
    }

    async fn create_key(&self, key: NewKey, now: Timestamp) -> Result<Option<Key>, StoreError> {
        self.write(1, move |tx| keys::create(tx, &key, now).map_err(from_sqlite)).await
    }

    async fn revoke_key(&self, tenant: Option<TenantId>, key: KeyId, now: Timestamp) -> Result<bool, StoreError> {
        self.write(1, move |tx| keys::revoke(tx, tenant, key, now).map_err(from_sqlite)).await
    }

    async fn create_channel(&self, channel: NewChannel, now: Timestamp) -> Result<ChannelWithRoutes, StoreError> {
        let vault = Arc::clone(&self.vault);
        self.write(2, move |tx| create_channel(tx, &vault, &channel, now).map_err(from_sqlite)).await
    }

    async fn update_channel(&self, change: ChannelChange, now: Timestamp) -> Result<Option<Changed>, StoreError> {
        let vault = Arc::clone(&self.vault);
        self.write(3, move |tx| update_channel(tx, &vault, &change, now)).await
    }

    async fn delete_channel(
        &self,
        tenant: TenantId,
        channel: ChannelId,
        now: Timestamp,
    ) -> Result<Option<Changed>, StoreError> {
        let vault = Arc::clone(&self.vault);
        self.write(3, move |tx| delete_channel(tx, &vault, tenant, channel, now)).await
    }

    async fn pause_channel(&self, channel: ChannelId, pause: Pause) -> Result<bool, StoreError> {
        self.write(1, move |tx| pause_channel(tx, channel, &pause).map_err(from_sqlite)).await
    }

    async fn trip_channel(&self, channel: ChannelId, trip: Option<Trip>) -> Result<(), StoreError> {
        self.write(1, move |tx| trip_channel(tx, channel, trip.as_ref()).map_err(from_sqlite)).await
    }

    async fn tripped_channels(&self) -> Result<Vec<(ChannelId, Trip)>, StoreError> {
        self.read(|connection| tripped_channels(connection).map_err(from_sqlite)).await
    }

    async fn replace_config(&self, change: ConfigChange, now: Timestamp) -> Result<bool, StoreError> {
        let vault = Arc::clone(&self.vault);
        self.write(1, move |tx| reconfigure::replace_config(tx, &vault, &change, now)).await
    }

    async fn add_subscription(
        &self,
        tenant: TenantId,
        channel: ChannelId,
        route: NewRoute,
    ) -> Result<Option<ChannelWithRoutes>, StoreError> {
        let vault = Arc::clone(&self.vault);
        self.write(2, move |tx| add_subscription(tx, &vault, tenant, channel, &route)).await
    }

    async fn end_subscription(
        &self,
        tenant: TenantId,
        subscription: SubscriptionId,
    ) -> Result<Option<ChannelWithRoutes>, StoreError> {
        let vault = Arc::clone(&self.vault);
        self.write(2, move |tx| end_subscription(tx, &vault, tenant, subscription)).await
    }

    async fn put_event_type(
        &self,
        tenant: TenantId,
        event_type: EventType,
        now: Timestamp,
    ) -> Result<KeptEventType, StoreError> {
        self.write(1, move |tx| event_types::put(tx, tenant, &event_type, now).map_err(from_sqlite)).await
    }

    async fn put_dialect_settings(&self, change: SteeringChange, now: Timestamp) -> Result<Steered, StoreError> {
        let vault = Arc::clone(&self.vault);
        self.write(8, move |tx| steering::put(tx, &vault, &change, now)).await
    }

    async fn delete_event_type(&self, tenant: TenantId, name: String) -> Result<bool, StoreError> {
        self.write(1, move |tx| event_types::delete(tx, tenant, &name).map_err(from_sqlite)).await
    }
}

fn load(connection: &Connection, vault: &Vault) -> Result<Snapshot, StoreError> {
    let (config_version, instance) = connection
        .query_row("SELECT config_version, instance FROM sequences", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .map_err(from_sqlite)?;
    let config_version = ConfigVersion(config_version);
    let mut by_channel: BTreeMap<ChannelId, Vec<Subscription>> = BTreeMap::new();
    for subscription in all_subscriptions(connection).map_err(from_sqlite)? {
        by_channel.entry(subscription.channel).or_default().push(subscription);
    }
    let mut channels = Vec::new();
    for sealed in all_channels(connection).map_err(from_sqlite)? {
        let channel = sealed.open(vault)?;
        let subscriptions = by_channel.remove(&channel.id).unwrap_or_default();
        channels.push(ChannelWithRoutes { channel, subscriptions, config_version });
    }
    let tenants = all_tenants(connection).map_err(from_sqlite)?;
    let keys = keys::all(connection).map_err(from_sqlite)?;
    let event_types = event_types::all(connection).map_err(from_sqlite)?;
    let dialect_settings = steering::all(connection, vault)?;
    Ok(Snapshot { config_version, instance, tenants, keys, channels, event_types, dialect_settings })
}

fn all_tenants(connection: &Connection) -> rusqlite::Result<Vec<Tenant>> {
    let sql = format!("SELECT {TENANT_COLUMNS} FROM tenants WHERE deleted_at IS NULL ORDER BY id");
    connection.prepare_cached(&sql)?.query_map([], read_tenant)?.collect()
}

fn all_channels(connection: &Connection) -> rusqlite::Result<Vec<SealedChannel>> {
    // Those of a deleted tenant are there until they are erased.
    let sql = format!(
        "SELECT {CHANNEL_COLUMNS} FROM channels
         WHERE deleted_at IS NULL AND tenant_id NOT IN (SELECT id FROM tenants WHERE deleted_at IS NOT NULL)
         ORDER BY id"
    );
    connection.prepare_cached(&sql)?.query_map([], read_channel)?.collect()
}

fn all_subscriptions(connection: &Connection) -> rusqlite::Result<Vec<Subscription>> {
    let sql =
        format!("SELECT {SUBSCRIPTION_COLUMNS} FROM subscriptions WHERE valid_to IS NULL ORDER BY channel_id, id");
    connection.prepare_cached(&sql)?.query_map([], read_subscription)?.collect()
}

fn put_tenant(tx: &mut Tx<'_>, tenant: &NewTenant, now: Timestamp) -> rusqlite::Result<Tenant> {
    let settings = tenant_patch_json(tenant);
    // A merge patch: null removes, and other settings stay as they are.
    let updated = tx.connection.execute(
        "UPDATE tenants
         SET name = ?2, email = ?3, settings = json_patch(settings, ?4), updated_at = ?5
         WHERE slug = ?1 AND deleted_at IS NULL",
        params![tenant.slug, tenant.name, tenant.email, settings, now.as_ms()],
    )?;
    if updated == 0 {
        let id = next(&mut tx.sequences.tenant);
        tx.connection.execute(
            "INSERT INTO tenants (id, slug, name, email, settings, created_at)
             VALUES (?1, ?2, ?3, ?4, json_patch('{}', ?5), ?6)",
            params![id, tenant.slug, tenant.name, tenant.email, settings, now.as_ms()],
        )?;
    }
    tx.sequences.config_version += 1;
    let sql = format!("SELECT {TENANT_COLUMNS} FROM tenants WHERE slug = ?1 AND deleted_at IS NULL");
    tx.connection.query_row(&sql, [&tenant.slug], read_tenant)
}

pub(super) const TENANT_COLUMNS: &str = "id, slug, name, email, created_at, updated_at, suspended_at, settings";

pub(super) fn read_tenant(row: &Row<'_>) -> rusqlite::Result<Tenant> {
    Ok(Tenant {
        id: TenantId(row.get(0)?),
        slug: row.get(1)?,
        name: row.get(2)?,
        email: row.get(3)?,
        created_at: Timestamp::from_ms(row.get(4)?),
        updated_at: row.get::<_, Option<i64>>(5)?.map(Timestamp::from_ms),
        suspended_at: row.get::<_, Option<i64>>(6)?.map(Timestamp::from_ms),
        providers: read_providers(row.get_ref(7)?.as_str()?),
        quotas: read_quotas(row.get_ref(7)?.as_str()?),
    })
}

pub(super) fn create_channel(
    tx: &mut Tx<'_>,
    vault: &Vault,
    new: &NewChannel,
    now: Timestamp,
) -> rusqlite::Result<ChannelWithRoutes> {
    let id = ChannelId(next(&mut tx.sequences.channel));
    let mut settings = new.settings.clone();
    if new.derives_shard {
        settings.shard = shard_of(&id.0.to_be_bytes());
    }
    tx.connection.execute(
        "INSERT INTO channels (id, tenant_id, name, provider, config, dialect, is_active, subject_template,
                               body_template, retry, time_to_live_ms, concurrency, shard, created_at,
                               rate_limit, digest, is_fifo, on_unknown, wire_config, is_managed, breaker)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)",
        params![
            id.0,
            new.tenant.0,
            settings.name,
            settings.provider,
            vault.seal(new.tenant, id, &settings.config),
            settings.dialect,
            settings.is_active,
            settings.subject_template,
            settings.body_template,
            settings.retry.as_ref().map(retry_json),
            settings.time_to_live.map(as_ms),
            settings.concurrency,
            settings.shard,
            now.as_ms(),
            settings.rate_limit.as_ref().map(rate_limit_json),
            settings.digest.as_ref().map(digest_json),
            settings.is_fifo,
            settings.on_unknown.name(),
            settings.wire_config.as_ref().map(|config| vault.seal(new.tenant, id, config)),
            settings.is_managed,
            settings.breaker.as_ref().map(breaker_json),
        ],
    )?;
    tx.sequences.config_version += 1;
    let config_version = ConfigVersion(tx.sequences.config_version);
    let subscriptions = insert_routes(tx, new.tenant, id, &new.routes, config_version)?;
    let channel =
        Channel { id, tenant: new.tenant, settings, pause: None, created_at: now, updated_at: None, deleted_at: None };
    Ok(ChannelWithRoutes { channel, subscriptions, config_version })
}

fn insert_routes(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    channel: ChannelId,
    routes: &[NewRoute],
    valid_from: ConfigVersion,
) -> rusqlite::Result<Vec<Subscription>> {
    let mut statement = tx.connection.prepare_cached(
        "INSERT INTO subscriptions (id, tenant_id, channel_id, pattern, filter, valid_from)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let mut subscriptions = Vec::with_capacity(routes.len());
    for route in routes {
        let id = SubscriptionId(next(&mut tx.sequences.subscription));
        let NewRoute { pattern, filter } = route.clone();
        statement.execute(params![id.0, tenant.0, channel.0, pattern.to_string(), filter, valid_from.0])?;
        subscriptions.push(Subscription { id, channel, pattern, filter, valid_from, valid_to: None });
    }
    Ok(subscriptions)
}

pub(super) fn update_channel(
    tx: &mut Tx<'_>,
    vault: &Vault,
    change: &ChannelChange,
    now: Timestamp,
) -> Result<Option<Changed>, StoreError> {
    let (tenant, channel) = (change.tenant, change.channel);
    if !write_settings(tx, vault, change, now).map_err(from_sqlite)? {
        return Ok(None);
    }
    tx.sequences.config_version += 1;
    if let Some(routes) = &change.routes {
        end_routes(tx, channel).map_err(from_sqlite)?;
        insert_routes(tx, tenant, channel, routes, ConfigVersion(tx.sequences.config_version)).map_err(from_sqlite)?;
    }
    let cancelled_up_to = match &change.cancels {
        Some(reason) => Some(
            order_cancellation(tx, tenant, channel, (ReasonCode::ChannelSwitchedOff, reason), now)
                .map_err(from_sqlite)?,
        ),
        None => None,
    };
    changed(tx, vault, channel, cancelled_up_to)
}

fn write_settings(tx: &Tx<'_>, vault: &Vault, change: &ChannelChange, now: Timestamp) -> rusqlite::Result<bool> {
    let settings = &change.settings;
    let updated = tx.connection.execute(
        "UPDATE channels
         SET name = ?3, provider = ?4, config = ?5, is_active = ?6, subject_template = ?7, body_template = ?8,
             retry = ?9, time_to_live_ms = ?10, concurrency = ?11, dialect = ?12, shard = ?13, updated_at = ?14,
             pause_reason = CASE WHEN ?15 THEN NULL ELSE pause_reason END,
             paused_at = CASE WHEN ?15 THEN NULL ELSE paused_at END,
             pause_code = CASE WHEN ?15 THEN NULL ELSE pause_code END,
             tripped_at = NULL, trip_code = NULL, trip_reason = NULL,
             rate_limit = ?16, digest = ?17, is_fifo = ?18, on_unknown = ?19, wire_config = ?20, is_managed = ?21,
             breaker = ?22
         WHERE tenant_id = ?1 AND id = ?2 AND deleted_at IS NULL",
        params![
            change.tenant.0,
            change.channel.0,
            settings.name,
            settings.provider,
            vault.seal(change.tenant, change.channel, &settings.config),
            settings.is_active,
            settings.subject_template,
            settings.body_template,
            settings.retry.as_ref().map(retry_json),
            settings.time_to_live.map(as_ms),
            settings.concurrency,
            settings.dialect,
            settings.shard,
            now.as_ms(),
            change.resumes,
            settings.rate_limit.as_ref().map(rate_limit_json),
            settings.digest.as_ref().map(digest_json),
            settings.is_fifo,
            settings.on_unknown.name(),
            settings.wire_config.as_ref().map(|config| vault.seal(change.tenant, change.channel, config)),
            settings.is_managed,
            settings.breaker.as_ref().map(breaker_json),
        ],
    )?;
    Ok(updated > 0)
}

fn end_routes(tx: &Tx<'_>, channel: ChannelId) -> rusqlite::Result<()> {
    tx.connection
        .execute(
            "UPDATE subscriptions SET valid_to = ?2 WHERE channel_id = ?1 AND valid_to IS NULL",
            [channel.0, tx.sequences.config_version],
        )
        .map(drop)
}

/// Orders everything that waits for a channel now cancelled; an older order is widened.
fn order_cancellation(
    tx: &Tx<'_>,
    tenant: TenantId,
    channel: ChannelId,
    (code, reason): (ReasonCode, &str),
    now: Timestamp,
) -> rusqlite::Result<DeliveryId> {
    let up_to = tx.sequences.delivery - 1;
    tx.connection.execute(
        "INSERT INTO cancellations (channel_id, tenant_id, up_to, reason, asked_at, reason_code)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT
         DO UPDATE SET up_to = excluded.up_to, reason = excluded.reason, reason_code = excluded.reason_code,
                       asked_at = excluded.asked_at",
        params![channel.0, tenant.0, up_to, reason, now.as_ms(), code.name()],
    )?;
    Ok(DeliveryId(up_to))
}

fn changed(
    tx: &Tx<'_>,
    vault: &Vault,
    channel: ChannelId,
    cancelled_up_to: Option<DeliveryId>,
) -> Result<Option<Changed>, StoreError> {
    Ok(Some(Changed { after: with_routes(tx, vault, channel)?, cancelled_up_to }))
}

/// A channel as it is after a change.
fn with_routes(tx: &Tx<'_>, vault: &Vault, channel: ChannelId) -> Result<ChannelWithRoutes, StoreError> {
    let sql = format!("SELECT {CHANNEL_COLUMNS} FROM channels WHERE id = ?1");
    let sealed = tx.connection.query_row(&sql, [channel.0], read_channel).map_err(from_sqlite)?;
    let sql = format!(
        "SELECT {SUBSCRIPTION_COLUMNS} FROM subscriptions WHERE channel_id = ?1 AND valid_to IS NULL ORDER BY id"
    );
    let subscriptions = tx
        .connection
        .prepare_cached(&sql)
        .and_then(|mut statement| statement.query_map([channel.0], read_subscription)?.collect())
        .map_err(from_sqlite)?;
    let config_version = ConfigVersion(tx.sequences.config_version);
    Ok(ChannelWithRoutes { channel: sealed.open(vault)?, subscriptions, config_version })
}

pub(super) fn delete_channel(
    tx: &mut Tx<'_>,
    vault: &Vault,
    tenant: TenantId,
    channel: ChannelId,
    now: Timestamp,
) -> Result<Option<Changed>, StoreError> {
    let deleted = tx
        .connection
        .execute(
            "UPDATE channels SET deleted_at = ?3 WHERE tenant_id = ?1 AND id = ?2 AND deleted_at IS NULL",
            params![tenant.0, channel.0, now.as_ms()],
        )
        .map_err(from_sqlite)?;
    if deleted == 0 {
        return Ok(None);
    }
    tx.sequences.config_version += 1;
    end_routes(tx, channel).map_err(from_sqlite)?;
    let up_to = order_cancellation(tx, tenant, channel, (ReasonCode::ChannelDeleted, "the channel was deleted"), now)
        .map_err(from_sqlite)?;
    changed(tx, vault, channel, Some(up_to))
}

fn pause_channel(tx: &mut Tx<'_>, channel: ChannelId, pause: &Pause) -> rusqlite::Result<bool> {
    let paused = tx.connection.execute(
        "UPDATE channels SET pause_reason = ?2, paused_at = ?3, pause_code = ?4
         WHERE id = ?1 AND pause_reason IS NULL AND deleted_at IS NULL",
        params![channel.0, pause.reason, pause.since.as_ms(), pause.code.name()],
    )?;
    tx.sequences.config_version += i64::from(paused > 0);
    Ok(paused > 0)
}

fn trip_channel(tx: &Tx<'_>, channel: ChannelId, trip: Option<&Trip>) -> rusqlite::Result<()> {
    let trip = trip.map(|trip| (trip.since.as_ms(), trip.code.name(), trip.reason.as_str()));
    tx.connection
        .prepare_cached(
            "UPDATE channels SET tripped_at = ?2, trip_code = ?3, trip_reason = ?4 WHERE id = ?1 AND deleted_at IS NULL",
        )?
        .execute(params![
            channel.0,
            trip.map(|(since, ..)| since),
            trip.map(|(_, code, _)| code),
            trip.map(|(.., reason)| reason),
        ])
        .map(drop)
}

fn tripped_channels(connection: &Connection) -> rusqlite::Result<Vec<(ChannelId, Trip)>> {
    let tripped = |row: &Row<'_>| {
        let since = Timestamp::from_ms(row.get(1)?);
        let code = read_code(row.get(2)?, ReasonCode::AnsweredWithFailure);
        Ok((ChannelId(row.get(0)?), Trip { code, reason: row.get(3)?, since, probe_at: since }))
    };
    connection
        .prepare_cached(
            "SELECT id, tripped_at, trip_code, COALESCE(trip_reason, '') FROM channels
             WHERE tripped_at IS NOT NULL AND deleted_at IS NULL
             ORDER BY id",
        )?
        .query_map([], tripped)?
        .collect()
}

fn add_subscription(
    tx: &mut Tx<'_>,
    vault: &Vault,
    tenant: TenantId,
    channel: ChannelId,
    route: &NewRoute,
) -> Result<Option<ChannelWithRoutes>, StoreError> {
    let is_there: bool = tx
        .connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM channels WHERE tenant_id = ?1 AND id = ?2 AND deleted_at IS NULL)",
        )
        .and_then(|mut statement| statement.query_row([tenant.0, channel.0], |row| row.get(0)))
        .map_err(from_sqlite)?;
    if !is_there {
        return Ok(None);
    }
    tx.sequences.config_version += 1;
    let version = ConfigVersion(tx.sequences.config_version);
    insert_routes(tx, tenant, channel, std::slice::from_ref(route), version).map_err(from_sqlite)?;
    with_routes(tx, vault, channel).map(Some)
}

fn end_subscription(
    tx: &mut Tx<'_>,
    vault: &Vault,
    tenant: TenantId,
    subscription: SubscriptionId,
) -> Result<Option<ChannelWithRoutes>, StoreError> {
    let ended: Option<i64> = tx
        .connection
        .prepare_cached(
            "UPDATE subscriptions SET valid_to = ?3
             WHERE id = ?1 AND tenant_id = ?2 AND valid_to IS NULL
             RETURNING channel_id",
        )
        .and_then(|mut statement| {
            let version = tx.sequences.config_version + 1;
            statement.query_row([subscription.0, tenant.0, version], |row| row.get(0)).optional()
        })
        .map_err(from_sqlite)?;
    let Some(channel) = ended else { return Ok(None) };
    tx.sequences.config_version += 1;
    with_routes(tx, vault, ChannelId(channel)).map(Some)
}

pub(super) const SUBSCRIPTION_COLUMNS: &str = "id, channel_id, pattern, filter, valid_from, valid_to";

pub(super) fn read_subscription(row: &Row<'_>) -> rusqlite::Result<Subscription> {
    let pattern: String = row.get(2)?;
    let pattern = Pattern::parse(&pattern)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(2, rusqlite::types::Type::Text, Box::new(error)))?;
    Ok(Subscription {
        id: SubscriptionId(row.get(0)?),
        channel: ChannelId(row.get(1)?),
        pattern,
        filter: row.get::<_, Option<String>>(3)?.map(Into::into),
        valid_from: ConfigVersion(row.get(4)?),
        valid_to: row.get::<_, Option<i64>>(5)?.map(ConfigVersion),
    })
}
