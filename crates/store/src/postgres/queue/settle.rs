//! Settling: what became of tries is written down, and each delivery waits on or leaves the queue.
//!
//! Two statements move the queue rows of all settlements and say which of them stood where their settlement found them;
//! only these have consequences.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::DeliveryId;
use domain::delivery::State;
use domain::outcome::Class;
use tokio_postgres::Error;

use super::super::rows::{Effective, NewAttemptRow, OverRow};
use super::super::statements::{Connection, Params, query, text};
use super::super::tx::{Tx, next};
use super::digests;
use crate::queue::{Next, Settlement};
use crate::sums::Shift;

/// Settles in the order given.
pub(in crate::postgres) async fn settle_all(tx: &mut Tx, all: Vec<Arc<[Settlement]>>) -> Result<(), Error> {
    // One statement changes a row once: a delivery that is settled again goes to a later round.
    let mut rounds: Vec<Vec<Effective>> = Vec::new();
    let mut times: BTreeMap<DeliveryId, usize> = BTreeMap::new();
    for of in all {
        for (position, settlement) in of.iter().enumerate() {
            let round = times.entry(settlement.delivery).or_default();
            if *round == rounds.len() {
                rounds.push(Vec::new());
            }
            rounds[*round].push(Effective { of: Arc::clone(&of), position });
            *round += 1;
        }
    }
    for round in rounds {
        let moved = leave_or_wait(&tx.connection, &round).await?;
        let mut ended = BTreeSet::new();
        for effective in round.into_iter().filter(|one| moved.contains(&one.settlement().delivery.0)) {
            take_effect(tx, &effective);
            ended.extend(digest_ended_by(effective.settlement()));
        }
        digests::forget(&tx.connection, &ended.into_iter().collect::<Vec<_>>()).await?;
    }
    Ok(())
}

/// The digest that is over for good with this settlement.
fn digest_ended_by(settlement: &Settlement) -> Option<i64> {
    let is_ended = matches!(settlement.next, Next::Over { state, .. } if state != State::Dead);
    settlement.digest.filter(|_| is_ended).map(|digest| digest.0)
}

fn take_effect(tx: &mut Tx, effective: &Effective) {
    let settlement = effective.settlement();
    let tries = tries(settlement);
    insert_attempts(tx, effective);
    if !settlement.inbox.is_empty() {
        tx.rows.inbox.push(effective.clone());
    }
    let (tenant, channel) = (settlement.tenant, settlement.channel);
    let mut shift = if settlement.tries_before == 0 {
        Shift { pending: -1, ..Shift::default() }
    } else {
        Shift { retrying: -1, ..Shift::default() }
    };
    match &settlement.next {
        Next::Wait { .. } if tries == 0 => shift.pending += 1,
        Next::Wait { .. } => shift.retrying += 1,
        Next::Over { state, .. } => {
            tx.count(tenant, channel, &settlement.event_type, state.name(), settlement.settled_at);
            if *state == State::Dead {
                shift.dead += 1;
                tx.rows.dead.push(OverRow { by: effective.clone(), with: tries });
            } else {
                tx.rows.settled.push(OverRow { by: effective.clone(), with: *state });
            }
        }
    }
    tx.shift(tenant, channel, shift);
}

fn tries(settlement: &Settlement) -> u32 {
    settlement.tries_before + u32::from(!settlement.records.is_empty())
}

/// Moves the queue rows on, or out. Returns the deliveries that stood where their settlements found them.
async fn leave_or_wait(connection: &Connection, round: &[Effective]) -> Result<BTreeSet<i64>, Error> {
    let settlements = round.iter().map(Effective::settlement);
    let (over, wait): (Vec<_>, Vec<_>) = settlements.partition(|one| matches!(one.next, Next::Over { .. }));
    let (left, waiting) = tokio::try_join!(leave(connection, &over), wait_on(connection, &wait))?;
    Ok(left.into_iter().chain(waiting).collect())
}

/// Where the queue row of a settlement stands, if it stands where the settlement found it. A row is looked up for each
/// settlement, and changed by its place: joined to the queue, they are compared with all of it whenever PostgreSQL
/// takes it to be empty.
const FOUND: &str = "LATERAL (SELECT ctid AS place FROM queue
                              WHERE channel_id = settled.channel_id
                                AND delivery_id BETWEEN settled.delivery_id AND settled.delivery_id
                                AND queue.tries = settled.tries
                              ORDER BY delivery_id LIMIT 1) AS found";

async fn leave(connection: &Connection, settlements: &[&Settlement]) -> Result<Vec<i64>, Error> {
    if settlements.is_empty() {
        return Ok(Vec::new());
    }
    let (channels, deliveries, tries) = keys(settlements);
    let sql = format!(
        "DELETE FROM queue
         USING unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS settled (channel_id, delivery_id, tries)
         CROSS JOIN {FOUND}
         WHERE queue.ctid = found.place
         RETURNING queue.delivery_id"
    );
    ids(&query(connection, &sql, &[&channels, &deliveries, &tries]).await?)
}

async fn wait_on(connection: &Connection, settlements: &[&Settlement]) -> Result<Vec<i64>, Error> {
    if settlements.is_empty() {
        return Ok(Vec::new());
    }
    let (channels, deliveries, tries) = keys(settlements);
    let mut due = Vec::with_capacity(settlements.len());
    let mut notes = Vec::with_capacity(settlements.len());
    for settlement in settlements {
        if let Next::Wait { due_at, note } = &settlement.next {
            due.push(due_at.as_ms());
            notes.push(text(note));
        }
    }
    let attempts: Vec<_> = settlements.iter().map(|one| i64::from(one.attempts)).collect();
    let tries_after: Vec<_> = settlements.iter().map(|one| i64::from(self::tries(one))).collect();
    let steps: Vec<_> = settlements.iter().map(|one| one.steps_done.bits()).collect();
    let sql = format!(
        "UPDATE queue
         SET due_at = settled.due_at, attempts = settled.attempts, tries = settled.tries_after,
             steps_done = settled.steps_done, note = settled.note
         FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                     $7::bigint[], $8::text[])
              AS settled (channel_id, delivery_id, tries, due_at, attempts, tries_after, steps_done, note)
         CROSS JOIN {FOUND}
         WHERE queue.ctid = found.place
         RETURNING queue.delivery_id"
    );
    let values: Params<'_> = &[&channels, &deliveries, &tries, &due, &attempts, &tries_after, &steps, &notes];
    ids(&query(connection, &sql, values).await?)
}

/// Where the rows are, and what fences them.
fn keys(settlements: &[&Settlement]) -> (Vec<i64>, Vec<i64>, Vec<i64>) {
    let channels = settlements.iter().map(|one| one.channel.0).collect();
    let deliveries = settlements.iter().map(|one| one.delivery.0).collect();
    (channels, deliveries, settlements.iter().map(|one| i64::from(one.tries_before)).collect())
}

fn ids(rows: &[tokio_postgres::Row]) -> Result<Vec<i64>, Error> {
    rows.iter().map(|row| row.try_get(0)).collect()
}

fn insert_attempts(tx: &mut Tx, by: &Effective) {
    let settlement = by.settlement();
    let given_up_with = settlement.given_up_with();
    for (position, record) in settlement.records.iter().enumerate() {
        let id = next(&mut tx.sequences.attempt);
        tx.rows.attempts.push(NewAttemptRow { id, by: by.clone(), position, gave_up: given_up_with == Some(position) });
        if record.outcome.class != Class::Delivered {
            tx.count(settlement.tenant, settlement.channel, &settlement.event_type, "failed", settlement.settled_at);
        }
    }
}
