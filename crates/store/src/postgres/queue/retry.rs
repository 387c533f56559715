//! Trying again because a person asks.

use domain::{ChannelId, DeliveryId, DigestId, TenantId, Timestamp};
use tokio_postgres::Error;

use super::super::journal;
use super::super::statements::query_opt;
use super::super::tx::Tx;
use super::digests::{due_together, together};
use crate::queue::RetryAnswer;
use crate::sums::Shift;

pub(super) async fn retry(
    tx: &mut Tx,
    tenant: TenantId,
    delivery: DeliveryId,
    expires_at: Timestamp,
) -> Result<Option<RetryAnswer>, Error> {
    if let Some(Revived { channel, .. }) = revive(tx, tenant, delivery, expires_at).await? {
        return Ok(Some(RetryAnswer::Due(channel)));
    }
    let waiting = query_opt(
        &tx.connection,
        "SELECT channel_id, digest_id FROM queue
         WHERE tenant_id = $1 AND delivery_id BETWEEN $2 AND $2
         ORDER BY delivery_id",
        &[&tenant.0, &delivery.0],
    )
    .await?;
    if let Some(row) = waiting {
        let channel = ChannelId(row.try_get(0)?);
        let digest = row.try_get::<_, Option<i64>>(1)?.map(DigestId);
        due_together(&tx.connection, channel, delivery, digest).await?;
        return Ok(Some(RetryAnswer::Due(channel)));
    }
    let over = journal::settled(&tx.connection, tenant, delivery).await?;
    Ok(over.map(|delivery| RetryAnswer::Over(delivery.state)))
}

/// A dead delivery that waits again.
pub(in crate::postgres) struct Revived {
    pub channel: ChannelId,
    /// How many wait again: itself, and the others of its digest.
    pub deliveries: i64,
}

/// Moves a dead delivery back into the queue, and with it those that it goes out together with.
pub(in crate::postgres) async fn revive(
    tx: &mut Tx,
    tenant: TenantId,
    delivery: DeliveryId,
    expires_at: Timestamp,
) -> Result<Option<Revived>, Error> {
    let Some((channel, digest)) = revive_one(tx, tenant, delivery, expires_at).await? else { return Ok(None) };
    let mut deliveries = 1;
    for other in together(&tx.connection, delivery, digest).await? {
        let is_moved = other != delivery && revive_one(tx, tenant, other, expires_at).await?.is_some();
        deliveries += i64::from(is_moved);
    }
    Ok(Some(Revived { channel, deliveries }))
}

async fn revive_one(
    tx: &mut Tx,
    tenant: TenantId,
    delivery: DeliveryId,
    expires_at: Timestamp,
) -> Result<Option<(ChannelId, Option<DigestId>)>, Error> {
    let moved = query_opt(
        &tx.connection,
        "WITH moved AS (
             DELETE FROM dead
             WHERE ctid = (SELECT ctid FROM dead
                           WHERE tenant_id = $1 AND delivery_id BETWEEN $2 AND $2
                           ORDER BY delivery_id)
             RETURNING channel_id, delivery_id, tenant_id, event_id, created_at, tries, steps_done, digest_id, note
         )
         INSERT INTO queue (channel_id, delivery_id, tenant_id, event_id, created_at, expires_at, due_at, attempts,
                            tries, steps_done, digest_id, note)
         SELECT channel_id, delivery_id, tenant_id, event_id, created_at, $3, 0, 0, tries, steps_done, digest_id, note
         FROM moved
         RETURNING channel_id, tries, digest_id",
        &[&tenant.0, &delivery.0, &expires_at.as_ms()],
    )
    .await?;
    let Some(moved) = moved else { return Ok(None) };
    let (channel, tries): (i64, i64) = (moved.try_get(0)?, moved.try_get(1)?);
    let pending = i64::from(tries == 0);
    tx.shift(tenant, ChannelId(channel), Shift { pending, retrying: 1 - pending, dead: -1 });
    let digest = moved.try_get::<_, Option<i64>>(2)?.map(DigestId);
    Ok(Some((ChannelId(channel), digest)))
}
