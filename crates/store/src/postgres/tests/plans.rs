//! Query plans: every statement that the store runs on a growing table finds its rows by a key or an index, and reads few.
//!
//! Nothing here lists statements by hand. A workload calls every method beside thousands of rows of others, and PostgreSQL
//! itself tells of each statement how it was carried out (`auto_explain`): by which index, and how many rows it read. It
//! does so whatever the planner believes of the tables ([`BELIEFS`]), with plans for the values that are asked for and with
//! plans for any ([`PLANS`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use domain::{ChannelId, TenantId};
use serde_json::Value;

use super::super::Options;
use super::super::cluster::{Cluster, Durability};
use super::super::target::Target;
use super::{Opened, block_on};
use crate::conformance::fixtures::{NOW, TENANT, dead, event, request, retrying, routes, sent, settings};
use crate::directory::NewChannel;
use crate::queue::Arrival;
use crate::workload::Workload;
use crate::{Directory as _, Queue as _};

/// What the planner can have been told of the tables, before it has to find thousands of rows in them.
const BELIEFS: [&str; 3] = [
    // Nothing, as a minute after the first start.
    "SELECT",
    // That those whose rows come and go are empty: they were when they were last swept, and their files were not cut. All
    // plans seem equally good then.
    "UPDATE pg_class SET relpages = 100, reltuples = 0
     WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i') AND NOT relispartition",
    // The truth.
    "ANALYZE",
];

/// Prepared statements are planned anew for some time, and then once for all values. Which of the two it is depends on
/// what else was asked.
const PLANS: [&str; 2] = ["force_custom_plan", "force_generic_plan"];

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

/// Indexes that are read whole, each with the end of its one statement: of what is valid at a start, and of redrives that
/// run, which are a handful.
const READ_WHOLE: [(&str, &str); 2] = [
    ("subscriptions_valid", "WHERE valid_to IS NULL ORDER BY channel_id, id"),
    ("redrives_running", "WHERE progress = 'running' ORDER BY id"),
];

/// Rows of each kind that are none of the workload's business: more than any statement may read.
const OTHERS: usize = 2_000;

/// A tenant that the workload does not know. Queue and journal know tenants by number only.
const BESIDE: TenantId = TenantId(900);

/// The same of what deliveries alone do not bring, with ids beyond those that are handed out. Subscriptions are of the
/// channel that was made last.
const ALSO_BESIDE: [&str; 7] = [
    "INSERT INTO digests (id, tenant_id, channel_id, group_key, opened_at, closes_at)
     SELECT n, 900, 600, '', 0, 0 FROM others",
    "INSERT INTO expanded (event_id, first_delivery, channels) SELECT n, n, '' FROM others",
    "INSERT INTO idempotency_even (tenant_id, key_hash, body_hash, event_id, events, kept_at)
     SELECT 1, sha256(n::text::bytea), '', n, 1, 0 FROM others",
    "INSERT INTO idempotency_odd (tenant_id, key_hash, body_hash, event_id, events, kept_at)
     SELECT 1, sha256(n::text::bytea), '', n, 1, 0 FROM others",
    "INSERT INTO inbox (tenant_id, id, channel_id, event_id, recipient, content, created_at)
     SELECT 1, n, 600, n, 'bob', '', 9000000000000 FROM others",
    "INSERT INTO redrives (id, tenant_id, source, wanted, pace, progress, up_to, created_at, ended_at)
     SELECT n, 900, 'dead', '{}', 1, 'done', 0, 0, 0 FROM others",
    "INSERT INTO subscriptions (id, tenant_id, channel_id, pattern, valid_from, valid_to)
     SELECT n, 1, (SELECT max(id) FROM channels), '*', 0, 1 FROM others",
];

