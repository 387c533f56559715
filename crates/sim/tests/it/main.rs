//! Fifty seeds, the sameness of two runs, seeds that have found something, and lies that must be found out.

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
    for seed in [3, 12, 15, 31] {
        let (first, second) = (run(seed), run(seed));
        assert_eq!((first.trace_hash, first.counts), (second.trace_hash, second.counts), "seed {seed}");
    }
    assert_ne!(run(3).trace_hash, run(12).trace_hash);
}

/// Whether a lie is found out in most of some seeds: in a few of them there is nothing to lie about.
fn check(sabotage: Sabotage, expected: &str) {
    let lying = Options { sabotage: Some(sabotage), ..Options::default() };
    let broken: Vec<_> = (0..10).filter_map(|seed| simulate(seed, lying).unwrap().broken).collect();
    assert!(broken.len() >= 6, "{sabotage:?} was found out {} times of 10", broken.len());
    for (_, broken) in broken {
        assert!(broken.contains(expected), "{sabotage:?} broke something else: {broken}");
    }
}

#[test]
fn a_lost_settlement_is_found_out() {
    check(Sabotage::LoseSettlement, "");
}

#[test]
fn a_lost_arrival_is_found_out() {
    check(Sabotage::LoseArrival, "waits for ever");
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

/// Seeds that have found something, each with what it was. They are worlds of today: when the scenario changes, so do
/// they, and a new seed for the same thing is looked for by undoing its mend.
#[test]
fn a_deletion_whose_answer_was_lost_holds() {
    run(12);
}

#[test]
fn a_throttled_channel_wakes_up_when_the_clock_went_back() {
    run(15);
}
