//! After a crash: sends that nobody knows the end of become attempts that say so.
//!
//! Runs at a start, before anything is sent. A note whose try the queue has not seen settled was under way when the last
//! process ended, so its message may have been taken: that is written down as an attempt with the outcome `unknown`, and
//! what follows is decided as for every such attempt, by the channel's `on_unknown`.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::delivery::AttemptRecord;
use domain::outcome::Outcome;
use domain::{ChannelId, DeliveryId, Timestamp};
use store::queue::{Cancellation, Settlement, Waiting};
use store::{Store, StoreError};

use super::attempt::{Answered, Content, Flight};
use super::decide::{self, Circumstances, Untried, decide};
use super::digest::of_each;
use super::in_flight::Note;
use crate::random::Entropy;
use crate::registry::Registry;

/// The reason of such an attempt.
const LOST: &str = "the process ended before an answer came; the message may have been taken";

/// Sends settled in one transaction.
const SETTLED_AT_ONCE: usize = 64;

/// Later than everything is due: rows come with their events.
const ALL_DUE: Timestamp = Timestamp::from_ms(i64::MAX);

/// Settles what was under way when the last process ended. Returns how many sends that were.
pub async fn recover(
    store: &dyn Store,
    registry: &Registry,
    entropy: &dyn Entropy,
    notes: Vec<Note>,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let mut by_channel: BTreeMap<ChannelId, Vec<Note>> = BTreeMap::new();
    for note in notes {
        by_channel.entry(note.channel).or_default().push(note);
    }
    let cancellations = store.cancellations().await?;
    let mut lost = Vec::new();
    for (channel, notes) in by_channel {
        let cancellation = cancellations.iter().find(|one| one.channel == channel);
        let deliveries = notes.iter().map(|note| note.delivery).collect();
        let rows = store.waiting_these(channel, deliveries, ALL_DUE).await?;
        let rows: BTreeMap<DeliveryId, Waiting> = rows.into_iter().map(|row| (row.delivery, row)).collect();
        // The queue counts a try when it is settled: one that it has counted left its note behind.
        let is_open = |note: &&Note| rows.get(&note.delivery).is_some_and(|row| row.tries + 1 == note.number);
        for note in notes.iter().filter(is_open) {
            let content = Content::of_row(rows[&note.delivery].clone(), now);
            lost.extend(content.map(|content| settlements(registry, entropy, note, content, cancellation, now)));
        }
    }
    for some in lost.chunks(SETTLED_AT_ONCE) {
        store.settle(some.concat().into()).await?;
    }
    Ok(lost.len())
}

/// What is written down of one send: a settlement, or one for each delivery of a digest.
fn settlements(
    registry: &Registry,
    entropy: &dyn Entropy,
    note: &Note,
    content: Content,
    cancellation: Option<&Cancellation>,
    now: Timestamp,
) -> Vec<Settlement> {
    let (delivery, channel) = (note.delivery, note.channel);
    let outcome = Outcome::unknown(LOST);
    let record = AttemptRecord {
        number: note.number,
        step: note.step,
        outcome: outcome.clone(),
        code: None,
        body: String::new(),
        started_at: note.started_at,
        duration_ms: 0,
    };
    let digest = content.digest.clone();
    let Some(live) = registry.channel(channel) else {
        let untried = decide::without_try(delivery, channel, &content, Untried::ChannelDeleted, now);
        let settlement = Settlement { provider: Arc::clone(&note.provider), records: vec![record], ..untried };
        return of_each(settlement, digest.as_deref());
    };
    let flight = Flight { delivery, channel, live, content, slot: 0 };
    let answered = Answered {
        flight,
        records: vec![record],
        steps_done: note.steps_done.in_doubt(),
        outcome,
        has_more: false,
        patch: None,
        inbox: Vec::new(),
        trace: None,
    };
    let mut settlement = decide(answered, Circumstances::default(), now, entropy.number()).settlement;
    if let Some(order) = cancellation.filter(|order| delivery <= order.up_to) {
        settlement = decide::cancel(settlement, order);
    }
    of_each(settlement, digest.as_deref())
}

#[cfg(test)]
mod tests;
