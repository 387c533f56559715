//! A million deliveries wait when the process begins, and it begins as if there were few.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::Value;
use sim::backlog::{Backlog, BacklogReport, simulate, written_twice};

/// How much later an event may arrive because others have a backlog: about as long as a receiver that is well takes to
/// answer, and with that to give a slot back.
const LATER_MAX: Duration = Duration::from_millis(50);

fn run(deliveries: u64) -> BacklogReport {
    let report = simulate(&Backlog::of(deliveries)).unwrap();
    if let Some((at, broken)) = &report.broken {
        panic!("it breaks at {at:?}: {broken}\nreplay it: cargo run -p sim -- --backlog {deliveries} --trace");
    }
    report
}

#[test]
fn a_start_with_a_million_that_wait_is_a_start_with_few() {
    let alone = run(0);
    let report = run(1_000_000);
    assert_eq!(report.waited, 1_000_000);
    assert!(report.went_out >= 8_000, "{report:#?}");
    // What is read before the first send is bounded by the lanes, of which there are 19, and something is.
    assert!(report.rows_before_first_send[..3].iter().all(|rows| (1..=19 * 32).contains(rows)), "{report:#?}");
    // Nothing is read again and again.
    assert!(report.rows <= report.went_out * 3, "{report:#?}");
    // Whoever has no backlog does not wait for those who have.
    let slowest = |report: &BacklogReport| report.fresh.iter().flatten().max().copied().unwrap();
    assert_eq!(report.fresh.iter().map(Vec::len).collect::<Vec<_>>(), [5, 5, 5]);
    assert!(slowest(&report) <= slowest(&alone) + LATER_MAX, "{:?} and alone {:?}", report.fresh, alone.fresh);
    // Each of the three has about a third of all slots, though one has seven times what another has.
    assert!(report.shares.iter().all(|share| (250..=420).contains(share)), "{report:#?}");
    // Both bounds were reached, or nothing was seen of them.
    assert!(report.most_in_memory.0 == 64 && report.most_in_memory.1 >= 500 << 10, "{report:#?}");
    assert!(report.ends["dead"] > 0 && report.ends["sent"] > 5_000 && report.ends["cancelled"] == 0, "{report:#?}");
}

#[test]
fn the_same_backlog_gives_the_same_trace() {
    let [first, second] = [run(5_000), run(5_000)];
    assert_eq!((first.trace_hash, first.counts), (second.trace_hash, second.counts));
}

/// Everything in a database, row by row, as text.
fn rows_of(file: &Path) -> BTreeMap<String, Vec<String>> {
    let connection = Connection::open(file).unwrap();
    let mut tables = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
    let names: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let rows = |name: &String| {
        let mut all = connection.prepare(&format!("SELECT * FROM \"{name}\"")).unwrap();
        let columns = all.column_count();
        let text = |row: &rusqlite::Row<'_>| -> rusqlite::Result<String> {
            let values: Vec<Value> = (0..columns).map(|column| row.get(column)).collect::<Result<_, _>>()?;
            Ok(format!("{values:?}"))
        };
        let mut found: Vec<String> = all.query_map([], text).unwrap().map(Result::unwrap).collect();
        found.sort();
        found
    };
    names.iter().map(|name| (name.clone(), rows(name))).collect()
}

#[test]
fn a_backlog_that_is_written_in_one_go_is_what_the_store_writes() {
    // Enough for events and attempts to fill segments.
    let written = written_twice(10_000).unwrap();
    let (template, store) = (rows_of(&written.template), rows_of(&written.store));
    assert_eq!(store["queue"].len(), 10_000);
    assert!(store["attempts"].len() > 1_000 && store["segments"].len() > 8, "{:?}", store["segments"]);
    assert_eq!(template.keys().collect::<Vec<_>>(), store.keys().collect::<Vec<_>>());
    for (name, rows) in &store {
        assert_eq!(template[name].len(), rows.len(), "{name}");
        for (left, right) in template[name].iter().zip(rows) {
            assert_eq!(left, right, "{name}");
        }
    }
}