/// Before a statement of the test's own.
const UNEXAMINED: &str = "SET auto_explain.log_min_duration = -1;";

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
    let options = |plans: &str| {
        let url = format!("{}?options=-c%20plan_cache_mode%3D{plans}", cluster.url("mail"));
        let target = Target::parse(&url, None).unwrap();
        Options { segment_rows_max: SEGMENT_ROWS, ..Options::new(target, directory.path()) }
    };
    block_on(async {
        let opened = Opened::open(&options("auto")).await.unwrap();
        let workload = Workload { store: &opened.store, heard: &|| opened.heard() };
        let channel = workload.begin().await;
        workload.run(channel).await;
        fill(&opened, &cluster, channel).await;
        drop(opened);
        for belief in BELIEFS {
            cluster.ask("mail", &format!("{UNEXAMINED} {belief}")).unwrap();
            for plans in PLANS {
                let opened = Opened::open(&options(plans)).await.unwrap();
                Workload { store: &opened.store, heard: &|| opened.heard() }.run(channel).await;
            }
        }
    });
    let plans = plans_of(&std::fs::read_to_string(cluster.log()).unwrap());
    let statements: BTreeSet<_> = plans.iter().map(|plan| plan["Query Text"].to_string()).collect();
    assert!(statements.len() > 60, "{} statements", statements.len());
    let indexes = indexes_of(&cluster);
    let faults: BTreeMap<String, String> = plans.iter().flat_map(|plan| faults_of(plan, &indexes)).collect();
    assert!(faults.is_empty(), "{}", faults.into_values().collect::<Vec<_>>().join("\n\n"));
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
        // What the planner believes is what the test says.
        "autovacuum=off",
    ] {
        cluster.set(setting);
    }
    cluster.run().unwrap();
    cluster
}

/// Rows of another tenant, and of other channels of the same.
async fn fill(opened: &Opened, cluster: &Cluster, channel: ChannelId) {
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
    let new = NewChannel { tenant: TENANT, settings: settings(), derives_shard: true, routes: routes(&["*"]) };
    opened.store.create_channel(new, NOW).await.unwrap();
    let others = format!("WITH others AS (SELECT 1000000000 + n AS n FROM generate_series(1, {OTHERS}) AS n)");
    for insert in ALSO_BESIDE {
        cluster.ask("mail", &format!("{UNEXAMINED} {others} {insert}")).unwrap();
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

/// What is wrong with how a statement was carried out, each with the plan that did it.
fn faults_of(plan: &Value, indexes: &Indexes) -> Vec<(String, String)> {
    let text = plan["Query Text"].as_str().unwrap_or_default();
    let mut statement = Statement { text, indexes, faults: Vec::new(), rows_read: 0 };
    statement.examine(&plan["Plan"], false);
    if statement.rows_read > ROWS_READ_MAX {
        statement.faults.push(format!("it reads more than {ROWS_READ_MAX} rows"));
    }
    let of_plan = |fault: String| {
        let mut told = format!("{fault}: {text}\n");
        outline(&plan["Plan"], 1, &mut told);
        (format!("{text}{fault}"), told)
    };
    statement.faults.into_iter().map(of_plan).collect()
}

impl Statement<'_> {
    fn examine(&mut self, node: &Value, is_bounded: bool) {
        let (kind, index) = (of(node, "Node Type"), of(node, "Index Name"));
        let table = without_number(of(node, "Relation Name"));
        if kind.ends_with("Scan") && !table.is_empty() && !SMALL.contains(&table) {
            self.rows_read += rows_read(node);
            if kind == "Seq Scan" {
                self.faults.push(format!("it reads the whole table {table}"));
            }
        }
        let is_meant = READ_WHOLE.iter().any(|(of, end)| *of == index && self.text.ends_with(end));
        // A partition that is gone took its indexes along.
        if let Some(Index { table, first_column }) = self.indexes.get(index)
            && !SMALL.contains(&&**table)
            && !of(node, "Index Cond").contains(first_column)
            && !is_bounded
            && !is_meant
        {
            self.faults.push(format!("it reads the whole index {}", without_number(index)));
        }
        let is_bounded = is_bounded || kind == "Limit";
        for below in node["Plans"].as_array().into_iter().flatten() {
            self.examine(below, is_bounded);
        }
    }
}

fn of<'n>(node: &'n Value, name: &str) -> &'n str {
    node[name].as_str().unwrap_or_default()
}

fn rows_read(node: &Value) -> u64 {
    let count = |name: &str| node[name].as_u64().unwrap_or_default();
    let removed = count("Rows Removed by Filter") + count("Rows Removed by Index Recheck");
    (count("Actual Rows") + removed) * count("Actual Loops")
}

/// Writes the nodes of a plan that ran, each with what it read and by what.
fn outline(node: &Value, depth: usize, told: &mut String) {
    if node["Actual Loops"] == 0 {
        return;
    }
    let [kind, table, index, condition, filter] =
        ["Node Type", "Relation Name", "Index Name", "Index Cond", "Filter"].map(|name| of(node, name));
    let rows = rows_read(node);
    writeln!(told, "{:depth$}{kind} {table} {index} {rows} rows {condition:.200} {filter:.200}", "").unwrap();
    for below in node["Plans"].as_array().into_iter().flatten() {
        outline(below, depth + 1, told);
    }
}
