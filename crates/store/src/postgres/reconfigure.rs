//! A config that a provider changes: the owner did not ask for it, so it gives way to whatever the owner did.

use domain::Timestamp;

use super::statements::{execute, from_postgres, query_opt};
use super::tx::Tx;
use crate::directory::ConfigChange;
use crate::{StoreError, Vault};

pub(super) async fn replace_config(
    tx: &mut Tx,
    vault: &Vault,
    change: &ConfigChange,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let ConfigChange { tenant, channel, before, after } = change;
    let sql = "SELECT config FROM channels WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL";
    let found = query_opt(&tx.connection, sql, &[&tenant.0, &channel.0]).await.map_err(from_postgres)?;
    let Some(row) = found else { return Ok(false) };
    let sealed: Vec<u8> = row.try_get(0).map_err(from_postgres)?;
    // The same text is sealed anew with every write, so only what is unsealed can be compared.
    if vault.unseal(*tenant, *channel, &sealed)?.reveal() != before.reveal() {
        return Ok(false);
    }
    let sql = "UPDATE channels SET config = $3, wire_config = NULL, updated_at = $4 WHERE tenant_id = $1 AND id = $2";
    let sealed = vault.seal(*tenant, *channel, after);
    execute(&tx.connection, sql, &[&tenant.0, &channel.0, &sealed, &now.as_ms()]).await.map_err(from_postgres)?;
    tx.sequences.config_version += 1;
    Ok(true)
}
