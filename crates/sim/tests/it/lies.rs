//! Lies that a world tells once, and that must be found out.

use sim::{Options, Sabotage, simulate};

/// In these seeds, how many lies were told and how many found out. In some there is nothing to lie about, and in some the
/// proof of it is let go of before anybody looks.
fn lie(sabotage: Sabotage, expected: &str) -> (usize, usize) {
    let lying = Options { sabotage: Some(sabotage), ..Options::default() };
    let reports = (0..20).map(|seed| simulate(seed, &lying).unwrap());
    let reports: Vec<_> = reports.filter(|report| report.has_lied && report.keeps_history).collect();
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
