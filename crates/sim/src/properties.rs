//! What must be true of the store, held against the model.

use std::collections::{BTreeMap, BTreeSet};

use domain::channel::OnUnknown;
use domain::delivery::{Attempt, Delivery, State};
use domain::outcome::Class;
use domain::{ChannelId, DeliveryId, EventId, ReasonCode, TenantId, Timestamp};
use engine::ops::{Explained, OpsError};
use engine::settings::Retention;
use providers::step::HttpStep;
use serde_json::Value;
use store::journal::{AttemptQuery, DeliveryQuery, EventRecord, StateFilter, StatsQuery};
use store::{Journal as _, StoreError};

use crate::kept::{Kept, ROWS_MAX, needs_its_event, nothing_is_left_of_the_gone};
use crate::model::{Broken, Exchange, Model};
use crate::process::read;
use crate::telling;
use crate::world::World;

/// Pairs of event and channel that are asked for at the end of a simulation.
const EXPLAINED_MAX: usize = 150;

/// The receiver that a URL, a host or an address leads to.
pub(crate) fn receiver_of(place: &str) -> Option<usize> {
    let (before, _) = place.split_once(".example.com")?;
    before.rsplit('r').next()?.parse().ok()
}

/// What a receiver reads of a request: which receiver it is, the wire id, and the serial of each event.
pub(crate) fn read_request(step: &HttpStep) -> (usize, String, Vec<u64>) {
    let receiver = receiver_of(step.url.reveal()).unwrap_or(usize::MAX);
    let wire_id = step.headers.get("webhook-id").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let body: Value = serde_json::from_slice(&step.body).unwrap_or_default();
    let events = match body {
        Value::Array(events) => events,
        single => vec![single],
    };
    // A test's event has no serial.
    let serials = events.iter().map(|event| event["data"]["n"].as_u64().unwrap_or(0)).collect();
    (receiver, wire_id, serials)
}

/// What is sent for deliveries is their events, as far as the clients were told which these are.
pub(crate) fn right_events(model: &Model, deliveries: &[DeliveryId], serials: &[u64]) -> Result<(), Broken> {
    if deliveries.len() != serials.len() {
        return Err(format!("{deliveries:?} went out with the events {serials:?}"));
    }
    for (delivery, sent) in deliveries.iter().zip(serials) {
        if let Some(serial) = model.serials.get(delivery).filter(|serial| *serial != sent) {
            return Err(format!("delivery {delivery} is of the event {serial} and went out with {sent}"));
        }
    }
    Ok(())
}

/// What is sent for a channel goes to its own receiver.
pub(crate) fn right_receiver(model: &Model, channel: ChannelId, receiver: usize) -> Result<(), Broken> {
    match model.channels.get(&channel) {
        Some(belief) if belief.receiver != receiver => {
            Err(format!("channel {channel} sent to receiver {receiver} and not to {}", belief.receiver))
        }
        _ => Ok(()),
    }
}

/// Every question has an answer. Where everything is kept, it is never that the reason was lost: worlds are too small for
/// that.
pub(crate) fn explained(result: &Result<Explained, OpsError>, has_all: bool) -> Result<(), Broken> {
    match result {
        Ok(Explained::NotKept) if has_all => Err("explain has no reason for an event and a channel".to_owned()),
        Ok(_) | Err(OpsError::NotFound(_) | OpsError::Unavailable(_)) => Ok(()),
        Err(error) => Err(format!("explain failed: {error}")),
    }
}

/// What must be true when nothing moves any more.
pub(crate) fn at_the_end(world: &mut World) -> Result<(), Broken> {
    if world.process.is_none() {
        return Err("there is no process in peace".to_owned());
    }
    sums(world)?;
    let kept = Kept::read(world).map_err(|error| format!("the store cannot be read: {error}"))?;
    events(world, &kept)?;
    once(&kept)?;
    nothing_is_left_of_the_gone(world)?;
    telling::once_and_to_others(world, &kept.events)?;
    let mut exchanges: BTreeMap<DeliveryId, Vec<&Exchange>> = BTreeMap::new();
    for exchange in world.model.exchanges.values() {
        for delivery in &exchange.deliveries {
            exchanges.entry(*delivery).or_default().push(exchange);
        }
    }
    for delivery in kept.deliveries.values() {
        is_over(world, delivery)?;
        let attempts = kept.attempts.get(&delivery.id).map(Vec::as_slice).unwrap_or_default();
        let exchanges = exchanges.get(&delivery.id).map(Vec::as_slice).unwrap_or_default();
        attempts_fit(&world.model, delivery, attempts, exchanges)?;
        if kept.retention.attempts.is_none() {
            let is_redriven = world.redrives_reaching(delivery.id) > 0;
            tries_fit(&world.model, delivery, attempts, exchanges, is_redriven)?;
        }
    }
    let is_missing = |id: &&DeliveryId| !kept.deliveries.contains_key(id) && !is_of_the_leaving(world, **id);
    if let Some(stray) = world.model.wire.keys().map(|(delivery, _)| delivery).find(is_missing)
        && kept.retention.deliveries.is_none()
    {
        return Err(format!("delivery {stray} was sent and is not in the store"));
    }
    explains(world, &kept)?;
    count(world, &kept);
    Ok(())
}

