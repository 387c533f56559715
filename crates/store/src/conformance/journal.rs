//! Reading events, deliveries of an event, and attempts.

use domain::delivery::State;
use domain::outcome::{Class, Outcome};
use domain::routing::ConfigVersion;
use domain::{AttemptId, ChannelId, DeliveryId, EventId};

use super::Factory;
use super::fixtures::{NOW, OTHER_TENANT, TENANT, World, dead, later, record, retrying, sent, settlement, wait};
use crate::Journal as _;
use crate::journal::{AttemptQuery, DeliveryQuery, EventQuery, Stats, StatsQuery};
use crate::queue::Settlement;

fn all_attempts() -> AttemptQuery {
    AttemptQuery::newest(1000)
}

pub async fn deliveries_of_an_event_are_paged<F: Factory>(world: World<'_, F>) {
    let kept = world.post(TENANT, &[1, 2, 3, 4, 5, 6]).await;
    world.post(TENANT, &[1, 2]).await;
    let arrivals = world.heard();
    world.settle(sent(&arrivals[1])).await;
    world.settle(dead(&arrivals[2])).await;
    world.settle(retrying(&arrivals[3], later(5000))).await;
    let mut read = Vec::new();
    for _ in 0..4 {
        let after = read.last().map_or(DeliveryId(0), |(id, _)| *id);
        let page = world.store().deliveries_of(TENANT, kept.id, after, 2).await.unwrap();
        read.extend(page.iter().map(|delivery| (delivery.id, delivery.state)));
    }
    let states =
        [State::Pending, State::Sent, State::Dead, State::Retrying, State::Pending, State::Pending].into_iter();
    let expected: Vec<_> = kept.deliveries.iter().map(|(id, _)| *id).zip(states).collect();
    assert_eq!(read, expected);
    assert_eq!(world.store().deliveries_of(TENANT, EventId(99), DeliveryId(0), 9).await.unwrap(), []);
}

pub async fn attempts_are_paged_and_filtered<F: Factory>(world: World<'_, F>) {
    let left = world.post_each(TENANT, 1, 2).await;
    let right = world.post_each(TENANT, 2, 1).await.remove(0);
    for number in 1..=9 {
        for arrival in left.iter().chain([&right]) {
            let outcome = if number % 3 == 0 { Outcome::unknown("no answer") } else { Outcome::retry("refused") };
            let records = vec![record(number, outcome.clone())];
            let tries_before = number - 1;
            world.settle(Settlement { tries_before, records, ..settlement(arrival, outcome, wait(NOW)) }).await;
        }
    }
    let all = world.store().attempts(TENANT, all_attempts()).await.unwrap().rows;
    assert_eq!(all.len(), 27);
    assert!(all.is_sorted_by(|newer, older| newer.id > older.id));
    let (delivery, channel, class) = (Some(left[1].delivery), Some(ChannelId(1)), Some(Class::Unknown));
    for query in [
        all_attempts(),
        AttemptQuery { delivery, ..all_attempts() },
        AttemptQuery { channel, ..all_attempts() },
        AttemptQuery { class, ..all_attempts() },
        AttemptQuery { channel, class, ..all_attempts() },
        AttemptQuery { delivery, channel: Some(ChannelId(2)), ..all_attempts() },
        AttemptQuery { delivery, channel, class, before: Some(AttemptId(20)), ..all_attempts() },
    ] {
        let wanted = all.iter().filter(|attempt| {
            query.delivery.is_none_or(|delivery| attempt.delivery == delivery)
                && query.channel.is_none_or(|channel| attempt.channel == channel)
                && query.class.is_none_or(|class| attempt.record.outcome.class == class)
                && query.before.is_none_or(|before| attempt.id < before)
        });
        let mut read: Vec<domain::delivery::Attempt> = Vec::new();
        let mut before = query.before;
        loop {
            let page = AttemptQuery { before, rows_max: 4, ..query.clone() };
            let page = world.store().attempts(TENANT, page).await.unwrap();
            read.extend(page.rows);
            let Some(next) = page.next else { break };
            before = Some(next);
        }
        assert_eq!(read, wanted.cloned().collect::<Vec<_>>(), "{query:?}");
    }
}

