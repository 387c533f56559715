//! Inboxes bounded by number: of each recipient of a tenant the newest entries are kept.
//!
//! One round goes through all recipients, a few in a slice, each found from the one before by the index.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::tx::Tx;

/// Recipients that are looked at in one slice: finding how far an inbox is kept takes a step for each of its entries.
const RECIPIENTS_MAX: usize = 20;

/// A recipient of a tenant.
pub(super) type Recipient = (i64, Arc<str>);

/// Does one slice. Returns whether the round goes on.
pub(super) fn bound(tx: &mut Tx<'_>, entries_max: usize, rows_max: usize) -> rusqlite::Result<bool> {
    let limit = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    for _ in 0..RECIPIENTS_MAX {
        let Some((tenant, recipient)) = next(tx.connection, tx.segments.leaving_mut().inbox_after())? else {
            tx.segments.leaving_mut().set_inbox_after(None);
            return Ok(false);
        };
        let gone = tx
            .connection
            .prepare_cached(
                "DELETE FROM inbox
                 WHERE tenant_id = ?1
                   AND id IN (SELECT id FROM inbox
                              WHERE tenant_id = ?1 AND recipient = ?2
                                AND id <= (SELECT id FROM inbox
                                           WHERE tenant_id = ?1 AND recipient = ?2
                                           ORDER BY id DESC LIMIT 1 OFFSET ?3)
                              ORDER BY id LIMIT ?4)",
            )?
            .execute(params![tenant, recipient, limit(entries_max), limit(rows_max)])?;
        if gone >= rows_max {
            // The same recipient comes again.
            return Ok(true);
        }
        tx.segments.leaving_mut().set_inbox_after(Some((tenant, recipient)));
    }
    Ok(true)
}

fn next(connection: &Connection, after: Option<Recipient>) -> rusqlite::Result<Option<Recipient>> {
    let (tenant, recipient) = after.unwrap_or((i64::MIN, "".into()));
    connection
        .prepare_cached(
            "SELECT tenant_id, recipient FROM inbox
             WHERE (tenant_id, recipient) > (?1, ?2)
             ORDER BY tenant_id, recipient LIMIT 1",
        )?
        .query_row(params![tenant, recipient], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}
