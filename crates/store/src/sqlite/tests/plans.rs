//! Query plans: every statement that the store runs on a growing table finds its rows by a key or an index.
//!
//! Nothing here lists statements by hand: a workload calls every method, the statements that ran are noted, and each
//! is explained.

use std::cell::RefCell;
use std::collections::BTreeSet;

use rusqlite::Connection;
use rusqlite::trace::{TraceEvent, TraceEventCodes};

use super::{OneDirectory, Stepped};
use crate::sqlite::writer::{Left, Writer};
use crate::workload::Workload;

thread_local! {
    static RAN: RefCell<BTreeSet<String>> = const { RefCell::new(BTreeSet::new()) };
}

#[expect(clippy::needless_pass_by_value, reason = "this is the shape that `trace_v2` takes")]
fn note(event: TraceEvent<'_>) {
    if let TraceEvent::Stmt(_, sql) = event {
        RAN.with_borrow_mut(|ran| ran.insert(sql.to_owned()));
    }
}

/// Tables that stay small, or that are read whole at a start and never otherwise.
const SMALL: [&str; 11] = [
    "waiting",
    "tenants",
    "api_keys",
    "channels",
    "event_types",
    "dialect_settings",
    "sequences",
    "expand",
    "cancellations",
    "sqlite_master",
    "CONSTANT",
];

/// Tables of history whose key is the id, and of events that have outlived their segment.
const HISTORY: [&str; 3] = ["events", "attempts", "kept_events"];

fn listen(connection: &mut Connection) {
    connection.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(note)).unwrap();
}

/// What is wrong with how a statement finds its rows.
fn fault_of(sql: &str, step: &str) -> Option<&'static str> {
    let mut words = step.split(' ');
    let (verb, table) = (words.next()?, words.next()?);
    // Read whole, once, when the process starts.
    let is_start = table == "subscriptions" && step.ends_with("USING INDEX subscriptions_valid");
    // SQLite looks once for what refers to a tenant, when the last of it is erased.
    let is_end = table == "subscriptions" && sql.starts_with("DELETE FROM tenants");
    // Those that run: a handful for each tenant.
    let is_running = table == "redrives" && step.ends_with("USING INDEX redrives_running");
    // Segments that go are one or two.
    let is_ending = table == "segments" && step.contains("segments_ending");
    // Between two bounds: of one segment, whose rows are read while it has no look-up, and when it closes and goes.
    let is_stretch = HISTORY.contains(&table) && step.ends_with("(rowid>? AND rowid<?)");
    // The first row of the run is the answer.
    let is_any = sql.starts_with("SELECT EXISTS (");
    match verb {
        // By the quarter of an hour: of each there are as many sums as channels and types had something to do.
        "SEARCH" if table == "counters" && step.contains("bucket>") => None,
        // Ids that a look-up has found.
        "SCAN" if table == "looked_up" => None,
        // What is scanned is a bounded number of rows that were looked up.
        "SCAN" if table == "(subquery-1)" && sql.contains(" LIMIT ") => None,
        "SCAN" if !SMALL.contains(&table) && !is_start && !is_end && !is_running && !is_ending => {
            Some("it reads the whole table")
        }
        // A segment's part of a look-up, or the segment itself.
        "SEARCH" if step.contains("(segment=?") => None,
        "SEARCH" if step.ends_with("(rowid=?)") || is_stretch || is_any => None,
        "SEARCH" if step.contains("(rowid>") || step.contains("(rowid<") => Some("it reads a whole run of rows"),
        "SEARCH" if table.contains('_') && sql.contains("delivery_id = ?") && !step.contains("delivery_id=?") => {
            Some("it does not look up the delivery")
        }
        "SEARCH"
            if sql.contains("channel_id = ?") && !sql.contains("delivery_id = ?") && !step.contains("channel_id=?") =>
        {
            Some("it does not look up the channel")
        }
        "USE" if step.contains("ORDER BY") => Some("it sorts"),
        _ => None,
    }
}

#[test]
fn every_query_on_a_growing_table_is_indexed() {
    let directory = OneDirectory::new();
    let stepped = Stepped::open(directory.0.path());
    let workload = Workload { store: &stepped.store, heard: &|| stepped.heard() };
    let channel = stepped.work(workload.begin());
    for _ in 0..3 {
        stepped.work(workload.run(channel));
    }
    while stepped.store.between_batches(Writer::upkeep_slice).unwrap() == Left::More {}
    stepped.store.with_writer(listen);
    stepped.store.with_reader(listen);
    stepped.work(workload.run(channel));
    let ran = RAN.take();
    assert!(ran.len() > 60, "{} statements", ran.len());
    let faults = stepped.store.with_writer(|connection| explain_all(connection, &ran));
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

fn explain_all(connection: &Connection, ran: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut looked_up = 0;
    for sql in
        ran.iter().filter(|sql| ["SELECT", "INSERT", "UPDATE", "DELETE"].iter().any(|verb| sql.starts_with(verb)))
    {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().unwrap() {
            let step: String = row.get(3).unwrap();
            looked_up += usize::from(step.contains("(segment=? AND (sought,found)"));
            if let Some(fault) = fault_of(sql, &step) {
                faults.push(format!("{fault}: {step}\n{sql}"));
            }
        }
    }
    assert!(looked_up > 8, "{looked_up} statements used a look-up");
    faults
}
