//! Settling: what becomes of a delivery after a try, and what is read of those that wait.

use domain::delivery::{Attempt, AttemptResult, State};
use domain::outcome::{Class, Outcome, Scope};
use domain::{ChannelId, DeliveryId, ReasonCode, StepsDone, Timestamp};
use std::time::Duration;

use super::Factory;
use super::fixtures::{
    EXPIRES_AT, NOW, OTHER_TENANT, TENANT, World, dead, later, over, record, retrying, sent, settlement, untried,
};
use crate::journal::{AttemptQuery, StatsQuery};
use crate::queue::{Arrival, Next, RetryAnswer, Settlement};
use crate::{Journal as _, Queue as _};

fn attempts_of(arrival: &Arrival) -> AttemptQuery {
    AttemptQuery { delivery: Some(arrival.delivery), ..AttemptQuery::newest(100) }
}

async fn attempts<F: Factory>(world: &World<'_, F>, arrival: &Arrival) -> usize {
    world.store().attempts(TENANT, attempts_of(arrival)).await.unwrap().rows.len()
}

pub async fn a_delivery_settles_into_each_final_state<F: Factory>(world: World<'_, F>) {
    let arrivals = world.post_each(TENANT, 1, 5).await;
    let ends = [sent(&arrivals[0]), dead(&arrivals[1]), untried(&arrivals[2], State::Cancelled)];
    let ends = ends.into_iter().chain([untried(&arrivals[3], State::Expired)]).collect::<Vec<_>>();
    world.store().settle(ends.clone().into()).await.unwrap();
    for (settlement, state) in ends.iter().zip([State::Sent, State::Dead, State::Cancelled, State::Expired]) {
        let read = world.delivery(settlement.delivery).await;
        assert_eq!((read.state, read.reason.as_str()), (state, format!("it is {state}").as_str()));
        assert_eq!((read.channel, read.event, read.tenant), (ChannelId(1), settlement.event, TENANT));
        assert_eq!((read.attempts, read.settled_at), (settlement.attempts, Some(later(1000))));
        assert_eq!((read.created_at, read.expires_at, read.next_attempt_at), (NOW, EXPIRES_AT, None));
        assert_eq!(read.event_type, "invoice.paid");
    }
    let left = world.delivery(arrivals[4].delivery).await;
    assert_eq!((left.state, left.settled_at, left.next_attempt_at), (State::Pending, None, None));
    assert_eq!(world.waiting(1).await, [arrivals[4].delivery]);
}

pub async fn a_delivery_that_waits_comes_back<F: Factory>(mut world: World<'_, F>) {
    let arrival = world.post_each(TENANT, 1, 1).await.remove(0);
    world.settle(Settlement { steps_done: StepsDone::from_bits(2), ..retrying(&arrival, later(5000)) }).await;
    world.reopen().await;
    let read = world.delivery(arrival.delivery).await;
    assert_eq!((read.state, read.next_attempt_at), (State::Retrying, Some(later(5000))));
    assert_eq!((read.attempts, read.reason.as_str(), read.event_type.as_str()), (1, "try later", "invoice.paid"));
    let early = world.store().waiting_after(ChannelId(1), DeliveryId(0), later(4999), 10).await.unwrap().remove(0);
    assert!(early.event.is_none());
    let due = world.store().waiting_after(ChannelId(1), DeliveryId(0), later(5000), 10).await.unwrap().remove(0);
    assert_eq!((due.attempts, due.tries, due.steps_done.bits(), due.due_at), (1, 1, 2, later(5000)));
    assert_eq!((due.created_at, due.expires_at, due.attempts_max), (NOW, EXPIRES_AT, None));
    assert_eq!(due.event.unwrap().id, arrival.event.id);
    world.settle(Settlement { tries_before: 1, ..sent(&arrival) }).await;
    assert_eq!(world.delivery(arrival.delivery).await.state, State::Sent);
    assert_eq!(attempts(&world, &arrival).await, 2);
}

pub async fn settling_twice_is_ignored<F: Factory>(world: World<'_, F>) {
    let arrivals = world.post_each(TENANT, 1, 3).await;
    let each = [sent(&arrivals[0]), retrying(&arrivals[1], later(5000)), dead(&arrivals[2])];
    for settlement in &each {
        // In one call, and in the next.
        world.store().settle([settlement.clone(), settlement.clone()].into()).await.unwrap();
        world.settle(settlement.clone()).await;
        world.settle(Settlement { next: over(State::Expired), ..settlement.clone() }).await;
    }
    for (arrival, state) in arrivals.iter().zip([State::Sent, State::Retrying, State::Dead]) {
        assert_eq!(world.delivery(arrival.delivery).await.state, state);
        assert_eq!(attempts(&world, arrival).await, 1);
    }
    let stats = world.store().stats(TENANT, StatsQuery::since(NOW)).await.unwrap();
    assert_eq!((stats.sent, stats.retrying, stats.dead, stats.expired, stats.pending), (1, 1, 1, 0, 0));
}

