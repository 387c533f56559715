//! Inboxes bounded by number: of each recipient of a tenant the newest entries are kept.
//!
//! One round goes through all recipients, a few in a slice, each found from the one before by the index.

use std::sync::Arc;

use tokio_postgres::Error;

use super::super::statements::{Connection, execute, limit, query_opt};
use super::super::tx::Tx;

/// Recipients that are looked at in one slice: finding how far an inbox is kept takes a step for each of its entries.
const RECIPIENTS_MAX: usize = 20;

/// A recipient of a tenant.
pub(super) type Recipient = (i64, Arc<str>);

/// Does one slice. Returns whether the round goes on.
pub(super) async fn bound(tx: &mut Tx, entries_max: usize, rows_max: usize) -> Result<bool, Error> {
    for _ in 0..RECIPIENTS_MAX {
        let Some((tenant, recipient)) = next(&tx.connection, tx.leaving.inbox_after()).await? else {
            tx.leaving.set_inbox_after(None);
            return Ok(false);
        };
        let sql = "DELETE FROM inbox
                   WHERE ctid = ANY (ARRAY (SELECT ctid FROM inbox
                                            WHERE (tenant_id, recipient) >= ($1, $2)
                                              AND (tenant_id, recipient, id)
                                                  <= ($1, $2, (SELECT id FROM inbox
                                                               WHERE (tenant_id, recipient) BETWEEN ($1, $2) AND ($1, $2)
                                                               ORDER BY tenant_id DESC, recipient DESC, id DESC
                                                               LIMIT 1 OFFSET $3))
                                            ORDER BY tenant_id, recipient, id LIMIT $4))";
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&tenant, &&*recipient, &limit(entries_max), &limit(rows_max)];
        if execute(&tx.connection, sql, &values).await? >= limit(rows_max).unsigned_abs() {
            // The same recipient comes again.
            return Ok(true);
        }
        tx.leaving.set_inbox_after(Some((tenant, recipient)));
    }
    Ok(true)
}

async fn next(connection: &Connection, after: Option<Recipient>) -> Result<Option<Recipient>, Error> {
    let (tenant, recipient) = after.unwrap_or((i64::MIN, "".into()));
    let sql = "SELECT tenant_id, recipient FROM inbox
               WHERE (tenant_id, recipient) > ($1, $2)
               ORDER BY tenant_id, recipient LIMIT 1";
    let Some(row) = query_opt(connection, sql, &[&tenant, &&*recipient]).await? else { return Ok(None) };
    Ok(Some((row.try_get(0)?, Arc::from(row.try_get::<_, &str>(1)?))))
}
