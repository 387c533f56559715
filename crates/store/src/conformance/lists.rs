//! Lists of deliveries: a merge of what waits, what is dead and what settled, across the borders of segments.

use domain::ChannelId;
use domain::delivery::{Delivery, State};

use super::Factory;
use super::fixtures::{OTHER_TENANT, TENANT, World, dead, later, retrying, sent, untried};
use crate::journal::StateFilter;
use crate::queue::Arrival;

/// Thirty deliveries to two channels in every state there is, settled from the middle outwards so that the ids of
/// settled segments overlap; another tenant's lie in between.
async fn populate<F: Factory>(world: &World<'_, F>) -> Vec<Arrival> {
    let mut mine = Vec::new();
    for round in 0..15 {
        mine.extend(world.post_each(TENANT, 1, 1).await);
        mine.extend(world.post_each(TENANT, 2, 1).await);
        let other = world.post_each(OTHER_TENANT, 3, 1).await.remove(0);
        if round % 2 == 0 {
            world.settle(sent(&other)).await;
        }
    }
    for step in 0..15 {
        for index in [14 - step, 15 + step] {
            let arrival = &mine[index];
            match index % 7 {
                0 | 1 => world.settle(sent(arrival)).await,
                2 => world.settle(dead(arrival)).await,
                3 => world.settle(untried(arrival, State::Cancelled)).await,
                4 => world.settle(untried(arrival, State::Expired)).await,
                5 => world.settle(retrying(arrival, later(9000))).await,
                _ => {}
            }
        }
    }
    mine
}

fn state_of(index: usize) -> State {
    let states = [State::Sent, State::Sent, State::Dead, State::Cancelled, State::Expired, State::Retrying];
    states.get(index % 7).copied().unwrap_or(State::Pending)
}

fn matches(state: State, filter: Option<StateFilter>) -> bool {
    match filter {
        None => true,
        Some(StateFilter::Pending) => state == State::Pending,
        Some(StateFilter::Retrying) => state == State::Retrying,
        Some(StateFilter::Waiting) => matches!(state, State::Pending | State::Retrying),
        Some(StateFilter::Dead) => state == State::Dead,
        Some(StateFilter::Settled(one)) => state == one,
    }
}

/// Reads a list in pages of several sizes, and holds it against what was done.
async fn check<F: Factory>(world: &World<'_, F>, mine: &[Arrival], channel: Option<i64>, filter: Option<StateFilter>) {
    let expected: Vec<_> = mine
        .iter()
        .enumerate()
        .rev()
        .filter(|(index, _)| matches(state_of(*index), filter))
        .filter(|(_, arrival)| channel.is_none_or(|channel| arrival.channel == ChannelId(channel)))
        .map(|(index, arrival)| (arrival.delivery, arrival.channel, state_of(index)))
        .collect();
    for page in [1, 2, 3, 7, 100] {
        let read: Vec<Delivery> = world.list(channel, filter, page).await;
        let read: Vec<_> = read.iter().map(|delivery| (delivery.id, delivery.channel, delivery.state)).collect();
        assert_eq!(read, expected, "channel {channel:?}, {filter:?}, pages of {page}");
    }
}

pub async fn a_list_merges_what_waits_what_is_dead_and_what_settled<F: Factory>(mut world: World<'_, F>) {
    let mine = populate(&world).await;
    for channel in [None, Some(1), Some(2), Some(3), Some(4)] {
        check(&world, &mine, channel, None).await;
    }
    world.reopen().await;
    check(&world, &mine, None, None).await;
    for delivery in world.list(None, None, 100).await {
        assert_eq!(world.delivery(delivery.id).await, delivery);
    }
}

pub async fn a_list_of_one_state_has_that_state_only<F: Factory>(world: World<'_, F>) {
    let mine = populate(&world).await;
    for filter in [
        StateFilter::Pending,
        StateFilter::Retrying,
        StateFilter::Waiting,
        StateFilter::Dead,
        StateFilter::Settled(State::Sent),
        StateFilter::Settled(State::Cancelled),
        StateFilter::Settled(State::Expired),
    ] {
        for channel in [None, Some(2)] {
            check(&world, &mine, channel, Some(filter)).await;
        }
    }
}

pub async fn settled_segments_that_overlap_are_merged<F: Factory>(world: World<'_, F>) {
    // The oldest settle last: every segment reaches down below the one before it.
    let mine = world.post_each(TENANT, 1, 23).await;
    for arrival in mine.iter().rev() {
        world.settle(sent(arrival)).await;
    }
    let expected: Vec<_> = mine.iter().rev().map(|arrival| arrival.delivery).collect();
    for page in [1, 3, 4, 5, 50] {
        let read = world.list(None, None, page).await;
        assert_eq!(read.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), expected, "pages of {page}");
    }
    for arrival in &mine {
        assert_eq!(world.delivery(arrival.delivery).await.state, State::Sent);
    }
}