pub async fn a_delivery_that_no_longer_waits_is_not_settled<F: Factory>(world: World<'_, F>) {
    let arrival = world.post_each(TENANT, 1, 1).await.remove(0);
    world.settle(untried(&arrival, State::Cancelled)).await;
    // The answer of a try that was under way comes late; another channel's number never fits.
    world.settle(sent(&arrival)).await;
    world.settle(retrying(&arrival, NOW)).await;
    let other = world.post_each(TENANT, 2, 1).await.remove(0);
    world.settle(Settlement { channel: ChannelId(1), ..sent(&other) }).await;
    assert_eq!(world.delivery(arrival.delivery).await.state, State::Cancelled);
    assert_eq!(world.delivery(other.delivery).await.state, State::Pending);
    assert_eq!(attempts(&world, &arrival).await + attempts(&world, &other).await, 0);
}

pub async fn every_record_becomes_an_attempt<F: Factory>(world: World<'_, F>) {
    let arrival = world.post_each(TENANT, 1, 1).await.remove(0);
    let throttled = Outcome {
        reference: Some("ref-7".to_owned()),
        ..Outcome::throttled(Scope::Credential, "slow down").with_hint(Some(Duration::from_millis(2500)))
    };
    let mut records = vec![record(1, Outcome::delivered()), record(1, throttled)];
    records[0].body = "x".repeat(4096);
    records[1].step = 1;
    records[1].code = None;
    let next = Next::Wait { due_at: later(2500), note: String::new() };
    let first =
        Settlement { records: records.clone(), attempts: 0, ..settlement(&arrival, Outcome::delivered(), next) };
    world.settle(first).await;
    let read = world.store().attempts(TENANT, attempts_of(&arrival)).await.unwrap().rows;
    let newest_first: Vec<_> = records.into_iter().rev().collect();
    assert_eq!(read.iter().map(|attempt| attempt.record.clone()).collect::<Vec<_>>(), newest_first);
    for attempt in &read {
        assert_eq!((attempt.delivery, attempt.event), (arrival.delivery, arrival.event.id));
        assert_eq!((attempt.channel, attempt.tenant), (ChannelId(1), TENANT));
        assert_eq!((attempt.provider.as_str(), attempt.event_type.as_str()), ("webhook", "invoice.paid"));
    }
    // It burned no attempt, and yet it was a try.
    let waiting = world.store().waiting_after(ChannelId(1), DeliveryId(0), NOW, 10).await.unwrap().remove(0);
    assert_eq!((waiting.attempts, waiting.tries), (0, 1));
    assert_eq!(world.delivery(arrival.delivery).await.state, State::Retrying);
    for (number, class) in (2..).zip(Class::ALL) {
        let outcome = Outcome { class, ..Outcome::delivered() };
        let again = Settlement { tries_before: number - 1, ..retrying(&arrival, NOW) };
        world.settle(Settlement { records: vec![record(number, outcome)], ..again }).await;
        let newest = world.store().attempts(TENANT, attempts_of(&arrival)).await.unwrap().rows.remove(0);
        assert_eq!((newest.record.number, newest.record.outcome.class), (number, class));
    }
}

pub async fn the_attempt_that_a_delivery_was_given_up_with_says_so<F: Factory>(world: World<'_, F>) {
    let arrival = world.post_each(TENANT, 1, 1).await.remove(0);
    world.settle(retrying(&arrival, NOW)).await;
    // Of a try of several steps it is the last that failed.
    let records =
        vec![record(2, Outcome::delivered()), record(2, Outcome::retry("refused")), record(2, Outcome::delivered())];
    world.settle(Settlement { tries_before: 1, records, ..dead(&arrival) }).await;
    let results = async || {
        let attempts = world.store().attempts(TENANT, attempts_of(&arrival)).await.unwrap().rows;
        attempts.iter().rev().map(Attempt::result).collect::<Vec<_>>()
    };
    let mut expected =
        vec![AttemptResult::Failed, AttemptResult::Delivered, AttemptResult::GaveUp, AttemptResult::Delivered];
    assert_eq!(results().await, expected);
    // What happened stays as it was.
    world.store().retry(TENANT, arrival.delivery, EXPIRES_AT).await.unwrap();
    world.settle(Settlement { tries_before: 2, ..sent(&arrival) }).await;
    expected.push(AttemptResult::Delivered);
    assert_eq!(results().await, expected);
}

