//! Lanes against a small queue table, step by step.

use std::time::Duration;

use super::*;
use crate::channel::{RateLimit, RatePeriod};

const BOUNDS: Bounds = Bounds { unsettled_max: 10, lane_items_max: 4, buffered_bytes_max: 1000, load_items_max: 3 };
const NOW: Timestamp = Timestamp::from_ms(1_000);

/// A start that was one quick request.
const SENT: Answer = Answer { requests: 1, took: Duration::from_millis(5) };

fn rules(tenant: i64, concurrency: u32) -> LaneRules {
    LaneRules { tenant: TenantId(tenant), concurrency, is_fifo: false, metering: Metering::default() }
}

/// Lanes with the table that they load from: every waiting delivery of channel 1 with its due time.
struct World {
    lanes: Lanes<i64>,
    table: BTreeMap<i64, Timestamp>,
    next: i64,
    /// What each delivery counts in memory.
    bytes: usize,
}

impl World {
    fn new(bounds: Bounds) -> Self {
        let mut lanes = Lanes::new(bounds, NOW);
        lanes.open(ChannelId(1), &rules(1, 2), NOW);
        Self { lanes, table: BTreeMap::new(), next: 1, bytes: 1 }
    }

    fn accept(&mut self) {
        let id = self.next;
        self.next += 1;
        self.table.insert(id, Timestamp::from_ms(0));
        self.lanes.arrive(ChannelId(1), Ready { delivery: DeliveryId(id), bytes: self.bytes, item: id }, NOW);
    }

    fn read(&self, load: &Load, now: Timestamp) -> Loaded<i64> {
        let rows: Vec<(i64, Timestamp)> = match &load.what {
            LoadWhat::After(after) => {
                self.table.range(after.0 + 1..).take(load.items_max).map(|(id, due)| (*id, *due)).collect()
            }
            LoadWhat::Before(before) => {
                self.table.range(..before.0).rev().take(load.items_max).map(|(id, due)| (*id, *due)).collect()
            }
            LoadWhat::These(ids) => ids.iter().filter_map(|id| Some((id.0, *self.table.get(&id.0)?))).collect(),
        };
        let (ready, later): (Vec<_>, Vec<_>) = rows.iter().partition(|(_, due)| *due <= now);
        Loaded {
            ready: ready
                .iter()
                .map(|(id, _)| Ready { delivery: DeliveryId(*id), bytes: self.bytes, item: *id })
                .collect(),
            later: later.iter().map(|(id, due)| (DeliveryId(*id), *due)).collect(),
            reached: rows.last().map(|(id, _)| DeliveryId(*id)),
            newest: rows.iter().map(|(id, _)| DeliveryId(*id)).max(),
            is_drained: rows.len() < load.items_max,
        }
    }

    fn load_all(&mut self, now: Timestamp) {
        while let Some(load) = self.lanes.next_load() {
            let found = self.read(&load, now);
            self.lanes.loaded(&load, found, now);
            let Buffered { most_of_a_lane, bytes } = self.lanes.buffered();
            assert!(most_of_a_lane <= 2 * self.lanes.bounds.lane_items_max, "{most_of_a_lane}");
            assert!(bytes <= self.lanes.bounds.buffered_bytes_max.max(self.bytes), "{bytes}");
        }
    }

    /// Starts, answers and settles until nothing more may start; returns the order.
    fn run(&mut self, now: Timestamp) -> Vec<i64> {
        let mut order = Vec::new();
        loop {
            self.load_all(now);
            let Some(start) = self.lanes.start_next(now) else { return order };
            order.push(start.item);
            self.lanes.answered(start.channel, SENT, now);
            self.table.remove(&start.item);
            self.lanes.settled(start.channel, start.delivery, None, NOW);
        }
    }
}

#[test]
fn what_is_due_is_told_with_where_else_to_look() {
    let mut world = World::new(BOUNDS);
    let due = |lanes: &Lanes<i64>| lanes.due(|item| Timestamp::from_ms(item * 10));
    assert_eq!(due(&world.lanes), DueNow::default());
    (0..3).for_each(|_| world.accept());
    assert_eq!(due(&world.lanes), DueNow { buffered: Some(Timestamp::from_ms(10)), in_table: vec![] });
    // What was started is no longer due.
    assert_eq!(world.lanes.start_next(NOW).unwrap().item, 1);
    assert_eq!(due(&world.lanes).buffered, Some(Timestamp::from_ms(20)));
    // What did not fit is in the table.
    (0..4).for_each(|_| world.accept());
    let after = (ChannelId(1), LoadWhat::After(DeliveryId(5)));
    assert_eq!(due(&world.lanes).in_table, vec![after.clone()]);
    world.lanes.recall(ChannelId(1), DeliveryId(9));
    assert_eq!(due(&world.lanes).in_table, vec![after, (ChannelId(1), LoadWhat::These(vec![DeliveryId(9)]))]);
    world.lanes.pause(ChannelId(1));
    assert_eq!(due(&world.lanes), DueNow::default());
}