/// Whether a delivery was of a tenant that is deleted.
fn is_of_the_leaving(world: &World, delivery: DeliveryId) -> bool {
    let owner = world.model.owners.get(&delivery);
    owner.is_none_or(|(tenant, _)| world.model.leaving.contains(tenant))
}

/// An event comes to a channel once, whatever was redriven and crashed meanwhile.
fn once(kept: &Kept) -> Result<(), Broken> {
    let mut pairs = BTreeMap::new();
    for delivery in kept.deliveries.values() {
        if let Some(other) = pairs.insert((delivery.event, delivery.channel), delivery.id) {
            let Delivery { id, event, channel, .. } = delivery;
            return Err(format!("event {event} came to channel {channel} twice: deliveries {other} and {id}"));
        }
    }
    Ok(())
}

/// Nothing that was accepted is lost, and no key made two events.
fn events(world: &World, kept: &Kept) -> Result<(), Broken> {
    for (event, (serial, deliveries)) in &world.model.kept {
        let owner = world.model.items[serial].0;
        if world.model.leaving.contains(&owner) {
            continue;
        }
        match kept.events.get(event) {
            Some((tenant, record)) if (*tenant, serial_of(record)) == (owner, *serial) => {}
            Some(_) => return Err(format!("event {event} is not what was accepted")),
            None if kept.retention.events.is_some() => was_let_go(world, owner, *event)?,
            None => return Err(format!("event {event} was accepted and is not in the store")),
        }
        for (delivery, channel) in deliveries.iter().filter(|_| kept.retention.deliveries.is_none()) {
            if kept.deliveries.get(delivery).is_none_or(|one| (one.event, one.channel) != (*event, *channel)) {
                return Err(format!("delivery {delivery} of event {event} was accepted and is not in the store"));
            }
        }
    }
    let waits = |delivery: &&Delivery| needs_its_event(delivery.state) && !kept.events.contains_key(&delivery.event);
    if let Some(Delivery { id, event, .. }) = kept.deliveries.values().find(waits) {
        return Err(format!("delivery {id} waits or is dead, and its event {event} is gone"));
    }
    let mut by_key: BTreeMap<(TenantId, &str), BTreeSet<EventId>> = BTreeMap::new();
    for (event, (tenant, record)) in &kept.events {
        if record.expanding > 0 {
            return Err(format!("event {event} still expands"));
        }
        let item = world.model.items.get(&serial_of(record));
        if let Some(key) = item.and_then(|(_, item)| item.key.as_deref()) {
            by_key.entry((*tenant, key)).or_default().insert(*event);
        }
    }
    match by_key.into_iter().find(|(_, events)| events.len() > 1) {
        Some(((_, key), events)) => Err(format!("the key {key} made {events:?}")),
        None => Ok(()),
    }
}

/// Whoever asks for an event that is gone is told that it was there.
fn was_let_go(world: &World, tenant: TenantId, event: EventId) -> Result<(), Broken> {
    match read(world.engine().event(tenant, event, 1)) {
        Err(OpsError::NotFound(why)) if why.contains("any more: events are kept for") => Ok(()),
        other => Err(format!("event {event} is gone, and whoever asks is told {:?}", other.map(|shown| shown.record))),
    }
}

fn serial_of(record: &EventRecord) -> u64 {
    let data: Value = serde_json::from_str(&record.event.content.data).unwrap_or_default();
    data["n"].as_u64().unwrap_or(0)
}

/// Everything has come to an end, and for a reason.
fn is_over(world: &World, delivery: &Delivery) -> Result<(), Broken> {
    let Delivery { id, channel, state, reason, .. } = delivery;
    if !state.is_final() {
        return Err(format!("delivery {id} of channel {channel} is {state} and waits for ever: {reason}"));
    }
    if *state != State::Sent && reason.is_empty() {
        return Err(format!("delivery {id} is {state} for no reason"));
    }
    if world.model.seen.get(id).is_some_and(|seen| seen.is_final() && *seen != State::Dead && seen != state) {
        return Err(format!("delivery {id} was seen to be over and is {state} now"));
    }
    if world.model.over.get(id) == Some(&State::Sent) && *state != State::Sent {
        return Err(format!("delivery {id} was told to be written down as sent and is {state}: {reason}"));
    }
    let serial = world.model.kept.get(&delivery.event).map(|(serial, _)| serial);
    let in_peace = serial.is_some_and(|serial| world.model.posted_in_peace.contains(serial));
    let registry = &world.process.as_ref().expect("running").registry;
    let is_running = registry.channel(*channel).is_some_and(|live| live.channel.pause.is_none());
    let is_trimmed = matches!(delivery.code, ReasonCode::HeldTooMany | ReasonCode::HeldTooLong);
    if in_peace && is_running && !is_trimmed && *state != State::Sent && *state != State::Cancelled {
        return Err(format!("delivery {id} is {state}, though nothing stood in its way: {reason}"));
    }
    Ok(())
}

