//! Trying again because a person asks.

use domain::{ChannelId, DeliveryId, DigestId, TenantId, Timestamp};
use rusqlite::{OptionalExtension as _, params};

use super::super::journal;
use super::super::tx::Tx;
use super::digests::{due_together, together};
use crate::queue::RetryAnswer;
use crate::sums::Shift;

pub(super) fn retry(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    delivery: DeliveryId,
    expires_at: Timestamp,
) -> rusqlite::Result<Option<RetryAnswer>> {
    if let Some(Revived { channel, .. }) = revive(tx, tenant, delivery, expires_at)? {
        return Ok(Some(RetryAnswer::Due(channel)));
    }
    let waiting: Option<(ChannelId, Option<DigestId>)> = tx
        .connection
        .prepare_cached("SELECT channel_id, digest_id FROM queue WHERE tenant_id = ?1 AND delivery_id = ?2")?
        .query_row([tenant.0, delivery.0], |row| {
            Ok((ChannelId(row.get(0)?), row.get::<_, Option<i64>>(1)?.map(DigestId)))
        })
        .optional()?;
    if let Some((channel, digest)) = waiting {
        due_together(tx.connection, channel, delivery, digest)?;
        return Ok(Some(RetryAnswer::Due(channel)));
    }
    let over = journal::settled(tx.connection, tenant, delivery)?;
    Ok(over.map(|delivery| RetryAnswer::Over(delivery.state)))
}

/// A dead delivery that waits again.
pub(in crate::sqlite) struct Revived {
    pub channel: ChannelId,
    /// How many wait again: itself, and the others of its digest.
    pub deliveries: i64,
}

/// Moves a dead delivery back into the queue, and with it those that it goes out together with.
pub(in crate::sqlite) fn revive(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    delivery: DeliveryId,
    expires_at: Timestamp,
) -> rusqlite::Result<Option<Revived>> {
    let Some((channel, digest)) = revive_one(tx, tenant, delivery, expires_at)? else { return Ok(None) };
    let mut deliveries = 1;
    for other in together(tx.connection, delivery, digest)? {
        let is_moved = other != delivery && revive_one(tx, tenant, other, expires_at)?.is_some();
        deliveries += i64::from(is_moved);
    }
    Ok(Some(Revived { channel, deliveries }))
}

fn revive_one(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    delivery: DeliveryId,
    expires_at: Timestamp,
) -> rusqlite::Result<Option<(ChannelId, Option<DigestId>)>> {
    let moved: Option<(i64, u32, Option<i64>)> = tx
        .connection
        .prepare_cached(
            "INSERT INTO queue (channel_id, delivery_id, tenant_id, event_id, created_at, expires_at, due_at, attempts,
                                tries, steps_done, digest_id, note)
             SELECT channel_id, delivery_id, tenant_id, event_id, created_at, ?3, 0, 0, tries, steps_done, digest_id,
                    note
             FROM dead
             WHERE tenant_id = ?1 AND delivery_id = ?2
             RETURNING channel_id, tries, digest_id",
        )?
        .query_row(params![tenant.0, delivery.0, expires_at.as_ms()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((channel, tries, digest)) = moved else { return Ok(None) };
    tx.connection.prepare_cached("DELETE FROM dead WHERE delivery_id = ?1")?.execute([delivery.0])?;
    let pending = i64::from(tries == 0);
    tx.shift(tenant, ChannelId(channel), Shift { pending, retrying: 1 - pending, dead: -1 });
    Ok(Some((ChannelId(channel), digest.map(DigestId))))
}
