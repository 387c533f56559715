//! Settings of dialects in SQL, with the channels that they steer. Part of the directory.

use domain::{TenantId, Timestamp};
use rusqlite::{Connection, params};

use super::directory::{create_channel, delete_channel, update_channel};
use super::from_sqlite;
use super::tx::Tx;
use crate::directory::{DialectSettings, Steered, SteeringChange};
use crate::vault::NO_CHANNEL;
use crate::{StoreError, Vault};

pub(super) fn all(connection: &Connection, vault: &Vault) -> Result<Vec<DialectSettings>, StoreError> {
    // Those of a deleted tenant are there until they are erased.
    let sealed: Vec<(i64, String, Vec<u8>)> = connection
        .prepare_cached(
            "SELECT tenant_id, dialect, settings FROM dialect_settings
             WHERE tenant_id NOT IN (SELECT id FROM tenants WHERE deleted_at IS NOT NULL)
             ORDER BY tenant_id, dialect",
        )
        .and_then(|mut statement| statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect())
        .map_err(from_sqlite)?;
    let open = |(tenant, dialect, settings): (i64, String, Vec<u8>)| {
        let tenant = TenantId(tenant);
        Ok(DialectSettings { tenant, dialect, settings: vault.unseal(tenant, NO_CHANNEL, &settings)? })
    };
    sealed.into_iter().map(open).collect()
}

pub(super) fn put(
    tx: &mut Tx<'_>,
    vault: &Vault,
    change: &SteeringChange,
    now: Timestamp,
) -> Result<Steered, StoreError> {
    let DialectSettings { tenant, dialect, settings } = &change.settings;
    tx.connection
        .execute(
            "INSERT INTO dialect_settings (tenant_id, dialect, settings, updated_at)
             VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET settings = excluded.settings, updated_at = excluded.updated_at",
            params![tenant.0, dialect, vault.seal(*tenant, NO_CHANNEL, settings), now.as_ms()],
        )
        .map_err(from_sqlite)?;
    tx.sequences.config_version += 1;
    let mut steered = Steered::default();
    for new in &change.makes {
        steered.made.push(create_channel(tx, vault, new, now).map_err(from_sqlite)?);
    }
    for one in &change.changes {
        steered.changed.extend(update_channel(tx, vault, one, now)?);
    }
    for channel in &change.deletes {
        steered.deleted.extend(delete_channel(tx, vault, *tenant, *channel, now)?);
    }
    Ok(steered)
}
