//! One slice of a redrive: what is taken, and how far the order has come, in one transaction.

use std::sync::Arc;

use domain::delivery::State;
use domain::redrive::{Progress, Redrive};
use domain::{ChannelId, EventId, TenantId, Timestamp};
use rusqlite::params;

use super::super::queue::{deliver_past, event_row, revive};
use super::super::tx::Tx;
use super::{look, one};
use crate::queue::NewDelivery;
use crate::redrives::{RedriveSlice, Take};

pub(super) fn carry_out(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    slice: &RedriveSlice,
    now: Timestamp,
) -> rusqlite::Result<Option<Redrive>> {
    let Some(redrive) = one(tx.connection, tenant, slice.redrive)? else { return Ok(None) };
    if redrive.progress != Progress::Running || redrive.reached != slice.after || tx.gone.contains(&tenant) {
        return Ok(Some(redrive));
    }
    let (mut redriven, mut skipped) = (0_i64, slice.skipped);
    match &slice.take {
        Take::Dead(deliveries) => {
            for (delivery, expires_at) in deliveries {
                match revive(tx, tenant, *delivery, *expires_at)? {
                    Some(revived) => redriven += revived.deliveries,
                    None => skipped += 1,
                }
            }
        }
        Take::Events { channel, expires_at, delivered, events } => {
            let delivery = NewDelivery { channel: *channel, expires_at: *expires_at };
            for event in events {
                if deliver(tx, tenant, *event, *channel, *delivered, &delivery, now)? {
                    redriven += 1;
                } else {
                    skipped += 1;
                }
            }
        }
    }
    let ended_at = slice.is_end.then_some(now.as_ms());
    let progress = if slice.is_end { Progress::Done } else { Progress::Running };
    tx.connection
        .prepare_cached(
            "UPDATE redrives
             SET reached = ?2, examined = examined + ?3, redriven = redriven + ?4, skipped = skipped + ?5,
                 progress = ?6, ended_at = ?7
             WHERE id = ?1",
        )?
        .execute(params![
            slice.redrive.0,
            slice.reached,
            i64::try_from(slice.examined).unwrap_or(i64::MAX),
            redriven,
            i64::try_from(skipped).unwrap_or(i64::MAX),
            progress.name(),
            ended_at,
        ])?;
    one(tx.connection, tenant, slice.redrive)
}

/// Makes a new delivery of an event, if its newest one to the channel still stands as it did.
fn deliver(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    event: EventId,
    channel: ChannelId,
    expected: Option<State>,
    delivery: &NewDelivery,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    // What is about to go would go without its event.
    if tx.segments.leaving_mut().covers(event) {
        return Ok(false);
    }
    let Some(row) = event_row(tx.connection, event)?.filter(|row| row.event.content.tenant == tenant) else {
        return Ok(false);
    };
    if look::delivered(tx.connection, &row, channel)? != expected {
        return Ok(false);
    }
    deliver_past(tx, &Arc::new(row.event), *delivery, now)?;
    Ok(true)
}