pub async fn what_waits_is_read_in_order<F: Factory>(world: World<'_, F>) {
    let mine = world.post_each(TENANT, 1, 7).await;
    world.post_each(TENANT, 2, 2).await;
    world.settle(sent(&mine[2])).await;
    world.settle(retrying(&mine[4], later(9000))).await;
    let mut read = Vec::new();
    loop {
        let after = read.last().copied().unwrap_or_default();
        let page = world.store().waiting_after(ChannelId(1), after, NOW, 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        for one in &page {
            assert_eq!(one.event.is_none(), one.delivery == mine[4].delivery);
        }
        read.extend(page.iter().map(|one| one.delivery));
    }
    let expected: Vec<_> = [0, 1, 3, 4, 5, 6].map(|index: usize| mine[index].delivery).to_vec();
    assert_eq!(read, expected);
}

pub async fn what_waits_is_read_from_the_newest_down<F: Factory>(world: World<'_, F>) {
    let mine = world.post_each(TENANT, 1, 5).await;
    world.post_each(TENANT, 2, 2).await;
    world.settle(sent(&mine[2])).await;
    world.settle(retrying(&mine[3], later(9000))).await;
    let mut read = Vec::new();
    loop {
        let before = read.last().copied().unwrap_or(DeliveryId(i64::MAX));
        let page = world.store().waiting_before(ChannelId(1), before, NOW, 3).await.unwrap();
        if page.is_empty() {
            break;
        }
        for one in &page {
            assert_eq!(one.event.is_none(), one.delivery == mine[3].delivery);
        }
        read.extend(page.iter().map(|one| one.delivery));
    }
    assert_eq!(read, [4, 3, 1, 0].map(|index: usize| mine[index].delivery));
}

pub async fn the_code_of_a_reason_is_kept<F: Factory>(world: World<'_, F>) {
    let arrivals = world.post_each(TENANT, 1, 5).await;
    let (state, note) = (State::Dead, "x".to_owned());
    let next = Next::Over { state, code: ReasonCode::MessageTooLarge, note: note.clone() };
    world.settle(Settlement { next, ..dead(&arrivals[0]) }).await;
    let next = Next::Over { state: State::Cancelled, code: ReasonCode::ChannelDeleted, note };
    world.settle(Settlement { next, ..sent(&arrivals[1]) }).await;
    world.settle(sent(&arrivals[2])).await;
    world.settle(retrying(&arrivals[3], later(9000))).await;
    let expected = [
        ReasonCode::MessageTooLarge,
        ReasonCode::ChannelDeleted,
        ReasonCode::Delivered,
        ReasonCode::WaitsForRetry,
        ReasonCode::WaitsForTurn,
    ];
    for (arrival, code) in arrivals.iter().zip(expected) {
        assert_eq!(world.delivery(arrival.delivery).await.code, code);
    }
    let listed: Vec<_> = world.list(None, None, 10).await.iter().rev().map(|one| one.code).collect();
    assert_eq!(listed, expected);
}

pub async fn these_are_read_as_far_as_they_wait<F: Factory>(world: World<'_, F>) {
    let mine = world.post_each(TENANT, 1, 4).await;
    let other = world.post_each(TENANT, 2, 1).await.remove(0);
    world.settle(sent(&mine[0])).await;
    world.settle(retrying(&mine[1], later(9000))).await;
    let asked = vec![mine[3].delivery, mine[0].delivery, mine[1].delivery, other.delivery, DeliveryId(999)];
    let read = world.store().waiting_these(ChannelId(1), asked.clone(), NOW).await.unwrap();
    let read: Vec<_> = read.iter().map(|one| (one.delivery, one.event.as_ref().map(|event| event.id))).collect();
    assert_eq!(read, [(mine[3].delivery, Some(mine[3].event.id)), (mine[1].delivery, None)]);
    let due = world.store().waiting_these(ChannelId(1), asked, later(9000)).await.unwrap();
    assert!(due.iter().all(|one| one.event.is_some()));
}

pub async fn channels_that_wait_are_listed<F: Factory>(world: World<'_, F>) {
    assert_eq!(world.store().waiting_channels().await.unwrap(), []);
    let first = world.post_each(TENANT, 9, 1).await.remove(0);
    world.post_each(TENANT, 400, 3).await;
    world.post_each(OTHER_TENANT, 2, 1).await;
    assert_eq!(world.store().waiting_channels().await.unwrap(), [2, 9, 400].map(ChannelId));
    world.settle(sent(&first)).await;
    assert_eq!(world.store().waiting_channels().await.unwrap(), [2, 400].map(ChannelId));
}

pub async fn a_dead_delivery_is_retried_with_a_fresh_budget<F: Factory>(mut world: World<'_, F>) {
    let arrival = world.post_each(TENANT, 1, 1).await.remove(0);
    world.settle(Settlement { steps_done: StepsDone::from_bits(1), ..dead(&arrival) }).await;
    world.heard();
    let expires_at = later(999_000);
    let answer = world.store().retry(TENANT, arrival.delivery, expires_at).await.unwrap();
    assert_eq!(answer, Some(RetryAnswer::Due(ChannelId(1))));
    world.reopen().await;
    let waiting = world.store().waiting_these(ChannelId(1), vec![arrival.delivery], NOW).await.unwrap().remove(0);
    assert_eq!((waiting.attempts, waiting.tries, waiting.steps_done.bits()), (0, 1, 1));
    assert_eq!((waiting.expires_at, waiting.due_at), (expires_at, Timestamp::default()));
    assert_eq!(waiting.event.unwrap().id, arrival.event.id);
    let read = world.delivery(arrival.delivery).await;
    assert_eq!((read.state, read.next_attempt_at, read.settled_at), (State::Retrying, None, None));
    // The answer of the try that it died of comes again: nothing happens.
    world.settle(dead(&arrival)).await;
    assert_eq!(world.delivery(arrival.delivery).await.state, State::Retrying);
    world.settle(Settlement { tries_before: 1, ..sent(&arrival) }).await;
    assert_eq!(world.delivery(arrival.delivery).await.state, State::Sent);
    // One that died without a try is pending again.
    let untried_one = world.post_each(TENANT, 1, 1).await.remove(0);
    world.settle(untried(&untried_one, State::Dead)).await;
    world.store().retry(TENANT, untried_one.delivery, expires_at).await.unwrap();
    assert_eq!(world.delivery(untried_one.delivery).await.state, State::Pending);
    let stats = world.store().stats(TENANT, StatsQuery::since(NOW)).await.unwrap();
    assert_eq!((stats.pending, stats.retrying, stats.dead), (1, 0, 0));
}

pub async fn a_waiting_delivery_is_due_at_once_with_a_fresh_budget<F: Factory>(world: World<'_, F>) {
    let arrivals = world.post_each(TENANT, 1, 2).await;
    world.settle(retrying(&arrivals[0], later(90_000))).await;
    for arrival in &arrivals {
        let answer = world.store().retry(TENANT, arrival.delivery, later(5)).await.unwrap();
        assert_eq!(answer, Some(RetryAnswer::Due(ChannelId(1))));
    }
    let waiting = world.store().waiting_after(ChannelId(1), DeliveryId(0), NOW, 10).await.unwrap();
    assert_eq!(waiting.iter().map(|one| (one.tries, one.attempts)).collect::<Vec<_>>(), [(1, 0), (0, 0)]);
    assert!(waiting.iter().all(|one| one.event.is_some() && one.expires_at == EXPIRES_AT));
    let stats = world.store().stats(TENANT, StatsQuery::since(NOW)).await.unwrap();
    assert_eq!(stats.waiting, [(ChannelId(1), 1, 1)]);
}

pub async fn what_is_over_cannot_be_retried<F: Factory>(world: World<'_, F>) {
    for state in [State::Sent, State::Cancelled, State::Expired] {
        let arrival = world.post_each(TENANT, 1, 1).await.remove(0);
        world.settle(untried(&arrival, state)).await;
        let answer = world.store().retry(TENANT, arrival.delivery, EXPIRES_AT).await.unwrap();
        assert_eq!(answer, Some(RetryAnswer::Over(state)));
    }
    for end in [sent, dead, |arrival: &Arrival| retrying(arrival, NOW)] {
        let arrival = world.post_each(TENANT, 1, 1).await.remove(0);
        assert_eq!(world.store().retry(OTHER_TENANT, arrival.delivery, EXPIRES_AT).await.unwrap(), None);
        world.settle(end(&arrival)).await;
        let before = world.delivery(arrival.delivery).await;
        assert_eq!(world.store().retry(OTHER_TENANT, arrival.delivery, EXPIRES_AT).await.unwrap(), None);
        assert_eq!(world.delivery(arrival.delivery).await, before);
    }
    assert_eq!(world.store().retry(TENANT, DeliveryId(999), EXPIRES_AT).await.unwrap(), None);
}