#[test]
fn a_lane_that_overflows_keeps_order_and_loads_nothing_twice() {
    let mut world = World::new(BOUNDS);
    (0..20).for_each(|_| world.accept());
    assert_eq!(world.run(NOW), (1..=20).collect::<Vec<_>>());
    // Drained, it is direct again: an arrival starts without a load.
    world.accept();
    assert_eq!(world.lanes.next_load(), None);
    assert_eq!(world.lanes.start_next(NOW).unwrap().item, 21);
}

#[test]
fn an_arrival_that_a_load_has_already_seen_is_not_taken_again() {
    let mut world = World::new(BOUNDS);
    world.lanes.spill(ChannelId(1));
    let load = world.lanes.next_load().unwrap();
    // Committed before the load reads, announced after the load is taken.
    world.table.insert(1, Timestamp::from_ms(0));
    let found = world.read(&load, NOW);
    world.lanes.loaded(&load, found, NOW);
    world.accept();
    assert_eq!(world.run(NOW), [1]);
}

#[test]
fn an_arrival_during_a_load_is_found_by_the_next() {
    let mut world = World::new(BOUNDS);
    world.lanes.spill(ChannelId(1));
    let load = world.lanes.next_load().unwrap();
    let before = world.read(&load, NOW);
    world.accept();
    world.lanes.loaded(&load, before, NOW);
    assert_eq!(world.run(NOW), [1]);
}

#[test]
fn what_settles_during_a_load_does_not_come_back() {
    let mut world = World::new(BOUNDS);
    (0..2).for_each(|_| world.accept());
    let first = world.lanes.start_next(NOW).unwrap();
    world.lanes.pause(ChannelId(1));
    world.lanes.resume(ChannelId(1));
    let load = world.lanes.next_load().unwrap();
    let stale = world.read(&load, NOW);
    world.lanes.answered(first.channel, SENT, NOW);
    world.table.remove(&first.item);
    world.lanes.settled(first.channel, first.delivery, None, NOW);
    world.lanes.loaded(&load, stale, NOW);
    assert_eq!(world.run(NOW), [2]);
}

#[test]
fn concurrency_and_the_global_bound_are_kept() {
    let mut world = World::new(Bounds { unsettled_max: 3, ..BOUNDS });
    (0..4).for_each(|_| world.accept());
    let first = world.lanes.start_next(NOW).unwrap();
    assert!(world.lanes.start_next(NOW).is_some());
    assert!(world.lanes.start_next(NOW).is_none(), "two at a time");
    world.lanes.answered(first.channel, SENT, NOW);
    assert!(world.lanes.start_next(NOW).is_some());
    world.lanes.answered(first.channel, SENT, NOW);
    assert!(world.lanes.start_next(NOW).is_none(), "three unsettled");
    world.lanes.settled(first.channel, first.delivery, None, NOW);
    assert!(world.lanes.start_next(NOW).is_some());
    assert_eq!(world.lanes.unsettled(), 3);
}

#[test]
fn retries_come_back_when_due_and_blocked_lanes_wait() {
    let mut world = World::new(BOUNDS);
    world.accept();
    let start = world.lanes.start_next(NOW).unwrap();
    let due = Timestamp::from_ms(5_000);
    world.table.insert(1, due);
    world.lanes.answered(start.channel, SENT, NOW);
    world.lanes.settled(start.channel, start.delivery, Some(due), NOW);
    assert_eq!(world.lanes.wake_at(), Some(due));
    assert_eq!(world.run(NOW), Vec::<i64>::new());

    let until = Timestamp::from_ms(7_000);
    world.lanes.block(ChannelId(1), until);
    world.lanes.advance(due);
    assert_eq!(world.run(due), Vec::<i64>::new());
    assert_eq!(world.lanes.wake_at(), Some(until));
    world.lanes.advance(until);
    assert_eq!(world.run(until), [1]);
}