pub async fn tenants_do_not_see_each_other<F: Factory>(world: World<'_, F>) {
    let ends = [sent, dead, |arrival: &_| retrying(arrival, NOW)];
    for end in ends {
        let arrival = world.post_each(TENANT, 1, 1).await.remove(0);
        world.settle(end(&arrival)).await;
    }
    let waiting = world.post_each(TENANT, 1, 1).await.remove(0);
    let store = world.store();
    let query = DeliveryQuery::newest(100);
    let mine = store.deliveries(TENANT, query.clone()).await.unwrap().rows;
    assert_eq!(mine.len(), 4);
    for delivery in mine {
        assert!(store.delivery(OTHER_TENANT, delivery.id).await.unwrap().is_none());
        assert!(store.event(OTHER_TENANT, delivery.event).await.unwrap().is_none());
        assert_eq!(store.deliveries_of(OTHER_TENANT, delivery.event, DeliveryId(0), 9).await.unwrap(), []);
        let attempts = AttemptQuery { delivery: Some(delivery.id), ..all_attempts() };
        assert_eq!(store.attempts(OTHER_TENANT, attempts).await.unwrap().rows, []);
        let event = Some(delivery.event);
        let of_event = DeliveryQuery { event, ..query.clone() };
        assert_eq!(store.deliveries(OTHER_TENANT, of_event).await.unwrap().rows, []);
        let of_event = AttemptQuery { event, ..all_attempts() };
        assert_eq!(store.attempts(OTHER_TENANT, of_event).await.unwrap().rows, []);
        assert_eq!(store.delivery_to(OTHER_TENANT, delivery.event, delivery.channel).await.unwrap(), None);
    }
    assert_eq!(store.events(OTHER_TENANT, EventQuery::newest(9)).await.unwrap().rows, []);
    for channel in [None, Some(waiting.channel)] {
        assert_eq!(store.deliveries(OTHER_TENANT, DeliveryQuery { channel, ..query.clone() }).await.unwrap().rows, []);
        assert_eq!(store.attempts(OTHER_TENANT, AttemptQuery { channel, ..all_attempts() }).await.unwrap().rows, []);
    }
    assert_eq!(store.stats(OTHER_TENANT, StatsQuery::since(NOW)).await.unwrap(), Stats::default());
    assert!(store.subscriptions_at(OTHER_TENANT, waiting.channel, ConfigVersion(9)).await.unwrap().is_empty());
}

pub async fn history_survives_a_reopen<F: Factory>(mut world: World<'_, F>) {
    for arrival in world.post_each(TENANT, 1, 11).await {
        world.settle(sent(&arrival)).await;
    }
    let deliveries = world.list(None, None, 3).await;
    let attempts = world.store().attempts(TENANT, all_attempts()).await.unwrap().rows;
    let stats = world.store().stats(TENANT, StatsQuery::since(NOW)).await.unwrap();
    assert_eq!((deliveries.len(), attempts.len()), (11, 11));
    world.reopen().await;
    assert_eq!(world.list(None, None, 3).await, deliveries);
    assert_eq!(world.store().attempts(TENANT, all_attempts()).await.unwrap().rows, attempts);
    assert_eq!(world.store().stats(TENANT, StatsQuery::since(NOW)).await.unwrap(), stats);
    // What comes next goes on where it was.
    let next = world.post_each(TENANT, 1, 1).await.remove(0);
    world.settle(sent(&next)).await;
    assert!(next.delivery > deliveries[0].id);
    let newest = world.store().attempts(TENANT, all_attempts()).await.unwrap().rows.remove(0);
    assert!(newest.id > attempts[0].id);
}