/// What is written down of a try is what happened on the wire.
pub(crate) fn attempts_fit(
    model: &Model,
    delivery: &Delivery,
    attempts: &[Attempt],
    exchanges: &[&Exchange],
) -> Result<(), Broken> {
    let id = delivery.id;
    let mut tries: BTreeMap<(u32, u32), Vec<&Exchange>> = BTreeMap::new();
    for exchange in exchanges {
        tries.entry((exchange.number, exchange.step)).or_default().push(exchange);
    }
    for attempt in attempts {
        let record = &attempt.record;
        let number = record.number;
        let sends = tries.get(&(number, record.step)).map(Vec::as_slice).unwrap_or_default();
        let heard = record.code.unwrap_or(0);
        // The process ended before the result was written, whatever it was.
        let is_lost = record.outcome.class == Class::Unknown && model.interrupted.contains(&(id, number));
        if !is_lost && !sends.iter().any(|exchange| exchange.heard == Some(heard)) {
            return Err(format!("attempt {number} of delivery {id} heard {heard}, which nobody said: {sends:?}"));
        }
        let was_taken = |exchange: &&&Exchange| exchange.has_arrived && exchange.answer == Some(heard);
        if record.outcome.class == Class::Delivered && sends.iter().find(was_taken).is_none() {
            return Err(format!("attempt {number} of delivery {id} is delivered, and nobody got it"));
        }
    }
    Ok(())
}

/// Tries are recorded without gaps, and each is one request and one attempt: so what a receiver gets again, it gets
/// because an attempt is on record that may have reached it.
pub(crate) fn tries_fit(
    model: &Model,
    delivery: &Delivery,
    attempts: &[Attempt],
    exchanges: &[&Exchange],
    is_redriven: bool,
) -> Result<(), Broken> {
    let id = delivery.id;
    let is_gap = |pair: &&[Attempt]| pair[1].record.number > pair[0].record.number + 1;
    let begins_late = attempts.first().is_some_and(|attempt| attempt.record.number != 1);
    if begins_late || attempts.windows(2).any(|pair| is_gap(&pair)) {
        return Err(format!("delivery {id} has attempts with gaps: {attempts:?}"));
    }
    every_step_once(model, delivery, attempts)?;
    let mut tries: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    for exchange in exchanges {
        *tries.entry((exchange.number, exchange.step)).or_default() += 1;
    }
    for ((number, step), count) in tries {
        let is_of = |attempt: &&Attempt| (attempt.record.number, attempt.record.step) == (number, step);
        let recorded = attempts.iter().filter(is_of).count();
        // After a loss of power nobody may know of a try, which is then made again under its number.
        let is_forgotten = model.forgotten.contains(&(id, number));
        // What was heard of the steps before the last one is lost with the process: that they are done is noted.
        let has_next = || exchanges.iter().any(|one| one.number == number && one.step > step);
        let may_be_lost = recorded == 0 && model.interrupted.contains(&(id, number)) && has_next();
        if (count, recorded) != (1, 1) && !is_forgotten && !may_be_lost {
            return Err(format!(
                "step {step} of try {number} of delivery {id} went out {count} times and is recorded {recorded} times"
            ));
        }
    }
    let may_repeat = model.channels.get(&delivery.channel).is_none_or(|belief| belief.on_unknown == OnUnknown::Retry);
    let last = attempts.last().map_or(0, |attempt| attempt.record.number);
    let is_unknown = |attempt: &Attempt| attempt.record.outcome.class == Class::Unknown && attempt.record.number < last;
    // Whoever asks for one delivery of a digest asks for all of them.
    let mut together = exchanges.iter().flat_map(|exchange| &exchange.deliveries);
    let is_asked = is_redriven || model.retried.contains(&id) || together.any(|one| model.retried.contains(one));
    if !may_repeat && !is_asked && attempts.iter().any(is_unknown) {
        return Err(format!("delivery {id} was sent again after an unknown answer, and its channel forbids that"));
    }
    Ok(())
}