#[test]
fn a_paused_lane_starts_nothing_and_goes_on_from_the_table() {
    let mut world = World::new(BOUNDS);
    (0..6).for_each(|_| world.accept());
    let under_way = world.lanes.start_next(NOW).unwrap();
    world.lanes.pause(ChannelId(1));
    assert_eq!(world.run(NOW), Vec::<i64>::new());
    assert_eq!(world.lanes.under_way(ChannelId(1)), [under_way.delivery]);
    assert_eq!(world.lanes.under_way_count(ChannelId(1)), 1);
    world.accept();
    world.lanes.resume(ChannelId(1));
    assert_eq!(world.run(NOW), [2, 3, 4, 5, 6, 7]);
}

#[test]
fn what_is_asked_for_in_a_pause_is_found_after_it_whatever_was_cancelled_meanwhile() {
    let mut world = World::new(BOUNDS);
    (0..6).for_each(|_| world.accept());
    world.lanes.pause(ChannelId(1));
    world.table.clear();
    world.lanes.forget(ChannelId(1), DeliveryId(6));
    // A dead letter of before, which a person has tried again.
    world.table.insert(3, NOW);
    world.lanes.recall(ChannelId(1), DeliveryId(3));
    world.accept();
    world.lanes.resume(ChannelId(1));
    assert_eq!(world.run(NOW), [3, 7]);
}

#[test]
fn a_failed_load_is_asked_for_again() {
    let mut world = World::new(BOUNDS);
    (0..6).for_each(|_| world.accept());
    while let Some(start) = world.lanes.start_next(NOW) {
        world.table.remove(&start.item);
        world.lanes.answered(start.channel, SENT, NOW);
        world.lanes.settled(start.channel, start.delivery, None, NOW);
    }
    let load = world.lanes.next_load().unwrap();
    world.lanes.load_failed(load);
    assert_eq!(world.run(NOW), [5, 6]);
}

#[test]
fn tenants_share_starts_whatever_waits() {
    let mut lanes = Lanes::new(Bounds { lane_items_max: 100, unsettled_max: 100, ..BOUNDS }, NOW);
    lanes.open(ChannelId(1), &rules(1, 64), NOW);
    lanes.open(ChannelId(2), &rules(2, 64), NOW);
    for id in 1..=20 {
        let channel = ChannelId(if id <= 18 { 1 } else { 2 });
        lanes.arrive(channel, Ready { delivery: DeliveryId(id), bytes: 1, item: id }, NOW);
    }
    let order: Vec<_> = std::iter::from_fn(|| lanes.start_next(NOW)).take(4).map(|start| start.item).collect();
    assert_eq!(order, [1, 19, 2, 20]);
}

#[test]
fn a_lane_whose_block_has_ended_starts_though_the_clock_goes_back() {
    let mut world = World::new(BOUNDS);
    world.accept();
    let until = NOW.after(std::time::Duration::from_secs(5));
    world.lanes.block(ChannelId(1), until);
    world.lanes.advance(until);
    assert_eq!(world.run(NOW), [1]);
}

#[test]
fn what_is_asked_for_again_while_it_is_under_way_comes_back_when_it_is_settled() {
    let mut world = World::new(BOUNDS);
    world.accept();
    let start = world.lanes.start_next(NOW).unwrap();
    world.lanes.answered(start.channel, SENT, NOW);
    // The store has it dead, and a person has retried it, before its result is known to be durable.
    world.lanes.recall(start.channel, start.delivery);
    assert_eq!(world.lanes.next_load(), None);
    world.lanes.settled(start.channel, start.delivery, None, NOW);
    assert_eq!(world.run(NOW), [1]);
}

mod fairness;
mod limits;
mod memory;
mod order;
#[test]
fn what_is_set_aside_is_taken_once_and_not_under_way() {
    let mut world = World::new(BOUNDS);
    let (channel, first) = (ChannelId(1), DeliveryId(1));
    assert!(world.lanes.arrive_aside(channel, first));
    assert!(!world.lanes.arrive_aside(channel, first), "it has it");
    assert_eq!(
        (world.lanes.unsettled(), world.lanes.under_way(channel), world.lanes.start_next(NOW)),
        (0, vec![], None)
    );
    // Read again, it starts as any other.
    world.table.insert(1, Timestamp::from_ms(0));
    world.next = 2;
    world.lanes.bring_back(channel, first);
    assert_eq!(world.run(NOW), [1]);
}

