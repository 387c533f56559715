//! Settling: what became of a try is written down, and the delivery waits on or leaves the queue.

use domain::ReasonCode;
use domain::delivery::{AttemptRecord, State};
use domain::outcome::Class;
use rusqlite::params;

use super::super::inbox;
use super::super::segments::Kind;
use super::super::tx::{Hot, Tx, next};
use super::digests;
use crate::queue::{Next, Settlement};
use crate::sums::Shift;

pub(super) fn settle(tx: &mut Tx<'_>, settlement: &Settlement) -> rusqlite::Result<()> {
    let tries = settlement.tries_before + u32::from(!settlement.records.is_empty());
    if !leave_or_wait(tx, settlement, tries)? {
        return Ok(());
    }
    let given_up_with = settlement.given_up_with();
    for (position, record) in settlement.records.iter().enumerate() {
        insert_attempt(tx, settlement, record, given_up_with == Some(position))?;
    }
    inbox::insert(tx, settlement)?;
    let (tenant, channel) = (settlement.tenant, settlement.channel);
    let mut shift = if settlement.tries_before == 0 {
        Shift { pending: -1, ..Shift::default() }
    } else {
        Shift { retrying: -1, ..Shift::default() }
    };
    match &settlement.next {
        Next::Wait { .. } if tries == 0 => shift.pending += 1,
        Next::Wait { .. } => shift.retrying += 1,
        Next::Over { state, code, note } => {
            tx.count(tenant, channel, &settlement.event_type, state.name(), settlement.settled_at);
            if *state == State::Dead {
                shift.dead += 1;
                insert_dead(tx, settlement, tries, (*code, note))?;
            } else {
                insert_settled(tx, settlement, *state, (*code, note))?;
                settlement.digest.map_or(Ok(()), |digest| digests::forget(tx.connection, digest))?;
            }
        }
    }
    tx.shift(tenant, channel, shift);
    Ok(())
}

const LEAVE_QUEUE: &str = "DELETE FROM queue WHERE channel_id = ?1 AND delivery_id = ?2 AND tries = ?3";

/// Moves the queue row on, or out. Returns whether it stood where the settlement found it.
fn leave_or_wait(tx: &mut Tx<'_>, settlement: &Settlement, tries: u32) -> rusqlite::Result<bool> {
    let (channel, delivery) = (settlement.channel.0, settlement.delivery.0);
    let changed = match &settlement.next {
        Next::Over { .. } => {
            tx.hot(Hot::LeaveQueue, LEAVE_QUEUE)?.execute(params![channel, delivery, settlement.tries_before])?
        }
        Next::Wait { due_at, note } => tx
            .connection
            .prepare_cached(
                "UPDATE queue
                 SET due_at = ?4, attempts = ?5, tries = ?6, steps_done = ?7, note = ?8
                 WHERE channel_id = ?1 AND delivery_id = ?2 AND tries = ?3",
            )?
            .execute(params![
                channel,
                delivery,
                settlement.tries_before,
                due_at.as_ms(),
                settlement.attempts,
                tries,
                settlement.steps_done.bits(),
                note,
            ])?,
    };
    Ok(changed > 0)
}

const INSERT_ATTEMPT: &str =
    "INSERT INTO attempts (id, delivery_id, tenant_id, channel_id, event_id, provider, event_type, number, step, class,
                          scope, code, hint_ms, reference, note, body, started_at, duration_ms, digest_id, gave_up)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)";

fn insert_attempt(
    tx: &mut Tx<'_>,
    settlement: &Settlement,
    record: &AttemptRecord,
    gave_up: bool,
) -> rusqlite::Result<()> {
    let outcome = &record.outcome;
    let hint_ms = outcome.hint.map(|wait| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
    let id = next(&mut tx.sequences.attempt);
    tx.segments.add(Kind::Attempts);
    tx.hot(Hot::InsertAttempt, INSERT_ATTEMPT)?.execute(params![
        id,
        settlement.delivery.0,
        settlement.tenant.0,
        settlement.channel.0,
        settlement.event.0,
        settlement.provider,
        settlement.event_type,
        record.number,
        record.step,
        outcome.class.name(),
        outcome.scope.name(),
        record.code,
        hint_ms,
        outcome.reference,
        outcome.note,
        record.body,
        record.started_at.as_ms(),
        record.duration_ms,
        settlement.digest.map(|digest| digest.0),
        gave_up,
    ])?;
    if outcome.class != Class::Delivered {
        tx.count(settlement.tenant, settlement.channel, &settlement.event_type, "failed", settlement.settled_at);
    }
    Ok(())
}

fn insert_dead(
    tx: &Tx<'_>,
    settlement: &Settlement,
    tries: u32,
    (code, note): (ReasonCode, &str),
) -> rusqlite::Result<()> {
    tx.connection
        .prepare_cached(
            "INSERT INTO dead (delivery_id, channel_id, tenant_id, event_id, created_at, expires_at, attempts, tries,
                               steps_done, code, note, died_at, digest_id, reason_code)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            settlement.delivery.0,
            settlement.channel.0,
            settlement.tenant.0,
            settlement.event.0,
            settlement.created_at.as_ms(),
            settlement.expires_at.as_ms(),
            settlement.attempts,
            tries,
            settlement.steps_done.bits(),
            settlement.records.last().and_then(|record| record.code),
            note,
            settlement.settled_at.as_ms(),
            settlement.digest.map(|digest| digest.0),
            code.name(),
        ])
        .map(drop)
}

const INSERT_SETTLED: &str =
    "INSERT INTO settled (segment, id, tenant_id, channel_id, event_id, event_type, state, attempts, created_at, expires_at,
                         settled_at, note, digest_id, reason_code)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";

fn insert_settled(
    tx: &mut Tx<'_>,
    settlement: &Settlement,
    state: State,
    (code, note): (ReasonCode, &str),
) -> rusqlite::Result<()> {
    let segment = tx.segments.add(Kind::Settled);
    tx.hot(Hot::InsertSettled, INSERT_SETTLED)?
        .execute(params![
            segment,
            settlement.delivery.0,
            settlement.tenant.0,
            settlement.channel.0,
            settlement.event.0,
            settlement.event_type,
            state.name(),
            settlement.attempts,
            settlement.created_at.as_ms(),
            settlement.expires_at.as_ms(),
            settlement.settled_at.as_ms(),
            note,
            settlement.digest.map(|digest| digest.0),
            code.name(),
        ])
        .map(drop)
}
