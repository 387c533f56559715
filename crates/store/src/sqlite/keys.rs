//! API keys in SQL. Part of the directory.

use domain::tenant::{Key, Scope};
use domain::{KeyId, TenantId, Timestamp};
use rusqlite::{Connection, Row, params};

use super::tx::{Tx, next};
use crate::directory::NewKey;

pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<Key>> {
    connection
        .prepare_cached(
            "SELECT id, tenant_id, name, hash, prefix, username, scopes, created_at, expires_at
             FROM api_keys
             WHERE revoked_at IS NULL
             ORDER BY id",
        )?
        .query_map([], read)?
        .collect()
}

pub(super) fn create(tx: &mut Tx<'_>, key: &NewKey, now: Timestamp) -> rusqlite::Result<Option<Key>> {
    let is_taken: bool = tx
        .connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM api_keys WHERE hash = ?1)")?
        .query_row([key.hash], |row| row.get(0))?;
    if is_taken {
        return Ok(None);
    }
    let id = KeyId(next(&mut tx.sequences.api_key));
    let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.name()).collect();
    tx.connection.execute(
        "INSERT INTO api_keys (id, tenant_id, name, hash, prefix, username, scopes, created_at, expires_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            id.0,
            key.tenant.map(|tenant| tenant.0),
            key.name,
            key.hash,
            key.prefix,
            key.username,
            serde_json::to_string(&scopes).expect("a list of names is JSON"),
            now.as_ms(),
            key.expires_at.map(Timestamp::as_ms),
        ],
    )?;
    tx.sequences.config_version += 1;
    Ok(Some(Key {
        id,
        tenant: key.tenant,
        name: key.name.clone(),
        hash: key.hash,
        prefix: key.prefix.clone(),
        username: key.username.clone(),
        scopes: key.scopes.clone(),
        created_at: now,
        expires_at: key.expires_at,
    }))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Key> {
    let scopes: Vec<String> = serde_json::from_str(&row.get::<_, String>(6)?).unwrap_or_default();
    Ok(Key {
        id: KeyId(row.get(0)?),
        tenant: row.get::<_, Option<i64>>(1)?.map(TenantId),
        name: row.get(2)?,
        hash: row.get(3)?,
        prefix: row.get(4)?,
        username: row.get(5)?,
        // A scope that this version does not know grants nothing.
        scopes: scopes.iter().filter_map(|name| Scope::parse(name)).collect(),
        created_at: Timestamp::from_ms(row.get(7)?),
        expires_at: row.get::<_, Option<i64>>(8)?.map(Timestamp::from_ms),
    })
}

pub(super) fn revoke(tx: &mut Tx<'_>, tenant: Option<TenantId>, key: KeyId, now: Timestamp) -> rusqlite::Result<bool> {
    let revoked = tx.connection.execute(
        "UPDATE api_keys SET revoked_at = ?3 WHERE id = ?1 AND tenant_id IS ?2 AND revoked_at IS NULL",
        params![key.0, tenant.map(|tenant| tenant.0), now.as_ms()],
    )?;
    tx.sequences.config_version += i64::from(revoked > 0);
    Ok(revoked > 0)
}
