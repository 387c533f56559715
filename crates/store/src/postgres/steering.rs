//! Settings of dialects in SQL, with the channels that they steer. Part of the directory.

use domain::{TenantId, Timestamp};
use tokio_postgres::{Error, Row};

use super::directory::{create_channel, delete_channel, update_channel};
use super::statements::{Connection, execute, from_postgres, query, text};
use super::tx::Tx;
use crate::directory::{DialectSettings, Steered, SteeringChange};
use crate::vault::NO_CHANNEL;
use crate::{StoreError, Vault};

/// Settings as their row holds them.
pub(super) struct SealedSettings {
    tenant: TenantId,
    dialect: String,
    settings: Vec<u8>,
}

impl SealedSettings {
    pub(super) fn open(self, vault: &Vault) -> Result<DialectSettings, StoreError> {
        let Self { tenant, dialect, settings } = self;
        Ok(DialectSettings { tenant, dialect, settings: vault.unseal(tenant, NO_CHANNEL, &settings)? })
    }
}

pub(super) async fn all(connection: &Connection) -> Result<Vec<SealedSettings>, Error> {
    // Those of a deleted tenant are there until they are erased.
    let sql = "SELECT tenant_id, dialect, settings FROM dialect_settings
               WHERE tenant_id NOT IN (SELECT id FROM tenants WHERE deleted_at IS NOT NULL)
               ORDER BY tenant_id, dialect";
    query(connection, sql, &[]).await?.iter().map(read).collect()
}

pub(super) async fn put(
    tx: &mut Tx,
    vault: &Vault,
    change: &SteeringChange,
    now: Timestamp,
) -> Result<Steered, StoreError> {
    let DialectSettings { tenant, dialect, settings } = &change.settings;
    let sealed = vault.seal(*tenant, NO_CHANNEL, settings);
    let sql = "INSERT INTO dialect_settings (tenant_id, dialect, settings, updated_at)
               VALUES ($1, $2, $3, $4)
               ON CONFLICT (tenant_id, dialect) DO UPDATE
               SET settings = excluded.settings, updated_at = excluded.updated_at";
    execute(&tx.connection, sql, &[&tenant.0, &text(dialect), &sealed, &now.as_ms()]).await.map_err(from_postgres)?;
    tx.sequences.config_version += 1;
    let mut steered = Steered::default();
    for new in &change.makes {
        steered.made.push(create_channel(tx, vault, new, now).await.map_err(from_postgres)?);
    }
    for one in &change.changes {
        steered.changed.extend(update_channel(tx, vault, one, now).await?);
    }
    for channel in &change.deletes {
        steered.deleted.extend(delete_channel(tx, vault, *tenant, *channel, now).await?);
    }
    Ok(steered)
}

fn read(row: &Row) -> Result<SealedSettings, Error> {
    Ok(SealedSettings { tenant: TenantId(row.try_get(0)?), dialect: row.try_get(1)?, settings: row.try_get(2)? })
}
