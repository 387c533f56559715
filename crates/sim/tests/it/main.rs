//! Three hundred seeds, the sameness of two runs, seeds that have found something, lies that must be found out, and bursts.

mod bursts;
mod lies;
mod shrinking;

use std::collections::BTreeMap;
use std::ops::Range;

use sim::faults::Fault;
use sim::{Options, Report, simulate};

fn run(seed: u64) -> Report {
    let report = simulate(seed, &Options::default()).unwrap();
    if let Some((at, broken)) = &report.broken {
        panic!("seed {seed} breaks at {at:?}: {broken}\nshrink and replay it: cargo run -p sim -- --seed {seed}");
    }
    report
}

/// They hold, and every fault is among them.
fn check(seeds: Range<u64>) {
    let mut struck: BTreeMap<Fault, usize> = BTreeMap::new();
    for seed in seeds {
        for (fault, times) in run(seed).struck {
            *struck.entry(fault).or_default() += times;
        }
    }
    let missing: Vec<_> = Fault::ALL.into_iter().filter(|fault| !struck.contains_key(fault)).collect();
    assert!(missing.is_empty(), "no seed draws {missing:?}");
}

// In several tests, because tests run beside each other.

#[test]
fn seeds_below_50_hold() {
    check(0..50);
}

#[test]
fn seeds_below_100_hold() {
    check(50..100);
}

#[test]
fn seeds_below_150_hold() {
    check(100..150);
}

#[test]
fn seeds_below_200_hold() {
    check(150..200);
}

#[test]
fn seeds_below_250_hold() {
    check(200..250);
}

#[test]
fn seeds_below_300_hold() {
    check(250..300);
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [3, 22, 40] {
        let (first, second) = (run(seed), run(seed));
        assert_eq!((first.trace_hash, first.counts), (second.trace_hash, second.counts), "seed {seed}");
    }
    assert_ne!(run(3).trace_hash, run(22).trace_hash);
}
