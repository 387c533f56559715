//! A config that a provider changes: the owner did not ask for it, so it gives way to whatever the owner did.

use domain::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use super::from_sqlite;
use super::tx::Tx;
use crate::directory::ConfigChange;
use crate::{StoreError, Vault};

pub(super) fn replace_config(
    tx: &mut Tx<'_>,
    vault: &Vault,
    change: &ConfigChange,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let ConfigChange { tenant, channel, before, after } = change;
    let sealed: Option<Vec<u8>> = tx
        .connection
        .prepare_cached("SELECT config FROM channels WHERE tenant_id = ?1 AND id = ?2 AND deleted_at IS NULL")
        .and_then(|mut statement| statement.query_row([tenant.0, channel.0], |row| row.get(0)).optional())
        .map_err(from_sqlite)?;
    let Some(sealed) = sealed else { return Ok(false) };
    // The same text is sealed anew with every write, so only what is unsealed can be compared.
    if vault.unseal(*tenant, *channel, &sealed)?.reveal() != before.reveal() {
        return Ok(false);
    }
    tx.connection
        .execute(
            "UPDATE channels SET config = ?3, wire_config = NULL, updated_at = ?4 WHERE tenant_id = ?1 AND id = ?2",
            params![tenant.0, channel.0, vault.seal(*tenant, *channel, after), now.as_ms()],
        )
        .map_err(from_sqlite)?;
    tx.sequences.config_version += 1;
    Ok(true)
}
