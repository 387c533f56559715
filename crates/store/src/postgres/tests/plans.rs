//! Query plans: every statement that the store runs on a growing table finds its rows by a key or an index, and reads few.
//!
//! Nothing here lists statements by hand. A workload calls every method beside thousands of rows of others, and PostgreSQL
//! itself tells of each statement how it was carried out (`auto_explain`): by which index, and how many rows it read. Once
//! while the planner knows nothing of the tables, as a minute after the first start, and once with statistics.

use std::collections::{BTreeMap, BTreeSet};

use domain::{ChannelId, TenantId};
use serde_json::Value;

use super::super::Options;
use super::super::cluster::{Cluster, Durability};
use super::super::target::Target;
use super::{Opened, block_on};
use crate::Queue as _;
use crate::conformance::fixtures::{NOW, TENANT, dead, event, request, retrying, sent};
use crate::queue::Arrival;
use crate::workload::Workload;

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
    "segments",
    "refinery_schema_history",
];

/// Rows of each kind that are none of the workload's business: more than any statement may read.
const OTHERS: usize = 2_000;

/// A tenant that the workload does not know. Queue and journal know tenants by number only.
const BESIDE: TenantId = TenantId(900);

/// Filling is examined as well.
const FILLED_AT_ONCE: usize = 500;

/// Rows that one statement may read: the largest slice, and what it finds them by.
const ROWS_READ_MAX: u64 = 1_100;

/// Ids in a partition: several are there, and most are full.
const SEGMENT_ROWS: u64 = 1_000;

#[test]
fn every_query_on_a_growing_table_is_indexed() {
    let cluster = explaining_cluster();
    let directory = tempfile::tempdir().unwrap();
    let target = Target::parse(&cluster.url("mail"), None).unwrap();
    let options = Options { segment_rows_max: SEGMENT_ROWS, ..Options::new(target, directory.path()) };
    block_on(async {
        let opened = Opened::open(&options).await.unwrap();
        let workload = Workload { store: &opened.store, heard: &|| opened.heard() };
        let channel = workload.begin().await;
        workload.run(channel).await;
        fill(&opened, channel).await;
        for _ in 0..2 {
            workload.run(channel).await;
            cluster.ask("mail", "ANALYZE").unwrap();
        }
    });
    let plans = plans_of(&std::fs::read_to_string(cluster.log()).unwrap());
    let statements: BTreeSet<_> = plans.iter().map(|plan| plan["Query Text"].to_string()).collect();
    assert!(statements.len() > 60, "{} statements", statements.len());
    let indexes = indexes_of(&cluster);
    let faults: BTreeSet<String> = plans.iter().flat_map(|plan| faults_of(plan, &indexes)).collect();
    assert!(faults.is_empty(), "{}", faults.into_iter().collect::<Vec<_>>().join("\n\n"));
}

/// A cluster that writes into its log how each statement was carried out.
fn explaining_cluster() -> Cluster {
    let mut cluster = Cluster::start(Durability::Volatile).unwrap();
    cluster.create_database("mail").unwrap();
    cluster.stop().unwrap();
    for setting in [
        "session_preload_libraries=auto_explain",
        "auto_explain.log_min_duration=0",
        "auto_explain.log_analyze=on",
        "auto_explain.log_timing=off",
        "auto_explain.log_format=json",
        "log_min_messages=log",
        // Statistics come when the test says so.
        "autovacuum=off",
    ] {
        cluster.set(setting);
    }
    cluster.run().unwrap();
    cluster
}

/// Rows of another tenant, and of other channels of the same.
async fn fill(opened: &Opened, channel: ChannelId) {
    let ends = [sent, dead, |arrival: &Arrival| retrying(arrival, NOW)];
    for (tenant, channel) in [(BESIDE, ChannelId(600)), (TENANT, ChannelId(601)), (TENANT, channel)] {
        for end in ends {
            for _ in 0..OTHERS / FILLED_AT_ONCE {
                let events = (0..FILLED_AT_ONCE).map(|_| event(tenant, &[channel.0])).collect();
                opened.store.accept(request(tenant, events)).await.unwrap();
                let settlements = opened.heard().iter().map(end).collect();
                opened.store.settle(settlements).await.unwrap();
            }
        }
    }
}

