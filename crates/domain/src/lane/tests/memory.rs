//! Memory: loads are cut to what fits, and nobody who has little waits for it.

use super::*;

/// Payloads of any size, up to some that are larger than all memory.
const SIZES: [usize; 4] = [1, 300, 400, 1_500];

fn world_of(bytes: usize) -> World {
    World { bytes, ..World::new(BOUNDS) }
}

#[test]
fn what_does_not_fit_is_read_again_in_order() {
    for bytes in SIZES {
        let mut world = world_of(bytes);
        (0..20).for_each(|_| world.accept());
        assert_eq!(world.run(NOW), (1..=20).collect::<Vec<_>>(), "{bytes}");
        // The same after a start, when all of it is in the table.
        let mut world = world_of(bytes);
        world.table = (1..=20).map(|id| (id, Timestamp::from_ms(0))).collect();
        world.lanes.spill(ChannelId(1));
        assert_eq!(world.run(NOW), (1..=20).collect::<Vec<_>>(), "{bytes}");
    }
}

#[test]
fn what_does_not_fit_is_read_again_from_the_newest_down() {
    for bytes in SIZES {
        let mut world = world_of(bytes);
        world.table = (1..=20).map(|id| (id, Timestamp::from_ms(0))).collect();
        world.lanes.turn_over(ChannelId(1));
        assert_eq!(world.run(NOW), (1..=20).rev().collect::<Vec<_>>(), "{bytes}");
    }
}

#[test]
fn what_is_due_later_comes_once_wherever_a_load_was_cut() {
    let later = Timestamp::from_ms(9_000);
    for bytes in SIZES {
        let mut world = world_of(bytes);
        let due = |id: i64| if id % 3 == 0 { later } else { Timestamp::from_ms(0) };
        world.table = (1..=20).map(|id| (id, due(id))).collect();
        world.lanes.spill(ChannelId(1));
        assert_eq!(world.run(NOW), (1..=20).filter(|id| id % 3 != 0).collect::<Vec<_>>(), "{bytes}");
        world.lanes.advance(later);
        let mut retried = world.run(later);
        retried.sort_unstable();
        assert_eq!(retried, [3, 6, 9, 12, 15, 18], "{bytes}");
    }
}

#[test]
fn few_lanes_read_at_a_time_and_all_have_their_turn() {
    let mut lanes: Lanes<i64> = Lanes::new(BOUNDS, NOW);
    for channel in 1..=100 {
        lanes.open(ChannelId(channel), &rules(1, 2), NOW);
        lanes.spill(ChannelId(channel));
    }
    let found = || Loaded { ready: vec![], later: vec![], reached: None, newest: None, is_drained: true };
    let mut read = BTreeSet::new();
    loop {
        let loads: Vec<Load> = std::iter::from_fn(|| lanes.next_load()).collect();
        assert!(loads.len() <= 16, "{}", loads.len());
        if loads.is_empty() {
            break;
        }
        for load in loads {
            assert!(read.insert(load.channel), "{load:?}");
            lanes.loaded(&load, found(), NOW);
        }
    }
    assert_eq!(read.len(), 100);
}

#[test]
fn whoever_has_nothing_in_memory_does_not_wait_for_it() {
    let mut world = world_of(400);
    world.table = (1..=20).map(|id| (id, Timestamp::from_ms(0))).collect();
    world.lanes.spill(ChannelId(1));
    world.load_all(NOW);
    assert_eq!(world.lanes.buffered(), Buffered { most_of_a_lane: 2, bytes: 800 });
    // Another tenant's event is taken as it comes, and the next one waits in the table.
    world.lanes.open(ChannelId(2), &rules(2, 2), NOW);
    let ready = |id| Ready { delivery: DeliveryId(id), bytes: 400, item: id };
    world.lanes.arrive(ChannelId(2), ready(21), NOW);
    assert_eq!(world.lanes.buffered().bytes, 1_200);
    world.lanes.arrive(ChannelId(2), ready(22), NOW);
    assert_eq!(world.lanes.buffered().bytes, 1_200);
    let started: Vec<i64> = std::iter::from_fn(|| world.lanes.start_next(NOW)).map(|start| start.item).collect();
    assert!(started.contains(&21), "{started:?}");
    // Having nothing left it reads, and all others have what they had.
    assert!(std::iter::from_fn(|| world.lanes.next_load()).any(|load| load.channel == ChannelId(2)));
}
