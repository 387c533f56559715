//! One slice of a redrive: what is taken, and how far the order has come, in one transaction.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::delivery::State;
use domain::redrive::{Progress, Redrive};
use domain::{ChannelId, EventId, TenantId, Timestamp};
use tokio_postgres::Error;

use super::super::queue::{deliver_past, event_row, revive};
use super::super::retention::kept_from;
use super::super::statements::execute;
use super::super::tx::Tx;
use super::{look, one};
use crate::queue::NewDelivery;
use crate::redrives::{RedriveSlice, Take};

pub(super) async fn carry_out(
    tx: &mut Tx,
    tenant: TenantId,
    slice: &RedriveSlice,
    now: Timestamp,
) -> Result<Option<Redrive>, Error> {
    let Some(redrive) = one(&tx.connection, tenant, slice.redrive).await? else { return Ok(None) };
    if redrive.progress != Progress::Running || redrive.reached != slice.after || tx.gone.contains(&tenant) {
        return Ok(Some(redrive));
    }
    let (mut redriven, mut skipped) = (0_i64, slice.skipped);
    match &slice.take {
        Take::Dead(deliveries) => {
            for (delivery, expires_at) in deliveries {
                match revive(tx, tenant, *delivery, *expires_at).await? {
                    Some(revived) => redriven += revived.deliveries,
                    None => skipped += 1,
                }
            }
        }
        Take::Events { channel, expires_at, delivered, events } => {
            let delivery = NewDelivery { channel: *channel, expires_at: *expires_at };
            // What is about to go would go without its event.
            let kept_from = kept_from(&tx.connection).await?;
            let mut taken = BTreeSet::new();
            for event in events {
                let may_be = *event >= kept_from && !taken.contains(event);
                if may_be && deliver(tx, tenant, *event, *channel, *delivered, &delivery, now).await? {
                    // What it made is written at the end; until then nobody else would see that it stands otherwise.
                    taken.insert(*event);
                    redriven += 1;
                } else {
                    skipped += 1;
                }
            }
        }
    }
    let ended_at = slice.is_end.then_some(now.as_ms());
    let progress = if slice.is_end { Progress::Done } else { Progress::Running };
    let sql = "UPDATE redrives
               SET reached = $3, examined = examined + $4, redriven = redriven + $5, skipped = skipped + $6,
                   progress = $7, ended_at = $8
               WHERE tenant_id = $1 AND id = $2";
    execute(
        &tx.connection,
        sql,
        &[
            &tenant.0,
            &slice.redrive.0,
            &slice.reached,
            &i64::try_from(slice.examined).unwrap_or(i64::MAX),
            &redriven,
            &i64::try_from(skipped).unwrap_or(i64::MAX),
            &progress.name(),
            &ended_at,
        ],
    )
    .await?;
    one(&tx.connection, tenant, slice.redrive).await
}

/// Makes a new delivery of an event, if its newest one to the channel still stands as it did.
async fn deliver(
    tx: &mut Tx,
    tenant: TenantId,
    event: EventId,
    channel: ChannelId,
    expected: Option<State>,
    delivery: &NewDelivery,
    now: Timestamp,
) -> Result<bool, Error> {
    // The same while it is looked through.
    if tx.leaving.covers(event) {
        return Ok(false);
    }
    let Some(row) = event_row(&tx.connection, tenant, event).await? else { return Ok(false) };
    let delivered = look::delivered_each(&tx.connection, tenant, std::slice::from_ref(&row), channel).await?;
    if delivered != [expected] {
        return Ok(false);
    }
    deliver_past(tx, &Arc::new(row.event), *delivery, now).await?;
    Ok(true)
}
