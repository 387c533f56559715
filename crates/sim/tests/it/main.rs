//! Fifty seeds, the sameness of two runs, seeds that have found something, and lies that must be found out.

mod bursts;

use std::collections::BTreeMap;

use sim::faults::Fault;
use sim::{Options, Report, Sabotage, simulate};

fn run(seed: u64) -> Report {
    let report = simulate(seed, Options::default()).unwrap();
    if let Some((at, broken)) = &report.broken {
        panic!(
            "seed {seed} breaks at {at:?}: {broken}\nreplay it: cargo run -p sim -- --seeds 1 --seed {seed} --trace"
        );
    }
    report
}

#[test]
fn fifty_seeds_hold_and_every_fault_is_among_them() {
    let mut struck: BTreeMap<Fault, u64> = BTreeMap::new();
    for seed in 0..50 {
        for (fault, times) in run(seed).struck {
            *struck.entry(fault).or_default() += times;
        }
    }
    let missing: Vec<_> = Fault::ALL.into_iter().filter(|fault| !struck.contains_key(fault)).collect();
    assert!(missing.is_empty(), "no seed draws {missing:?}");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [3, 22, 40] {
        let (first, second) = (run(seed), run(seed));
        assert_eq!((first.trace_hash, first.counts), (second.trace_hash, second.counts), "seed {seed}");
    }
    assert_ne!(run(3).trace_hash, run(22).trace_hash);
}

/// In these seeds, how many lies were told and how many found out. In some there is nothing to lie about.
fn lie(sabotage: Sabotage, expected: &str) -> (usize, usize) {
    let lying = Options { sabotage: Some(sabotage), ..Options::default() };
    let reports: Vec<_> = (0..15).map(|seed| simulate(seed, lying).unwrap()).filter(|report| report.has_lied).collect();
    for (_, broken) in reports.iter().filter_map(|report| report.broken.as_ref()) {
        assert!(broken.contains(expected), "{sabotage:?} broke something else: {broken}");
    }
    assert!(reports.len() >= 5, "{sabotage:?} was told {} times", reports.len());
    (reports.len(), reports.iter().filter(|report| report.broken.is_some()).count())
}

fn check(sabotage: Sabotage, expected: &str) {
    let (told, found) = lie(sabotage, expected);
    assert_eq!(told, found, "{sabotage:?} was told {told} times and found out {found} times");
}

#[test]
fn a_lost_settlement_is_found_out() {
    check(Sabotage::LoseSettlement, "");
}

#[test]
fn a_lost_arrival_is_found_out() {
    // A lane that takes from the table anyway finds there what it was not told of.
    let (told, found) = lie(Sabotage::LoseArrival, "waits for ever");
    assert!(found * 2 >= told, "told {told} times and found out {found} times");
}

#[test]
fn a_lost_event_is_found_out() {
    check(Sabotage::LoseEvent, "was accepted and is not in the store");
}

#[test]
fn a_request_sent_twice_is_found_out() {
    check(Sabotage::SendTwice, "while it is under way");
}

#[test]
fn a_forged_answer_is_found_out() {
    check(Sabotage::ForgeAnswer, "nobody got it");
}

/// Seeds that find something when its mend is undone. When the scenario changes, so do they, and others are to be found.
#[test]
fn a_deletion_whose_answer_was_lost_holds() {
    run(22);
}

#[test]
fn a_retry_whose_answer_was_lost_is_tried() {
    run(40);
}

#[test]
fn a_throttled_channel_wakes_up_when_the_clock_went_back() {
    run(104);
}

#[test]
fn a_test_that_is_retried_before_its_result_is_known_is_tried() {
    run(74);
}

#[test]
fn a_pause_that_is_not_written_down_outlives_a_change_that_failed() {
    run(97);
}
