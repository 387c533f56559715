//! A world that breaks is shrunk to a small one that breaks in the same way.

use sim::shrink::{Only, shrink};
use sim::{Options, Sabotage, simulate};

/// A large world, of which little is needed.
const SEED: u64 = 5;

#[test]
fn a_world_that_lies_shrinks_to_little_and_still_breaks() {
    let lying = Options { sabotage: Some(Sabotage::SendTwice), ..Options::default() };
    let whole = simulate(SEED, &lying).unwrap();
    let shrunk = shrink(SEED, &lying).unwrap().expect("it is found out");
    assert!(whole.parts.len() > 50, "{}", whole.parts.len());
    assert!(shrunk.parts.len() <= 10, "{}", shrunk.command());

    let again = simulate(SEED, &Options { only: Only::these(shrunk.parts.clone()), ..lying }).unwrap();
    assert_eq!(again.trace_hash, shrunk.report.trace_hash);
    assert!(again.broken.is_some_and(|(_, broken)| broken.contains("while it is under way")));
}

#[test]
fn a_world_that_holds_is_not_shrunk() {
    assert!(shrink(3, &Options::default()).unwrap().is_none());
}