/// What the log tells of plans: a line that ends with `plan:`, and JSON that is indented below it.
fn plans_of(log: &str) -> Vec<Value> {
    let mut plans = Vec::new();
    let mut lines = log.lines().peekable();
    while let Some(line) = lines.next() {
        if !line.ends_with("plan:") {
            continue;
        }
        let mut text = String::new();
        while let Some(line) = lines.next_if(|line| line.starts_with('\t')) {
            text.push_str(line);
        }
        plans.push(serde_json::from_str(&text).unwrap());
    }
    plans
}

/// Where an index leads.
struct Index {
    table: String,
    first_column: String,
}

/// By their names.
type Indexes = BTreeMap<String, Index>;

fn indexes_of(cluster: &Cluster) -> Indexes {
    let sql = "SELECT of_index.relname, of_table.relname, attname FROM pg_index
               JOIN pg_class AS of_index ON of_index.oid = indexrelid
               JOIN pg_class AS of_table ON of_table.oid = indrelid
               JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]";
    let index = |row: &str| {
        let [name, table, first] = row.split('|').collect::<Vec<_>>()[..] else { panic!("no row of three: {row}") };
        (name.to_owned(), Index { table: without_number(table).to_owned(), first_column: first.to_owned() })
    };
    cluster.ask("mail", sql).unwrap().lines().map(index).collect()
}

/// The table that a partition belongs to.
fn without_number(table: &str) -> &str {
    table.trim_end_matches(|end: char| end.is_ascii_digit()).trim_end_matches('_')
}

/// A statement that is examined.
struct Statement<'p> {
    text: &'p str,
    indexes: &'p Indexes,
    faults: Vec<String>,
    rows_read: u64,
}

fn faults_of(plan: &Value, indexes: &Indexes) -> Vec<String> {
    let text = plan["Query Text"].as_str().unwrap_or_default();
    let mut statement = Statement { text, indexes, faults: Vec::new(), rows_read: 0 };
    statement.examine(&plan["Plan"], false);
    if statement.rows_read > ROWS_READ_MAX {
        let rows = statement.rows_read;
        statement.faults.push(format!("it reads {rows} rows\n{text}"));
    }
    statement.faults
}

impl Statement<'_> {
    fn examine(&mut self, node: &Value, is_bounded: bool) {
        let of = |name: &str| node[name].as_str().unwrap_or_default();
        let kind = of("Node Type");
        let table = without_number(of("Relation Name"));
        if kind.ends_with("Scan") && !table.is_empty() && !SMALL.contains(&table) {
            self.rows_read += rows_read(node);
            if kind == "Seq Scan" {
                self.faults.push(format!("it reads the whole table {table}\n{}", self.text));
            }
        }
        // A partition that is gone took its indexes along.
        if let Some(index) = self.indexes.get(of("Index Name"))
            && !SMALL.contains(&&*index.table)
            && !of("Index Cond").contains(&index.first_column)
            && !is_bounded
        {
            self.faults.push(format!("it reads the whole index {}\n{}", of("Index Name"), self.text));
        }
        let is_bounded = is_bounded || kind == "Limit";
        for below in node["Plans"].as_array().into_iter().flatten() {
            self.examine(below, is_bounded);
        }
    }
}

fn rows_read(node: &Value) -> u64 {
    let count = |name: &str| node[name].as_u64().unwrap_or_default();
    let removed = count("Rows Removed by Filter") + count("Rows Removed by Index Recheck");
    (count("Actual Rows") + removed) * count("Actual Loops")
}
