//! Order within a lane: FIFO, and messages that go out in parts.

use super::*;

/// A world whose channel is FIFO, with as much concurrency as others have.
fn fifo() -> World {
    let mut world = World::new(BOUNDS);
    world.lanes.open(ChannelId(1), &LaneRules { is_fifo: true, ..rules(1, 2) }, NOW);
    world
}

impl World {
    fn start(&mut self, now: Timestamp) -> Option<i64> {
        self.load_all(now);
        self.lanes.start_next(now).map(|start| start.item)
    }

    /// The try is over: the delivery waits until then, or is over.
    fn end(&mut self, id: i64, due: Option<Timestamp>, now: Timestamp) {
        self.lanes.answered(ChannelId(1), SENT, now);
        match due {
            Some(due) => drop(self.table.insert(id, due)),
            None => drop(self.table.remove(&id)),
        }
        self.lanes.settled(ChannelId(1), DeliveryId(id), due, now);
    }
}

#[test]
fn the_next_starts_when_the_one_before_is_settled() {
    let mut world = fifo();
    (0..3).for_each(|_| world.accept());
    assert_eq!(world.start(NOW), Some(1));
    assert_eq!(world.start(NOW), None);
    world.lanes.answered(ChannelId(1), SENT, NOW);
    assert_eq!(world.start(NOW), None, "it is not written down yet");
    world.table.remove(&1);
    world.lanes.settled(ChannelId(1), DeliveryId(1), None, NOW);
    assert_eq!(world.start(NOW), Some(2));
}

#[test]
fn one_that_is_tried_again_holds_up_the_rest() {
    let mut world = fifo();
    (0..3).for_each(|_| world.accept());
    assert_eq!(world.start(NOW), Some(1));
    let due = Timestamp::from_ms(5_000);
    world.end(1, Some(due), NOW);
    world.accept();
    assert_eq!(world.start(NOW), None);
    assert_eq!(world.lanes.wake_at(), Some(due));
    world.lanes.advance(due);
    assert_eq!(world.start(due), Some(1));
    world.end(1, None, due);
    assert_eq!(world.run(due), [2, 3, 4]);
}

#[test]
fn order_lasts_through_overflow_pauses_and_restarts() {
    let due = Timestamp::from_ms(5_000);
    let check = |mut world: World, what: &str| {
        assert_eq!(world.start(NOW), None, "{what}: the first waits for its next try");
        world.lanes.advance(due);
        assert_eq!(world.run(due), (1..=12).collect::<Vec<_>>(), "{what}");
    };
    let waiting = || {
        let mut world = fifo();
        (0..12).for_each(|_| world.accept());
        assert_eq!(world.start(NOW), Some(1));
        world.end(1, Some(due), NOW);
        world
    };
    check(waiting(), "overflow");
    let mut paused = waiting();
    paused.lanes.pause(ChannelId(1));
    paused.lanes.resume(ChannelId(1));
    check(paused, "pause");
    let mut restarted = World { table: waiting().table, ..fifo() };
    restarted.lanes.spill(ChannelId(1));
    check(restarted, "restart");
    let mut late = World { table: waiting().table, ..World::new(BOUNDS) };
    late.lanes.spill(ChannelId(1));
    late.load_all(NOW);
    late.lanes.open(ChannelId(1), &LaneRules { is_fifo: true, ..rules(1, 2) }, NOW);
    check(late, "made FIFO later");
}

#[test]
fn what_is_asked_for_waits_for_what_is_older_and_not_read_yet() {
    let mut world = fifo();
    (0..12).for_each(|_| world.accept());
    world.lanes.pause(ChannelId(1));
    world.lanes.resume(ChannelId(1));
    world.lanes.recall(ChannelId(1), DeliveryId(9));
    // Also while what is older is read.
    let load = world.lanes.next_load().unwrap();
    world.lanes.recall(ChannelId(1), DeliveryId(11));
    let found = world.read(&load, NOW);
    world.lanes.loaded(&load, found, NOW);
    assert_eq!(world.run(NOW), (1..=12).collect::<Vec<_>>());
}

/// A breaker has opened while the first was under way: the lane has forgotten what it read, and may start nothing when the
/// first is due.
#[test]
fn what_others_wait_for_is_asked_for_though_the_table_is_to_be_read_again() {
    let mut world = fifo();
    (0..3).for_each(|_| world.accept());
    assert_eq!(world.start(NOW), Some(1));
    world.lanes.share(ChannelId(1), Share::Nothing, NOW);
    world.lanes.forget(ChannelId(1), DeliveryId(0));
    let due = Timestamp::from_ms(5_000);
    world.end(1, Some(due), NOW);
    world.lanes.advance(due);
    assert_eq!(world.start(due), None);
    world.lanes.share(ChannelId(1), Share::Everything, due);
    assert_eq!(world.run(due), [1, 2, 3]);
}

#[test]
fn one_that_is_gone_lets_the_next_go() {
    let mut world = fifo();
    (0..3).for_each(|_| world.accept());
    assert_eq!(world.start(NOW), Some(1));
    let due = Timestamp::from_ms(5_000);
    world.end(1, Some(due), NOW);
    // Somebody cancels it while it waits.
    world.table.remove(&1);
    world.lanes.advance(due);
    assert_eq!(world.run(due), [2, 3]);
}

#[test]
fn the_rest_of_a_message_comes_before_others() {
    let mut world = World::new(BOUNDS);
    (0..3).for_each(|_| world.accept());
    assert_eq!(world.start(NOW), Some(1));
    world.lanes.go_on_with(ChannelId(1), DeliveryId(1));
    assert_eq!(world.start(NOW), None);
    world.end(1, Some(NOW), NOW);
    world.lanes.advance(NOW);
    assert_eq!(world.start(NOW), Some(1));
    assert_eq!(world.start(NOW), Some(2));
    world.lanes.go_on_with(ChannelId(1), DeliveryId(2));
    world.end(2, Some(NOW), NOW);
    // It is gone when its next turn comes.
    world.table.remove(&2);
    world.lanes.advance(NOW);
    assert_eq!(world.start(NOW), Some(3));
}