#[test]
fn a_load_tells_what_is_news() {
    let mut world = World::new(BOUNDS);
    (0..2).for_each(|_| world.accept());
    world.lanes.arrive_aside(ChannelId(1), DeliveryId(3));
    world.lanes.arrive_aside(ChannelId(1), DeliveryId(4));
    world.lanes.spill(ChannelId(1));
    let load = world.lanes.next_load().unwrap();
    world.lanes.release(ChannelId(1), DeliveryId(4));
    let news: Vec<_> = (1..=5).filter(|id| world.lanes.is_news(&load, DeliveryId(*id))).collect();
    assert_eq!(news, [5], "two are buffered, one is aside, one was settled since");
    assert!(world.lanes.is_reading(ChannelId(1)));
    world.lanes.pause(ChannelId(1));
    assert!(!world.lanes.is_news(&load, DeliveryId(5)), "the load is void");
}

#[test]
fn what_is_too_much_to_set_aside_stays_in_the_table() {
    let mut world = World::new(BOUNDS);
    let channel = ChannelId(1);
    for id in 1..=10_000 {
        assert!(world.lanes.arrive_aside(channel, DeliveryId(id)));
    }
    assert!(!world.lanes.arrive_aside(channel, DeliveryId(10_001)));
    assert_eq!(world.lanes.next_load(), None, "there is no room yet");
    world.lanes.release(channel, DeliveryId(1));
    let load = world.lanes.next_load().unwrap();
    assert_eq!(load.what, LoadWhat::After(DeliveryId(10_000)));
}

#[test]
fn a_lane_that_is_turned_over_starts_the_newest_first() {
    let mut world = World::new(BOUNDS);
    world.lanes.share(ChannelId(1), Share::Nothing, NOW);
    (0..9).for_each(|_| world.accept());
    assert!(world.lanes.next_load().is_none(), "what may not start is left to the table");
    assert!(world.lanes.turn_over(ChannelId(1)));
    world.lanes.share(ChannelId(1), Share::Some(1), NOW);
    world.load_all(NOW);
    // They arrive while the backlog is read, and are as good as new.
    world.accept();
    world.accept();
    let order = world.run(NOW);
    assert_eq!(order.len(), 11, "{order:?}");
    assert_eq!(order[..3], [9, 8, 7], "{order:?}");
    let place = |wanted: i64| order.iter().position(|id| *id == wanted).unwrap();
    assert!(place(10) < place(1) && place(11) < place(1), "{order:?}");
    assert_eq!(order[order.len() - 2..], [2, 1]);
    world.accept();
    assert_eq!(world.run(NOW), [12], "and then it goes on as usual");
}

#[test]
fn a_lane_in_strict_order_is_not_turned_over() {
    let mut world = World::new(BOUNDS);
    world.lanes.open(ChannelId(1), &LaneRules { is_fifo: true, ..rules(1, 2) }, NOW);
    (0..4).for_each(|_| world.accept());
    assert!(!world.lanes.turn_over(ChannelId(1)));
    assert_eq!(world.run(NOW), [1, 2, 3, 4]);
}

#[test]
fn what_holds_a_delivery_back_is_told() {
    let limited = |per| LaneRules {
        metering: Metering { rate_limit: Some(RateLimit { count: 1, per, burst: None }), ..Metering::default() },
        ..rules(1, 2)
    };
    let waits = |world: &World, delivery| world.lanes.waits_for(ChannelId(1), DeliveryId(delivery), NOW);
    let mut world = World::new(BOUNDS);
    (0..2).for_each(|_| world.accept());
    assert_eq!(waits(&world, 2), None);
    world.lanes.block(ChannelId(1), Timestamp::from_ms(5_000));
    assert_eq!(waits(&world, 2), Some(Wait::Provider(Timestamp::from_ms(5_000))));
    world.lanes.advance(Timestamp::from_ms(5_000));
    world.lanes.open(ChannelId(1), &limited(RatePeriod::Hour), NOW);
    assert!(matches!(waits(&world, 2), Some(Wait::RateLimit(Some(_)))));
    world.lanes.open(ChannelId(1), &LaneRules { is_fifo: true, ..rules(1, 2) }, NOW);
    world.load_all(NOW);
    assert_eq!((waits(&world, 1), waits(&world, 2)), (None, Some(Wait::Predecessor)));
}
