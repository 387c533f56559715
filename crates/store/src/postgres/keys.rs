//! API keys in SQL. Part of the directory.

use domain::tenant::{Key, Scope};
use domain::{KeyId, TenantId, Timestamp};
use tokio_postgres::{Error, Row};

use super::statements::{Connection, execute, query, query_opt, text};
use super::tx::{Tx, next};
use crate::directory::NewKey;

pub(super) async fn all(connection: &Connection) -> Result<Vec<Key>, Error> {
    let sql = "SELECT id, tenant_id, name, hash, prefix, username, scopes, created_at, expires_at
               FROM api_keys
               WHERE revoked_at IS NULL
               ORDER BY id";
    query(connection, sql, &[]).await?.iter().map(read).collect()
}

pub(super) async fn create(tx: &mut Tx, key: &NewKey, now: Timestamp) -> Result<Option<Key>, Error> {
    let sql = "SELECT FROM api_keys WHERE hash = $1";
    if query_opt(&tx.connection, sql, &[&&key.hash[..]]).await?.is_some() {
        return Ok(None);
    }
    let id = KeyId(next(&mut tx.sequences.api_key));
    let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.name()).collect();
    execute(
        &tx.connection,
        "INSERT INTO api_keys (id, tenant_id, name, hash, prefix, username, scopes, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        &[
            &id.0,
            &key.tenant.map(|tenant| tenant.0),
            &text(&key.name),
            &&key.hash[..],
            &text(&key.prefix),
            &key.username.as_deref().map(text),
            &serde_json::to_string(&scopes).expect("a list of names is JSON"),
            &now.as_ms(),
            &key.expires_at.map(Timestamp::as_ms),
        ],
    )
    .await?;
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

fn read(row: &Row) -> Result<Key, Error> {
    let scopes: Vec<String> = serde_json::from_str(row.try_get(6)?).unwrap_or_default();
    Ok(Key {
        id: KeyId(row.try_get(0)?),
        tenant: row.try_get::<_, Option<i64>>(1)?.map(TenantId),
        name: row.try_get(2)?,
        hash: row.try_get::<_, &[u8]>(3)?.try_into().unwrap_or_default(),
        prefix: row.try_get(4)?,
        username: row.try_get(5)?,
        // A scope that this version does not know grants nothing.
        scopes: scopes.iter().filter_map(|name| Scope::parse(name)).collect(),
        created_at: Timestamp::from_ms(row.try_get(7)?),
        expires_at: row.try_get::<_, Option<i64>>(8)?.map(Timestamp::from_ms),
    })
}

pub(super) async fn revoke(tx: &mut Tx, tenant: Option<TenantId>, key: KeyId, now: Timestamp) -> Result<bool, Error> {
    let sql = "UPDATE api_keys SET revoked_at = $3
               WHERE id = $1 AND tenant_id IS NOT DISTINCT FROM $2 AND revoked_at IS NULL";
    let revoked = execute(&tx.connection, sql, &[&key.0, &tenant.map(|tenant| tenant.0), &now.as_ms()]).await?;
    tx.sequences.config_version += i64::from(revoked > 0);
    Ok(revoked > 0)
}
