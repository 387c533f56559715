//! Events that outlive their partition, because a delivery of theirs waits or is dead.

use std::collections::BTreeSet;

use domain::EventId;
use tokio_postgres::{Error, Row};

use super::super::segments::{Kind, partition};
use super::super::statements::{Connection, execute, limit, query};
use super::super::tx::Tx;
use super::inboxes::Recipient;
use crate::blob;

/// Events that are looked at in one slice. More than with SQLite, because each time is a few trips over a network.
const LOOK_MAX: usize = 1_000;

/// An event's key: its tenant and its id, the order in which a partition is looked through.
type Key = (i64, i64);

/// How far the events of the partition that goes next were looked through, and those that are kept. In memory only: after
/// a start both begin anew.
#[derive(Clone, Debug, Default)]
pub(in crate::postgres) struct Leaving {
    number: i64,
    after: Key,
    last: i64,
    kept_after: Key,
    /// The recipient whose inbox was looked at last.
    inbox_after: Option<Recipient>,
}

impl Leaving {
    /// Whether an event is being looked through: what would be made of it now might be missed.
    pub(in crate::postgres) const fn covers(&self, event: EventId) -> bool {
        event.0 <= self.last
    }

    pub(super) fn inbox_after(&self) -> Option<Recipient> {
        self.inbox_after.clone()
    }

    pub(super) fn set_inbox_after(&mut self, recipient: Option<Recipient>) {
        self.inbox_after = recipient;
    }
}

/// Copies a slice of what is still live out of a partition of events. Returns whether everything was looked at.
pub(super) async fn copy_live(tx: &mut Tx, number: i64, last: i64) -> Result<bool, Error> {
    if tx.leaving.number != number {
        tx.leaving = Leaving { number, after: (0, 0), last, ..tx.leaving.clone() };
    }
    let table = partition(Kind::Events, number);
    let rows = looked_at(&tx.connection, &table, tx.leaving.after).await?;
    let live = live(&tx.connection, &rows).await?;
    if !live.is_empty() {
        let (tenants, ids): (Vec<i64>, Vec<i64>) = live.into_iter().unzip();
        let columns = "id, tenant_id, type, data, occurred_at, severity, accepted_at, explicit, config_version, \
                       first_delivery, channels, skipped, skipped_more, trace";
        let sql = format!(
            "INSERT INTO kept_events ({columns})
             SELECT {columns}
             FROM unnest($1::bigint[], $2::bigint[]) AS live (live_tenant, live_id)
             CROSS JOIN LATERAL (SELECT * FROM {table} WHERE tenant_id = live_tenant AND id = live_id LIMIT 1) AS event
             ON CONFLICT DO NOTHING"
        );
        tx.connection.execute(&sql, &[&tenants, &ids]).await?;
    }
    match rows.last() {
        Some(row) if rows.len() == LOOK_MAX => tx.leaving.after = row.key,
        _ => return Ok(true),
    }
    Ok(false)
}

/// Lets go of a slice of the kept events that nothing waits for any more. Returns whether more are to be looked at.
pub(super) async fn forget_kept(tx: &mut Tx) -> Result<bool, Error> {
    let rows = looked_at(&tx.connection, "kept_events", tx.leaving.kept_after).await?;
    let live = live(&tx.connection, &rows).await?;
    let over = rows.iter().map(|row| row.key).filter(|key| !live.contains(key));
    let (tenants, ids): (Vec<i64>, Vec<i64>) = over.unzip();
    if !ids.is_empty() {
        execute(&tx.connection, "DELETE FROM expanded WHERE event_id = ANY ($1)", &[&ids]).await?;
        let sql = "DELETE FROM kept_events
                   USING unnest($1::bigint[], $2::bigint[]) AS gone (tenant_id, id)
                   CROSS JOIN LATERAL (SELECT ctid AS place FROM kept_events AS kept
                                       WHERE kept.tenant_id = gone.tenant_id AND kept.id = gone.id
                                       LIMIT 1) AS found
                   WHERE kept_events.ctid = found.place";
        execute(&tx.connection, sql, &[&tenants, &ids]).await?;
    }
    let last = rows.last().filter(|_| rows.len() == LOOK_MAX).map(|row| row.key);
    tx.leaving.kept_after = last.unwrap_or((0, 0));
    Ok(last.is_some())
}

/// An event, and which deliveries were made with it.
struct Looked {
    key: Key,
    first_delivery: i64,
    deliveries: i64,
}

async fn looked_at(connection: &Connection, table: &str, after: Key) -> Result<Vec<Looked>, Error> {
    let sql = format!(
        "SELECT tenant_id, id, first_delivery, channels FROM {table}
         WHERE (tenant_id, id) > ($1, $2)
         ORDER BY tenant_id, id
         LIMIT $3"
    );
    let looked = |row: &Row| {
        let key = (row.try_get(0)?, row.try_get(1)?);
        Ok(Looked { key, first_delivery: row.try_get(2)?, deliveries: count(row.try_get(3)?) })
    };
    connection.query(&sql, &[&after.0, &after.1, &limit(LOOK_MAX)]).await?.iter().map(looked).collect()
}

/// How many channels a column holds.
fn count(channels: &[u8]) -> i64 {
    i64::try_from(blob::decode_channels(channels).len()).unwrap_or(i64::MAX)
}

/// Those of which a delivery waits, is dead, or is still to be made.
async fn live(connection: &Connection, events: &[Looked]) -> Result<BTreeSet<Key>, Error> {
    if events.is_empty() {
        return Ok(BTreeSet::new());
    }
    // Each with its runs of deliveries: its own, which may be empty, and those beyond.
    let mut runs: Vec<(Key, i64, i64)> =
        events.iter().map(|event| (event.key, event.first_delivery, event.deliveries)).collect();
    let (tenants, ids): (Vec<i64>, Vec<i64>) = events.iter().map(|event| event.key).unzip();
    let sql = "SELECT tenant_id, event_id, first_delivery, channels
               FROM unnest($1::bigint[], $2::bigint[]) AS asked (tenant_id, event_id)
               CROSS JOIN LATERAL (SELECT first_delivery, channels FROM expanded
                                   WHERE expanded.event_id = asked.event_id
                                   OFFSET 0) AS found";
    for row in query(connection, sql, &[&tenants, &ids]).await? {
        runs.push(((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?, count(row.try_get(3)?)));
    }
    let tenants: Vec<i64> = runs.iter().map(|(key, ..)| key.0).collect();
    let ids: Vec<i64> = runs.iter().map(|(key, ..)| key.1).collect();
    let first: Vec<i64> = runs.iter().map(|(_, first, _)| *first).collect();
    let last: Vec<i64> = runs.iter().map(|(_, first, count)| first.saturating_add(count - 1)).collect();
    let sql = "SELECT tenant_id, event_id
               FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
                    AS run (tenant_id, event_id, first_id, last_id)
               WHERE (SELECT delivery_id FROM dead
                      WHERE delivery_id BETWEEN run.first_id AND run.last_id
                      ORDER BY delivery_id LIMIT 1) IS NOT NULL
                  OR (SELECT delivery_id FROM queue
                      WHERE queue.tenant_id = run.tenant_id AND delivery_id BETWEEN run.first_id AND run.last_id
                      ORDER BY delivery_id LIMIT 1) IS NOT NULL
                  OR (SELECT event_id FROM expand WHERE expand.event_id = run.event_id) IS NOT NULL";
    let found = query(connection, sql, &[&tenants, &ids, &first, &last]).await?;
    found.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
