//! Idempotency keys of the last 24 hours.

use std::collections::BTreeMap;

use domain::{TenantId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::super::tx::Tx;
use crate::queue::{AcceptAnswer, AcceptRequest, IDEMPOTENCY_KEPT_MS, IdempotencyKey};

/// The refusal, when a key of the request stands for another body.
pub(super) fn find_reused_key(
    connection: &Connection,
    request: &AcceptRequest,
) -> rusqlite::Result<Option<AcceptAnswer>> {
    if let Some(key) = &request.key
        && ledger_entry(connection, request.tenant, key, request.now)?
            .is_some_and(|entry| entry.body_hash != key.body_hash)
    {
        return Ok(Some(AcceptAnswer::KeyReused(None)));
    }
    let mut in_request = BTreeMap::new();
    for (position, event) in request.events.iter().enumerate() {
        let Some(key) = &event.key else { continue };
        let tenant = event.content.tenant;
        let earlier = in_request.insert((tenant, key.key_hash), key.body_hash);
        let kept = ledger_entry(connection, tenant, key, request.now)?.map(|entry| entry.body_hash);
        if earlier.or(kept).is_some_and(|body_hash| body_hash != key.body_hash) {
            return Ok(Some(AcceptAnswer::KeyReused(Some(position))));
        }
    }
    Ok(None)
}

pub(super) struct LedgerEntry {
    pub(super) body_hash: [u8; 32],
    pub(super) first_event: i64,
    pub(super) events: i64,
}

/// The table that keys of a day go to.
fn ledger_table(day: i64) -> &'static str {
    if day % 2 == 0 { "idempotency_even" } else { "idempotency_odd" }
}

/// What a tenant's key stands for, unless it is forgotten by `now`.
pub(super) fn ledger_entry(
    connection: &Connection,
    tenant: TenantId,
    key: &IdempotencyKey,
    now: Timestamp,
) -> rusqlite::Result<Option<LedgerEntry>> {
    let entry =
        |row: &Row<'_>| Ok(LedgerEntry { body_hash: row.get(0)?, first_event: row.get(1)?, events: row.get(2)? });
    connection
        .prepare_cached(
            "SELECT body_hash, event_id, events FROM idempotency_even
             WHERE tenant_id = ?1 AND key_hash = ?2 AND kept_at > ?3
             UNION ALL
             SELECT body_hash, event_id, events FROM idempotency_odd
             WHERE tenant_id = ?1 AND key_hash = ?2 AND kept_at > ?3
             LIMIT 1",
        )?
        .query_row(params![tenant.0, key.key_hash, now.as_ms() - IDEMPOTENCY_KEPT_MS], entry)
        .optional()
}

/// Remembers from `now` on that a tenant's key stands for so many events from the first on.
pub(super) fn write_ledger(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    key: &IdempotencyKey,
    (first_event, events): (i64, i64),
    now: Timestamp,
) -> rusqlite::Result<()> {
    let day = now.as_ms().div_euclid(IDEMPOTENCY_KEPT_MS);
    let table = ledger_table(day);
    // The first key of a new day finds only keys of two days before: the table is emptied whole. When the clock goes
    // back, keys go to the tables as they are.
    if day > tx.sequences.idempotency_day {
        tx.connection.execute(&format!("DELETE FROM {table}"), [])?;
        tx.sequences.idempotency_day = day;
    }
    tx.connection
        .prepare_cached(&format!(
            "INSERT OR REPLACE INTO {table} (tenant_id, key_hash, body_hash, event_id, events, kept_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
        ))?
        .execute(params![tenant.0, key.key_hash, key.body_hash, first_event, events, now.as_ms()])
        .map(drop)
}