/// A step that was taken is not tried again, and a delivery is sent when all are.
fn every_step_once(model: &Model, delivery: &Delivery, attempts: &[Attempt]) -> Result<(), Broken> {
    let id = delivery.id;
    // Nobody knows how many there are of a channel whose making was not answered.
    let Some(belief) = model.channels.get(&delivery.channel) else { return Ok(()) };
    let mut taken: BTreeMap<u32, u32> = BTreeMap::new();
    for Attempt { record, .. } in attempts {
        if let Some(number) = taken.get(&record.step) {
            return Err(format!("step {} of delivery {id} was taken in try {number}, and tried again", record.step));
        }
        if record.outcome.class == Class::Delivered {
            taken.insert(record.step, record.number);
        }
    }
    let has_all = taken.len() == belief.steps as usize;
    // Of a try that was cut off, what was heard before its last step is noted and not recorded.
    let may_have_all = has_all || (belief.steps > 1 && model.interrupted.iter().any(|(of, _)| *of == id));
    let is_right = if delivery.state == State::Sent { may_have_all } else { !has_all };
    if is_right {
        return Ok(());
    }
    Err(format!("delivery {id} is {}, and of {} steps were taken {taken:?}", delivery.state, belief.steps))
}

/// Every pair of event and channel is explained; a sample of them.
fn explains(world: &mut World, kept: &Kept) -> Result<(), Broken> {
    let channels: Vec<_> = world.model.channels.iter().map(|(id, belief)| (*id, belief.tenant)).collect();
    let events: Vec<_> = kept.events.iter().map(|(id, (tenant, _))| (*id, *tenant)).collect();
    if events.is_empty() || channels.is_empty() {
        return Ok(());
    }
    let engine = world.engine();
    let pairs: BTreeSet<_> = kept.deliveries.values().map(|one| (one.event, one.channel)).collect();
    for _ in 0..EXPLAINED_MAX.min(events.len() * channels.len()) {
        let (event, tenant) = events[world.dice.position(events.len())];
        let (channel, owner) = channels[world.dice.position(channels.len())];
        if owner != tenant {
            continue;
        }
        let result = read(engine.explain(tenant, event, channel));
        explained(&result, kept.has_all()).map_err(|broken| format!("event {event}, channel {channel}: {broken}"))?;
        let has_delivery = pairs.contains(&(event, channel));
        if result.is_ok_and(|explained| matches!(explained, Explained::Delivery(_)) != has_delivery) {
            return Err(format!("explain and the store disagree on event {event} and channel {channel}"));
        }
    }
    Ok(())
}

/// Sums equal what they are sums of.
pub(crate) fn sums(world: &World) -> Result<(), Broken> {
    let Some(process) = &world.process else { return Ok(()) };
    // Sums outlive the rows that they were made of.
    let has_all = world.scenario.settings.retention == Retention::default();
    let lasting = if has_all { usize::MAX } else { 3 };
    for tenant in world.tenants.iter().filter(|tenant| !world.model.leaving.contains(tenant)) {
        let rows = |state| {
            let query = DeliveryQuery { state: Some(state), ..DeliveryQuery::newest(ROWS_MAX) };
            read(process.store.deliveries(*tenant, query)).map(|found| found.rows.len() as u64)
        };
        let check = || -> Result<_, StoreError> {
            let stats = read(process.store.stats(*tenant, StatsQuery::since(Timestamp::from_ms(0))))?;
            let query = AttemptQuery::newest(ROWS_MAX);
            let attempts = read(process.store.attempts(*tenant, query))?.rows;
            let failed = attempts.iter().filter(|attempt| attempt.record.outcome.class != Class::Delivered).count();
            let sums = [
                ("pending", stats.pending, rows(StateFilter::Pending)?),
                ("retrying", stats.retrying, rows(StateFilter::Retrying)?),
                ("dead", stats.dead, rows(StateFilter::Dead)?),
                ("sent", stats.sent, rows(StateFilter::Settled(State::Sent))?),
                ("cancelled", stats.cancelled, rows(StateFilter::Settled(State::Cancelled))?),
                ("expired", stats.expired, rows(StateFilter::Settled(State::Expired))?),
                ("failed attempts", stats.failed_attempts, failed as u64),
            ];
            Ok(sums)
        };
        let sums = check().map_err(|error| format!("the store cannot be read: {error}"))?;
        if let Some((what, sum, rows)) = sums.into_iter().take(lasting).find(|(_, sum, rows)| sum != rows) {
            return Err(format!("the sum of {what} of tenant {tenant} is {sum}, and there are {rows}"));
        }
    }
    Ok(())
}

fn count(world: &mut World, kept: &Kept) {
    let of = |state| kept.deliveries.values().filter(|delivery| delivery.state == state).count() as u64;
    let counts = &mut world.model.counts;
    counts.events = kept.events.len() as u64;
    counts.sent = of(State::Sent);
    counts.dead = of(State::Dead);
    counts.cancelled = of(State::Cancelled);
    counts.expired = of(State::Expired);
}
