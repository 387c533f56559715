//! What is sealed is moved as it is, and only when its key is there: it would be found missing too late.

use domain::{ChannelId, TenantId};

use super::{Row, Table, Value, find};
use crate::vault::NO_CHANNEL;
use crate::{StoreError, Vault};

/// Which columns of a table are sealed, and in which column their channel is; `None` for what belongs to no channel.
fn sealed_columns(table: Table) -> Option<(Option<&'static str>, &'static [&'static str])> {
    match table.name {
        "channels" => Some((Some("id"), &["config", "wire_config"])),
        "dialect_settings" => Some((None, &["settings"])),
        _ => None,
    }
}

/// Whether the vault opens what is sealed in a row.
pub(super) fn check(table: Table, columns: &[String], row: &Row, vault: &Vault) -> Result<(), StoreError> {
    let Some((channel, sealed)) = sealed_columns(table) else { return Ok(()) };
    let number = |name| match find(columns, name).map(|at| &row[at]) {
        Some(Value::Integer(number)) => Ok(*number),
        _ => Err(StoreError::Unusable(format!("a row of {table} has no {name}"))),
    };
    let tenant = TenantId(number("tenant_id")?);
    let channel = channel.map_or(Ok(NO_CHANNEL), |name| number(name).map(ChannelId))?;
    for at in sealed.iter().filter_map(|name| find(columns, name)) {
        if let Value::Bytes(blob) = &row[at] {
            vault.unseal(tenant, channel, blob)?;
        }
    }
    Ok(())
}
